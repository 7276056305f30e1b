"""Norms: layer normalisation over channels and the L2 norm over tokens, each in several forms that compute the same.

The scaled forms compute in FP16 without FP32 islands. Their values are multiplied by a power of two first, so that
squares and sums neither overflow nor vanish. `scales.set_scales` finds the powers. In real numbers the results are the
same.
"""
import contextlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edgenext_deploy.export.graph.builder import GraphBuilder
from edgenext_deploy.export.graph.fp32_reasons import LAYER_NORM
from edgenext_deploy.export.lowering.ops import Conv, Op
from edgenext_deploy.export.lowering.scales import Scaled

FORMS = ("layernorm", "primitives", "onepass", "instance")
_L2 = "L2 norm over tokens: the sum of squares overflows, and 1e-12 is zero in FP16"
_FP16_MAX = 65504.0
# How many times larger than on the inputs of `set_scales` activations may be before a sum overflows.
MARGIN = 4.0
# Variances and norms below these vanish in FP16, whatever is done: its smallest positive number, and its smallest
# normal one, whose reciprocal it holds.
_LEAST_VARIANCE = 2.0**-24
_LEAST_NORM = 2.0**-14


class Normalise(Op):
    """Layer normalisation over the channels, or over all of an image.

    Args:
        axes: (1,) for the channels of `[B, C, H, W]` or `[B, C, N]`, (1, 2, 3) for all of an image, (-1,) for tokens
            `[M, C]`.
        eps: added to the variance.
        weight: scale per channel `[C]`; ones where the affine was folded away.
        bias: shift per channel `[C]`, or None.
        form: one of `FORMS`, see `formulations.AXES`; forms for the last axis become primitives elsewhere.
        spatial: axes behind the channels: 2 in `[B, C, H, W]`, 1 in `[B, C, N]`.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self, axes: tuple[int, ...], eps: float, weight: Tensor, bias: Tensor | None = None, form: str = "layernorm",
        spatial: int = 2,
    ) -> None:
        super().__init__()
        if axes not in ((1,), (-1,), (1, 2, 3)):
            raise ValueError(f"axes (1,) or (1, 2, 3) of a map or (-1,) of tokens expected, {axes} found")
        if form not in FORMS:
            raise ValueError(f"form {form!r} found, one of {', '.join(FORMS)} expected")
        self.axes, self.eps, self.form = axes, eps, form
        shape = (-1,) if axes == (-1,) else (-1, *[1] * spatial)
        self.register_buffer("weight", weight.reshape(shape))
        self.register_buffer("bias", None if bias is None else bias.reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        mean = x.mean(self.axes, keepdim=True)
        if self.form == "onepass":
            variance = ((x * x).mean(self.axes, keepdim=True) - mean * mean).clamp(min=0)
        else:
            variance = (x - mean).square().mean(self.axes, keepdim=True)
        y = (x - mean) / torch.sqrt(variance + self.eps) * self.weight
        return y if self.bias is None else y + self.bias

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """The form's own operator where the axis is the last and the opset has it; primitives elsewhere.

        An instance is a token, so its operator has no scale per channel: with an affine LayerNormalization is one node
        in place of three.
        """
        with graph.fp32(LAYER_NORM):
            whole = self.form == "layernorm" or (self.form == "instance" and self._has_affine())
            if self.axes == (-1,) and whole and graph.opset >= 17:
                parameters = [self.constant(graph, name, "weight")]
                if self.bias is not None:
                    parameters.append(self.constant(graph, name, "bias"))
                return graph.node("LayerNormalization", [inputs[0], *parameters], name, axis=-1, epsilon=self.eps)
            if self.axes == (-1,) and self.form == "instance":
                return self._emit_instances(graph, name, inputs[0])
            return self._emit_primitives(graph, name, inputs[0])

    def _emit_instances(self, graph: GraphBuilder, name: str, x: str) -> str:
        """`[M, C]` as M images of one channel and C pixels."""
        shape = graph.constant(f"{name}/instances.shape", [0, 1, -1])
        apart = graph.node("Reshape", [x, shape], f"{name}/instances")
        y = graph.node("InstanceNormalization", [
            apart, graph.constant(f"{name}.scale", [1.0]), graph.constant(f"{name}.shift", [0.0])],
            f"{name}/normalise", epsilon=self.eps)
        back = graph.constant(f"{name}/tokens.shape", [0, -1])
        return _chain(graph, name, [("Reshape", [y, back], "tokens"), *self._affine_steps(graph, name)])

    def _emit_primitives(self, graph: GraphBuilder, name: str, x: str) -> str:
        if self.form == "onepass":
            mean = reduce_over(graph, "ReduceMean", x, f"{name}/mean", self.axes)
            square = graph.node("Mul", [x, x], f"{name}/square")
            moment = reduce_over(graph, "ReduceMean", square, f"{name}/moment", self.axes)
            mean_square = graph.node("Mul", [mean, mean], f"{name}/mean_square")
            difference = graph.node("Sub", [moment, mean_square], f"{name}/difference")
            variance = graph.node("Relu", [difference], f"{name}/variance")  # rounding may leave it below zero
            centred = graph.node("Sub", [x, mean], f"{name}/centre")
        else:
            centred, variance = _centred_and_variance(graph, name, x, self.axes)
        return self._divide(graph, name, centred, variance, self.eps)

    def _divide(self, graph: GraphBuilder, name: str, centred: str, variance: str, eps: float, least: float = 0.0,
                ) -> str:
        """Divide by the root of the variance, kept at least `least`, and apply the affine."""
        deviation = graph.node("Sqrt", [_biased(graph, name, variance, eps, least)], f"{name}/deviation")
        return _chain(graph, name, [("Div", [centred, deviation], "divide"), *self._affine_steps(graph, name)])

    def _has_scale(self) -> bool:
        return not torch.equal(self.weight, torch.ones_like(self.weight))

    def _has_affine(self) -> bool:
        return self.bias is not None or self._has_scale()

    def _affine_steps(self, graph: GraphBuilder, name: str) -> "list[tuple[str, list[str], str]]":
        steps = []
        if self._has_scale():
            steps.append(("Mul", ["", self.constant(graph, name, "weight")], "weight"))
        if self.bias is not None:
            steps.append(("Add", ["", self.constant(graph, name, "bias")], "bias"))
        return steps


class ScaledNormalise(Normalise):
    """The same in FP16: the input times `scale`, eps times its square.

    Attributes:
        scale: what multiplies the input here.
        taken: by what the input has been multiplied before.
    """

    scale = 1.0
    taken = 1.0

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Primitives. The scale stands before the mean, whose sum would overflow too."""
        centred, variance = _centred_and_variance(graph, name, inputs[0], self.axes, self.scale)
        eps = self.eps * (self.scale * self.taken)**2
        return self._divide(graph, name, centred, variance, eps, _LEAST_VARIANCE if eps < _LEAST_VARIANCE else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` to the same shape."""
        x = x * self.scale
        centred = x - x.mean(self.axes, keepdim=True)
        variance = centred.square().mean(self.axes, keepdim=True) + self.eps * (self.scale * self.taken)**2
        y = centred / variance.clamp(min=_LEAST_VARIANCE).sqrt() * self.weight
        return y if self.bias is None else y + self.bias


class Deviation(Op):
    """Root of the variance over the channels of a map, with eps added: what a norm divides by.

    Args:
        eps: added to the variance.
        fp16: no FP32 island; `scale` and `taken` are as in `ScaledNormalise`, and multiply the result.
    """

    axes = (1,)
    scale = 1.0
    taken = 1.0

    def __init__(self, eps: float, fp16: bool = False) -> None:
        super().__init__()
        self.eps, self.fp16 = eps, fp16

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, 1, H, W]`."""
        x = x * self.scale
        variance = (x - x.mean(1, keepdim=True)).square().mean(1, keepdim=True)
        variance = variance + self.eps * (self.scale * self.taken)**2
        return (variance.clamp(min=_LEAST_VARIANCE) if self.fp16 else variance).sqrt()

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Primitives, as in `Normalise` and `ScaledNormalise`."""
        with contextlib.nullcontext() if self.fp16 else graph.fp32(LAYER_NORM):
            _, variance = _centred_and_variance(graph, name, inputs[0], self.axes, self.scale)
            eps = self.eps * (self.scale * self.taken)**2
            least = _LEAST_VARIANCE if self.fp16 and eps < _LEAST_VARIANCE else 0.0
            return graph.node("Sqrt", [_biased(graph, name, variance, eps, least)], name)


class NormScaling(Scaled):
    """Finds the scale of a `ScaledNormalise`, or of a `Deviation` in FP16.

    Attributes:
        source: a convolution whose output only this norm takes, and which therefore takes the scale; None for none.
    """

    source: Conv | None = None

    def __init__(self, norm: "ScaledNormalise | Deviation") -> None:
        self.watched: ScaledNormalise | Deviation = norm

    def measure(self, x: Tensor) -> Tensor:
        """Return the largest sum of magnitudes and the root of the largest sum of squared deviations, `[2]`."""
        axes = self.watched.axes
        squares = (x - x.mean(axes, keepdim=True)).square().sum(axes)
        return torch.stack((x.abs().sum(axes).max(), squares.max().sqrt()))

    def apply(self, largest: Tensor) -> None:
        """Choose the power of two with which neither sum overflows, with a margin."""
        scale = min(_power_of_two(_FP16_MAX, float(largest[0])), _power_of_two(_FP16_MAX**0.5, float(largest[1])))
        if self.source is None:
            self.watched.scale = scale
            return
        self.watched.taken = scale
        self.source.weight = self.source.weight * scale
        self.source.bias = None if self.source.bias is None else self.source.bias * scale


class L2Normalise(Op):
    """Divide `[B, heads, d, N]` by the L2 norm over N, kept at least `eps` (torch's F.normalize).

    With `fp16` there is no FP32 island: what comes in has been scaled, and the least norm is what FP16 can divide by.
    """

    def __init__(self, fp16: bool = False) -> None:
        super().__init__()
        self.fp16, self.eps = fp16, _LEAST_NORM if fp16 else 1e-12

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, heads, d, N]` to the same shape."""
        return F.normalize(x, dim=-1, eps=self.eps)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Mul, ReduceSum, Sqrt, Max, Div: one layer each, so that a builder can pin every one by its name.

        ReduceL2 becomes three layers in the parser, of which only one has the node's name. LpNormalization
        has no eps, and 8.2 replaces a zero norm by one.
        """
        with contextlib.nullcontext() if self.fp16 else graph.fp32(_L2):
            return graph.node("Div", [inputs[0], _norm(graph, name, inputs[0], self.eps)], name)


class InverseNorm(Op):
    """From `[B, heads, d, N]` to `factor` by its L2 norm over N, `[B, heads, d, 1]`; `factor` is `[heads, 1, 1]`.

    `fp16` and the least norm are as in `L2Normalise`.
    """

    factor: Tensor

    def __init__(self, factor: Tensor, fp16: bool = False) -> None:
        super().__init__()
        self.register_buffer("factor", factor)
        self.fp16, self.eps = fp16, _LEAST_NORM if fp16 else 1e-12

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, heads, d, N]` to `[B, heads, d, 1]`."""
        return self.factor / x.square().sum(-1, keepdim=True).sqrt().clamp(min=self.eps)

    def emit(self, graph: GraphBuilder, name: str, *inputs: str) -> str:
        """Mul, ReduceSum, Sqrt, Max, Div; see `L2Normalise`."""
        with contextlib.nullcontext() if self.fp16 else graph.fp32(_L2):
            return graph.node("Div", [self.constant(graph, name, "factor"), _norm(graph, name, inputs[0], self.eps)],
                              name)


def row_scale(largest: Tensor) -> Tensor:
    """Return for rows with these largest norms the powers of two with which no sum of squares overflows in FP16."""
    return torch.tensor([_power_of_two(_FP16_MAX**0.5, float(norm)) for norm in largest], dtype=largest.dtype)


def reduce_over(graph: GraphBuilder, op_type: str, x: str, name: str, axes: tuple[int, ...]) -> str:
    """Write a reduction the way the opset has it: `axes` became an input at opset 18.

    Parsers before TensorRT 10.0 ignore that input and reduce over every axis, with no error.
    """
    if graph.opset >= 18:
        return graph.node(op_type, [x, graph.constant(f"{name}.axes", list(axes))], name, keepdims=1)
    return graph.node(op_type, [x], name, axes=list(axes), keepdims=1)


def _centred_and_variance(
    graph: GraphBuilder, name: str, x: str, axes: tuple[int, ...], scale: float = 1.0
) -> tuple[str, str]:
    """Emit the scale, unless it is 1, the deviations from the mean, and their variance."""
    if scale != 1.0:
        x = graph.node("Mul", [x, graph.constant(f"{name}.scale", scale)], f"{name}/scale")
    mean = reduce_over(graph, "ReduceMean", x, f"{name}/mean", axes)
    centred = graph.node("Sub", [x, mean], f"{name}/centre")
    square = graph.node("Mul", [centred, centred], f"{name}/square")
    return centred, reduce_over(graph, "ReduceMean", square, f"{name}/variance", axes)


def _biased(graph: GraphBuilder, name: str, variance: str, eps: float, least: float) -> str:
    """Emit the variance with eps, kept at least `least` unless that is 0."""
    biased = graph.node("Add", [variance, graph.constant(f"{name}.eps", eps)], f"{name}/add_eps")
    if not least:
        return biased
    return graph.node("Max", [biased, graph.constant(f"{name}.least", least)], f"{name}/floor")


def _norm(graph: GraphBuilder, name: str, x: str, eps: float) -> str:
    square = graph.node("Mul", [x, x], f"{name}/square")
    axes = graph.constant(f"{name}/sum.axes", [3])
    total = graph.node("ReduceSum", [square, axes], f"{name}/sum", keepdims=1)
    norm = graph.node("Sqrt", [total], f"{name}/norm")
    return graph.node("Max", [norm, graph.constant(f"{name}.eps", eps)], f"{name}/floor")


def _chain(graph: GraphBuilder, name: str, steps: "list[tuple[str, list[str], str]]") -> str:
    """Emit operators, each on the one before (an empty operand); the last one has the plain name."""
    y = ""
    for op_type, operands, label in steps:
        last = label == steps[-1][2]
        y = graph.node(op_type, [operand or y for operand in operands], name if last else f"{name}/{label}")
    return y


def _power_of_two(limit: float, largest: float) -> float:
    """Return the largest power of two by which `largest` stays below the limit with a margin; 1 for zero."""
    return 2.0**math.floor(math.log2(limit / (MARGIN * largest))) if largest else 1.0
