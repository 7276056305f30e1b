"""Where a picture lies in the network's input: how it is scaled, what of it is cut off, what is border.

``crop``
    torchvision's Resize and CenterCrop, see `scaled_size`.
``stretch``
    The whole picture becomes the input, whatever its aspect; a box of the input is the same share of the picture.
``letterbox``
    The whole picture in its own aspect in the middle of the input, the rest is ``pad_color``. Scaled by
    ``r = min(height / h, width / w)`` to ``round(w * r)`` x ``round(h * r)`` (a half to the even number), at least one
    pixel; of an odd border the smaller half lies left and above. Ultralytics' LetterBox of a fixed size gives the same
    numbers; so do timm's ResizeKeepRatio and CenterCropOrPad (crop mode ``border`` with a crop of 1), but for ties.
"""
import functools
from typing import NamedTuple, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess.possible import require_possible

# Four bytes a pixel while resizing, so 256 MB: what a Nano can spare. Photos are below it by far.
MAX_PIXELS = 64 << 20


class Placement(NamedTuple):
    """A picture in the network's input, in pixels.

    Attributes:
        width: of the whole picture after resizing.
        height: of the whole picture after resizing.
        left: where the input starts in the resized picture; negative: the width of the border before the picture.
        top: as `left`, from above.
        rows: rows of the input that show the picture; the others are border.
        columns: columns of the input that show the picture.
    """

    width: int
    height: int
    left: int
    top: int
    rows: slice
    columns: slice


@functools.lru_cache(maxsize=64)
def place(width: int, height: int, preprocessing: Preprocessing) -> Placement:
    """Return where a picture of `width` x `height` pixels lies in the network's input.

    Raises:
        BadInputError: the manifest's preprocessing is impossible, or the picture is too elongated for it.
    """
    require_possible(preprocessing)
    scaled_width, scaled_height = scaled_size(width, height, preprocessing)
    if max(scaled_width * scaled_height, scaled_width * height) > MAX_PIXELS:
        raise BadInputError(
            "an image of {}x{} pixels is too elongated: it would be scaled to {}x{}".format(
                width, height, scaled_width, scaled_height), "crop it first")
    left, top = _start(scaled_width, preprocessing.width), _start(scaled_height, preprocessing.height)
    return Placement(scaled_width, scaled_height, left, top, _shown(scaled_height, top, preprocessing.height),
                     _shown(scaled_width, left, preprocessing.width))


def scaled_size(width: int, height: int, preprocessing: Preprocessing) -> Tuple[int, int]:
    """Return (width, height) of the whole picture after resizing.

    With ``crop``, a square input follows torchvision: the shorter side becomes ``s = int(size / crop_pct)`` and the
    longer ``int(s * longer / shorter)``. Otherwise the picture becomes the smallest one of the same aspect that
    covers ``int(height / crop_pct)`` by ``int(width / crop_pct)``; for a square input this is the same.
    """
    if preprocessing.fit == "stretch":
        return preprocessing.width, preprocessing.height
    if preprocessing.fit == "letterbox":
        ratio = min(preprocessing.height / height, preprocessing.width / width)
        return max(round(width * ratio), 1), max(round(height * ratio), 1)
    target_width = int(preprocessing.width / preprocessing.crop_pct)
    target_height = int(preprocessing.height / preprocessing.crop_pct)
    if target_width * height >= target_height * width:
        return target_width, target_width * height // width
    return target_height * width // height, target_height


def boxes_in_picture(boxes: np.ndarray, placed: Placement, preprocessing: Preprocessing) -> np.ndarray:
    """Return boxes as shares of the picture, float64; what lies in a border or was cut off is outside of 0..1.

    Args:
        boxes: `[N, 4]`, left, top, right and bottom as shares of the network's input.
        placed: where the picture lies in it.
        preprocessing: the manifest's.
    """
    scale = preprocessing.width / placed.width, preprocessing.height / placed.height
    offset = placed.left / placed.width, placed.top / placed.height
    moved: np.ndarray = boxes.astype(np.float64) * np.array(scale * 2) + np.array(offset * 2)
    return moved


def _start(scaled: int, size: int) -> int:
    # As CenterCrop does it: a half of what is cut off is rounded to the even number, a half of a border down.
    return round((scaled - size) / 2.0) if scaled >= size else -((size - scaled) // 2)


def _shown(scaled: int, start: int, size: int) -> slice:
    return slice(max(-start, 0), min(scaled - start, size))
