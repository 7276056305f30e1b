"""The weights of Pillow's resize, for the part of a frame that the network's input shows.

A resize is separable: each output column is a weighted sum of some columns of the frame, each output row of some rows.
The arithmetic is that of Pillow's ``Resample.c``: a kernel (triangle, Keys' cubic with a = -0.5, or Lanczos with three
lobes), stretched when the image shrinks, weights that sum to 1, rows resized first, and 8-bit pixels (rounded, clipped)
between the two passes. ``nearest`` is that of ``Geometry.c``: one pixel of the frame, no antialiasing.
"""
import functools
from typing import Callable, Dict, NamedTuple, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.preprocess.placement import place

# First tap of each output, number of its taps, and the weights `[outputs, taps]`.
_Axis = Tuple[np.ndarray, np.ndarray, np.ndarray]
_Kernel = Callable[[np.ndarray], np.ndarray]


class Taps(NamedTuple):
    """How one axis of the output comes from one axis of the frame; outputs are those that are not border.

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
    placed, kind = place(width, height, preprocessing), preprocessing.interpolation
    return Resampling(make_taps(width, placed.width, placed.left, preprocessing.width, kind),
                      make_taps(height, placed.height, placed.top, preprocessing.height, kind))


def make_taps(length: int, scaled: int, offset: int, size: int, interpolation: str = "bicubic") -> Taps:
    """Return the taps of one axis.

    Args:
        length: of the frame, in pixels.
        scaled: what it is resized to.
        offset: where the input starts in the resized image; negative where it starts with a border.
        size: of the input.
        interpolation: the manifest's.
    """
    outputs = slice(max(offset, 0), min(offset + size, scaled))
    begins, counts, weights = (_nearest(length, scaled, outputs) if interpolation == "nearest" else
                               _weighted(length, scaled, outputs, *_KERNELS[interpolation]))
    first, last = int(begins.min()), int((begins + counts).max())
    first -= first % 2
    last = min(last + last % 2, length)
    return Taps(first, last, (begins - first).astype(np.int32), counts.astype(np.int32), weights.astype(np.float32))


def _weighted(length: int, scaled: int, outputs: slice, support: float, kernel: _Kernel) -> _Axis:
    scale = length / float(scaled)
    stretch = max(scale, 1.0)
    centers = (np.arange(outputs.start, outputs.stop) + 0.5) * scale
    begins = np.maximum((centers - support * stretch + 0.5).astype(np.int64), 0)
    ends = np.minimum((centers + support * stretch + 0.5).astype(np.int64), length)
    counts = ends - begins
    taps = np.arange(counts.max())
    weights = kernel((begins[:, np.newaxis] + taps + 0.5 - centers[:, np.newaxis]) / stretch)
    weights[taps >= counts[:, np.newaxis]] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return begins, counts, weights


def _nearest(length: int, scaled: int, outputs: slice) -> _Axis:
    # Pillow adds the step again and again, and its rounding errors decide which pixel is the nearest of two.
    steps = np.full(outputs.stop, length / float(scaled))
    steps[0] *= 0.5
    begins = np.cumsum(steps)[outputs].astype(np.int64)
    return begins, np.ones_like(begins), np.ones((len(begins), 1))


def _triangle(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(x < 1.0, 1.0 - x, 0.0)


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


# Half the kernel's width in pixels of the larger of the two images, and the kernel.
_KERNELS: Dict[str, Tuple[float, _Kernel]] = {
    "bilinear": (1.0, _triangle), "bicubic": (2.0, _cubic), "lanczos": (3.0, _lanczos)}
