"""What an export is asked for, checked before any work is done."""
import dataclasses
import os
import re
from pathlib import Path

from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.manifest import Precision
from edgenext_deploy.models.registry import Variant, get_variant
from edgenext_deploy.targets import Target, get_target

_STRIDE = 32
_LARGEST = 4096


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """The options of ``edgenext-export``; see its help. `layout` and `padding` None take the target's."""

    variant: str
    target: str = "nano"
    fp16: bool = False
    weights: str | None = None
    pretrained: bool = False
    height: int = 256
    width: int = 256
    batch: int = 1
    num_classes: int = 1000
    labels: str | None = None
    crop_pct: float | None = None
    output: str = "."
    layout: str | None = None
    padding: str | None = None
    fold_normalization: bool = False
    seed: int = 0

    def checked(self) -> tuple[Variant, Target, Precision]:
        """Return what the names stand for.

        Raises:
            UsageError: an unknown name, an impossible size, a folder that cannot be written.
            IncompatibleError: ``--fp16`` where the target takes no FP16 builder flag.
        """
        variant, target = get_variant(self.variant), get_target(self.target)
        for side in (self.height, self.width):
            if side < _STRIDE or side % _STRIDE or side > _LARGEST:
                raise UsageError(
                    f"image size {self.height}x{self.width} found; each side must be a multiple of {_STRIDE} "
                    f"from {_STRIDE} to {_LARGEST}", f"try --image-size {nearest_size(self.height, self.width)}")
        if self.weights and self.pretrained:
            raise UsageError("--weights and --pretrained exclude each other", "give one of them")
        _require_writable(Path(self.output))
        return variant, target, precision_for(target, self.fp16)


def precision_for(target: Target, fp16: bool) -> Precision:
    """Return how the target gets its precision.

    Raises:
        IncompatibleError: ``--fp16`` for a target whose precision comes from the graph's own dtypes.
    """
    if not fp16:
        return Precision("fp32", "none", ())
    if target.precision_mode == "flag":
        return Precision("fp16", "flag", ())
    if target.precision_mode == "typed":
        raise IncompatibleError(
            f"--fp16 for {target.name} ({target.title}) needs a graph typed in FP16, which this version does not "
            "write; TensorRT 11 would build an FP32 engine from an FP32 graph without a word",
            "export without --fp16, or for a target in flag mode, such as --target nano")
    raise IncompatibleError(
        f"--fp16 means an FP16 engine, and {target.name} ({target.title}) runs FP32",
        "export without --fp16")


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
    """Raise UsageError if files can plainly not be written there; what this misses, the writing itself finds."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"cannot write to {folder}: {existing} is not a folder", "choose another --output")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write to {folder}: permission denied", "choose another --output")
