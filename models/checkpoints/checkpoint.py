"""Checkpoints: weights files, checked against the variant that they are meant for."""
import contextlib
import functools
import hashlib
import os
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file, sha256_of_file, shown
from edgenext_deploy.models.checkpoints.fitting import Network, keys
from edgenext_deploy.models.checkpoints.search import Search, brief
from edgenext_deploy.models.checkpoints.tensor_sets import BARE
from edgenext_deploy.models.checkpoints.training_record import NO_RECORD, TrainingRecord, record_of
from edgenext_deploy.models.checkpoints.weights_file import read_weights_file
from edgenext_deploy.models.variants.families import family_of
from edgenext_deploy.models.variants.reference import reference_module, require_class_count
from edgenext_deploy.models.variants.registry import VARIANTS, Variant, get_variant

_LONGEST_MESSAGE = 1000
_MOST_CLASSES = 1_000_000
# A smaller share of right parameters is another network's.
_NEAR = 0.8
_GET_AGAIN = "get the file again, or use --pretrained"
# The authors' evaluation and timm's read these first; so the accuracy of a published file is that of the first one.
_PUBLISHED = ("model_ema", "state_dict", "model")


@dataclass(frozen=True)
class LoadedWeights:
    """The parameters of one checkpoint, checked against a variant.

    Attributes:
        state_dict: tensors under the reference module's keys; every floating one is float32 on the CPU.
        container: the set of tensors that was read: keys and prefix that lead to it, such as ``model_ema`` or
            ``state_dict.student``; ``bare`` for the file itself.
        layout: name of the file's key layout, such as ``official`` or ``timm``; ``own`` for the reference module's.
        num_classes: number of classes of the head.
        file: name of the file, without folder.
        sha256: digest of the file, 64 hexadecimal digits.
        notes: what was renamed, filled in and left out, and what lay beside the set, for people.
        training: what the file says about its own training.
    """

    state_dict: dict[str, Tensor]
    container: str
    layout: str
    num_classes: int
    file: str
    sha256: str
    notes: tuple[str, ...] = ()
    training: TrainingRecord = NO_RECORD


@old_call("variant", "num_classes")
def load_checkpoint(
    path: str | os.PathLike[str], *, variant: str | Variant, num_classes: int | None = None, state: str | None = None
) -> LoadedWeights:
    """Read a checkpoint and check that it holds exactly this variant with this number of classes.

    The parameters are looked for in the whole file: any set of tensors whose names are the variant's, behind any
    prefix. The key layouts of its family are understood, and the reference modules' own. Half precision becomes
    float32. A file with several such sets, such as averaged weights beside those that were trained, is refused unless
    `state` says which one is meant. `docs/checkpoints.md` explains it; `weights_file.read_weights_file` says why no
    file can run code.

    Args:
        path: the weights file.
        variant: the variant that it should hold, or its name in the registry.
        num_classes: number of classes that it should have; None accepts any number, which the result names.
        state: the set of tensors to take, such as ``model_ema``; None if the file has one.

    Returns:
        The parameters under the reference module's keys, with where they came from.

    Raises:
        UsageError: no such variant, or `num_classes` is no number of classes.
        BadInputError: no such file, not a checkpoint, damaged, asking to run code, of another model, or with several
            sets of parameters.
        MissingRuntimeError: a safetensors file and no safetensors library.
    """
    return _load(os.fspath(path), variant, num_classes, state, ())


def load_published(path: str, variant: Variant, num_classes: int | None = None) -> LoadedWeights:
    """Read a file that its authors published; of several sets in it, the one whose accuracy they published.

    Raises:
        BadInputError: see `load_checkpoint`.
        MissingRuntimeError: a safetensors file and no safetensors library.
    """
    return _load(path, variant, num_classes, None, _PUBLISHED)


def _load(
    name: str, variant: str | Variant, num_classes: int | None, state: str | None, preferred: Sequence[str]
) -> LoadedWeights:
    known = get_variant(variant) if isinstance(variant, str) else variant
    require_class_count(num_classes)
    with _reading(name):
        content = read_weights_file(name)
        search = Search(content, state)
        chosen = search.complete(_network(known), num_classes)
        if not chosen:
            raise _misfit(search, known, num_classes)
        fit = search.only(chosen, preferred)
        state_dict = {key: _as_float32(key, fit.state[key], fit.expected[key]) for key in fit.expected}
        notes = (*fit.changes, *search.notes(fit))
    return LoadedWeights(state_dict, brief(fit.tensors.name), fit.layout, fit.classes, os.path.basename(name),
                         sha256_of_file(name), notes, record_of(content, name))


@old_call("checkpoint", renamed={"path": "checkpoint"})
def load_backbone(
    model: nn.Module, *, checkpoint: str | os.PathLike[str], state: str | None = None
) -> None:
    """Put a classifier's parameters into the backbone of a detector or segmenter, to train its head on them.

    Args:
        model: an `SSDLite` or `DeepLabV3`, which is changed; its head is left as it is.
        checkpoint: weights file of the classifier with the same backbone, any number of classes.
        state: the set of tensors to take, see `load_checkpoint`.

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
    network = Network(family, lambda _: expected, lambda _: 1, ignored=behind)
    with _reading(name):
        search = Search(read_weights_file(name), state)
        chosen = search.complete(network)
        if not chosen:
            faults = search.nearest(network).faults()
            raise BadInputError(f"does not fit the backbone, which has {keys(expected)}: " + "; ".join(faults),
                                "give a checkpoint of the classifier with this backbone")
        fit = search.only(chosen)
        backbone.load_state_dict({key: _as_float32(key, fit.state[key], expected[key]) for key in expected})


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


@functools.lru_cache(maxsize=None)
def _network(variant: Variant) -> Network:
    family = family_of(variant.config)
    return Network(family, functools.partial(reference_shapes, variant), functools.partial(_class_count, variant),
                   variant.num_classes, family.class_weight if variant.head is None else "")


def _misfit(search: Search, variant: Variant, num_classes: int | None) -> BadInputError:
    """Return the error for a file without this variant; it names the variant that it holds, or comes nearest to."""
    wanted = num_classes or variant.num_classes
    for other in VARIANTS.values():
        fits = search.complete(_network(other))
        if not fits:
            continue
        classes = fits[0].classes
        if other.name == variant.name:
            return BadInputError(
                f"has {classes} classes, {wanted} expected", f"pass --num-classes {classes}, or leave it out")
        option = f" --num-classes {classes}" if classes != wanted and other.task == variant.task else ""
        return BadInputError(
            f"holds {other.name} with {classes} classes, {variant.name} with {wanted} expected",
            f"run with --variant {other.name}{option}")
    fix = f"give a checkpoint of {variant.name}, or use --pretrained"
    not_read = search.layout_not_read()
    if not_read is not None:
        family, layout = not_read
        return BadInputError(f"is a {layout.name} checkpoint of {family.title}, which is not read", layout.way_out)
    fit, near = search.nearest(_network(variant)), variant
    if fit.share < _NEAR:
        best, other = max(((search.nearest(_network(other)), other) for other in VARIANTS.values()),
                          key=lambda pair: pair[0].share)
        if best.share >= _NEAR:
            fit, near, fix = best, other, f"give a checkpoint of {variant.name}, or a complete one of {other.name}"
    place = "" if fit.tensors.name == BARE else f" in {brief(fit.tensors.name)}"
    if fit.refusal is not None and (fit.share >= _NEAR or not fit.layout):
        what = f"holds {near.name}{place}, but " if fit.share >= _NEAR else ""
        return BadInputError(what + fit.refusal.message, fit.refusal.fix or fix)
    but = f"; but for that it is {near.name} with {fit.classes} classes{place}"
    if fit.share < _NEAR:
        fix += "; another network comes as an ONNX file: edgenext-export adopt"
    title = f"does not fit {variant.name}, which has {keys(reference_shapes(variant, wanted))}: "
    if near is not variant:
        title += f"nearest is {near.name}, which has {keys(fit.expected)}: "
    return BadInputError(title + "; ".join(fit.faults()) + (but if fit.share >= _NEAR else ""), fix)


def _class_count(variant: Variant, found: Mapping[str, Tensor]) -> int:
    """Return how many classes the head of this variant would have in `found`, 0 if that cannot be."""
    head = variant.head
    weight = found.get(family_of(variant.config).class_weight if head is None else head.class_weight)
    rows = int(weight.shape[0]) if weight is not None and weight.dim() else 0
    if rows > _MOST_CLASSES:
        raise BadInputError(f"claims {rows} classes, at most {_MOST_CLASSES} expected")
    return max(rows if head is None else head.classes_of(rows), 0)


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

