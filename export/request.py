"""What an export is asked for, checked before any work is done."""
import dataclasses
import re
from pathlib import Path

from edgenext_deploy.artifacts.manifest import Precision
from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.files import why_not_writable
from edgenext_deploy.models.registry import Variant, get_variant
from edgenext_deploy.targets import Target, get_target
from edgenext_deploy.tensorrt_api.precision_modes import refusal_of_mode

_STRIDE = 32
_LARGEST = 4096


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """The options of ``edgenext-export``; see its help.

    `layout` and `padding` None take the target's; `height` and `width` the variant's;
    `num_classes` the checkpoint's, or else the variant's.
    """

    variant: str
    target: str = "nano"
    fp16: bool = False
    weights: str | None = None
    pretrained: bool = False
    height: int | None = None
    width: int | None = None
    batch: int = 1
    num_classes: int | None = None
    labels: str | None = None
    crop_pct: float | None = None
    output: str = "."
    layout: str | None = None
    padding: str | None = None
    fold_normalization: bool = False
    seed: int = 0
    precision_mode: str | None = None
    io: str = "fp32"
    drift: bool = False
    samples: str | None = None
    tolerance: float = 0.01
    auto_pin: bool = False
    nms: str = "host"

    def checked(self) -> tuple[Variant, Target, Precision]:
        """Return what the names stand for.

        Raises:
            UsageError: an unknown name, an impossible size, a folder that cannot be written.
            IncompatibleError: FP16 in a way that the target's TensorRT does not have.
        """
        variant, target = get_variant(self.variant), get_target(self.target)
        height, width = self.size(variant)
        for side in (height, width):
            if side < _STRIDE or side % _STRIDE or side > _LARGEST:
                raise UsageError(
                    f"image size {height}x{width} found; each side must be a multiple of {_STRIDE} "
                    f"from {_STRIDE} to {_LARGEST}", f"try --image-size {nearest_size(height, width)}")
        if self.weights and self.pretrained:
            raise UsageError("--weights and --pretrained exclude each other", "give one of them")
        if (self.drift or self.auto_pin) and not self.fp16:
            raise UsageError("--drift and --auto-pin analyse FP16, and --fp16 is missing", "add --fp16")
        if self.samples is not None and not (self.drift or self.auto_pin):
            raise UsageError("--samples are the photos of --drift and --auto-pin, and both are missing", "add --drift")
        if self.auto_pin and variant.task != "classification":
            raise UsageError("--auto-pin goes by a classifier's top-1, and " + variant.name + " is none",
                             "leave it out; --drift works")
        if self.nms == "plugin":
            _require_plugin(variant, target, self.io)
        _require_writable(Path(self.output))
        return variant, target, precision_for(target, self.fp16, self.precision_mode, self.io)

    def size(self, variant: Variant) -> tuple[int, int]:
        """Return height and width of the input."""
        return (variant.image_size if self.height is None else self.height,
                variant.image_size if self.width is None else self.width)


def _require_plugin(variant: Variant, target: Target, io: str) -> None:
    if variant.task != "detection":
        raise UsageError(f"--nms plugin is for detectors, and {variant.name} is none", "leave it out")
    if not target.has_plugins:
        raise UsageError(f"--nms plugin is TensorRT's, and target {target.name} ({target.title}) has none",
                         "leave it out: the host suppresses")
    if io == "fp16":
        raise UsageError("--nms plugin takes boxes and scores in FP32, in which coordinates are exact enough",
                         "leave out --io fp16")


def precision_for(target: Target, fp16: bool, mode: str | None = None, io: str = "fp32") -> Precision:
    """Return how the target gets its precision; pins and counts come later.

    Args:
        target: where the engine will run.
        fp16: whether ``--fp16`` was given.
        mode: ``flag`` or ``typed`` to override the target's own, None otherwise.
        io: type of the engine's inputs and outputs.

    Raises:
        UsageError: options that only mean something together with others.
        IncompatibleError: the target's TensorRT has no such mode.
    """
    if not fp16:
        if mode is not None or io != "fp32":
            raise UsageError("--precision-mode and --io fp16 say how to do --fp16, which is missing", "add --fp16")
        return Precision("fp32", "none")
    chosen = mode or target.precision_mode
    refusal = refusal_of_mode(target, chosen)
    if refusal is not None:
        other = "typed" if chosen == "flag" else "flag"
        possible = refusal_of_mode(target, other) is None
        raise IncompatibleError(
            f"{target.name} ({target.title}) cannot get FP16{f' in mode {mode!r}' if mode else ''}: {refusal}",
            f"use --precision-mode {other}" if possible else "export without --fp16, or choose another --target")
    if io == "fp16" and chosen != "typed":
        raise UsageError("--io fp16 needs a typed graph; with the builder flag inputs and outputs are FP32",
                         "leave --io out, or add --precision-mode typed")
    return Precision("fp16", chosen)


def parse_image_size(text: str) -> tuple[int, int]:
    """Return height and width of ``256`` or ``224x320``.

    Raises:
        UsageError: anything else.
    """
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip().lower())
    if match is None:
        raise UsageError(f"image size {text!r} found, N or HxW expected", "try --image-size 256")
    height = int(match.group(1))
    return height, int(match.group(2) or height)


def nearest_size(height: int, width: int) -> str:
    """Return the nearest size that works, as the option takes it."""
    sides = [min(max(round(side / _STRIDE), 1) * _STRIDE, _LARGEST) for side in (height, width)]
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]}x{sides[1]}"


def _require_writable(folder: Path) -> None:
    """Raise UsageError if files can plainly not be written there."""
    reason = why_not_writable(str(folder))
    if reason is not None:
        raise UsageError(f"cannot write to {folder}: {reason}", "choose another --output")
