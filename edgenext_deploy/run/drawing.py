"""Answers drawn into pictures: boxes with names, the colours of classes, a few lines of text."""
from typing import TYPE_CHECKING, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.run.lettering import OWN, Lettering
from edgenext_deploy.run.palette import Color, voc_color, voc_palette

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from edgenext_deploy.networks.detector import DetectedObject
    from edgenext_deploy.networks.segmenter import Segmentation

_OVERLAY = 0.55  # of a class's colour in the picture; the background class stays as it is
_BAND_ROWS = 64  # mixed at a time: in single precision, a whole photo of 24 megapixels took 1.3 GB
_SMALLEST_TEXT = 11
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)

# A coloured line of a legend: its colour and its text.
Line = Tuple[Color, str]


def draw_objects(image: "Image.Image", objects: "Sequence[DetectedObject]",
                 lettering: Lettering = OWN) -> "Image.Image":
    """Return a copy of an RGB picture with every object's box, name and score; the best lies on top."""
    picture, draw = _canvas(image)
    height = _text_height(picture)
    thickness = max(2, height // 7)
    for found in reversed(objects):
        color = class_color(found.index)
        left, top = int(found.left), int(found.top)
        right, bottom = max(left, int(np.ceil(found.right)) - 1), max(top, int(np.ceil(found.bottom)) - 1)
        for inset in range(min(thickness, (right - left) // 2 + 1, (bottom - top) // 2 + 1)):
            draw.rectangle([left + inset, top + inset, right - inset, bottom - inset], outline=color)
    for found in reversed(objects):
        text = "{} {:.0%}".format(found.label, found.score)
        _draw_line(picture, draw, (int(found.left), int(found.top)), class_color(found.index),
                   lettering.mask(text, height), above=True)
    return picture


def draw_classes(image: "Image.Image", answer: "Segmentation", lettering: Lettering = OWN,
                 top: Optional[int] = None) -> "Image.Image":
    """Return a copy of an RGB picture under the colours of its classes; class 0 is not coloured.

    The legend names the `top` largest classes, or all.
    """
    from PIL import Image

    classes = answer.resized()
    pixels, palette = np.array(image), voc_palette()
    for top_row in range(0, len(pixels), _BAND_ROWS):
        band = slice(top_row, top_row + _BAND_ROWS)
        share = np.where(classes[band] > 0, np.float32(_OVERLAY), np.float32(0))[:, :, np.newaxis]
        pixels[band] = pixels[band] * (1 - share) + palette[classes[band]] * share + np.float32(0.5)
    lines = [(voc_color(item.index), "{} {:.1%}".format(item.label, item.share)) for item in answer.shares()[:top]]
    return draw_lines(Image.fromarray(pixels), lines, lettering)


def draw_lines(image: "Image.Image", lines: Sequence[Line], lettering: Lettering = OWN) -> "Image.Image":
    """Return a copy of an RGB picture with lines of text at its top left, each on its colour."""
    picture, draw = _canvas(image)
    height = _text_height(picture)
    top = 0
    for color, text in lines:
        top = _draw_line(picture, draw, (0, top), color, lettering.mask(text, height))
    return picture


def draw_note(image: "Image.Image", text: str) -> "Image.Image":
    """Return a copy of an RGB picture with a line of text at its bottom left, white on black."""
    picture, draw = _canvas(image)
    _draw_line(picture, draw, (0, picture.height), _BLACK, OWN.mask(text, _text_height(picture)))
    return picture


def draw_into(frame: np.ndarray, picture: "Image.Image") -> None:
    """Put an RGB picture into a frame, uint8 BGR `[H, W, 3]`, of the same size, in place."""
    frame[:] = np.asarray(picture)[:, :, ::-1]


def draw_label(frame: np.ndarray, text: str, lettering: Lettering = OWN) -> None:
    """Write a line at the bottom left of a frame, uint8 BGR `[H, W, 3]`, in place, white on a black block.

    Only the block is touched, which costs less than a picture of the whole frame.
    """
    height, width = int(frame.shape[0]), int(frame.shape[1])
    mask = np.asarray(lettering.mask(text, max(_SMALLEST_TEXT, min(height, width) // 28)))
    margin = max(2, mask.shape[0] // 6)
    block = np.pad(mask, margin, "constant")[:height, :width]
    frame[height - block.shape[0]:, :block.shape[1]] = block[:, :, np.newaxis]


def class_color(index: int) -> Color:
    """Return the colour of a detected class: VOC's, without those (one in eight) that are too dark for a thin line."""
    return voc_color((index // 7 * 8 + 1 + index % 7) % 256)


def contrasting(color: Color) -> Color:
    """Return black or white, whichever reads better on a colour (by its luma, ITU-R BT.601)."""
    red, green, blue = color
    return _BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else _WHITE


def _canvas(image: "Image.Image") -> "Tuple[Image.Image, ImageDraw.ImageDraw]":
    from PIL import ImageDraw

    picture = image.convert("RGB")  # always a copy
    return picture, ImageDraw.Draw(picture)


def _text_height(image: "Image.Image") -> int:
    """Return the height of the letters, in pixels, that suits a picture."""
    return max(_SMALLEST_TEXT, min(image.size) // 28)


def _draw_line(picture: "Image.Image", draw: "ImageDraw.ImageDraw", corner: Tuple[int, int], color: Color,
               mask: "Image.Image", above: bool = False) -> int:
    """Write a line on a block of `color` at a corner, or above it if there is room; return the block's bottom."""
    from PIL import Image

    margin = max(2, mask.height // 6)
    width, tall = mask.width + 2 * margin, mask.height + 2 * margin
    left = max(0, min(corner[0], picture.width - width))
    top = corner[1] - tall if above and corner[1] >= tall else corner[1]
    top = max(0, min(top, picture.height - tall))
    draw.rectangle([left, top, left + width - 1, top + tall - 1], fill=color)
    picture.paste(Image.new("RGB", mask.size, contrasting(color)), (left + margin, top + margin), mask)
    return top + tall
