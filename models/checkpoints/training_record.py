"""What a weights file says about its own training: input size, mean and std, crop, filter, classes.

The authors' training script and timm's save their arguments as ``args``; timm also writes a ``pretrained_cfg``, in a
``config.json`` beside a safetensors file; Lightning saves ``hyper_parameters``. The values come from a file: each is
checked, and what cannot be used is said.
"""
import argparse
import dataclasses
import math
import os
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

# Where a record lies in a file, the most exact first; a file may also have the values at its top.
_PLACES = ("pretrained_cfg", "default_cfg", "args", "hyper_parameters", "config", "cfg", "opt")
_CONFIG = "config.json"
_MAX_CONFIG_BYTES = 4 << 20
_LONGEST_VALUE = 60
_MOST_LABELS = 100_000
# Of the authors' script, where `imagenet_default_mean_and_std` is off (timm calls it Inception's).
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# The authors' evaluation (datasets.py of EdgeNeXt) has the whole photo from this size on, whatever the crop.
_OFFICIAL_WARPS_FROM = 384
# timm's `crop_mode`, with the fit that it is here.
_FITS = {"center": "crop", "squash": "stretch", "border": "letterbox"}


@dataclasses.dataclass(frozen=True)
class TrainingRecord:
    """What a file says; None where it says nothing that can be used.

    Attributes:
        source: where it stands, such as ``args``.
        image_size: height and width, in pixels.
        mean: per channel in units of the 0..1 range, RGB order.
        std: as `mean`.
        interpolation: ``bicubic``, ``bilinear``, ``nearest`` or ``lanczos``.
        fit: ``crop``, ``stretch`` or ``letterbox``.
        crop_pct: share of the resized photo that is cropped.
        num_classes: of the training.
        model: name of the network.
        labels: names of the classes.
        faults: what it says and what cannot be used, in sentences.
    """

    source: str = ""
    image_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    fit: str | None = None
    crop_pct: float | None = None
    num_classes: int | None = None
    model: str | None = None
    labels: tuple[str, ...] | None = None
    faults: tuple[str, ...] = ()

    def under(self, other: "TrainingRecord") -> "TrainingRecord":
        """Return this record, completed by `other`; where both say something else, `other` counts and that is said."""
        values, faults = {**vars(self)}, [*other.faults, *self.faults]
        for name, value in vars(other).items():
            if name in ("source", "faults") or value is None:
                continue
            if values[name] not in (None, value):
                faults.append(f"{other.source} and {self.source} of the file say another {name.replace('_', ' ')}: "
                              f"{value_text(value)} is taken, and not {value_text(values[name])}")
            values[name] = value
        source = " and ".join(filter(None, (other.source, self.source)))
        return TrainingRecord(**{**values, "source": source, "faults": tuple(faults)})

    def words(self) -> str:
        """Return what is said, but for the names of the classes, in one line; empty if nothing is."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        said = {name: value for name, value in said.items() if name not in ("source", "labels", "faults")}
        return f"its {self.source}: " + ", ".join(
            f"{name.replace('_', ' ')} {value_text(value)}" for name, value in said.items()) if said else ""


# Of a file that says nothing.
NO_RECORD = TrainingRecord()


def record_of(content: Any, path: str) -> TrainingRecord:
    """Return what the content of a weights file, and ``config.json`` beside a safetensors file, say of the training.

    Args:
        content: see `weights_file.read_weights_file`.
        path: of the file.
    """
    found = NO_RECORD
    records = [_Reader(source, values).read() for source, values in _mappings(content)]
    for record in (*records, _config_record(path)):
        if record != TrainingRecord(record.source):
            found = record if not found.source else record.under(found)
    return found


def _mappings(content: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    top = _as_mapping(content)
    for source in _PLACES:
        values = _as_mapping(top.get(source))
        inner = _as_mapping(values.get("pretrained_cfg"))
        if inner:
            yield f"{source}.pretrained_cfg", inner
        if values:
            yield source, values
    if top:
        yield "the file", {key: value for key, value in top.items() if key not in _PLACES}


def _config_record(path: str) -> TrainingRecord:
    """Return what timm's file beside a safetensors file says; other programs' files of that name say nothing here."""
    beside = os.path.join(os.path.dirname(path), _CONFIG)
    if not path.endswith(".safetensors") or not os.path.isfile(beside):
        return NO_RECORD
    try:
        config = json_records.read_file(beside, _CONFIG, "", _MAX_CONFIG_BYTES)
    except (BadInputError, OSError):
        return TrainingRecord(_CONFIG, faults=(
            f"{_CONFIG} beside the file cannot be read, so what it says of the training is not used",))
    if "pretrained_cfg" not in config and "architecture" not in config:
        return NO_RECORD
    return _Reader(_CONFIG, {**_as_mapping(config.get("pretrained_cfg")), **config}).read()


def _as_mapping(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, (argparse.Namespace, types.SimpleNamespace)):
        return vars(value)
    return value if isinstance(value, Mapping) else {}


class _Reader:
    """Reads one mapping."""

    def __init__(self, source: str, values: Mapping[Any, Any]) -> None:
        self.source, self.values, self.faults = source, values, list[str]()

    def read(self) -> TrainingRecord:
        size = self._value("image_size", ("img_size", "input_size", "image_size"), _size)
        mean, std = self._value("mean", ("mean",), _channels), self._value("std", ("std",), _deviations)
        crop_pct = self._value("crop_pct", ("crop_pct",), _share)
        official = self.values.get("imagenet_default_mean_and_std")
        fit = self._value("fit", ("crop_mode",), _fit)
        if isinstance(official, bool):
            mean, std = _IMAGENET if official else _HALVES
            if size is not None and min(size) >= _OFFICIAL_WARPS_FROM:
                fit, crop_pct = "stretch", None
            else:
                fit = "crop"
        elif crop_pct is not None and fit is None:
            fit = "crop"
        if fit in ("stretch", "letterbox") and crop_pct not in (None, 1.0):
            self.faults.append(f"{self.source} of the file says crop_mode {self.values['crop_mode']!r} with crop_pct "
                               f"{crop_pct}, which cannot be done together: nothing is cropped")
        return TrainingRecord(
            self.source, size, mean, std, self._value("interpolation", ("interpolation",), _interpolation), fit,
            crop_pct if fit == "crop" else None,
            self._value("num_classes", ("num_classes", "nb_classes"), _count),
            self._value("model", ("architecture", "arch", "model"), _name),
            self._value("labels", ("label_names",), _labels), tuple(self.faults))

    def _value(self, what: str, names: tuple[str, ...], parse: Callable[[Any], Any]) -> Any:
        """Return the first of several entries that says something, None if none does."""
        for name in names:
            value = self.values.get(name)
            if value is None or value == "" or isinstance(value, Mapping):
                continue
            parsed = parse(value)
            if parsed is not None:
                return parsed
            self.faults.append(f"{self.source} of the file says {name} {_text(value)}, which is not used: it is not a "
                               f"possible {what.replace('_', ' ')}")
        return None


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    plain = isinstance(value, (list, tuple)) and len(value) == count and all(
        isinstance(item, (int, float)) and not isinstance(item, bool) and math.isfinite(item) for item in value)
    return tuple(float(item) for item in value) if plain else None


def _size(value: Any) -> tuple[int, int] | None:
    sides = [value, value] if isinstance(value, int) else list(value) if isinstance(value, (list, tuple)) else []
    if len(sides) == 3 and sides[0] == 3:
        sides = sides[1:]
    whole = len(sides) == 2 and all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
    return (sides[0], sides[1]) if whole else None


def _channels(value: Any) -> tuple[float, ...] | None:
    found = _numbers(value, 3)
    return found if found is not None and min(found) >= 0.0 and max(found) <= 1.0 else None


def _deviations(value: Any) -> tuple[float, ...] | None:
    found = _channels(value)
    return found if found is not None and min(found) > 0.0 else None


def _share(value: Any) -> float | None:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain and 0.1 <= value <= 1.0 else None


def _fit(value: Any) -> str | None:
    return _FITS.get(value) if isinstance(value, str) else None


def _interpolation(value: Any) -> str | None:
    return value if value in ("bicubic", "bilinear", "nearest", "lanczos") else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_LABELS else None


def _name(value: Any) -> str | None:
    return shown(value, _LONGEST_VALUE) if isinstance(value, str) else None


def _labels(value: Any) -> tuple[str, ...] | None:
    plain = isinstance(value, (list, tuple)) and 0 < len(value) <= _MOST_LABELS and all(
        isinstance(item, str) and item.strip() and item.isprintable() for item in value)
    return tuple(item.strip() for item in value) if plain else None


def value_text(value: object) -> str:
    """Return a value of a record as an option takes it: ``288x288``, ``0.5,0.5,0.5``."""
    if isinstance(value, tuple):
        return ("x" if all(isinstance(item, int) for item in value) else ",").join(f"{item:.6g}" for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _text(value: Any) -> str:
    return shown(repr(value), _LONGEST_VALUE)
