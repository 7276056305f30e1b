"""What a checkpoint says about its training, beside the options: options count, and differences are said."""
import dataclasses

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.image_size import require_size
from edgenext_deploy.export.preprocessing_options import PreprocessingOptions
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.weights import Reference
from edgenext_deploy.models.checkpoints.training_record import TrainingRecord, value_text
from edgenext_deploy.models.variants.registry import Variant, get_variant

_OPTIONS = {"image_size": "--image-size", "mean": "--mean", "std": "--std", "interpolation": "--interpolation",
            "fit": "--fit", "crop_pct": "--crop-pct"}


@dataclasses.dataclass(frozen=True)
class TrainingChoice:
    """What follows from a checkpoint's record.

    Attributes:
        said: values for the preprocessing; options go over them.
        labels: names of the classes; None if the record has none that fit.
        source: where the record stands, such as ``args of mine.pth``.
        notes: one sentence on what is used.
        warnings: differences, and what cannot be used.
    """

    said: PreprocessingOptions
    labels: tuple[str, ...] | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def choose(resolved: ResolvedExport, reference: Reference) -> TrainingChoice:
    """Return what of the checkpoint's record is used, and what to say of the rest."""
    record, variant = reference.training, resolved.variant
    if not record.source:
        return TrainingChoice(PreprocessingOptions())
    said, warnings = _usable(record, variant)
    options, used = resolved.preprocessing, []
    for name, option in _OPTIONS.items():
        value, given = getattr(said, name), getattr(options, name)
        if value is None:
            continue
        hidden = name == "crop_pct" and (options.resize_size is not None or options.fit not in (None, "crop"))
        if given is None and not hidden:
            used.append(f"{name.replace('_', ' ')} {value_text(value)}")
        elif not hidden and given != value:
            warnings.append(f"{option} {value_text(given)} is followed, and {record.source} of the weights file says "
                            f"{value_text(value)}")
    labels = record.labels
    if labels is not None and len(labels) != reference.num_classes:
        warnings.append(f"{record.source} of the weights file names {len(labels)} classes, and the network has "
                        f"{reference.num_classes}: the names are not used")
        labels = None
    if labels is not None and resolved.labels is None:
        used.append(f"{len(labels)} labels")
    if record.num_classes not in (None, reference.num_classes):
        warnings.append(f"{record.source} of the weights file says {record.num_classes} classes, and its parameters "
                        f"have {reference.num_classes}")
    notes = (f"from {record.source} of the weights file: {', '.join(used)}",) if used else ()
    return TrainingChoice(said, labels, record.source, notes, (*record.faults, *warnings))


def _usable(record: TrainingRecord, variant: Variant) -> tuple[PreprocessingOptions, list[str]]:
    """Return the values that this network can have, and sentences on the others."""
    warnings, size, fit, crop_pct = [], record.image_size, record.fit, record.crop_pct
    if size is not None:
        try:
            require_size(*size)
        except UsageError:
            warnings.append(f"{record.source} of the weights file says an input of {value_text(size)}, which this "
                            "network does not take here: it is not used")
            size = None
    if variant.task != "classification" and fit == "crop":
        fit = crop_pct = None  # the record is of the backbone's training
    if record.model is not None and _variant_of(record.model) not in (None, variant.name):
        warnings.append(f"{record.source} of the weights file says the network is {record.model}, and its parameters "
                        f"are taken as {variant.name}")
    return PreprocessingOptions(
        image_size=size, mean=record.mean, std=record.std, interpolation=record.interpolation, fit=fit,
        crop_pct=crop_pct), warnings


def _variant_of(model: str) -> str | None:
    """Return the name of a variant of ours, None if it is none: training scripts have names of their own."""
    try:
        return get_variant(model).name
    except UsageError:
        return None
