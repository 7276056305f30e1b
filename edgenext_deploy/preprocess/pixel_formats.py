"""The pixel formats of camera frames.

NV12, which cameras and decoders of a Jetson give, is a plane of brightness Y `[H, W]` and below it, in the same array,
a plane of U and V in turn `[H / 2, W]`, one pair for each 2x2 pixels. It becomes RGB by ITU-R BT.601 with limited range
(Y from 16 to 235)::

    R = 1.164 (Y - 16) + 1.596 (V - 128)
    G = 1.164 (Y - 16) - 0.813 (V - 128) - 0.391 (U - 128)
    B = 1.164 (Y - 16) + 2.018 (U - 128)

rounded and clipped to 0..255; a Y below 16 counts as 16, and the four pixels of a pair share its U and V. The
coefficients are those of OpenCV's ``COLOR_YUV2RGB_NV12``, in the same fixed-point numbers of 20 bits, so results are
equal bit for bit.
"""
from typing import NamedTuple, Tuple

import numpy as np

from edgenext_deploy.errors import UsageError

COLORS = ("bgr", "rgb", "nv12")


class PixelFormat(NamedTuple):
    """Where the bytes of a pixel lie.

    Attributes:
        name: ``bgr``, ``rgb``, ``bgrx``, ``rgbx`` (the fourth byte is dropped), ``grey`` or ``nv12``.
        pixel_bytes: bytes from one pixel of a row to the next; of NV12, in its brightness plane.
        offsets: of red, green and blue in a pixel; of NV12, of the brightness.
    """

    name: str
    pixel_bytes: int
    offsets: Tuple[int, int, int]


FORMATS = {
    ("bgr", 3): PixelFormat("bgr", 3, (2, 1, 0)),
    ("rgb", 3): PixelFormat("rgb", 3, (0, 1, 2)),
    ("bgr", 4): PixelFormat("bgrx", 4, (2, 1, 0)),
    ("rgb", 4): PixelFormat("rgbx", 4, (0, 1, 2)),
    ("bgr", 1): PixelFormat("grey", 1, (0, 0, 0)),
    ("rgb", 1): PixelFormat("grey", 1, (0, 0, 0)),
}
NV12 = PixelFormat("nv12", 1, (0, 0, 0))


class FrameLayout(NamedTuple):
    """Format and size, in pixels, of a frame."""

    format: PixelFormat
    width: int
    height: int


def check_color(color: str) -> None:
    """Raise UsageError unless `color` is one of `COLORS`."""
    if color not in COLORS:
        raise UsageError("color must be one of {}, found {!r}".format(", ".join(map(repr, COLORS)), color))


def frame_layout(frame: np.ndarray, color: str) -> FrameLayout:
    """Return format and size of a camera frame.

    Args:
        frame: uint8 `[H, W, 3]`, `[H, W, 4]` (the fourth channel is dropped), `[H, W]` or `[H, W, 1]` (grey, repeated
            in all channels); with `color` ``nv12``, `[H * 3 / 2, W]` of even H and W.
        color: ``bgr`` (OpenCV's), ``rgb`` or ``nv12``.

    Raises:
        UsageError: another shape or dtype, or an unknown `color`.
    """
    check_color(color)
    found = "found {} {}".format(frame.dtype.name, list(frame.shape))
    if color == "nv12":
        if (frame.dtype != np.uint8 or frame.ndim != 2 or frame.size == 0 or frame.shape[0] % 3
                or frame.shape[1] % 2):
            raise UsageError("an NV12 frame must be uint8 [H * 3 / 2, W] with even H and W, " + found)
        return FrameLayout(NV12, frame.shape[1], frame.shape[0] // 3 * 2)
    channels = frame.shape[2] if frame.ndim == 3 else 1
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or channels not in (1, 3, 4) or frame.size == 0:
        raise UsageError("a frame must be uint8 [H, W, 3], [H, W, 4] or [H, W], " + found)
    return FrameLayout(FORMATS[color, channels], frame.shape[1], frame.shape[0])


def read_planes(frame: np.ndarray, layout: FrameLayout, rows: slice, columns: slice, planes: np.ndarray) -> None:
    """Write a part of a frame into planes, one for each of R, G and B, or the first one only for grey.

    Args:
        frame: as `frame_layout` takes it.
        layout: from there.
        rows: first row, even, and the row behind the last.
        columns: first column, even, and the column behind the last.
        planes: `[3, rows, columns]` or `[1, rows, columns]` of any numeric dtype, where 0..255 is put.
    """
    if layout.format.name == "nv12":
        _read_nv12(frame, layout.height, rows, columns, planes)
        return
    part = frame.reshape(layout.height, layout.width, -1)[rows, columns]
    for plane, offset in zip(planes, layout.format.offsets):
        np.copyto(plane, part[:, :, offset], casting="unsafe")


def nv12_to_rgb(frame: np.ndarray) -> np.ndarray:
    """Return an NV12 frame, uint8 `[H * 3 / 2, W]`, as RGB, uint8 `[H, W, 3]`."""
    layout = frame_layout(frame, "nv12")
    rgb = np.empty((layout.height, layout.width, 3), np.uint8)
    read_planes(frame, layout, slice(0, layout.height), slice(0, layout.width), rgb.transpose(2, 0, 1))
    return rgb


def _read_nv12(frame: np.ndarray, height: int, rows: slice, columns: slice, planes: np.ndarray) -> None:
    brightness = (np.maximum(frame[rows, columns], 16).astype(np.int32) - 16) * 1220542
    pairs = frame[height + rows.start // 2:height + rows.stop // 2, columns].astype(np.int32) - 128
    u, v = pairs[:, 0::2], pairs[:, 1::2]
    half = 1 << 19
    for plane, color in zip(planes, (1673527 * v + half, -852492 * v - 409993 * u + half, 2116026 * u + half)):
        value = brightness + color.repeat(2, axis=0).repeat(2, axis=1)
        np.copyto(plane, np.clip(value >> 20, 0, 255), casting="unsafe")
