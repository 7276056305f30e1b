"""The operators a lowered module is made of. Each is defined twice: in torch and in ONNX.

A lowered module is a tree of these, traced with torch.fx, so its graph holds nothing that is not written here, in
norms.py, elementwise_ops.py or shape_ops.py. `forward` is the meaning, for any floating dtype, so that rules can be
proved in FP64. `emit` writes the form that the target's parser reads right at the builder's opset.
tests/export/lowering/test_ops.py compares the two.
"""
import contextlib

import torch.nn.functional as F
from torch import Tensor, nn

from edgenext_deploy.export.graph.builder import GraphBuilder
from edgenext_deploy.export.graph.fp32_reasons import SOFTMAX


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


class Softmax(Op):
    """Softmax over one axis, in an FP32 island unless `fp16`."""

    def __init__(self, axis: int, fp16: bool = False) -> None:
        super().__init__()
        self.axis, self.fp16 = axis, fp16

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x.softmax(self.axis)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Softmax with its axis written out: the default changed at opset 13."""
        with contextlib.nullcontext() if self.fp16 else graph.fp32(SOFTMAX):
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
