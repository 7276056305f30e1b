"""What a photo's header may ask for: decided before a pixel is decoded.

A few hundred bytes can claim gigabytes of pixels, or a million passes over them. The limits keep a photo within
2 seconds and 300 MB; photos of today's cameras and phones are far below.
"""
import contextlib
import os
import re
from typing import IO, TYPE_CHECKING, Any, Iterator, Optional, cast

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
# Pillow reads headers, and what lies between the data, by Python code. A PNG of 64 megapixels needs 70,000, in
# the chunks of 8 KB that libpng writes.
_MOST_READS = 150_000
# A scan's marker with a length that fits its one to four components. The marker's two bytes alone come up by chance
# where a file goes on behind its picture: with a phone's "motion photo", a video does.
_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
_SCAN_BYTES = 5
_CHUNK_BYTES = 1 << 20
# Formats whose decoders have known holes in the Pillow before this one: its libwebp, libtiff and GIF reader. Pillow for
# Python 3.6 ends at 8.4.
_SOUND_PILLOW = (10, 3)
_UNSOUND_FORMATS = ("WEBP", "TIFF", "GIF")


class PhotoLimitError(Exception):
    """A photo asks for too much; the message is the end of a sentence about it."""


class _FewReads:
    """A stream that is read only so often, and never for more than there is: Python takes the memory first."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._size, self._left = stream, size, _MOST_READS

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise PhotoLimitError("is in too many parts: {} reads are made of a file".format(_MOST_READS))
        return self._stream.read(min(size, self._size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def for_pillow(stream: IO[bytes]) -> IO[bytes]:
    """Return a photo's file as Pillow gets it.

    Raises:
        PhotoLimitError: it is too large; reading it raises that too.
    """
    size = os.fstat(stream.fileno()).st_size
    if size > _MAX_FILE_BYTES:
        raise PhotoLimitError("has {} bytes, at most {} are read".format(size, _MAX_FILE_BYTES))
    return cast("IO[bytes]", _FewReads(stream, size))


def require_within(image: "Image.Image", stream: IO[bytes]) -> None:
    """Raise PhotoLimitError for an opened photo, of which nothing is decoded yet, that asks for too much.

    Args:
        image: as `Image.open` gave it.
        stream: its file; the position is as before afterwards.
    """
    problem = _problem(image, stream)
    if problem is not None:
        raise PhotoLimitError(problem)


def _problem(image: "Image.Image", stream: IO[bytes]) -> Optional[str]:
    from PIL import __version__

    width, height, kind = image.width, image.height, str(image.format)
    if kind in _UNSOUND_FORMATS and version_numbers(__version__) < _SOUND_PILLOW:
        return "is {}, whose decoder in Pillow {} has known holes; convert it to PNG or JPEG".format(kind, __version__)
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
    """Return the number of scans of a JPEG file: in compressed data, a marker's bytes do not occur."""
    at, scans, last = stream.tell(), 0, b""
    stream.seek(0)
    for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""):
        found = last + chunk
        scans += sum(1 for _ in _SCAN.finditer(found))
        last = found[1 - _SCAN_BYTES:]
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
