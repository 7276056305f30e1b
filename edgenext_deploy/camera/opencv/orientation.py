"""By how much the pictures of a video file are to be turned: phones store them as the sensor lies.

GStreamer ignores it, OpenCV 4.1 too, and OpenCV 4.6 turns some files the wrong way. So it is read here, and no backend
turns by itself. The layout of MP4 and QuickTime files is ISO/IEC 14496-12; the matrix is in the box ``tkhd``.
"""
import os
import struct
from typing import BinaryIO, Iterator, Optional, Tuple

_CONTAINERS = {b"moov", b"trak", b"mdia"}
# The first four numbers of the matrix, as signs: degrees clockwise.
_TURNS = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
_MOST_BOXES = 10000


def turn_of(path: str) -> int:
    """Return the degrees, 0, 90, 180 or 270, by which the pictures of a file are to be turned clockwise.

    0 for what is no MP4 or QuickTime file, is broken, or is mirrored.
    """
    try:
        with open(path, "rb") as file:
            if file.read(8)[4:] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return 0
            return _video_turn(file, os.path.getsize(path))
    except (OSError, struct.error):
        return 0


def _video_turn(file: BinaryIO, size: int) -> int:
    turn: Optional[int] = None
    for count, (kind, start, _) in enumerate(_boxes(file, 0, size)):
        if count > _MOST_BOXES:
            break
        file.seek(start)
        if kind == b"tkhd":
            turn = _turn(file)
        elif kind == b"hdlr" and turn is not None and file.read(12)[8:] == b"vide":
            return turn
    return 0


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[Tuple[bytes, int, int]]:
    """Yield (kind, start of the content, end) of the boxes in a part of the file, in their order, nested ones too."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        content = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            content += 8
        stop = end if size == 0 else start + size
        if not content <= stop <= end:
            return
        yield kind, content, stop
        if kind in _CONTAINERS:
            yield from _boxes(file, content, stop)
        start = stop


def _turn(file: BinaryIO) -> int:
    version = file.read(4)[0:1]
    file.seek((32 if version == b"\x01" else 20) + 16, os.SEEK_CUR)
    a, b, _, c, d = struct.unpack(">5i", file.read(20))
    return _TURNS.get((_sign(a), _sign(b), _sign(c), _sign(d)), 0)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
