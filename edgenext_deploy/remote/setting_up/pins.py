"""Which releases a board gets, by its Python: one set for each Ubuntu of JetPack, and those next to them.

The releases are the newest that pip found wheels of for x86-64, with numpy below 2: JetPack's OpenCV is built for that.
numpy 1.19.5 ends with "Illegal instruction" on a Nano unless a variable is set; 1.19.4 runs. ONNX Runtime's own
requirements of tools that it does not import are left out.

``digests.txt`` beside this file has the SHA-256 of every file that may be taken for a release, as ``sha256sum`` prints
them. Nothing else is sent to a board, and pip there takes nothing else. After a change of releases,
``python tests/real/remote/record_digests.py`` asks the package index for them.
"""
import os
from typing import Dict, List, Optional, Sequence, Tuple

_OLDEST = ("pip==21.3.1", "numpy==1.19.4", "onnxruntime==1.10.0", "click==8.0.4", "rich==12.6.0", "Pillow==8.4.0",
           "commonmark==0.9.1", "dataclasses==0.8", "flatbuffers==1.12", "importlib-metadata==4.8.3",
           "protobuf==3.19.6", "Pygments==2.14.0", "typing_extensions==4.1.1", "zipp==3.6.0")
_OLD = ("pip==24.0", "numpy==1.24.4", "onnxruntime==1.19.2", "click==8.1.8", "rich==14.3.4", "Pillow==10.4.0",
        "flatbuffers==25.12.19", "markdown-it-py==3.0.0", "mdurl==0.1.2", "protobuf==5.29.6", "Pygments==2.19.2",
        "typing_extensions==4.12.2")
_NEW = ("pip==24.0", "numpy==1.26.4", "onnxruntime==1.23.2", "click==8.1.8", "rich==14.3.4", "Pillow==12.3.0",
        "flatbuffers==25.12.19", "markdown-it-py==3.0.0", "mdurl==0.1.2", "protobuf==5.29.6", "Pygments==2.19.2",
        "typing_extensions==4.15.0")
PINS: Dict[Tuple[int, int], Tuple[str, ...]] = {
    (3, 6): _OLDEST, (3, 8): _OLD, (3, 10): _NEW, (3, 11): _NEW, (3, 12): _NEW}
# What pip installs for pycuda, one after the other, each with a title; see docs/jetson.md.
Group = Tuple[str, Tuple[str, ...]]
_TOOLS, _COMPILED = "tools of pycuda", "pycuda, compiled there"
_PYCUDA_NEW: Tuple[Group, ...] = (
    (_TOOLS, ("setuptools==75.3.0", "wheel==0.44.0", "pytools==2025.2.5", "platformdirs==4.5.0", "mako==1.3.10",
              "MarkupSafe==3.0.3", "siphash24==1.8")),
    (_COMPILED, ("pycuda==2026.1",)))
PYCUDA: Dict[Tuple[int, int], Tuple[Group, ...]] = {
    (3, 6): ((_TOOLS, ("setuptools==59.6.0", "wheel==0.37.1", "appdirs==1.4.4", "platformdirs==2.4.0", "mako==1.1.6",
                       "MarkupSafe==2.0.1")),
             (_COMPILED, ("pytools==2022.1.12", "pycuda==2022.1"))),
    (3, 8): ((_TOOLS, ("setuptools==75.3.0", "wheel==0.44.0", "pytools==2024.1.14", "platformdirs==4.3.6",
                       "mako==1.3.10", "MarkupSafe==2.1.5")),
             (_COMPILED, ("pycuda==2024.1.2",))),
    (3, 10): _PYCUDA_NEW, (3, 11): _PYCUDA_NEW, (3, 12): _PYCUDA_NEW}
# Names that pip gives to the platforms whose wheels run there. Ubuntu 18.04, that of Python 3.6, has glibc 2.27.
_GLIBC = {(3, 6): (5, 12, 17), (3, 8): (5, 12, 17, 24, 26, 27, 28, 31)}
_NEWER_GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35)


def pins_for(python: Sequence[int]) -> Optional[Tuple[str, ...]]:
    """Return what a Python gets, ``NAME==RELEASE``, pip first; None for a Python that nothing is known about."""
    return PINS.get((python[0], python[1]))


def pycuda_for(python: Sequence[int]) -> Tuple[Group, ...]:
    """Return what pycuda needs and its release, as groups with their titles; none where no release is known."""
    return PYCUDA.get((python[0], python[1]), ())


def digests_of(pin: str) -> Tuple[str, ...]:
    """Return the SHA-256 of each file that may be taken for ``NAME==RELEASE``; none where none is known."""
    return tuple(digest for digest, name in _recorded() if release_of(name) == _plain(pin))


def requirements(pins: Sequence[str]) -> str:
    """Return a file for pip that takes these releases, and of each only what is known."""
    return "".join("{}\n".format(" ".join([pin, *["--hash=sha256:" + digest for digest in digests_of(pin)]]))
                   for pin in pins)


def release_of(file: str) -> str:
    """Return ``name==release`` of a wheel's or source archive's name, as `digests_of` compares it."""
    stem = file[:-len(".tar.gz")] if file.endswith(".tar.gz") else file
    name, release = stem.split("-")[:2]
    return _plain("{}=={}".format(name, release))


def platforms(python: Sequence[int], machine: str) -> Tuple[str, ...]:
    """Return the platforms, as pip names them, whose wheels run with that Python on that processor."""
    minors = _GLIBC.get((python[0], python[1]), _NEWER_GLIBC)
    return (*["manylinux_2_{}_{}".format(minor, machine) for minor in minors],
            *[name + machine for name in ("manylinux1_", "manylinux2010_", "manylinux2014_")])


def _recorded() -> List[Tuple[str, str]]:
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "digests.txt"), encoding="ascii") as stream:
        return [(line.split()[0], line.split()[1]) for line in stream]


def _plain(pin: str) -> str:
    name, _, release = pin.partition("==")
    return "{}=={}".format(name.lower().replace("_", "-").replace(".", "-"), release)
