"""Answers drawn into pictures: boxes with names, the colours of classes, a few lines of text."""
from typing import TYPE_CHECKING, Any, List, Sequence, Tuple

import numpy as np

from edgenext_deploy.run.palette import Color, voc_color, voc_palette

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from edgenext_deploy.networks.detector import DetectedObject
    from edgenext_deploy.networks.segmenter import Segmentation

_OVERLAY = 0.55  # of a class's colour in the picture; the background class stays as it is
_SMALLEST_TEXT = 11
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)

# A coloured line of a legend: its colour and its text.
Line = Tuple[Color, str]


def draw_objects(image: "Image.Image", objects: "Sequence[DetectedObject]") -> "Image.Image":
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
        _draw_line(picture, draw, (int(found.left), int(found.top)), class_color(found.index), text, height, above=True)
    return picture


def draw_classes(image: "Image.Image", answer: "Segmentation") -> "Image.Image":
    """Return a copy of an RGB picture under the colours of its classes, with a legend; class 0 is not coloured."""
    from PIL import Image

    classes = answer.resized()
    pixels = np.asarray(image, dtype=np.float32)
    colors = voc_palette()[classes].astype(np.float32)
    share = np.where(classes > 0, np.float32(_OVERLAY), np.float32(0))[:, :, np.newaxis]
    mixed = Image.fromarray((pixels * (1 - share) + colors * share + np.float32(0.5)).astype(np.uint8))
    return draw_lines(mixed, [
        (voc_color(item.index), "{} {:.1%}".format(item.label, item.share)) for item in answer.shares()])


def draw_lines(image: "Image.Image", lines: Sequence[Line]) -> "Image.Image":
    """Return a copy of an RGB picture with lines of text at its top left, each on its colour."""
    picture, draw = _canvas(image)
    height = _text_height(picture)
    top = 0
    for color, text in lines:
        top = _draw_line(picture, draw, (0, top), color, text, height)
    return picture


def draw_note(image: "Image.Image", text: str) -> "Image.Image":
    """Return a copy of an RGB picture with a line of text at its bottom left, white on black."""
    picture, draw = _canvas(image)
    _draw_line(picture, draw, (0, picture.height), _BLACK, text, _text_height(picture))
    return picture


def draw_into(frame: np.ndarray, picture: "Image.Image") -> None:
    """Put an RGB picture into a frame, uint8 BGR `[H, W, 3]`, of the same size, in place."""
    frame[:] = np.asarray(picture)[:, :, ::-1]


def class_color(index: int) -> Color:
    """Return the colour of a detected class: VOC's, without those (one in eight) that are too dark for a thin line."""
    return voc_color((index // 7 * 8 + 1 + index % 7) % 256)


def contrasting(color: Color) -> Color:
    """Return black or white, whichever reads better on a colour (by its luma, ITU-R BT.601)."""
    red, green, blue = color
    return _BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else _WHITE


def _canvas(image: "Image.Image") -> "Tuple[Image.Image, ImageDraw.ImageDraw]":
    from PIL import ImageDraw

    picture = image.convert("RGB").copy()
    return picture, ImageDraw.Draw(picture)


def _text_height(image: "Image.Image") -> int:
    """Return the height of the letters, in pixels, that suits a picture."""
    return max(_SMALLEST_TEXT, min(image.size) // 28)


def _draw_line(picture: "Image.Image", draw: "ImageDraw.ImageDraw", corner: Tuple[int, int], color: Color, text: str,
               height: int, above: bool = False) -> int:
    """Write a line on a block of `color` at a corner, or above it if there is room; return the block's bottom."""
    from PIL import Image

    mask = _text_mask(text, height)
    margin = max(2, height // 5)
    width, tall = mask.width + 2 * margin, mask.height + 2 * margin
    left = max(0, min(corner[0], picture.width - width))
    top = corner[1] - tall if above and corner[1] >= tall else corner[1]
    top = max(0, min(top, picture.height - tall))
    draw.rectangle([left, top, left + width - 1, top + tall - 1], fill=color)
    picture.paste(Image.new("RGB", mask.size, contrasting(color)), (left + margin, top + margin), mask)
    return top + tall


def _text_mask(text: str, height: int) -> "Image.Image":
    """Return a line as a mask, mode L, with Pillow's own font: an outline font since 10.1, a bitmap one before."""
    from PIL import Image, ImageDraw, ImageFont

    outline = True
    font: Any
    try:
        font = ImageFont.load_default(size=height)
    except (TypeError, ImportError):  # Pillow before 10.1, or built without FreeType
        font, outline = ImageFont.load_default(), False
    plain = "".join(character if _drawable(character, outline) else "?" for character in text) or " "
    left, top, right, bottom = _text_box(font, plain)
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), plain, fill=255, font=font)
    if outline:
        return mask
    factor = max(1, round(height / _SMALLEST_TEXT))
    return mask.resize((mask.width * factor, mask.height * factor), 0)


def _text_box(font: Any, text: str) -> List[int]:
    """Return left, top, right and bottom of a line, as high as the tallest letter, so lines have one height."""
    if hasattr(font, "getmetrics"):
        ascent, descent = font.getmetrics()
        return [0, 0, int(font.getlength(text)) + 1, ascent + descent]
    width, height = font.getmask(text).size
    return [0, 0, width, height]


def _drawable(character: str, outline: bool) -> bool:
    """Say whether Pillow's own font has a character: the outline font knows ASCII, the bitmap font Latin-1."""
    return character.isprintable() and ord(character) < (128 if outline else 256)
