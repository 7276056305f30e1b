"""Decode a JPEG photo at a half, a quarter or an eighth of its size, where the network's input stays far smaller.

libjpeg then computes fewer coefficients of each block, which saves most of a large photo's decoding. The pixels differ
a little from those of the whole photo: by at most two grey levels in the network's input of most
photos, as the tests measure.
"""
from typing import TYPE_CHECKING, Sequence

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.preprocess.orientation import orientation_of
from edgenext_deploy.preprocess.placement import place

if TYPE_CHECKING:
    from PIL import Image

# Pixels that are left for each pixel of the resized photo, on each side. With 4, fine textures differ by 3 grey levels.
KEPT = 5
_DIVISORS = (8, 4, 2)
_SIDEWAYS = 5
_DECODED_SMALLER = ("JPEG", "MPO")


def decode_smaller(image: "Image.Image", preprocessings: Sequence[Preprocessing]) -> int:
    """Have an opened photo decoded smaller if it is a JPEG that is large enough.

    Args:
        image: as `Image.open` gave it; nothing of it is decoded yet.
        preprocessings: that it is decoded for; each keeps `KEPT` times its resized side.

    Returns:
        By what each side is divided: 1 (as stored), 2, 4 or 8.

    Raises:
        BadInputError: the photo is too elongated.
    """
    if image.format not in _DECODED_SMALLER:
        return 1
    before = image.size
    width, height = before[::-1] if orientation_of(image) >= _SIDEWAYS else before
    placed = [place(width, height, preprocessing) for preprocessing in preprocessings]
    most = min(min(width // (KEPT * found.width), height // (KEPT * found.height)) for found in placed)
    # A side that it does not divide would become one of part of a pixel more, and everything in it would move.
    divisor = next((number for number in _DIVISORS if number <= most and width % number == height % number == 0), 1)
    image.draft(None, (before[0] // divisor, before[1] // divisor))  # type: ignore[arg-type]
    return before[0] // image.size[0]
