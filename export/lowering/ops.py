"""The operators a lowered module is made of. Each is defined twice: in torch and in ONNX.

A lowered module is a tree of these, traced with torch.fx, so its graph holds nothing that is not written here, in
elementwise_ops.py or in shape_ops.py. `forward` is the meaning, for any floating dtype, so that rules can be proved in
FP64. `emit` writes the form that the target's parser reads right at the builder's opset.
tests/export/lowering/test_ops.py compares the two.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgenext_deploy.export.graph.builder import GraphBuilder
from edgenext_deploy.export.graph.fp32_reasons import LAYER_NORM, SOFTMAX


class Op(nn.Module):
    """One operator; its path in the lowered module becomes the name of its ONNX node."""

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str | tuple[str, ...]:
        """Add this operator's nodes to the graph and return the names of its outputs."""
        raise NotImplementedError

    def constant(self, graph: GraphBuilder, name: str, buffer: str) -> str:
        """Add the buffer of that name as an initializer called ``name.buffer``."""
        return graph.constant(f"{name}.{buffer}", getattr(self, buffer).detach().cpu().numpy())


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
    """Layer normalisation over the channels, or over all of an image.

    Args:
        axes: (1,) for the channels of `[B, C, H, W]`, (1, 2, 3) for all of an image, (-1,) for tokens `[M, C]`.
        eps: added to the variance.
        weight: scale per channel `[C]`; ones where the affine was folded away.
        bias: shift per channel `[C]`, or None.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, axes: tuple[int, ...], eps: float, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        if axes not in ((1,), (-1,), (1, 2, 3)):
            raise ValueError(f"axes (1,) or (1, 2, 3) of a map or (-1,) of tokens expected, {axes} found")
        self.axes, self.eps = axes, eps
        shape = (-1,) if axes == (-1,) else (-1, 1, 1)
        self.register_buffer("weight", weight.reshape(shape))
        self.register_buffer("bias", None if bias is None else bias.reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        centred = x - x.mean(self.axes, keepdim=True)
        y = centred / torch.sqrt((centred * centred).mean(self.axes, keepdim=True) + self.eps) * self.weight
        return y if self.bias is None else y + self.bias

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """LayerNormalization where the opset has it and the axis is the last; primitives elsewhere."""
        with graph.fp32(LAYER_NORM):
            return self._emit(graph, name, inputs[0])

    def _emit(self, graph: GraphBuilder, name: str, x: str) -> str:
        if graph.opset >= 17 and self.axes == (-1,):
            parameters = [self.constant(graph, name, "weight")]
            if self.bias is not None:
                parameters.append(self.constant(graph, name, "bias"))
            return graph.node("LayerNormalization", [x, *parameters], name, axis=-1, epsilon=self.eps)
        mean = _reduce(graph, "ReduceMean", x, f"{name}/mean", self.axes)
        centred = graph.node("Sub", [x, mean], f"{name}/centre")
        square = graph.node("Mul", [centred, centred], f"{name}/square")
        variance = _reduce(graph, "ReduceMean", square, f"{name}/variance", self.axes)
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


def _reduce(graph: GraphBuilder, op_type: str, x: str, name: str, axes: tuple[int, ...]) -> str:
    """Write a reduction the way the opset has it: `axes` became an input at opset 18.

    Parsers before TensorRT 10.0 ignore that input and reduce over every axis, with no error.
    """
    if graph.opset >= 18:
        return graph.node(op_type, [x, graph.constant(f"{name}.axes", list(axes))], name, keepdims=1)
    return graph.node(op_type, [x], name, axes=list(axes), keepdims=1)


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
        with graph.fp32(SOFTMAX):
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
