"""The operators a lowered module is made of. Each says twice what it is: in torch and in ONNX.

A lowered module is a tree of these, traced with torch.fx, so its graph holds nothing that is not written
here. `forward` is the meaning (any floating dtype, so that rules can be proved in FP64), `emit` the form
that the target's parser reads right at the builder's opset. tests/export/test_ops.py runs both.
"""
import contextlib
from collections.abc import Sequence

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgenext_deploy.export.graph import GraphBuilder


class Op(nn.Module):
    """One operator; its path in the lowered module becomes the name of its ONNX node."""

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str | tuple[str, ...]:
        """Add this operator's nodes to the graph and return the names of its outputs."""
        raise NotImplementedError

    def constant(self, graph: GraphBuilder, name: str, buffer: str) -> str:
        """Add the buffer of that name as an initializer called ``name.buffer``."""
        return graph.constant(f"{name}.{buffer}", getattr(self, buffer).detach().cpu().numpy())


def _island(graph: GraphBuilder, reason: str | None) -> contextlib.AbstractContextManager[None]:
    return graph.fp32(reason) if reason else contextlib.nullcontext()


class Conv(Op):
    """2-D convolution with bias; zero padding on all four sides."""

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self, weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0, dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C', H', W']`."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Conv with every attribute spelled out."""
        parameters = [self.constant(graph, name, "weight")]
        if self.bias is not None:
            parameters.append(self.constant(graph, name, "bias"))
        return graph.node(
            "Conv", [*inputs, *parameters], name, kernel_shape=list(self.weight.shape[2:]),
            strides=[self.stride] * 2, pads=[self.padding] * 4, dilations=[self.dilation] * 2, group=self.groups)


class Pad(Op):
    """Zero padding of height and width as a node of its own."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H + 2p, W + 2p]`."""
        return F.pad(x, [self.padding] * 4)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Pad without a value input: its default is zero, and 8.x reads a given one as FP32 whatever its type."""
        pads = graph.constant(f"{name}.pads", [0, 0, self.padding, self.padding] * 2)
        return graph.node("Pad", [*inputs, pads], name, mode="constant")


class Gemm(Op):
    """Linear layer on `[M, C]` as one Gemm, its bias included."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[M, C]` to `[M, C']`."""
        return F.linear(x, self.weight, self.bias)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Gemm with the weight as torch has it."""
        return graph.node(
            "Gemm", [*inputs, self.constant(graph, name, "weight"), self.constant(graph, name, "bias")], name,
            transB=1)


class Normalise(Op):
    """Layer normalisation over one axis.

    Args:
        axis: 1 for `[B, C, H, W]`, -1 for tokens `[M, C]`.
        eps: added to the variance.
        weight: scale per channel `[C]`; ones where the affine was folded away.
        bias: shift per channel `[C]`, or None.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, axis: int, eps: float, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        if axis not in (1, -1):
            raise ValueError(f"axis 1 of a map or -1 of tokens expected, {axis} found")
        self.axis, self.eps = axis, eps
        shape = (-1, 1, 1) if axis == 1 else (-1,)
        self.register_buffer("weight", weight.reshape(shape))
        self.register_buffer("bias", None if bias is None else bias.reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        centred = x - x.mean(self.axis, keepdim=True)
        y = centred / torch.sqrt((centred * centred).mean(self.axis, keepdim=True) + self.eps) * self.weight
        return y if self.bias is None else y + self.bias

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """LayerNormalization where the opset has it and the axis is the last; primitives elsewhere."""
        with graph.fp32("LayerNorm statistics: squares overflow beyond a deviation of 255"):
            return self._emit(graph, name, inputs[0])

    def _emit(self, graph: GraphBuilder, name: str, x: str) -> str:
        if graph.opset >= 17 and self.axis == -1:
            parameters = [self.constant(graph, name, "weight")]
            if self.bias is not None:
                parameters.append(self.constant(graph, name, "bias"))
            return graph.node("LayerNormalization", [x, *parameters], name, axis=-1, epsilon=self.eps)
        mean = _reduce(graph, "ReduceMean", x, f"{name}/mean", self.axis)
        centred = graph.node("Sub", [x, mean], f"{name}/centre")
        square = graph.node("Mul", [centred, centred], f"{name}/square")
        variance = _reduce(graph, "ReduceMean", square, f"{name}/variance", self.axis)
        biased = graph.node("Add", [variance, graph.constant(f"{name}.eps", self.eps)], f"{name}/add_eps")
        deviation = graph.node("Sqrt", [biased], f"{name}/deviation")
        steps = [("Div", [centred, deviation], "divide")]
        if not torch.equal(self.weight, torch.ones_like(self.weight)):
            steps.append(("Mul", ["", self.constant(graph, name, "weight")], "weight"))
        if self.bias is not None:
            steps.append(("Add", ["", self.constant(graph, name, "bias")], "bias"))
        y = ""
        for op_type, operands, label in steps:
            last = label == steps[-1][2]
            y = graph.node(op_type, [operand or y for operand in operands], name if last else f"{name}/{label}")
        return y


class L2Normalise(Op):
    """Divide `[B, heads, d, N]` by the L2 norm over N, kept at least `eps` (torch's F.normalize)."""

    eps = 1e-12

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, heads, d, N]` to the same shape."""
        return F.normalize(x, dim=-1, eps=self.eps)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Mul, ReduceSum, Sqrt, Max, Div: one layer each, so that a builder can pin every one by its name.

        ReduceL2 becomes three layers in the parser, of which only one has the node's name. LpNormalization
        has no eps, and 8.2 replaces a zero norm by one.
        """
        with graph.fp32("L2 norm over tokens: the sum of squares overflows, and 1e-12 is zero in FP16"):
            square = graph.node("Mul", [inputs[0], inputs[0]], f"{name}/square")
            axes = graph.constant(f"{name}/sum.axes", [3])
            total = graph.node("ReduceSum", [square, axes], f"{name}/sum", keepdims=1)
            norm = graph.node("Sqrt", [total], f"{name}/norm")
            floor = graph.node("Max", [norm, graph.constant(f"{name}.eps", self.eps)], f"{name}/floor")
            return graph.node("Div", [inputs[0], floor], name)


def _reduce(graph: GraphBuilder, op_type: str, x: str, name: str, axis: int) -> str:
    """Write a reduction the way the opset has it: `axes` became an input at opset 18.

    Parsers before TensorRT 10.0 ignore that input and reduce over every axis, with no error.
    """
    if graph.opset >= 18:
        return graph.node(op_type, [x, graph.constant(f"{name}.axes", [axis])], name, keepdims=1)
    return graph.node(op_type, [x], name, axes=[axis], keepdims=1)


class Gelu(Op):
    """GELU with the exact error function."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return F.gelu(x)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Gelu from opset 20; before, x/2 · (1 + erf(x/√2)), which parsers fuse into one kernel."""
        if graph.opset >= 20:
            return graph.node("Gelu", list(inputs), name)
        scaled = graph.node("Div", [inputs[0], graph.constant(f"{name}.sqrt2", 2.0**0.5)], f"{name}/scale")
        erf = graph.node("Erf", [scaled], f"{name}/erf")
        shifted = graph.node("Add", [erf, graph.constant(f"{name}.one", 1.0)], f"{name}/shift")
        product = graph.node("Mul", [inputs[0], shifted], f"{name}/product")
        return graph.node("Mul", [product, graph.constant(f"{name}.half", 0.5)], name)


class HardSwish(Op):
    """x · clip(x/6 + 1/2, 0, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return F.hardswish(x)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """HardSwish from opset 14 (TensorRT 8.4); before, HardSigmoid times x."""
        if graph.opset >= 14:
            return graph.node("HardSwish", list(inputs), name)
        gate = graph.node("HardSigmoid", list(inputs), f"{name}/gate", alpha=1 / 6, beta=0.5)
        return graph.node("Mul", [inputs[0], gate], name)


class Silu(Op):
    """x · sigmoid(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return F.silu(x)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Sigmoid, then Mul."""
        gate = graph.node("Sigmoid", list(inputs), f"{name}/gate")
        return graph.node("Mul", [inputs[0], gate], name)


class Relu(Op):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return F.relu(x)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Relu."""
        return graph.node("Relu", list(inputs), name)


class Exp(Op):
    """Exponential; `fp32` gives the reason to keep it out of FP16."""

    def __init__(self, fp32: str) -> None:
        super().__init__()
        self.fp32 = fp32

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x.exp()

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Exp."""
        with graph.fp32(self.fp32):
            return graph.node("Exp", list(inputs), name)


class Softmax(Op):
    """Softmax over one axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x.softmax(self.axis)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Softmax with its axis written out: the default changed at opset 13."""
        with graph.fp32("softmax: exponentials and their sum"):
            return graph.node("Softmax", list(inputs), name, axis=self.axis)


class MatMul(Op):
    """Batched matrix product of two activations."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map `[..., I, K]` and `[..., K, J]` to `[..., I, J]`."""
        return a @ b

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """MatMul."""
        return graph.node("MatMul", list(inputs), name)


class MatMulConstant(Op):
    """Matrix product with a constant, on the right (``x @ c``) or on the left (``c @ x``)."""

    matrix: Tensor

    def __init__(self, matrix: Tensor, left: bool) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.left = left

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., I, K]` to `[..., I, J]`, or `[..., K, J]` to `[..., I, J]` on the left."""
        return self.matrix @ x if self.left else x @ self.matrix

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """MatMul with an initializer."""
        matrix = self.constant(graph, name, "matrix")
        return graph.node("MatMul", [matrix, *inputs] if self.left else [*inputs, matrix], name)


class Add(Op):
    """Sum of two activations; `fp32` gives the reason to keep it out of FP16."""

    def __init__(self, fp32: str | None = None) -> None:
        super().__init__()
        self.fp32 = fp32

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map two tensors of one shape, or that broadcast, to their sum."""
        return a + b

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Add."""
        with _island(graph, self.fp32):
            return graph.node("Add", list(inputs), name)


class Subtract(Op):
    """Difference of two activations; `fp32` gives the reason to keep it out of FP16."""

    def __init__(self, fp32: str | None = None) -> None:
        super().__init__()
        self.fp32 = fp32

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map two tensors of one shape to their difference."""
        return a - b

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Sub."""
        with _island(graph, self.fp32):
            return graph.node("Sub", list(inputs), name)


class AddConstant(Op):
    """Sum with a constant that broadcasts; `fp32` gives the reason to keep it out of FP16."""

    value: Tensor

    def __init__(self, value: Tensor, fp32: str | None = None) -> None:
        super().__init__()
        self.register_buffer("value", value)
        self.fp32 = fp32

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x + self.value

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Add with an initializer."""
        with _island(graph, self.fp32):
            return graph.node("Add", [*inputs, self.constant(graph, name, "value")], name)


class MultiplyConstant(Op):
    """Product with a constant that broadcasts; `fp32` gives the reason to keep it out of FP16."""

    value: Tensor

    def __init__(self, value: Tensor, fp32: str | None = None) -> None:
        super().__init__()
        self.register_buffer("value", value)
        self.fp32 = fp32

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x * self.value

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Mul with an initializer."""
        with _island(graph, self.fp32):
            return graph.node("Mul", [*inputs, self.constant(graph, name, "value")], name)


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
    """What comes after the first `start` elements of one axis of length `length`."""

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
        """Map tensors that are alike but for that axis, such as `[B, C_i, H, W]`, to `[B, sum C_i, H, W]`."""
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
