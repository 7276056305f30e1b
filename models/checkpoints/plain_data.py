"""Plain data in a pickle: the names that a weights file may ask for, and the inert objects that it gets for them.

A training script saves numbers, dates, paths and settings beside the weights. Their classes are code, so torch refuses
them. The toolkit has no use for the values: each such name stands for an object that keeps nothing and does nothing.
"""
import _compat_pickle
import argparse
import collections
import contextlib
import io
import os
import pickletools
import re
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

# In front of the content a file in torch's old format has its magic number, its version and the writer's machine.
_PICKLES = 4
_MAX_PICKLE_BYTES = 256 << 20


class Nothing:
    """Stands for a value that is no tensor: takes what a pickle gives it, and keeps nothing."""

    def __new__(cls, *args: Any, **options: Any) -> "Nothing":
        """Return one, whatever the arguments are."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **options: Any) -> None:
        """Keep nothing."""

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


class PlainMapping:
    """Stands for the class of a mapping; what it makes is an ordinary dictionary with the same items."""

    def __new__(cls, *args: Any, **items: Any) -> Any:
        """Return a dictionary; a `defaultdict` has its factory as the first argument, which is left out."""
        given = [arg for arg in args if isinstance(arg, Mapping)]
        return collections.OrderedDict(given[0] if given else {})


def plain_list(*args: Any) -> list[Any]:
    """Stand for the class of a sequence that a pickle fills item by item."""
    return list(args[0]) if args and isinstance(args[0], (list, tuple)) else []


_MAPPINGS = (
    r"collections\.defaultdict|addict\.addict\.Dict"
    r"|[\w.]+\.(?:\w*AttrDict|AttributeDict|EasyDict|ConfigDict|CfgNode|Munch|[Dd]ot[Dd]ict)")
_VALUES = (
    r"numpy\.(?:_?core\.multiarray\.(?:scalar|_reconstruct)|_?core\.numeric\._frombuffer|random\._pickle\.\w+)"
    r"|numpy\.(?:ndarray|dtype|dtypes\.\w+|(?:bool|u?int|float|complex|longlong|str|bytes|datetime|timedelta)\w*)"
    r"|pathlib\.(?:_local\.)?(?:Pure)?(?:Posix|Windows)?Path"
    r"|datetime\.(?:date|time|datetime|timedelta|timezone)|decimal\.Decimal|fractions\.Fraction|uuid\.UUID"
    r"|builtins\.(?:bool|int|float|str|bytes|list|tuple|dict|frozenset|object|range|slice)"
    r"|torch\.torch_version\.TorchVersion|typing\.\w+|omegaconf\.[\w.]+|mmengine\.logging\.history_buffer\.HistoryBuffer"
    r"|(?:pytorch_lightning|lightning)\.[\w.]*callbacks\.[\w.]+")
_STAND_INS: tuple[tuple[str, Callable[..., Any]], ...] = (
    (r"collections\.deque", plain_list), (_MAPPINGS, PlainMapping), (_VALUES, Nothing))


def allowed_globals(path: str) -> list[Any]:
    """Return what `torch.serialization.safe_globals` is to allow while this file is read.

    Only `argparse.Namespace` and `types.SimpleNamespace` are themselves; every other name of plain data that the file
    asks for stands for an inert object.
    """
    allowed: list[Any] = [argparse.Namespace, types.SimpleNamespace]
    for name in asked_for(path):
        allowed += [(stand_in, name) for pattern, stand_in in _STAND_INS if re.fullmatch(pattern, name)]
    return allowed


def asked_for(path: str) -> list[str]:
    """Return the names that a pickle asks for, such as ``numpy.dtype``, sorted; nothing is executed.

    Of a damaged file, the names before the damage.
    """
    names = set()
    for stream in _pickles(path):
        try:
            for opcode, value, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    names.add(_modern(*str(value).split(" ", 1)))
        except Exception:  # a damaged pickle fails in any way; torch's own reader reports it
            break
    return sorted(names)


def is_plain(name: str) -> bool:
    """Say whether a name stands for plain data."""
    return name in ("argparse.Namespace", "types.SimpleNamespace") or any(
        re.fullmatch(pattern, name) for pattern, _ in _STAND_INS)


def key_of(path: str, name: str) -> str | None:
    """Return the key of a dictionary whose value asks for `name` first; None if the file is that value itself."""
    for stream in _pickles(path):
        key = None
        with contextlib.suppress(Exception):  # damaged behind the name
            for opcode, value, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL" and _modern(*str(value).split(" ", 1)).endswith(name):
                    return key
                if opcode.name == "BINUNICODE":
                    key = str(value)
    return None


def _modern(module: str, name: str) -> str:
    """Return the name under Python 3: protocol 2 writes those of Python 2."""
    module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
    return f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"


def _pickles(path: str) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if os.path.basename(member.filename) == "data.pkl" and member.file_size <= _MAX_PICKLE_BYTES:
                    try:
                        yield io.BytesIO(archive.read(member))
                    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
                        return
        return
    with open(path, "rb") as stream:
        for _ in range(_PICKLES):
            yield stream
