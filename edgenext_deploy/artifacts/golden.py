"""The golden input: an image that every machine computes to the same bit.

Integer arithmetic only, so it does not depend on numpy's release, the processor or the maths library:
slow triangular waves (the low frequencies of a photo) plus noise from a linear congruential generator.
"""
import hashlib
from typing import Sequence

import numpy as np


def golden_image(seed: int, height: int, width: int) -> np.ndarray:
    """Return an image `[height, width, 3]` uint8, different for every seed."""
    rows = np.arange(height, dtype=np.int64)[:, None]
    columns = np.arange(width, dtype=np.int64)[None, :]
    planes = []
    for channel in range(3):
        wave = _triangle(rows * (5 + channel) + 37 * seed, 211) + _triangle(
            columns * (7 - channel) + 53 * seed, 157)
        count = np.arange(height * width, dtype=np.uint64) + np.uint64(1 + 7919 * (3 * seed + channel))
        planes.append(wave + (_scramble(count) % np.uint64(56)).astype(np.int64).reshape(height, width))
    image: np.ndarray = np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)
    return image


def _triangle(position: np.ndarray, period: int) -> np.ndarray:
    """Return a triangular wave between 0 and 100."""
    phase = position % period
    wave: np.ndarray = np.minimum(phase, period - phase) * 200 // period
    return wave


def _scramble(count: np.ndarray) -> np.ndarray:
    """Return 31-bit numbers that look random: a multiply-shift hash, exact in unsigned 64 bits."""
    mixed = count * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(2862933555777941757)
    return mixed >> np.uint64(33)


def digest(array: np.ndarray) -> str:
    """Return the SHA-256 of the array's little-endian bytes."""
    return hashlib.sha256(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def magnitude(output: np.ndarray) -> float:
    """Return what a difference from an output of numbers is measured by: its largest magnitude.

    A single logit for each image may be near zero, where it says "as likely as not" and no digit of it counts: it is
    measured by 1 at least, the scale of the sigmoid.
    """
    largest = float(np.abs(output.astype(np.float64)).max())
    least = 1.0 if output.ndim == 2 and output.shape[1] == 1 else 1e-30
    return max(largest, least)


def golden_batch(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Return images `[B, 3, H, W]` uint8 for a network input of that shape; image i has seed `seed + i`."""
    batch, _, height, width = shape
    images = [golden_image(seed + index, height, width) for index in range(batch)]
    return np.stack([image.transpose(2, 0, 1) for image in images])
