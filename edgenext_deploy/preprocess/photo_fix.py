"""What to do about a photo that cannot be read."""
import os

from edgenext_deploy.files import shown, some_beside
from edgenext_deploy.preprocess.photo_files import is_photo

# A closed list: Pillow hands some other formats (EPS) to external programs.
PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
PHOTO_FIX = "pass a photo in one of the formats " + ", ".join(PHOTO_FORMATS)
_MOST_NAMED = 3
# ISO base media: four bytes of length, "ftyp", the brand. HEIC and AVIF are such files, and so are videos.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


def missing_photo_fix(path: str) -> str:
    """Return what to do where a photo is not found: the photos beside it, or what a photo is."""
    if "://" in path:
        return "fetch it first (curl -fLO URL) and pass the file"
    there = some_beside(path, is_photo, _MOST_NAMED)
    if there:
        return "check the name; photos there: " + ", ".join(map(shown, there))
    return "check the name; a photo is a file of the format " + ", ".join(PHOTO_FORMATS)


def unreadable_photo_fix(path: str, reason: str) -> str:
    """Return what to do about a file that is no photo in one of `PHOTO_FORMATS`, or a broken one.

    Args:
        path: of the file.
        reason: of the decoder; empty if none took the file.
    """
    brand = _brand(path)
    import shlex

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
    return PHOTO_FIX


def _brand(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            head = stream.read(12)
    except OSError:
        return b""
    return head[8:12] if head[4:8] == b"ftyp" else b""
