"""Which releases a board gets, by its Python: one set for each Ubuntu of JetPack, and those next to them.

The releases are the newest that pip found wheels of for x86-64, with numpy below 2: JetPack's OpenCV is built for that.
numpy 1.19.5 ends with "Illegal instruction" on a Nano unless a variable is set; 1.19.4 runs. ONNX Runtime's own
requirements of tools that it does not import are left out.
"""
from typing import Dict, Optional, Sequence, Tuple

_OLDEST = ("pip==21.3.1", "numpy==1.19.4", "onnxruntime==1.10.0", "click==8.0.4", "rich==12.6.0", "Pillow==8.4.0",
           "commonmark==0.9.1", "dataclasses==0.8", "flatbuffers==1.12", "importlib-metadata==4.8.3",
           "protobuf==3.19.6", "Pygments==2.14.0", "typing_extensions==4.1.1", "zipp==3.6.0")
_OLD = ("pip==24.0", "numpy==1.24.4", "onnxruntime==1.19.2", "click==8.1.8", "rich==14.3.4", "Pillow==10.4.0",
        "flatbuffers==25.12.19", "markdown-it-py==3.0.0", "mdurl==0.1.2", "protobuf==5.29.6", "Pygments==2.19.2",
        "typing_extensions==4.12.2")
_NEW = ("pip==24.0", "numpy==1.26.4", "onnxruntime==1.23.2", "click==8.1.8", "rich==14.3.4", "Pillow==12.3.0",
        "flatbuffers==25.12.19", "markdown-it-py==3.0.0", "mdurl==0.1.2", "protobuf==5.29.6", "Pygments==2.19.2")
PINS: Dict[Tuple[int, int], Tuple[str, ...]] = {
    (3, 6): _OLDEST, (3, 8): _OLD, (3, 10): _NEW, (3, 11): _NEW, (3, 12): _NEW}
# Compiled on the board; see docs/jetson.md.
PYCUDA: Dict[Tuple[int, int], Tuple[str, ...]] = {
    (3, 6): ("setuptools==59.6.0", "wheel==0.37.1", "pycuda==2022.1")}
_PYCUDA = ("setuptools==75.3.0", "wheel==0.44.0", "pycuda")
# Names that pip gives to the platforms whose wheels run there. Ubuntu 18.04, that of Python 3.6, has glibc 2.27.
_GLIBC = {(3, 6): (5, 12, 17), (3, 8): (5, 12, 17, 24, 26, 27, 28, 31)}
_NEWER_GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35)


def pins_for(python: Sequence[int]) -> Optional[Tuple[str, ...]]:
    """Return what a Python gets, ``NAME==RELEASE``, pip first; None for a Python that nothing is known about."""
    return PINS.get((python[0], python[1]))


def pycuda_for(python: Sequence[int]) -> Tuple[str, ...]:
    """Return what pip compiles pycuda with, and its release, last."""
    return PYCUDA.get((python[0], python[1]), _PYCUDA)


def platforms(python: Sequence[int], machine: str) -> Tuple[str, ...]:
    """Return the platforms, as pip names them, whose wheels run with that Python on that processor."""
    minors = _GLIBC.get((python[0], python[1]), _NEWER_GLIBC)
    return (*["manylinux_2_{}_{}".format(minor, machine) for minor in minors],
            *[name + machine for name in ("manylinux1_", "manylinux2010_", "manylinux2014_")])
