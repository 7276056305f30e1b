"""Operators that change the shape: padding, splits and joins, axes, resampling, reductions of a map."""
from collections.abc import Sequence

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor

from edgenext_deploy.export.graph.builder import GraphBuilder
from edgenext_deploy.export.lowering.ops import Op


class Pad(Op):
    """Zero padding of height and width as a separate node."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H + 2p, W + 2p]`."""
        return F.pad(x, [self.padding] * 4)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Pad without a value input: zero is the default, and 8.x reads an explicit value as FP32 whatever its type."""
        pads = graph.constant(f"{name}.pads", [0, 0, self.padding, self.padding] * 2)
        return graph.node("Pad", [*inputs, pads], name, mode="constant")


class Split(Op):
    """Cut one axis into parts of given sizes."""

    def __init__(self, sizes: Sequence[int], axis: int = 1) -> None:
        super().__init__()
        self.sizes, self.axis = list(sizes), axis

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the parts in order."""
        parts: tuple[Tensor, ...] = x.split(self.sizes, self.axis)
        return parts

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> tuple[str, ...]:
        """Split with its sizes as a constant input (opset 13)."""
        sizes = graph.constant(f"{name}.sizes", self.sizes)
        outputs = [f"{name}.{index}" for index in range(len(self.sizes))]
        return graph.node_with_outputs("Split", [*inputs, sizes], name, outputs, axis=self.axis)


class Slice(Op):
    """One axis of length `length` without its first `start` elements."""

    def __init__(self, start: int, length: int, axis: int) -> None:
        super().__init__()
        self.start, self.length, self.axis = start, length, axis

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to a tensor that is shorter by `start` along the axis."""
        return x.narrow(self.axis, self.start, self.length - self.start)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Slice with every bound as a constant input."""
        bounds = [graph.constant(f"{name}.{label}", [value]) for label, value in (
            ("starts", self.start), ("ends", self.length), ("axes", self.axis), ("steps", 1))]
        return graph.node("Slice", [*inputs, *bounds], name)


class Concat(Op):
    """Join along one axis, the channels by default."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *parts: Tensor) -> Tensor:
        """Map tensors that differ only in that axis, such as `[B, C_i, H, W]`, to `[B, sum C_i, H, W]`."""
        return torch.cat(parts, self.axis)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Concat."""
        return graph.node("Concat", list(inputs), name, axis=self.axis)


class Reshape(Op):
    """Reshape to a fixed shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = list(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the fixed shape."""
        return x.reshape(self.shape)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Reshape with its shape as a constant input."""
        return graph.node("Reshape", [*inputs, graph.constant(f"{name}.shape", self.shape)], name)


class Transpose(Op):
    """Permute the axes."""

    def __init__(self, *permutation: int) -> None:
        super().__init__()
        self.permutation = list(permutation)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the permuted tensor."""
        return x.permute(self.permutation)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Transpose."""
        return graph.node("Transpose", list(inputs), name, perm=self.permutation)


class GlobalMean(Op):
    """Mean over height and width, keeping both as 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, 1, 1]`."""
        return x.mean((2, 3), keepdim=True)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """GlobalAveragePool."""
        return graph.node("GlobalAveragePool", list(inputs), name)


class SumLast(Op):
    """Sum over the last axis, keeping it as 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., N]` to `[..., 1]`."""
        return x.sum(-1, keepdim=True)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """ReduceSum, whose axes are an input from opset 13 on."""
        return graph.node("ReduceSum", [*inputs, graph.constant(f"{name}.axes", [-1])], name, keepdims=1)


class ResizeBilinear(Op):
    """Bilinear resize of a map to a fixed size, as torch does it with ``align_corners=False``."""

    def __init__(self, batch: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = [batch, channels, height, width]

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H', W']` to `[B, C, H, W]`."""
        return F.interpolate(x, size=self.shape[2:], mode="bilinear", align_corners=False)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Resize to constant sizes: a scale such as 512 / 33 is no exact float32, and might give 511 rows."""
        sizes = graph.constant(f"{name}.sizes", self.shape)
        return graph.node(
            "Resize", [*inputs, "", "", sizes], name, mode="linear", coordinate_transformation_mode="half_pixel")


class ArgMax(Op):
    """Index of the largest channel, the first of equal ones, as int32."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to int32 `[B, H, W]`."""
        return x.argmax(1).int()

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """ArgMax gives int64 by the standard and int32 in TensorRT; the Cast makes it int32 for both."""
        index = graph.node("ArgMax", list(inputs), f"{name}/index", axis=1, keepdims=0)
        return graph.node("Cast", [index], name, to=onnx.TensorProto.INT32)
