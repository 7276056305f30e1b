"""From a camera's frame to the network's input on the processor, fast.

Nothing is computed that the crop does not need, and the two passes of the resize are matrix products of numpy's BLAS:
the taps of 16 neighbouring outputs overlap, so each group is one small dense product. The result is within one grey
level of `preprocess.preprocess`, and equal to it for all but a few pixels in 10,000, whose sums end near a half: they
are made in float32 here and in fixed point in Pillow. Bilinear weights of a simple ratio, such as 400 to 128, make more
halves: of a few pixels in 1,000. Nearest pixels are equal.
"""
import threading
from typing import Dict, List, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.preprocess.photo import scale_and_offset
from edgenext_deploy.preprocess.pixel_formats import FrameLayout, frame_layout, read_planes
from edgenext_deploy.preprocess.placement import place
from edgenext_deploy.preprocess.possible import CHANNEL_ORDERS
from edgenext_deploy.preprocess.taps import Taps, resampling

# Outputs of one product: more would multiply more zeros, fewer would be more calls.
_GROUP = 16
# Rows of a frame converted and resized at a time: they stay in the processor's cache.
_STRIP = 128
# Frame sizes whose buffers are kept.
_KEPT = 4
# What decides for the upper of two grey levels; more than the sums' rounding errors, and far below what can be seen.
TIE = np.float32(2.0**-13)
_NO_FRACTIONS, _ZERO, _WHITE = np.float32(1.5 * 2**23), np.float32(0.0), np.float32(255.0)
# Outputs from, to; taps from, to; weights `[outputs, taps]`.
_Group = Tuple[int, int, int, int, np.ndarray]


class CpuPreprocessor:
    """Prepares frames with buffers of its own; calls from several threads take turns.

    Args:
        preprocessing: the manifest's.

    Raises:
        BadInputError: the manifest's preprocessing is impossible.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing
        self._factors = scale_and_offset(preprocessing)
        self._lock = threading.Lock()
        self._scalers: Dict[FrameLayout, "_Scaler"] = {}

    def __call__(self, frame: np.ndarray, color: str = "bgr") -> np.ndarray:
        """Return the network input of one frame.

        Args:
            frame: see `pixels.frame_layout`.
            color: ``bgr``, ``rgb`` or ``nv12``.

        Returns:
            float32 `[1, 3, height, width]`, in the manifest's channel order, the caller's own.

        Raises:
            BadInputError: the frame is too elongated.
            UsageError: a frame of another shape or dtype, or an unknown `color`.
        """
        layout = frame_layout(frame, color)
        result = np.empty((1, 3, self._preprocessing.height, self._preprocessing.width), np.float32)
        with self._lock:
            scaler = self._scaler(layout)
            scaled = scaler.scale(frame)
            for plane, channel in zip(result[0], CHANNEL_ORDERS[self._preprocessing.channel_order]):
                scale, offset = self._factors[channel]
                shown = plane[scaler.rows, scaler.columns]
                if shown.shape != plane.shape:
                    plane.fill(np.float32(self._preprocessing.pad_color[channel]) * scale + offset)
                np.multiply(scaled[channel % len(scaled)], scale, out=shown)
                np.add(shown, offset, out=shown)
        return result

    def _scaler(self, layout: FrameLayout) -> "_Scaler":
        found = self._scalers.get(layout)
        if found is None:
            if len(self._scalers) >= _KEPT:
                self._scalers.clear()
            found = self._scalers[layout] = _Scaler(layout, self._preprocessing)
        return found


class _Scaler:
    """Resizes and crops frames of one layout, for the rows and columns of the input that show them."""

    def __init__(self, layout: FrameLayout, preprocessing: Preprocessing) -> None:
        columns, rows = resampling(layout.width, layout.height, preprocessing)
        placed = place(layout.width, layout.height, preprocessing)
        self.rows, self.columns = placed.rows, placed.columns
        count = 1 if layout.format.name == "grey" else 3
        self._layout = layout
        self._column_taps, self._row_taps = columns, rows
        # Transposed and made contiguous once, as the product takes them.
        self._column_groups = [(*group[:4], np.ascontiguousarray(group[4].T)) for group in _groups(columns)]
        self._row_groups = _groups(rows)
        self._strip = np.empty((count, _STRIP, columns.last - columns.first), np.float32)
        self._between = np.empty((count, rows.last - rows.first, len(columns.starts)), np.float32)
        self._scaled = np.empty((count, len(rows.starts), len(columns.starts)), np.float32)

    def scale(self, frame: np.ndarray) -> np.ndarray:
        """Return grey levels, whole numbers in 0..255, float32 `[3 or 1, rows, columns]`; overwritten next time."""
        columns = slice(self._column_taps.first, self._column_taps.last)
        for first in range(self._row_taps.first, self._row_taps.last, _STRIP):
            last = min(first + _STRIP, self._row_taps.last)
            strip = self._strip[:, :last - first]
            read_planes(frame, self._layout, slice(first, last), columns, strip)
            resized = self._between[:, first - self._row_taps.first:last - self._row_taps.first]
            for start, stop, begin, end, weights in self._column_groups:
                np.matmul(strip[:, :, begin:end], weights, out=resized[:, :, start:stop])
            _to_grey_levels(resized)
        for start, stop, begin, end, weights in self._row_groups:
            np.matmul(weights, self._between[:, begin:end], out=self._scaled[:, start:stop])
        _to_grey_levels(self._scaled)
        return self._scaled


def _groups(taps: Taps) -> List[_Group]:
    found = []
    for start in range(0, len(taps.starts), _GROUP):
        stop = min(start + _GROUP, len(taps.starts))
        starts, counts = taps.starts[start:stop], taps.counts[start:stop]
        begin, end = int(starts.min()), int((starts + counts).max())
        weights = np.zeros((stop - start, end - begin), np.float32)
        for row, (first, count) in enumerate(zip(starts - begin, counts)):
            weights[row, first:first + count] = taps.weights[start + row, :count]
        found.append((start, stop, begin, end, weights))
    return found


def _to_grey_levels(values: np.ndarray) -> None:
    """Round to the nearest whole number and clip to 0..255, in place."""
    # A half goes up as in Pillow, also where the sum in float32 ends just below it.
    np.add(values, TIE, out=values)
    # At 1.5 * 2**23 float32 has no fractions. `np.rint` says the same, several times slower in numpy before 1.22.
    np.add(values, _NO_FRACTIONS, out=values)
    np.subtract(values, _NO_FRACTIONS, out=values)
    np.clip(values, _ZERO, _WHITE, out=values)
