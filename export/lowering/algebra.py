"""The exact identities behind the lowering rules: an affine moved through the linear layer next to it.

Every function takes and returns tensors of one dtype; the exporter works in FP64 and rounds once, when
the graph is written. `weight` is `[out, in]` (linear) or `[out, in / groups, k, k]` (convolution).
"""
import torch
from torch import Tensor, nn


def affine_before_linear(weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Fold ``x * scale + shift`` into the linear layer after it: `W(sx + t) + b = (Ws)x + (Wt + b)`."""
    return weight * scale, bias + weight @ shift


def affine_before_conv(
    weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Fold a per-channel affine into the convolution after it.

    Exact only for a convolution without padding (a padded border would have to be `shift`, not zero)
    and without groups; the caller ensures both.
    """
    moved = (weight * shift[:, None, None]).sum((1, 2, 3))
    return weight * scale[:, None, None], moved if bias is None else bias + moved


def affine_after_conv(
    weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Fold a per-channel affine into the convolution before it; exact for any padding and groups."""
    return weight * scale[:, None, None, None], shift if bias is None else bias * scale + shift


def centred_rows(weight: Tensor) -> Tensor:
    """Fold ``x - mean(x)`` over the inputs into the linear layer after it, `[out, in]`: each row loses its mean."""
    return weight - weight.mean(1, keepdim=True)


def scale_after_linear(weight: Tensor, bias: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Fold a per-channel scale (layer scale) into the linear layer before it."""
    return weight * scale[:, None], bias * scale


def batch_norm_affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the scale and shift that a BatchNorm2d is in evaluation mode."""
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"BatchNorm2d expected, {type(norm).__name__} found")
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a BatchNorm2d without running statistics has no fixed affine")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale.detach(), (norm.bias - norm.running_mean * scale).detach()
