"""The EXIF orientation of photos: a camera that was held sideways stores its pixels sideways, and says so."""
import contextlib
from typing import TYPE_CHECKING, Any, Dict

if TYPE_CHECKING:
    from PIL import Image

_TAG = 0x0112
# Pillow's number of the transposition that turns a photo of each orientation upright; the names have moved around.
_TURNS: Dict[int, Any] = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
# Where a picture's `info` keeps an orientation.
_KEPT_IN = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")


def orientation_of(image: "Image.Image") -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 if there is none, or none that can be read."""
    found = None
    with contextlib.suppress(Exception):  # on damaged metadata, Pillow raises nearly anything
        found = image.getexif().get(_TAG)
    return int(found) if found in _TURNS else 1


def upright(image: "Image.Image", mode: str) -> "Image.Image":
    """Return the picture in a mode of Pillow, upright, and without an orientation, so that nothing turns it again."""
    image.load()
    # Pillow turns TIFF files itself while it loads them, and may keep what they said.
    orientation = 1 if hasattr(image, "tag_v2") else orientation_of(image)
    if image.mode != mode:
        image = image.convert(mode)
    if orientation != 1:
        image = image.transpose(_TURNS[orientation])
    elif orientation_of(image) != 1:
        image = image.copy()
    else:
        return image
    for key in _KEPT_IN:
        image.info.pop(key, None)
    return image
