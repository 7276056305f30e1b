"""What the options of an export say of the preprocessing, checked."""
import math
from collections.abc import Sequence
from typing import Union

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.preprocessing_options import PreprocessingOptions

# Three numbers for R, G and B; as text, with commas between them.
Color = Union[str, Sequence[float]]


def options_of(
    task: str, *, image_size: tuple[int, int] | None, mean: Color | None, std: Color | None,
    interpolation: str | None, fit: str | None, pad_color: Color | None, crop_pct: float | None,
    resize_size: int | None, channel_order: str | None,
) -> PreprocessingOptions:
    """Return the options as values for a manifest. A crop of its own stands for `fit` ``crop``, of a classifier.

    Raises:
        UsageError: not three numbers, numbers in another unit, or options that exclude each other.
    """
    if crop_pct is not None and resize_size is not None:
        raise UsageError("--crop-pct and --resize-size say the same thing", "give one of them")
    cropped = "--crop-pct" if crop_pct is not None else "--resize-size" if resize_size is not None else None
    if cropped is not None and fit is None:
        if task != "classification":
            raise UsageError(f"{cropped} cuts off the border, and {task} sees the whole photo",
                             f"leave {cropped} out" + (", or add --fit crop" if task == "detection" else ""))
        fit = "crop"
    if cropped is not None and fit != "crop":
        raise UsageError(f"{cropped} is for --fit crop; with --fit {fit} nothing is cut off", f"leave {cropped} out")
    if pad_color is not None and fit != "letterbox":
        raise UsageError("--pad-color is the border's, and only --fit letterbox has one", "add --fit letterbox")
    means = None if mean is None else _numbers("--mean", mean)
    stds = None if std is None else _numbers("--std", std)
    _require_unit_range(means, stds)
    return PreprocessingOptions(
        image_size, means, stds, interpolation, fit, crop_pct, resize_size, channel_order,
        None if pad_color is None else _levels(pad_color))


def _numbers(name: str, value: Color, example: str = "0.5,0.5,0.5") -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in (value.split(",") if isinstance(value, str) else value))
    except (TypeError, ValueError):
        found = ()
    if len(found) != 3 or not all(map(math.isfinite, found)):
        raise UsageError(f"{name} {value!r} found, three numbers for R, G and B expected", f"try {name} {example}")
    return found


def _levels(value: Color) -> tuple[int, ...]:
    example = "114,114,114"
    found = _numbers("--pad-color", value, example)
    if not all(level == int(level) and 0 <= level <= 255 for level in found):
        raise UsageError(f"--pad-color {_text(found)} found, whole numbers from 0 to 255 expected",
                         f"try --pad-color {example}")
    return tuple(int(level) for level in found)


def _require_unit_range(mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> None:
    """Raise UsageError unless mean and std are for pixels in 0..1; many programs write them for 0..255."""
    given = {name: values for name, values in (("--mean", mean), ("--std", std)) if values is not None}
    for name, values in given.items():
        if min(values) < 0.0 or max(values) > 255.0 or (name == "--std" and min(values) == 0.0):
            expected = "above 0" if name == "--std" else "from 0"
            raise UsageError(f"{name} {_text(values)} found, {expected} to 1 expected",
                             f"leave {name} out for the network's own")
    large = [f"{name} {_text(values)}" for name, values in given.items() if max(values) > 1.0]
    if large:
        # A standard deviation of 1 beside a mean of 123 is one grey level.
        divided = {name: [value / 255.0 for value in values] if max(values) >= 1.0 else values
                   for name, values in given.items()}
        raise UsageError(f"{' and '.join(large)} found, which is in the 0..255 range of pixels; 0..1 is expected",
                         "divide by 255: " + " ".join(f"{name} {_text(values)}" for name, values in divided.items()))


def _text(values: Sequence[float]) -> str:
    return ",".join(f"{value:.6g}" for value in values)
