"""What to do about a photo that cannot be read."""
import os
import shlex
from typing import Sequence

from edgenext_deploy.preprocess.photo_files import is_photo

_MOST_NAMED = 3
# ISO base media: four bytes of length, "ftyp", the brand. HEIC and AVIF are such files, and so are videos.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


def missing_photo_fix(path: str, formats: Sequence[str]) -> str:
    """Return what to do where a photo is not found: the photos beside it, or what a photo is."""
    folder = os.path.dirname(path) or "."
    try:
        there = [name for name in sorted(os.listdir(folder)) if is_photo(name)][:_MOST_NAMED]
    except OSError:
        there = []
    if there:
        return "check the name; photos there: " + ", ".join(
            shlex.quote(name if folder == "." else os.path.join(folder, name)) for name in there)
    return "check the name; a photo is a file of the format " + ", ".join(formats)


def unreadable_photo_fix(path: str, reason: str, formats: Sequence[str]) -> str:
    """Return what to do about a file that is no photo of the formats, or a broken one.

    Args:
        path: of the file.
        reason: of the decoder; empty if none took the file.
        formats: that are read.
    """
    brand = _brand(path)
    copy = shlex.quote(os.path.splitext(path)[0] + ".jpg")
    if brand in _HEIC_BRANDS:
        return "it is a HEIC picture, as phones take them; convert it: heif-convert {} {} (Debian's package {})".format(
            shlex.quote(path), copy, "libheif-examples")
    if brand in _AVIF_BRANDS:
        return "it is an AVIF picture; convert it: avifdec {} {} (Debian's package libavif-bin)".format(
            shlex.quote(path), copy)
    if "exceeds limit" in reason:  # Pillow's, of pixels
        return "scale it down: convert {} -resize 4000x4000 {} (ImageMagick)".format(shlex.quote(path), copy)
    if "truncated" in reason.lower():
        return "the file is cut short: copy it again from where it came"
    return "pass a photo in one of the formats " + ", ".join(formats)


def _brand(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            head = stream.read(12)
    except OSError:
        return b""
    return head[8:12] if head[4:8] == b"ftyp" else b""
