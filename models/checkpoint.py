"""Checkpoints: weights files, checked against the variant that they are meant for."""
import contextlib
import functools
import hashlib
import os
import types
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file, sha256_of_file, shown
from edgenext_deploy.models.families import Family, family_of
from edgenext_deploy.models.key_layouts import to_reference
from edgenext_deploy.models.reference import reference_module
from edgenext_deploy.models.registry import VARIANTS, Variant, get_variant
from edgenext_deploy.models.weights_file import listed, read_state_dict

# torch's AveragedModel keeps the number of its updates in the state dict, beside the averaged parameters.
_AVERAGING_COUNTER = "n_averaged"
_LONGEST_MESSAGE = 1000
_GET_AGAIN = "get the file again, or use --pretrained"


@dataclass(frozen=True)
class LoadedWeights:
    """The parameters of one checkpoint, checked against a variant.

    Attributes:
        state_dict: tensors under the reference module's keys; every floating one is float32 on the CPU.
        container: part of the file that was read: ``model_ema``, ``state_dict_ema``, ``state_dict``, ``model`` or
            ``bare``.
        layout: name of the file's key layout, such as ``official`` or ``timm``; ``own`` for the reference module's.
        num_classes: number of classes of the head.
        file: name of the file, without folder.
        sha256: digest of the file, 64 hexadecimal digits.
    """

    state_dict: dict[str, Tensor]
    container: str
    layout: str
    num_classes: int
    file: str
    sha256: str


@old_call("variant", "num_classes")
def load_checkpoint(
    path: str | os.PathLike[str], *, variant: str | Variant, num_classes: int | None = None
) -> LoadedWeights:
    """Read a checkpoint and check that it holds exactly this variant with this number of classes.

    The key layouts of the variant's family are understood, and the reference modules' own. Half precision becomes
    float32. `weights_file.read_state_dict` describes the kinds of files, the parts of a training checkpoint and the
    safety of reading one.

    Args:
        path: the weights file.
        variant: the variant that it should hold, or its name in the registry.
        num_classes: number of classes that it should have; None accepts any number, which the result names.

    Returns:
        The parameters under the reference module's keys, with where they came from.

    Raises:
        UsageError: no such variant.
        BadInputError: no such file, not a checkpoint, damaged, asking to run code, or of another model.
        MissingRuntimeError: a safetensors file and no safetensors library.
    """
    name = os.fspath(path)
    known = get_variant(variant) if isinstance(variant, str) else variant
    with _reading(name):
        container, found = _read(name)
        layout, state_dict = _renamed(found, family_of(known.config))
        classes = num_classes or _class_count(state_dict, known) or known.num_classes
        expected = reference_shapes(known, classes)
        faults = _faults(state_dict, expected)
        if faults:
            raise _misfit(found, faults, known, classes)
        state_dict = {key: _as_float32(key, state_dict[key], expected[key]) for key in expected}
    return LoadedWeights(state_dict, container, layout, classes, os.path.basename(name), sha256_of_file(name))


@old_call("checkpoint", renamed={"path": "checkpoint"})
def load_backbone(model: nn.Module, *, checkpoint: str | os.PathLike[str]) -> None:
    """Put a classifier's parameters into the backbone of a detector or segmenter, to train its head on them.

    Args:
        model: an `SSDLite` or `DeepLabV3`, which is changed; its head is left as it is.
        checkpoint: weights file of the classifier with the same backbone, any number of classes.

    Raises:
        BadInputError: see `load_checkpoint`.
    """
    name = os.fspath(checkpoint)
    backbone = model.get_submodule("backbone")
    expected, family = backbone.state_dict(), family_of(backbone.config)
    with torch.device("meta"):
        classifier = family.build_classifier(backbone.config, 1).state_dict()
    parts = {key.split(".")[0] for key in expected}
    behind = tuple({key.split(".")[0] + "." for key in classifier if key.split(".")[0] not in parts})
    with _reading(name):
        _, found = _renamed(_read(name)[1], family)
        found = {key: value for key, value in found.items() if not key.startswith(behind)}
        faults = _faults(found, expected)
        if faults:
            raise BadInputError(f"does not fit the backbone, which has {_keys(expected)}: " + "; ".join(faults),
                                "give a checkpoint of the classifier with this backbone")
        backbone.load_state_dict({key: _as_float32(key, found[key], expected[key]) for key in expected})


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Name the file in every error."""
    require_file(name, "weights file", "give an existing weights file, or use --pretrained")
    try:
        yield
    except BadInputError as error:
        raise BadInputError(
            f"weights file {name}: {shown(error.message, _LONGEST_MESSAGE)}", error.fix or _GET_AGAIN) from error
    except OSError as error:
        raise BadInputError(
            f"weights file {name}: cannot be read: {error.strerror or error}", _GET_AGAIN) from error


def _read(name: str) -> tuple[str, dict[str, Tensor]]:
    """Return the container and the parameters under the file's keys."""
    container, found = read_state_dict(name)
    found.pop(_AVERAGING_COUNTER, None)
    return container, found


def _renamed(found: Mapping[str, Tensor], family: Family) -> tuple[str, dict[str, Tensor]]:
    """Return the layout and the parameters under the reference module's keys, if the file is of that family."""
    layout, mapping = to_reference(found, family.key_layouts)
    return layout, {mapping[key]: value for key, value in found.items()}


def apply(model: nn.Module, loaded: LoadedWeights) -> None:
    """Put the parameters into a reference module of the variant and class count they were loaded for."""
    model.load_state_dict(loaded.state_dict, strict=True)


def digest_of(state_dict: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over all names, sorted, and the values of each as little-endian float32."""
    digest = hashlib.sha256()
    for key in sorted(state_dict):
        digest.update(key.encode() + b"\0")
        digest.update(state_dict[key].detach().cpu().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


@functools.lru_cache(maxsize=None)
def reference_shapes(variant: Variant, num_classes: int) -> Mapping[str, Tensor]:
    """Return the reference module's state dict on the meta device: names, shapes and dtypes, no data."""
    with torch.device("meta"):
        return types.MappingProxyType(reference_module(variant, num_classes).state_dict())


def _misfit(
    found: Mapping[str, Tensor], faults: Sequence[str], variant: Variant, wanted: int
) -> BadInputError:
    """Return the error for parameters, under the file's keys, that do not fit; it names the variant that they fit."""
    for other in VARIANTS.values():
        classes = _classes_if_fits(found, other)
        if not classes:
            continue
        if other.name == variant.name:
            return BadInputError(
                f"has {classes} classes, {wanted} expected", f"pass --num-classes {classes}, or leave it out")
        option = f" --num-classes {classes}" if classes != wanted and other.task == variant.task else ""
        return BadInputError(
            f"holds {other.name} with {classes} classes, {variant.name} with {wanted} expected",
            f"run with --variant {other.name}{option}")
    return BadInputError(
        f"does not fit {variant.name}, which has {_keys(reference_shapes(variant, wanted))}: " + "; ".join(faults),
        f"give a checkpoint of {variant.name}, or use --pretrained")


def _faults(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return in words how the names and shapes differ from the expected ones."""
    misshapen = [key for key in expected if key in found and found[key].shape != expected[key].shape]
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    faults = []
    if missing:
        faults.append(f"{_keys(missing)} missing ({listed(missing)})")
    if unexpected:
        faults.append(f"{_keys(unexpected)} not expected ({listed(unexpected)})")
    if misshapen:
        shapes = (
            f"{key} is {list(found[key].shape)}, {list(expected[key].shape)} expected" for key in misshapen)
        faults.append(f"{_keys(misshapen)} of another shape ({listed(shapes)})")
    return faults


def _class_count(found: Mapping[str, Tensor], variant: Variant) -> int:
    """Return how many classes the head of this variant would have in `found`, 0 if that cannot be."""
    head = variant.head
    weight = found.get(family_of(variant.config).class_weight if head is None else head.class_weight)
    rows = int(weight.shape[0]) if weight is not None and weight.dim() else 0
    return max(rows if head is None else head.classes_of(rows), 0)


def _classes_if_fits(found: Mapping[str, Tensor], variant: Variant) -> int:
    """Return the class count if `found`, under the file's keys, is this variant with any number of classes, else 0."""
    try:
        _, state_dict = _renamed(found, family_of(variant.config))
    except BadInputError:  # two keys for one parameter, by this family's names
        return 0
    classes = _class_count(state_dict, variant)
    return classes if classes and not _faults(state_dict, reference_shapes(variant, classes)) else 0


def _as_float32(key: str, value: Tensor, expected: Tensor) -> Tensor:
    if value.layout is not torch.strided or value.is_quantized or value.device.type != "cpu":
        raise BadInputError(
            f"{key} is not a plain tensor: {value.layout}, {value.dtype} on {value.device} found")
    if expected.is_floating_point() and not value.is_floating_point():
        raise BadInputError(f"{key} is {value.dtype}, a floating dtype expected")
    value = value.detach().to(torch.float32) if value.is_floating_point() else value.detach()
    finite = torch.isfinite(value)
    if not finite.all():
        count = int((~finite).sum())
        raise BadInputError(f"{key}: {count} of {value.numel()} values are NaN or infinite in float32")
    return value.to(expected.dtype).contiguous()


def _keys(keys: Sized) -> str:
    return f"{len(keys)} key" + ("" if len(keys) == 1 else "s")

