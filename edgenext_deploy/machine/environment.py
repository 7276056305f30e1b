"""What this machine has for running plans. What cannot be found out is None; nothing here raises."""
import ctypes
import importlib
import json
import platform
import re
import sys
from typing import NamedTuple, Optional, Tuple

from edgenext_deploy.machine.facts import board_model, l4t_release
from edgenext_deploy.machine.installed import find_installed
from edgenext_deploy.machine.jetpack import find_jetpack
from edgenext_deploy.machine.tree import Tree
from edgenext_deploy.machine.versions import plain_version

# CUdevice_attribute in cuda.h.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


class Environment(NamedTuple):
    """The facts of a machine that decide whether a plan runs there.

    Attributes:
        platform: operating system and processor, such as ``linux-aarch64``; plans cross neither.
        board: a Jetson's model by its device tree.
        l4t: Jetson Linux release, such as ``32.7.6``.
        jetpack: the JetPack with that release.
        tensorrt: version of the TensorRT that Python would import.
        tensorrt_rtx: version of TensorRT-RTX, which is another runtime.
        gpu: name of the first GPU that CUDA lists.
        compute_capability: of that GPU, such as ``5.3``.
        cuda: version of the CUDA toolkit under /usr/local/cuda.
        cuda_driver: newest CUDA version that the driver serves.
        driver: version of NVIDIA's kernel driver (servers and workstations; a Jetson's comes with L4T).
    """

    platform: str
    board: Optional[str] = None
    l4t: Optional[str] = None
    jetpack: Optional[str] = None
    tensorrt: Optional[str] = None
    tensorrt_rtx: Optional[str] = None
    gpu: Optional[str] = None
    compute_capability: Optional[str] = None
    cuda: Optional[str] = None
    cuda_driver: Optional[str] = None
    driver: Optional[str] = None


def present_environment(root: str = "/") -> Environment:
    """Return what this machine has.

    Args:
        root: where ``etc``, ``proc`` and ``usr`` are looked up; another folder holds a recorded tree.
    """
    tree = Tree(root)
    l4t = l4t_release(tree)
    release = find_jetpack(l4t)
    gpu, capability, cuda_driver = _gpu()
    return Environment(
        platform="{}-{}".format(platform.system().lower(), platform.machine()),
        board=board_model(tree),
        l4t=l4t,
        # Rows of several JetPacks do not say which one this is.
        jetpack=release.name if release is not None and release.first == release.last else None,
        tensorrt=module_version("tensorrt"),
        tensorrt_rtx=module_version("tensorrt_rtx"),
        gpu=gpu,
        compute_capability=capability,
        cuda=_cuda(tree),
        cuda_driver=cuda_driver,
        driver=_first(r"Kernel Module.*?\s(\d+\.[\d.]+)", tree.text("/proc/driver/nvidia/version")),
    )


def module_version(module: str) -> Optional[str]:
    """Return the version of an installed library as numbers and dots, or None where it cannot be imported.

    The library is imported only if its installation does not say its version: TensorRT takes seconds and
    hundreds of megabytes to load on a Nano.
    """
    try:
        if module not in sys.modules:
            found = find_installed(module)
            if found is None or found.version is not None:
                return None if found is None else plain_version(found.version)
        return plain_version(getattr(importlib.import_module(module), "__version__", None))
    except Exception:  # a broken installation may raise anything; it counts as none
        return None


def _gpu() -> Tuple[Optional[str], Optional[str], Optional[str]]:
    """Return the first GPU's name and compute capability, and the driver's CUDA version."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        number = ctypes.c_int()
        cuda_driver = None
        if cuda.cuDriverGetVersion(ctypes.byref(number)) == 0 and number.value > 0:
            cuda_driver = "{}.{}".format(number.value // 1000, number.value % 1000 // 10)
        device = ctypes.c_int()
        if cuda.cuInit(0) != 0 or cuda.cuDeviceGet(ctypes.byref(device), 0) != 0:
            return None, None, cuda_driver
        name = ctypes.create_string_buffer(256)
        named = cuda.cuDeviceGetName(name, len(name), device) == 0
        numbers = []
        for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
            if cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device) == 0:
                numbers.append(str(number.value))
        return (name.value.decode("utf-8", "replace") if named else None,
                ".".join(numbers) if len(numbers) == 2 else None, cuda_driver)
    except (OSError, AttributeError):  # no driver, or a stub of it without these functions
        return None, None, None


def _cuda(tree: Tree) -> Optional[str]:
    old = _first(r"CUDA Version (\d+\.[\d.]+)", tree.text("/usr/local/cuda/version.txt"))
    try:
        data = json.loads(tree.text("/usr/local/cuda/version.json") or "{}")
        return plain_version(data["cuda"]["version"]) or old
    except (ValueError, KeyError, TypeError, RecursionError):
        return old


def _first(pattern: str, text: Optional[str]) -> Optional[str]:
    match = re.search(pattern, text or "")
    return match.group(1) if match else None
