"""Frames made here, each with its number in its pixels, so that it can be told which frame arrived."""
from typing import Optional

import numpy as np

from edgenext_deploy.camera.address import Address, check_settings
from edgenext_deploy.camera.source import FrameSource

_BITS = 32
# BGR, the corners of the colour cube and the middle.
_COLORS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "red": (0, 0, 255), "green": (0, 255, 0),
    "blue": (255, 0, 0), "yellow": (0, 255, 255), "cyan": (255, 255, 0), "magenta": (255, 0, 255),
}
_FRAMES_PER_COLOR = 60


def make_synthetic(address: Address, *, width: Optional[int], height: Optional[int], fps: Optional[float],
                   pixel_format: str) -> FrameSource:
    """Return the source of ``synthetic://WIDTHxHEIGHT@FPS``, each part optional; see `camera.open.make_source`."""
    size, _, rate = address.target.partition("@")
    own = [int(side) for side in size.split("x")] if size else [640, 480]
    width, height, fps = width or own[0], height or own[1], fps or (float(rate) if rate else 30.0)
    check_settings(width, height, fps)
    frames = address.options.get("frames")
    return SyntheticSource(width, height, fps, int(frames) if frames else None, address.options.get("color", "cycle"))


class SyntheticSource(FrameSource):
    """Plain frames in one colour, or in all of them one after the other.

    The number, from 0, is written into the top row as 32 blocks, the least significant bit first: black for 0 and
    white for 1.

    Args:
        width: of a frame in pixels, at least 32.
        height: of a frame in pixels, at least 32.
        fps: frames a second.
        frames: after how many frames the source ends; never by default.
        color: a name, or ``cycle``: another one every 60 frames.
    """

    def __init__(self, width: int = 640, height: int = 480, fps: float = 30.0, frames: Optional[int] = None,
                 color: str = "cycle") -> None:
        self.fps = fps
        self.name = "synthetic://{}x{}@{:g}".format(width, height, fps)
        self._frames = frames
        self._colors = list(_COLORS.values()) if color == "cycle" else [_COLORS[color]]
        self._plain = np.empty((height, width, 3), np.uint8)
        self._next = 0

    def open(self) -> None:
        """Nothing to open; the numbers go on."""

    def read(self) -> Optional[np.ndarray]:
        """Return the next frame, uint8 BGR `[H, W, 3]`, or None at the end."""
        number = self._next
        if self._frames is not None and number >= self._frames:
            return None
        self._next += 1
        if number % _FRAMES_PER_COLOR == 0:  # one frame of each color would be 1.8 GB at the largest size
            self._plain[0] = self._colors[number // _FRAMES_PER_COLOR % len(self._colors)]
            self._plain[1:] = self._plain[0]  # ten times as fast as color by color
        image = self._plain.copy()
        write_number(image, number)
        return image

    def close(self) -> None:
        """Nothing to close."""


def write_number(image: np.ndarray, number: int) -> None:
    """Write a number below 2**32 into the top left of a uint8 image `[H, W, 3]`, in place."""
    side = _block_side(image)
    bits = (number >> np.arange(_BITS)) & 1
    image[:side, :_BITS * side] = np.repeat(bits * 255, side).astype(np.uint8)[np.newaxis, :, np.newaxis]


def number_in(image: np.ndarray) -> int:
    """Return the number in a frame of a `SyntheticSource`, also after a lossy video codec (blocks of 8 pixels up)."""
    side = _block_side(image)
    blocks = image[:side, :_BITS * side].reshape(side, _BITS, side, -1).mean(axis=(0, 2, 3))
    return sum(1 << index for index, value in enumerate(blocks.tolist()) if value > 127)


def _block_side(image: np.ndarray) -> int:
    return min(int(image.shape[1]) // _BITS, int(image.shape[0]))
