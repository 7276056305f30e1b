"""Which weights an export uses: a live module's, a file's, the published or bundled ones, or seeded random ones."""
import dataclasses
from collections.abc import Callable
from pathlib import Path

from torch import nn

from edgenext_deploy.artifacts.manifest import Weights
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.export.live_module import class_count, frozen_copy
from edgenext_deploy.export.resolved import WeightsSource
from edgenext_deploy.models.checkpoints.checkpoint import (
    LoadedWeights,
    apply,
    digest_of,
    load_checkpoint,
    load_published,
)
from edgenext_deploy.models.checkpoints.download import fetch
from edgenext_deploy.models.checkpoints.training_record import NO_RECORD, TrainingRecord
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.models.variants.reference import reference_module
from edgenext_deploy.models.variants.registry import Variant


@dataclasses.dataclass(frozen=True)
class Reference:
    """The reference module with its weights, float32 on the CPU in evaluation mode.

    Attributes:
        module: the network as published.
        weights: where its weights come from.
        crop_pct: share of the resized photo that the published evaluation of these weights crops.
        num_classes: of its head.
        training: what the weights' file says about its own training.
        notes: sentences for the user on what a default decided.
    """

    module: nn.Module
    weights: Weights
    crop_pct: float
    num_classes: int
    training: TrainingRecord = NO_RECORD
    notes: tuple[str, ...] = ()


def load_reference(
    variant: Variant, source: WeightsSource, num_classes: int | None, progress: Callable[[str], None]
) -> Reference:
    """Return the reference module.

    Without `num_classes`, the number is the module's or the file's, else the variant's. Weights that ship with the
    variant are taken unless others are asked for, or another number of classes. Random parameters are all far from
    neutral, see `models.factory.randomise`.

    Raises:
        BadInputError: the file or the module does not fit the variant or the number of classes.
        UsageError: ``--pretrained`` where nothing is published.
        MissingRuntimeError: ``--pretrained`` without a network.
    """
    if source.module is not None:
        return _of_module(variant, source.module, num_classes)
    if source.file is not None:
        return _of_file(variant, source.file, num_classes, state=source.state)
    ships = bool(variant.bundled_weights)
    if source.pretrained or (ships and num_classes in (None, variant.num_classes)):
        if variant.checkpoints and not ships:
            progress(f"fetching {variant.checkpoints[0].file}")
        return _of_file(variant, fetch(variant), num_classes, published=True)
    module = randomise(reference_module(variant, num_classes, source.seed), source.seed).eval()
    weights = Weights(f"random weights (seed {source.seed})", True, digest_of(module.state_dict()))
    return Reference(module, weights, variant.crop_pct, num_classes or variant.num_classes)


def _of_module(variant: Variant, live: nn.Module, num_classes: int | None) -> Reference:
    found = class_count(live)
    if num_classes not in (None, found):
        raise BadInputError(f"the module has {found} classes, {num_classes} expected", "leave num_classes out")
    module = frozen_copy(live)
    return Reference(module, Weights("a live module", False, digest_of(module.state_dict())), variant.crop_pct, found)


def _of_file(
    variant: Variant, path: str, num_classes: int | None, published: bool = False, state: str | None = None
) -> Reference:
    try:
        loaded = (load_published(path, variant, num_classes) if published else
                  load_checkpoint(path, variant=variant, num_classes=num_classes, state=state))
    except BadInputError as error:
        if not published or variant.bundled_weights or num_classes not in (None, variant.num_classes):
            raise
        # A proxy's page came instead, or the disk lost part of it. While the file is there, nothing is fetched.
        raise BadInputError(error.message, f"remove {path} and run the same command again") from error
    module = reference_module(variant, loaded.num_classes)
    apply(module, loaded)
    described = ("bundled " if published and variant.bundled_weights else "") + _described(path, loaded)
    is_published = published or (state is None and _is_published_file(variant, loaded))
    weights = Weights(described, False, digest_of(module.state_dict()), published=is_published
                      and not variant.bundled_weights and loaded.num_classes == variant.num_classes)
    crop_pct = _crop_pct(variant, path)
    # How a published network is evaluated is known; its file says how it was trained.
    training = NO_RECORD if published else loaded.training
    notes: tuple[str, ...] = ()
    if crop_pct != variant.crop_pct and not published and training.crop_pct is None:
        note = (f"crop {crop_pct} is that of the published file of the name {Path(path).name}; if this is another "
                f"network, give its own with --crop-pct, such as --crop-pct {variant.crop_pct}")
        notes = (note,)
    return Reference(module.eval(), weights, crop_pct, loaded.num_classes, training, notes)


def _is_published_file(variant: Variant, loaded: LoadedWeights) -> bool:
    """Return whether a file is one of the variant's published ones, by the digest that its publisher gave."""
    return loaded.sha256.startswith(tuple(file.sha256 for file in variant.published_files if file.sha256))


def _described(path: str, loaded: LoadedWeights) -> str:
    """Return the file's name, and in brackets what of it was taken and what was not."""
    parts = (f"{loaded.container}, {loaded.layout} layout", *loaded.notes, loaded.training.words())
    return f"{Path(path).name} ({'; '.join(filter(None, parts))})"


def _crop_pct(variant: Variant, path: str) -> float:
    """Return the crop of the published evaluation if the file has a published file's name, else the variant's."""
    known = {checkpoint.file: checkpoint.crop_pct for checkpoint in variant.published_files}
    return known.get(Path(path).name, variant.crop_pct)
