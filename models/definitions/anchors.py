"""Anchors and box codes of the SSDLite detector (ml-cvnets v0.1)."""
import math

import torch
from torch import Tensor

from edgenext_deploy.models.definitions.config import SSDLiteConfig


def level_anchors(config: SSDLiteConfig, level: int, height: int, width: int) -> Tensor:
    """Return the anchors of one level, `[height * width * K, 4]` FP64, for a map of that many cells.

    An anchor is centre x, centre y, width, height in parts of the input, clipped to 0..1. Cells go by rows; in a
    cell come the small square, the large one (geometric mean of this and the next level's scale), and for each
    ratio r the shape `√r : 1/√r` and its transpose.
    """
    sizes = torch.linspace(*config.scales, len(config.strides) + 1, dtype=torch.float64).tolist()
    small, large = sizes[level], math.sqrt(sizes[level] * sizes[level + 1])
    shapes = [(small, small), (large, large)]
    for ratio in config.ratios[level]:
        root = math.sqrt(ratio)
        shapes += [(small * root, small / root), (small / root, small * root)]
    y, x = torch.meshgrid(
        (torch.arange(height, dtype=torch.float64) + 0.5) / height,
        (torch.arange(width, dtype=torch.float64) + 0.5) / width, indexing="ij")
    centres = torch.stack((x, y), dim=-1)[:, :, None].expand(-1, -1, len(shapes), -1)
    extents = torch.tensor(shapes, dtype=torch.float64).expand(height, width, -1, -1)
    return torch.cat((centres, extents), dim=-1).reshape(-1, 4).clamp(0, 1)


def anchors(config: SSDLiteConfig, sizes: list[tuple[int, int]]) -> Tensor:
    """Return the anchors of all levels, `[anchors, 4]` FP64; `sizes` are height and width of their maps."""
    return torch.cat([level_anchors(config, level, *size) for level, size in enumerate(sizes)])


def decode(codes: Tensor, priors: Tensor, config: SSDLiteConfig) -> Tensor:
    """Return boxes `[..., anchors, 4]` (left, top, right, bottom in parts of the input) for codes of that shape.

    Args:
        codes: what the network says: shift of the centre over the anchor's size and logarithm of the growth, each
            over its variance.
        priors: `[anchors, 4]`, see `level_anchors`.
        config: gives the variances.
    """
    centre = codes[..., :2] * config.centre_variance * priors[:, 2:] + priors[:, :2]
    half = (codes[..., 2:] * config.size_variance).exp() * priors[:, 2:] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def encode(boxes: Tensor, priors: Tensor, config: SSDLiteConfig) -> Tensor:
    """Return the codes of boxes `[..., anchors, 4]`: the inverse of `decode`, for training."""
    low, high = boxes[..., :2], boxes[..., 2:]
    shift = ((low + high) / 2 - priors[:, :2]) / priors[:, 2:] / config.centre_variance
    growth = ((high - low) / priors[:, 2:]).log() / config.size_variance
    return torch.cat((shift, growth), dim=-1)
