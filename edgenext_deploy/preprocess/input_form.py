"""The form of a network's input: its numpy type, and whether the channels are the first or the last axis of an image.

Preprocessing makes float32 `[B, 3, H, W]`. A graph that normalises by itself may take the pixels as the bytes that they
are, uint8, and these also as a picture lies in memory, `[B, H, W, 3]`.
"""
from typing import Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec


def is_channels_last(spec: TensorSpec) -> bool:
    """Return whether an input is `[B, H, W, 3]`; no network here takes images three pixels high."""
    return len(spec.shape) == 4 and spec.shape[3] == 3 and spec.shape[1] != 3


def image_shape(spec: TensorSpec) -> Tuple[int, ...]:
    """Return `(B, 3, H, W)` for an input of either form; any other shape as it is."""
    if not is_channels_last(spec):
        return spec.shape
    batch, height, width, channels = spec.shape
    return batch, channels, height, width


def as_input(images: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """Return prepared images, float32 `[B, 3, H, W]`, in the input's type and order of axes."""
    if is_channels_last(spec):
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return images.astype(spec.dtype, copy=False)
