"""Colours of classes: PASCAL VOC's palette."""
from typing import Tuple

import numpy as np

Color = Tuple[int, int, int]


def voc_color(index: int) -> Color:
    """Return red, green and blue (0..255) of a class in PASCAL VOC's palette.

    The bits of `index` are dealt out to red, green and blue in turn, from the highest bit of each downwards
    (function ``VOCcolormap`` of the VOC development kit). 0, the background, is black; 255, "void" in masks, is a
    light cream.

    Args:
        index: 0..255.
    """
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def voc_palette(count: int = 256) -> np.ndarray:
    """Return the first `count` colours, uint8 `[count, 3]` RGB."""
    return np.array([voc_color(index) for index in range(count)], dtype=np.uint8).reshape(count, 3)
