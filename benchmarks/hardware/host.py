"""The machine a measurement ran on, as far as it can be read; what cannot be read is None, never assumed."""
import os
import platform
from typing import NamedTuple, Optional, Tuple

import numpy as np

# Fields of /proc/cpuinfo that name the processor, most telling first: x86 and NVIDIA's ARM kernels have the
# first, other ARM kernels one of the others or none.
_PROCESSOR_FIELDS = ("model name", "Processor", "Hardware")


class Host(NamedTuple):
    """One machine in the state it was in when the run began.

    Attributes:
        machine: the architecture, such as ``x86_64`` or ``aarch64``.
        processor: the processor's model.
        board: a Jetson's (or another device-tree board's) model; None on machines without a device tree.
        gpus: models of the NVIDIA GPUs that the driver lists; empty where there is no such driver.
        cores: of the machine.
        usable_cores: that this process may run on.
        governor: cpufreq governors of the cores, sorted, joined by commas.
        load_average: over the last minute, in runnable processes.
        kernel: name and release of the operating system.
        python: its version.
        numpy: its version.
    """

    machine: str
    processor: Optional[str]
    board: Optional[str]
    gpus: Tuple[str, ...]
    cores: Optional[int]
    usable_cores: Optional[int]
    governor: Optional[str]
    load_average: Optional[float]
    kernel: str
    python: str
    numpy: str


def describe_host(root: str = "/") -> Host:
    """Return the description of this machine.

    Args:
        root: where ``proc`` and ``sys`` are looked up; another folder holds a recorded tree.
    """
    return Host(
        machine=platform.machine(),
        processor=_processor(root),
        board=board_model(root),
        gpus=gpu_models(root),
        cores=os.cpu_count(),
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        governor=_governor(root),
        load_average=_load_average(root),
        kernel="{} {}".format(platform.system(), platform.release()),
        python=platform.python_version(),
        numpy=np.__version__,
    )


def board_model(root: str = "/") -> Optional[str]:
    """Return the device tree's model, such as ``NVIDIA Jetson Nano Developer Kit``."""
    text = _read(root, "proc/device-tree/model")
    return text.rstrip("\0").strip() or None if text is not None else None


def gpu_models(root: str = "/") -> Tuple[str, ...]:
    """Return the models that the NVIDIA driver lists under /proc (servers and workstations, not Jetsons)."""
    folder = os.path.join(root, "proc/driver/nvidia/gpus")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return ()
    models = [_field(_read(folder, os.path.join(name, "information")), ("Model",)) for name in names]
    return tuple(model for model in models if model is not None)


def _processor(root: str) -> Optional[str]:
    return _field(_read(root, "proc/cpuinfo"), _PROCESSOR_FIELDS)


def _governor(root: str) -> Optional[str]:
    folder = os.path.join(root, "sys/devices/system/cpu")
    try:
        names = [name for name in os.listdir(folder) if name.startswith("cpu") and name[3:].isdigit()]
    except OSError:
        return None
    texts = [_read(folder, os.path.join(name, "cpufreq/scaling_governor")) for name in names]
    return ",".join(sorted({text.strip() for text in texts if text is not None})) or None


def _load_average(root: str) -> Optional[float]:
    text = _read(root, "proc/loadavg")
    try:
        return float(text.split()[0]) if text is not None else None
    except (ValueError, IndexError):
        return None


def _field(text: Optional[str], names: Tuple[str, ...]) -> Optional[str]:
    """Return the first value of the first of `names` that a ``name : value`` file has."""
    pairs = [line.partition(":") for line in (text or "").splitlines()]
    for wanted in names:
        for name, _, value in pairs:
            if name.strip() == wanted and value.strip():
                return value.strip()
    return None


def _read(folder: str, name: str) -> Optional[str]:
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None
