"""Weights files of every kind, read without executing anything in them."""
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterable
from typing import Any

import torch

from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.models.checkpoints import plain_data

_LISTED = 3
_MAX_NAME_CHARACTERS = 80
_MAX_SAFETENSORS_HEADER_BYTES = 100_000_000  # the format's own limit
# A whole pickled module may ask for these of the standard library, and still be nothing else.
_OF_MODULES = ("functools.partial", "collections.OrderedDict", "builtins.set", "_codecs.encode")


def read_weights_file(path: str) -> Any:
    """Return what a weights file holds: dictionaries, lists and tensors as they were saved.

    Both formats of ``torch.save`` and safetensors are read. The content tells them apart, not the name.

    Nothing in the file is executed: pickles are read with ``weights_only=True``. Plain data beside the weights, such as
    numbers of numpy, dates and paths, is passed over; `plain_data` lists it.

    Raises:
        BadInputError: not a checkpoint, damaged, or asking to run code; the message does not name the file.
        MissingRuntimeError: a safetensors file and no safetensors library.
        OSError: the file cannot be read.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        head = stream.read(64)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        _require_torch_archive(path, size)
        return _read_pickled(path)
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header <= _MAX_SAFETENSORS_HEADER_BYTES:
        if header + 8 > size:
            raise BadInputError(
                f"is a safetensors file that is cut off: {size} bytes, and its header alone has {header}")
        return _read_safetensors(path)
    if head.startswith(b"\x80"):
        return _read_pickled(path)
    if head.startswith(b"version https://git-lfs"):
        raise BadInputError("is a Git LFS pointer, not the weights it points to", "run: git lfs pull")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise BadInputError("is a web page, not weights", "download the file itself, or use --pretrained")
    raise BadInputError(
        f"is not a checkpoint: it starts with {head[:8]!r}; a torch.save or safetensors file is expected")


def listed(items: Iterable[str]) -> str:
    """Return the first few items, cut to a readable length, and the number of the others."""
    every = list(items)
    rest = len(every) - _LISTED
    return ", ".join(item[:_MAX_NAME_CHARACTERS] for item in every[:_LISTED]) + (
        f" and {rest} more" if rest > 0 else "")


def _require_torch_archive(path: str, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.rsplit("/", 1)[-1] for member in archive.namelist()}
    except OSError:
        raise
    except Exception as error:  # a damaged directory fails in many ways, not only as BadZipFile
        raise BadInputError(
            f"is a zip archive that is cut off or damaged: {size} bytes found, and no directory at their end"
        ) from error
    if "data.pkl" not in members:
        raise BadInputError("is a zip archive, not a checkpoint: no data.pkl found in it")
    if "constants.pkl" in members:
        raise BadInputError(
            "is a TorchScript program; a file of weights is expected",
            "save the model's state_dict() with torch.save")


def _read_pickled(path: str) -> Any:
    try:
        # As a stream, so that the name's ending decides nothing. What torch would warn of is either an error
        # all the same, or harmless.
        allowed = torch.serialization.safe_globals(plain_data.allowed_globals(path))
        with open(path, "rb") as stream, warnings.catch_warnings(), allowed:
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted:
            raise _wants_code(path, wanted[1]) from error
        raise BadInputError(f"is cut off, damaged, or not a checkpoint ({_in_short(error)})") from error


def _wants_code(path: str, wanted: str) -> BadInputError:
    """Return the error for a file that asks for the code `wanted`; a pickled module gets the line that saves it."""
    asked = [name for name in plain_data.asked_for(path) if not name.startswith("torch._utils.")]
    foreign = [name for name in asked if name.split(".")[0] in sys.stdlib_module_names and name not in _OF_MODULES
               and not plain_data.is_plain(name)]
    if foreign or not any(name.startswith("torch.nn.modules.") for name in asked):
        return BadInputError(
            f"wants to run code when it is loaded: it asks for {wanted}, which weights have no need "
            "of; nothing of it was run",
            "use a .safetensors file, or one that holds the state dict alone, from a publisher you trust")
    key = plain_data.key_of(path, wanted)
    entry = "" if key is None else f"[{key!r}]"
    return BadInputError(
        f"holds a whole pickled module{'' if key is None else f' under {key!r}'}, not its weights alone: it wants to "
        f"run code when it is loaded and asks for {wanted}; nothing of it was run",
        "if you trust its source, run in Python where that code is installed: "
        f"torch.save(torch.load({os.path.basename(path)!r}, weights_only=False, map_location='cpu'){entry}"
        ".state_dict(), 'weights.pth')")


def _read_safetensors(path: str) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingRuntimeError(
            f"{path} needs the safetensors library, which is not installed",
            "run: pip install safetensors") from error
    try:
        return load_file(path)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise BadInputError(
            f"is a safetensors file that is cut off or damaged ({_in_short(error)})") from error


def _in_short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:120]}"
