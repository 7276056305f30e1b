"""Weights files of every kind, read without executing anything in them."""
import argparse
import os
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from edgenext_deploy.errors import BadInputError, MissingRuntimeError

_CONTAINERS = ("model_ema", "state_dict_ema", "state_dict", "model")
_LISTED = 3
_MAX_NAME_CHARACTERS = 80
_MAX_SAFETENSORS_HEADER_BYTES = 100_000_000  # the format's own limit


def read_state_dict(path: str) -> tuple[str, dict[str, Tensor]]:
    """Return the name of the part of a file that holds the parameters, and the parameters under the file's keys.

    Both formats of ``torch.save`` and safetensors are read. The content tells them apart, not the name.

    A training checkpoint holds several sets of parameters. The first of these is taken: ``model_ema``, the
    averaged weights that the official ``--eval`` reads and whose accuracy is published; ``state_dict_ema``, the
    averaged weights of timm's training script; ``state_dict``, which the official ``--usi_eval`` reads, of the
    distilled models; ``model``, the weights without averaging; and last the file itself as a ``bare`` state dict.

    Nothing in the file is executed: pickles are read with ``weights_only=True``. Besides tensors and plain
    containers only ``argparse.Namespace`` is allowed, because the official files keep their training arguments in one.

    Raises:
        BadInputError: not a checkpoint, damaged, or asking to run code; the message does not name the file.
        MissingRuntimeError: a safetensors file and no safetensors library.
        OSError: the file cannot be read.
    """
    content = _read(path)
    if isinstance(content, Mapping):
        for name in _CONTAINERS:
            if _is_state_dict(content.get(name)):
                return name, dict(content[name])
        if _is_state_dict(content):
            return "bare", dict(content)
        what = f"a dictionary with the keys {listed(map(str, content))}" if content else "an empty dictionary"
    else:
        what = f"a {type(content).__name__}"
    raise BadInputError(
        f"has no state dict in it: {what} found; {', '.join(_CONTAINERS)} or tensors by name expected")


def listed(items: Iterable[str]) -> str:
    """Return the first few items, cut to a readable length, and the number of the others."""
    every = list(items)
    rest = len(every) - _LISTED
    return ", ".join(item[:_MAX_NAME_CHARACTERS] for item in every[:_LISTED]) + (
        f" and {rest} more" if rest > 0 else "")


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(
        isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())


def _read(path: str) -> Any:
    """Return what the file holds: containers and tensors."""
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
        allowed = torch.serialization.safe_globals([argparse.Namespace])
        with open(path, "rb") as stream, warnings.catch_warnings(), allowed:
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted:
            raise BadInputError(
                f"wants to run code when it is loaded: it asks for {wanted[1]}, which weights have no need "
                "of; nothing of it was run",
                "use a .safetensors file, or one that holds the state dict alone, from a publisher you trust",
            ) from error
        raise BadInputError(f"is cut off, damaged, or not a checkpoint ({_in_short(error)})") from error


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
