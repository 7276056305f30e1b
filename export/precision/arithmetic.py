"""Two kinds of arithmetic on tensors that are stored as FP32: FP32 itself, and FP16 with every value really rounded.

An operator's formula (`semantics.py`) is written once against this interface; `round` stands wherever a kernel
would hold a value in its own precision.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

FP16_MAX = 65504.0
FP16_SMALLEST_NORMAL = 2.0**-14
# Below this headroom, 65504 divided by the largest magnitude, another photo may overflow.
LITTLE_HEADROOM = 4.0


class Float32:
    """FP32: nothing is rounded."""

    def round(self, x: Tensor) -> Tensor:
        """Return `x` as this arithmetic holds it; any shape, stored as float32."""
        return x

    def sum(self, x: Tensor, axes: list[int]) -> Tensor:
        """Sum over axes, which stay with length 1."""
        return self.round(x.sum(axes, keepdim=True))

    def mean(self, x: Tensor, axes: list[int]) -> Tensor:
        """Mean over axes, which stay with length 1."""
        return self.round(x.mean(axes, keepdim=True))

    def matmul(self, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map `[..., I, K]` and `[..., K, J]` to `[..., I, J]`; a bias joins the sum before it is rounded."""
        product = a @ b
        return self.round(product if bias is None else product + bias)

    def conv(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], dilation: list[int], groups: int
    ) -> Tensor:
        """2-D convolution of `[B, C, H, W]` without padding."""
        return self.round(F.conv2d(x, weight, bias, stride, 0, dilation, groups))


class Observed(Float32):
    """FP32 that remembers the largest finite magnitude it held, the insides of an operator included."""

    def __init__(self) -> None:
        self.largest = 0.0

    def round(self, x: Tensor) -> Tensor:
        """Return `x` and look at it."""
        self.largest = max(self.largest, largest_magnitude(x))
        return x


class Float16(Float32):
    """FP16 with sums in FP32: what tensor cores and the usual kernels do. Only results are rounded."""

    def round(self, x: Tensor) -> Tensor:
        """Round to the nearest FP16 value; beyond the range is infinity, subnormal values stay."""
        return x.half().float()


class Float16Sums(Float16):
    """FP16 whose running sums are FP16 too, rounded after every term: the worst a kernel may do.

    One accumulator takes the terms in order, each product fused with its addition; the bias comes last.
    """

    def sum(self, x: Tensor, axes: list[int]) -> Tensor:
        """Sum over axes, which stay with length 1."""
        axes = sorted(axis % x.dim() for axis in axes)
        kept = [axis for axis in range(x.dim()) if axis not in axes]
        terms = x.half().permute(axes + kept).reshape([-1] + [x.shape[axis] for axis in kept])
        total = torch.zeros_like(terms[0])
        for term in terms:
            total += term
        return total.float().reshape([1 if axis in axes else x.shape[axis] for axis in range(x.dim())])

    def mean(self, x: Tensor, axes: list[int]) -> Tensor:
        """Mean over axes, which stay with length 1: the sum, then one division."""
        total = self.sum(x, axes)
        return self.round(total * (total.numel() / x.numel()))

    def matmul(self, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map `[..., I, K]` and `[..., K, J]` to `[..., I, J]`."""
        columns = a.half().movedim(-1, 0).unsqueeze(-1).contiguous()
        rows = b.half().movedim(-2, 0).unsqueeze(-2).contiguous()
        total = torch.zeros(torch.broadcast_shapes(columns.shape[1:], rows.shape[1:]), dtype=torch.float16)
        for column, row in zip(columns, rows):
            total.addcmul_(column, row)
        return self._with_bias(total, bias)

    def conv(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], dilation: list[int], groups: int
    ) -> Tensor:
        """2-D convolution of `[B, C, H, W]` without padding, one tap after the other for all outputs at once."""
        batch, channels, *size = x.shape
        kernel = list(weight.shape[2:])
        reach = [step * (length - 1) + 1 for step, length in zip(dilation, kernel)]
        output = [(length - span) // step + 1 for length, span, step in zip(size, reach, stride)]
        maps = x.half().reshape(batch, groups, channels // groups, *size)
        taps = weight.half().reshape(groups, -1, channels // groups, *kernel)
        total = torch.zeros(batch, groups, taps.shape[1], *output, dtype=torch.float16)
        for channel in range(channels // groups):
            for row in range(kernel[0]):
                for column in range(kernel[1]):
                    top, left = row * dilation[0], column * dilation[1]
                    patch = maps[:, :, channel, top:top + (output[0] - 1) * stride[0] + 1:stride[0],
                                 left:left + (output[1] - 1) * stride[1] + 1:stride[1]]
                    total.addcmul_(
                        taps[:, :, channel, row, column][None, :, :, None, None], patch.unsqueeze(2).contiguous())
        result = total.reshape(batch, -1, *output)
        return self._with_bias(result, None if bias is None else bias[:, None, None])

    @staticmethod
    def _with_bias(total: Tensor, bias: Tensor | None) -> Tensor:
        return (total if bias is None else total + bias.half()).float()


def float16(accumulate: str) -> Float16:
    """Return FP16 arithmetic with sums in ``fp32`` or ``fp16``."""
    return {"fp32": Float16, "fp16": Float16Sums}[accumulate]()


def largest_magnitude(x: Tensor) -> float:
    """Return the largest finite magnitude, 0 for none."""
    if not x.numel():
        return 0.0
    low, high = (float(value) for value in x.aminmax())
    if low - low == 0 and high - high == 0:  # neither infinite nor NaN
        return max(-low, high)
    finite = x[x.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0
