"""Operators on every element by itself: activations, and sums, differences and products."""
import contextlib

import onnx
import torch.nn.functional as F
from torch import Tensor

from edgenext_deploy.export.graph.builder import GraphBuilder
from edgenext_deploy.export.lowering.ops import Op


class _OneNode(Op):
    """An operator that is one ONNX node, `op_type`; `fp32` gives the reason to keep it out of FP16."""

    op_type = ""

    def __init__(self, fp32: str | None = None) -> None:
        super().__init__()
        self.fp32 = fp32

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """The node, in an FP32 island if there is a reason."""
        with graph.fp32(self.fp32) if self.fp32 else contextlib.nullcontext():
            return graph.node(self.op_type, list(inputs), name)


class _WithConstant(_OneNode):
    """The same with a constant, an initializer that broadcasts, as its second operand."""

    value: Tensor

    def __init__(self, value: Tensor, fp32: str | None = None) -> None:
        super().__init__(fp32)
        self.register_buffer("value", value)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """The node and its initializer."""
        return super().emit(graph, name, *inputs, self.constant(graph, name, "value"))


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


class Relu(_OneNode):
    """max(x, 0)."""

    op_type = "Relu"

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return F.relu(x)


class Sigmoid(_OneNode):
    """1 / (1 + exp(-x))."""

    op_type = "Sigmoid"

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x.sigmoid()


class ToFloat(Op):
    """Whole numbers, such as pixels, as floating-point numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """Map uint8 `x` to float32, and floating-point `x` to itself."""
        return x if x.is_floating_point() else x.float()

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Cast, the one operator that TensorRT allows behind a uint8 input."""
        return graph.node("Cast", list(inputs), name, to=onnx.TensorProto.FLOAT)


class Exp(_OneNode):
    """Exponential."""

    op_type = "Exp"

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x.exp()


class Add(_OneNode):
    """Sum of two activations."""

    op_type = "Add"

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map two tensors of one shape, or that broadcast, to their sum."""
        return a + b


class Subtract(_OneNode):
    """Difference of two activations."""

    op_type = "Sub"

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map two tensors of one shape to their difference."""
        return a - b


class Multiply(_OneNode):
    """Product of two activations."""

    op_type = "Mul"

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map two tensors of one shape, or that broadcast, to their product."""
        return a * b


class Divide(_OneNode):
    """Quotient of two activations."""

    op_type = "Div"

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Map two tensors of one shape, or that broadcast, to their quotient."""
        return a / b


class AddConstant(_WithConstant):
    """Sum with a constant."""

    op_type = "Add"

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x + self.value


class MultiplyConstant(_WithConstant):
    """Product with a constant."""

    op_type = "Mul"

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        return x * self.value
