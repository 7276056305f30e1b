"""Checkpoints: weights files, checked against the variant that they are meant for."""
import contextlib
import functools
import hashlib
import os
import types
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file, sha256_of_file
from edgenext_deploy.models.definitions.config import SSDLiteConfig
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.models.key_layouts import to_reference
from edgenext_deploy.models.registry import VARIANTS, Variant
from edgenext_deploy.models.weights_file import listed, read_state_dict

# The parameter that tells the number of classes. For a detector, see `_class_count`.
_CLASSIFIERS = {"edgenext": "head.weight", "mobilevit": "head.fc.weight"}
_PREDICTOR = "heads.0.predict.weight"
_SEGMENTER = "classifier.weight"
# torch's AveragedModel counts its updates in the state dict itself; an average of a model has nothing else of its own.
_AVERAGING_COUNTER = "n_averaged"
# What a classifier has behind its backbone.
_NOT_BACKBONE = ("norm.", "head.", "final_conv.")
_GET_AGAIN = "get the file again, or use --pretrained"


@dataclass(frozen=True)
class LoadedWeights:
    """The parameters of one checkpoint, checked against a variant.

    Attributes:
        state_dict: tensors under the reference module's keys; every floating one is float32 on the CPU.
        container: where in the file they lay: ``model_ema``, ``state_dict_ema``, ``state_dict``, ``model`` or ``bare``.
        layout: the naming of the file's keys, ``official``, ``timm`` or ``own``.
        num_classes: of the head.
        file: name of the file, without folder.
        sha256: of the file.
    """

    state_dict: dict[str, Tensor]
    container: str
    layout: str
    num_classes: int
    file: str
    sha256: str


def load_checkpoint(
    path: str | os.PathLike[str], variant: Variant, num_classes: int | None = None
) -> LoadedWeights:
    """Read a checkpoint and check that it holds exactly this variant with this number of classes.

    Without `num_classes`, any number does, and the result says which. Official EdgeNeXt, timm EdgeNeXt and timm
    MobileViT key layouts are understood, and for detectors and segmenters the reference modules' own; half
    precision becomes float32. See `weights_file.read_state_dict` for the kinds of files, the parts of a training
    checkpoint and the safety of reading one.

    Raises:
        BadInputError: no such file, not a checkpoint, damaged, asking to run code, or of another model.
        MissingRuntimeError: a safetensors file and no safetensors library.
    """
    name = os.fspath(path)
    with _reading(name):
        container, layout, state_dict = _read(name)
        classes = num_classes or _class_count(state_dict, variant) or variant.num_classes
        expected = reference_shapes(variant, classes)
        _require_fit(state_dict, expected, variant, classes)
        state_dict = {key: _as_float32(key, state_dict[key], expected[key]) for key in expected}
    return LoadedWeights(state_dict, container, layout, classes, os.path.basename(name), sha256_of_file(name))


def load_backbone(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Put a classifier's parameters into the backbone of a detector or segmenter, to train its head on them.

    Args:
        model: an `SSDLite` or `DeepLabV3`; its head is left as it is.
        path: checkpoint of the classifier with the same backbone, any number of classes.

    Raises:
        BadInputError: see `load_checkpoint`.
    """
    name = os.fspath(path)
    backbone = model.get_submodule("backbone")
    expected = backbone.state_dict()
    with _reading(name):
        _, _, found = _read(name)
        found = {key: value for key, value in found.items() if not key.startswith(_NOT_BACKBONE)}
        faults = _faults(found, expected)
        if faults:
            raise BadInputError(f"does not fit the backbone, which has {_keys(expected)}: " + "; ".join(faults),
                                "give a checkpoint of the classifier with this backbone")
        backbone.load_state_dict({key: _as_float32(key, found[key], expected[key]) for key in expected})


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Put the file's name in front of what is wrong with it."""
    require_file(name, "weights file", "give an existing weights file, or use --pretrained")
    try:
        yield
    except BadInputError as error:
        raise BadInputError(
            f"weights file {name}: {_printable(error.message)}", error.fix or _GET_AGAIN) from error
    except OSError as error:
        raise BadInputError(
            f"weights file {name}: cannot be read: {error.strerror or error}", _GET_AGAIN) from error


def _read(name: str) -> tuple[str, str, dict[str, Tensor]]:
    """Return the container, the layout and the parameters under the reference module's keys."""
    container, found = read_state_dict(name)
    found.pop(_AVERAGING_COUNTER, None)
    layout, mapping = to_reference(found)
    return container, layout, {mapping[key]: value for key, value in found.items()}


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
        return types.MappingProxyType(create_model(variant, num_classes).state_dict())


def _require_fit(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], variant: Variant, wanted: int
) -> None:
    """Raise BadInputError, with what would fit if anything does, unless names and shapes are as expected."""
    faults = _faults(found, expected)
    if not faults:
        return
    fitting = next((other for other in VARIANTS.values() if _classes_if_fits(found, other)), None)
    if fitting is not None:
        classes = _classes_if_fits(found, fitting)
        if fitting.name == variant.name:
            raise BadInputError(
                f"has {classes} classes, {wanted} expected", f"pass --num-classes {classes}, or leave it out")
        option = f" --num-classes {classes}" if classes != wanted and fitting.task == variant.task else ""
        raise BadInputError(
            f"holds {fitting.name} with {classes} classes, {variant.name} with {wanted} expected",
            f"run with --variant {fitting.name}{option}")
    raise BadInputError(
        f"does not fit {variant.name}, which has {_keys(expected)}: " + "; ".join(faults),
        f"give a checkpoint of {variant.name}, or use --pretrained")


def _faults(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return what of the names and shapes is not as expected, in words."""
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
    if isinstance(head, SSDLiteConfig):
        # Of each anchor: four numbers for the box, one for the background, and one for each class.
        rows, left = divmod(_rows(found, _PREDICTOR), head.anchors_per_cell(0))
        count = 0 if left else rows - 5
    else:
        count = _rows(found, _SEGMENTER if head else _CLASSIFIERS[variant.family])
    return max(count, 0)


def _rows(found: Mapping[str, Tensor], key: str) -> int:
    return int(found[key].shape[0]) if key in found and found[key].dim() else 0


def _classes_if_fits(found: Mapping[str, Tensor], variant: Variant) -> int:
    """Return the class count of `found` if it is this variant with any number of classes, else 0."""
    classes = _class_count(found, variant)
    return classes if classes and not _faults(found, reference_shapes(variant, classes)) else 0


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


def _printable(text: str) -> str:
    """Return the text with control characters escaped, for names in the file must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
