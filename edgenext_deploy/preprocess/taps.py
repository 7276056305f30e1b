"""The weights of Pillow's antialiased bicubic resize, for the part of a frame that the crop needs.

A resize is separable: each output column is a weighted sum of some columns of the frame, each output row of some rows.
The arithmetic is that of Pillow's ``Resample.c``: the kernel of Keys with a = -0.5, stretched when the image shrinks,
weights that sum to 1, rows resized first, and 8-bit pixels (rounded, clipped) between the two passes.
"""
import functools
from typing import NamedTuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.preprocess.photo import place


class Taps(NamedTuple):
    """How one axis of the output comes from one axis of the frame.

    Attributes:
        first: first row or column of the frame that is needed; even, as NV12 wants it.
        last: the row or column behind the last.
        starts: int32 `[size]`, first tap of each output, counted from `first`.
        counts: int32 `[size]`, taps of each output.
        weights: float32 `[size, max(counts)]`, 0 behind an output's last tap.
    """

    first: int
    last: int
    starts: np.ndarray
    counts: np.ndarray
    weights: np.ndarray


class Resampling(NamedTuple):
    """The two passes: `columns` makes the width, `rows` the height."""

    columns: Taps
    rows: Taps


@functools.lru_cache(maxsize=8)
def resampling(width: int, height: int, preprocessing: Preprocessing) -> Resampling:
    """Return the taps from a frame of `width` x `height` pixels to the network's input.

    Raises:
        BadInputError: the manifest's preprocessing is impossible, or the frame is too elongated for it.
    """
    placed = place(width, height, preprocessing)
    return Resampling(make_taps(width, placed.width, placed.left, preprocessing.width),
                      make_taps(height, placed.height, placed.top, preprocessing.height))


def make_taps(length: int, scaled: int, offset: int, size: int) -> Taps:
    """Return the taps of one axis.

    Args:
        length: of the frame, in pixels.
        scaled: what it is resized to.
        offset: where the crop starts in the resized image.
        size: of the crop.
    """
    scale = length / float(scaled)
    stretch = max(scale, 1.0)
    centers = (np.arange(offset, offset + size) + 0.5) * scale
    begins = np.maximum((centers - 2.0 * stretch + 0.5).astype(np.int64), 0)
    ends = np.minimum((centers + 2.0 * stretch + 0.5).astype(np.int64), length)
    counts = ends - begins
    taps = np.arange(counts.max())
    weights = _cubic((begins[:, np.newaxis] + taps + 0.5 - centers[:, np.newaxis]) / stretch)
    weights[taps >= counts[:, np.newaxis]] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    first, last = int(begins.min()), int(ends.max())
    first -= first % 2
    last = min(last + last % 2, length)
    return Taps(first, last, (begins - first).astype(np.int32), counts.astype(np.int32), weights.astype(np.float32))


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
