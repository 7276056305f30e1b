"""Operators on every element by itself: activations, and sums, differences and products."""
import contextlib

import torch.nn.functional as F
from torch import Tensor

from edgenext_deploy.export.graph import GraphBuilder
from edgenext_deploy.export.lowering.ops import Op


def _island(graph: GraphBuilder, reason: str | None) -> contextlib.AbstractContextManager[None]:
    return graph.fp32(reason) if reason else contextlib.nullcontext()


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
