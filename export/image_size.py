"""The size of the input: how it is written, and which sizes work."""
import re

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.limits import LARGEST_SIDE, STRIDE


def parse_image_size(size: int | tuple[int, int] | str) -> tuple[int, int]:
    """Return height and width of 256, ``(224, 320)``, ``"256"`` or ``"224x320"``.

    Raises:
        UsageError: anything else.
    """
    if isinstance(size, tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", str(size).strip().lower())
    if match is None:
        raise UsageError(f"image size {size!r} found, N or HxW expected", "try --image-size 256")
    height = int(match.group(1))
    return height, int(match.group(2) or height)


def nearest_size(height: int, width: int) -> str:
    """Return the nearest size that works, as the option takes it."""
    sides = [min(max(round(side / STRIDE), 1) * STRIDE, LARGEST_SIDE) for side in (height, width)]
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]}x{sides[1]}"


def require_size(height: int, width: int) -> None:
    """Raise UsageError for a size that the networks here do not take."""
    if any(side < STRIDE or side % STRIDE or side > LARGEST_SIDE for side in (height, width)):
        raise UsageError(
            f"image size {height}x{width} found; each side must be a multiple of {STRIDE} from {STRIDE} to "
            f"{LARGEST_SIDE}", f"try --image-size {nearest_size(height, width)}")
