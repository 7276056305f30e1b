"""The machine a measurement ran on, as far as it can be read; what cannot be read is None, never assumed."""
import os
import platform
from typing import NamedTuple, Optional, Tuple

import numpy as np

from edgenext_deploy.machine.facts import board_model
from edgenext_deploy.machine.tree import Tree

# Fields of /proc/cpuinfo that name the processor, most telling first: x86 and NVIDIA's ARM kernels have the
# first, other ARM kernels one of the others or none.
_PROCESSOR_FIELDS = ("model name", "Processor", "Hardware")

_MOST_PROCESSES = 1e9


class Host(NamedTuple):
    """One machine in the state it was in when the run began.

    Attributes:
        machine: the architecture, such as ``x86_64`` or ``aarch64``.
        processor: the processor's model.
        board: a Jetson's (or another device-tree board's) model; None on machines without a device tree.
        gpus: models of the NVIDIA GPUs that the driver lists; empty where there is no such driver.
        cores: number of cores of the machine.
        usable_cores: number of cores that this process may run on.
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
    tree = Tree(root)
    return Host(
        machine=platform.machine(),
        processor=_processor(tree),
        board=board_model(tree),
        gpus=gpu_models(tree),
        cores=os.cpu_count(),
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        governor=_governor(tree),
        load_average=_load_average(tree),
        kernel="{} {}".format(platform.system(), platform.release()),
        python=platform.python_version(),
        numpy=np.__version__,
    )


def gpu_models(tree: Tree) -> Tuple[str, ...]:
    """Return the models that the NVIDIA driver lists under /proc (servers and workstations, not Jetsons)."""
    models = [_field(tree.text(path), ("Model",)) for path in tree.glob("/proc/driver/nvidia/gpus/*/information")]
    return tuple(model for model in models if model is not None)


def _processor(tree: Tree) -> Optional[str]:
    return _field(tree.text("/proc/cpuinfo"), _PROCESSOR_FIELDS)


def _governor(tree: Tree) -> Optional[str]:
    texts = [tree.line(path) for path in tree.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")]
    return ",".join(sorted({text for text in texts if text is not None})) or None


def _load_average(tree: Tree) -> Optional[float]:
    try:
        load = float((tree.text("/proc/loadavg") or "").split()[0])
        return load if 0 <= load < _MOST_PROCESSES else None
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
