"""Weights files of every kind, read without executing anything in them."""
import os
import re
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import torch

from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.machine.versions import version_numbers
from edgenext_deploy.models.checkpoints import plain_data
from edgenext_deploy.models.checkpoints.outer_shell import SAFETENSORS, raise_if_unreadable, require_weights

_LISTED = 3
_MAX_NAME_CHARACTERS = 80
# Older ones can be made to run code by a file, whatever `weights_only` says (GHSA-63cw-57p8-fm3p).
_OLDEST_TORCH = (2, 10)
# A whole pickled module may ask for these of the standard library, and still be nothing else.
_OF_MODULES = ("functools.partial", "collections.OrderedDict", "builtins.set", "_codecs.encode")


def read_weights_file(path: str) -> Any:
    """Return what a weights file holds: dictionaries, lists and tensors as they were saved.

    Both formats of ``torch.save`` and safetensors are read. The content tells them apart, not the name.

    Nothing in the file is executed: pickles are read with ``weights_only=True``. Plain data beside the weights, such as
    numbers of numpy, dates and paths, is passed over; `plain_data` lists it.

    Raises:
        BadInputError: not a checkpoint, damaged, built to exhaust who reads it, or asking to run code; the message does
            not name the file.
        MissingRuntimeError: a safetensors file and no safetensors library, or a pickle and a PyTorch before 2.10.
        OSError: the file cannot be read.
    """
    kind = require_weights(path)
    return _read_safetensors(path) if kind == SAFETENSORS else _read_pickled(path)


def listed(items: Iterable[str]) -> str:
    """Return the first few items, cut to a readable length, and the number of the others."""
    every = list(items)
    rest = len(every) - _LISTED
    return ", ".join(item[:_MAX_NAME_CHARACTERS] for item in every[:_LISTED]) + (
        f" and {rest} more" if rest > 0 else "")


def _read_pickled(path: str) -> Any:
    if version_numbers(torch.__version__) < _OLDEST_TORCH:
        raise MissingRuntimeError(
            f"{path} is a pickle, which PyTorch {torch.__version__} does not read safely; 2.10 or newer expected",
            "run: pip install --upgrade torch, or give the weights as .safetensors")
    try:
        # As a stream, so that the name's ending decides nothing. What torch would warn of is either an error
        # all the same, or harmless.
        allowed = torch.serialization.safe_globals(plain_data.allowed_globals(path))
        with open(path, "rb") as stream, warnings.catch_warnings(), allowed:
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise_if_unreadable(error)
        wanted = re.search(r"GLOBAL (\S{1,120})", str(error))
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
