"""What a photo's header may ask for: decided before a pixel is decoded.

A few hundred bytes can claim gigabytes of pixels, or a million passes over them. The limits keep a photo within
2 seconds and 300 MB; photos of today's cameras and phones are far below.
"""
import contextlib
import os
import re
from typing import IO, TYPE_CHECKING, Iterator, Optional

from edgenext_deploy.machine.versions import version_numbers
from edgenext_deploy.preprocess.placement import MAX_PIXELS
from edgenext_deploy.standard_error import muted

if TYPE_CHECKING:
    from PIL import Image

_LONGEST_SIDE = 65535
_MAX_FILE_BYTES = 1 << 28
_MAX_DECODED_BYTES = 256 << 20
# Decoded by Python code, and so a hundred times slower.
_SLOW_PIXELS = 2 << 20
_MAX_SCANNED_PIXELS = 300 << 20
_MOST_INSIDE = 10
_PNM_HEADER_BYTES = 1024
_PNM_SPACE = rb"(?:\s+|#[^\r\n]*[\r\n])+"
_PNM_HEADER = rb"P([1-6])" + _PNM_SPACE + rb"\d{1,6}" + _PNM_SPACE + rb"\d{1,6}"
_CHUNK_BYTES = 1 << 20
# Formats whose decoders have known holes in the Pillow before this one: its libwebp, libtiff and GIF reader. Pillow for
# Python 3.6 ends at 8.4.
_SOUND_PILLOW = (10, 3)
_UNSOUND_FORMATS = ("WEBP", "TIFF", "GIF")


def problem_of(image: "Image.Image", stream: IO[bytes]) -> Optional[str]:
    """Return why an opened photo, of which nothing is decoded yet, is refused, as the end of a sentence; None if not.

    Args:
        image: as `Image.open` gave it.
        stream: it was opened from; its position is as before afterwards.
    """
    from PIL import __version__

    width, height, kind = image.width, image.height, str(image.format)
    if kind in _UNSOUND_FORMATS and version_numbers(__version__) < _SOUND_PILLOW:
        return "is {}, whose decoder in Pillow {} has known holes; convert it to PNG or JPEG".format(kind, __version__)
    size = os.fstat(stream.fileno()).st_size
    if size > _MAX_FILE_BYTES:
        return "has {} bytes, at most {} are read".format(size, _MAX_FILE_BYTES)
    if max(width, height) > _LONGEST_SIDE:
        return "has {}x{} pixels, {} on a side are read".format(width, height, _LONGEST_SIDE)
    if width * height > MAX_PIXELS:
        return "has {}x{} pixels; at most {} million are read".format(width, height, MAX_PIXELS // 10**6)
    # A photo may have some smaller ones in it, each with its scan: a thumbnail, those of a phone's second lens.
    scans = _scans(stream) if kind in ("JPEG", "MPO") else 1
    progressive = bool(image.info.get("progressive")) or scans > _MOST_INSIDE
    needed = _bytes_per_pixel(image, progressive)
    if width * height * needed > _MAX_DECODED_BYTES:
        return "has {}x{} pixels; at most {} million are read of {}{}".format(
            width, height, _MAX_DECODED_BYTES // needed // 10**6, "progressive " if progressive else "", kind)
    if progressive and scans * width * height > _MAX_SCANNED_PIXELS:
        return "has {}x{} pixels in {} scans".format(width, height, scans)
    if width * height > _SLOW_PIXELS and _is_slow(image, stream):
        return "has {}x{} pixels, of which {} million are read as {}".format(
            width, height, _SLOW_PIXELS // 10**6, "run-length BMP" if kind == "BMP" else "text")
    return None


def problem_of_head(stream: IO[bytes]) -> Optional[str]:
    """Return why a file is refused before Pillow parses its header; see `problem_of`."""
    head = stream.read(_PNM_HEADER_BYTES)
    stream.seek(0)
    if re.match(rb"P[1-6]\s", head) and not re.match(_PNM_HEADER, head):
        return "has no size in the first {} bytes of a PPM file".format(_PNM_HEADER_BYTES)
    return None


def _bytes_per_pixel(image: "Image.Image", progressive: bool) -> int:
    bands = len(image.getbands())
    # Pillow keeps three bands in four bytes, and converts other modes into a second picture.
    needed = 4 if bands > 1 else 1
    if image.mode != "RGB":
        needed += 4
    if progressive:
        needed += 2 * bands  # a coefficient of each, until the last scan
    if image.format in ("WEBP", "TIFF"):
        needed += 4  # decoded apart, then copied
    return needed


def _scans(stream: IO[bytes]) -> int:
    """Return the number of scans of a JPEG file: in compressed data, this pair of bytes does not occur."""
    at, scans, last = stream.tell(), 0, b""
    stream.seek(0)
    for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""):
        scans += (last + chunk).count(b"\xff\xda")
        last = chunk[-1:]
    stream.seek(at)
    return scans


def _is_slow(image: "Image.Image", stream: IO[bytes]) -> bool:
    if image.format == "BMP":
        return bool(image.info.get("compression"))
    if image.format != "PPM":
        return False
    at = stream.tell()
    stream.seek(0)
    head = stream.read(2)
    stream.seek(at)
    return head in (b"P1", b"P2", b"P3")


@contextlib.contextmanager
def quiet_libtiff(image: "Image.Image") -> Iterator[None]:
    """Keep the lines that libtiff writes itself from the user: what matters of them is in Pillow's error."""
    if image.format != "TIFF":
        yield
        return
    with muted():
        yield
