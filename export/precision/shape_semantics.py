"""Operators that move elements without computing, and pooling: what each does, the same in every arithmetic."""
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def flatten(x: Tensor, axis: int) -> Tensor:
    """Return `x` as a matrix, the axes before `axis` as rows."""
    axis = axis % x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


def squeeze(x: Tensor, axes: Sequence[int] | None) -> Tensor:
    """Return `x` without these axes, or without all of length 1."""
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def unsqueeze(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Return `x` with axes of length 1 at these places of the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def gather(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Return the elements at indices of an axis; the indices' shape takes the axis's place."""
    axis = axis % x.dim()
    flat = indices.reshape(-1).long() % x.shape[axis]
    return x.index_select(axis, flat).reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1:]])


def sliced(x: Tensor, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]) -> Tensor:
    """Return a part of each axis; negative places count from its end, negative steps go back."""
    for start, end, axis, step in zip(starts, ends, axes, steps):
        places = range(x.shape[axis])[slice(start, None if step < 0 and end < -x.shape[axis] else end, step)]
        x = x.index_select(axis, torch.tensor(places, dtype=torch.long))
    return x


# Where a nearest Resize looks, by its coordinates and its rounding: places `i * scale` of the input, scale = in / out.
# Both of PyTorch's (nearest, nearest-exact), and what tf2onnx and ONNX's defaults write.
NEAREST: dict[tuple[str, str], Callable[[Tensor, float], Tensor]] = {
    ("asymmetric", "floor"): lambda i, scale: (i * scale).floor(),
    ("asymmetric", "round_prefer_floor"): lambda i, scale: (i * scale - 0.5).ceil(),
    ("half_pixel", "round_prefer_floor"): lambda i, scale: ((i + 0.5) * scale - 1).ceil(),
    ("half_pixel", "floor"): lambda i, scale: ((i + 0.5) * scale - 0.5).floor(),
    ("half_pixel", "round_prefer_ceil"): lambda i, scale: ((i + 0.5) * scale).floor(),
    ("tf_half_pixel_for_nn", "floor"): lambda i, scale: ((i + 0.5) * scale).floor(),
}


def nearest(x: Tensor, size: Sequence[int], place: Callable[[Tensor, float], Tensor]) -> Tensor:
    """Return `[B, C, H, W]` at another size, each element a copy of the input's at its place."""
    for axis, length in zip((2, 3), size):
        before = x.shape[axis]
        places = place(torch.arange(length, dtype=torch.float64), before / length)
        x = x.index_select(axis, places.long().clamp(0, before - 1))
    return x


def spread(x: Tensor, strides: Sequence[int]) -> Tensor:
    """Return `[B, C, H, W]` with ``stride - 1`` zeros between neighbours along both sides."""
    batch, channels, height, width = x.shape
    result = x.new_zeros(batch, channels, (height - 1) * strides[0] + 1, (width - 1) * strides[1] + 1)
    result[:, :, ::strides[0], ::strides[1]] = x
    return result


def max_pool(x: Tensor, kernel: Sequence[int], stride: Sequence[int], pads: Sequence[int], ceil: bool) -> Tensor:
    """Return the largest of each window of `[B, C, H, W]`; pads are top, left, bottom, right."""
    top, left, bottom, right = pads
    return F.max_pool2d(F.pad(x, [left, right, top, bottom], value=-math.inf), list(kernel), list(stride),
                        ceil_mode=ceil)


def windows(x: Tensor, kernel: Sequence[int], stride: Sequence[int], pads: Sequence[int], counted: bool) -> Tensor:
    """Return the windows of `[B, C, H, W]` as `[B, C, H', W', kh, kw]`, divided so that their sum is the mean.

    `counted`: the padding counts as elements.
    """
    top, left, bottom, right = pads
    border = [left, right, top, bottom]

    def cut(values: Tensor) -> Tensor:
        return F.pad(values, border).unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])

    ones = cut(torch.ones_like(x[:1, :1]))
    count = torch.full_like(ones[..., :1, :1], kernel[0] * kernel[1]) if counted else ones.sum((-2, -1), keepdim=True)
    return cut(x) / count
