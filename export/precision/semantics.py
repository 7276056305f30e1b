"""What each ONNX operator of a graph computes, written once for every arithmetic.

Composite operators (LayerNormalization, InstanceNormalization, Gelu, Softmax) are spelled out step by step, so that in
FP16 their insides overflow and lose digits as their outputs do.
"""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from onnx import TensorProto
from torch import Tensor

from edgenext_deploy.export.precision import product_semantics as products
from edgenext_deploy.export.precision import shape_semantics as shapes
from edgenext_deploy.export.precision.arithmetic import Float32
from edgenext_deploy.export.precision.steps import Operands, Step, optional, refusal

Rule = Callable[[Float32, Step, Operands], Tensor | tuple[Tensor, ...]]


def evaluate(arithmetic: Float32, step: Step, operands: Operands) -> tuple[Tensor, ...]:
    """Return the outputs of a node whose floating operands have been rounded to its precision already.

    Args:
        arithmetic: that of the node.
        step: the node.
        operands: its inputs in order, floating point as float32, constants included.

    Raises:
        IncompatibleError: an operator or an attribute that the lowering never writes.
    """
    rule = RULES.get(step.op)
    if rule is None:
        raise refusal(step, f"operator {step.op}")
    try:
        result = rule(arithmetic, step, operands)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:  # torch's, about shapes or types
        raise refusal(step, f"this form of {step.op}") from error
    results = result if isinstance(result, tuple) else (result,)
    if any(step.outputs[len(results):]):
        raise refusal(step, f"another output of {step.op} than the first")
    return results


def _pad(a: Float32, step: Step, x: Operands) -> Tensor:
    fill, axes, rank = optional(step, x, 2), optional(step, x, 3), x[0].dim()
    value = 0.0 if fill is None else float(fill)
    if step.get("mode", b"constant") != b"constant" or min(x[1].tolist(), default=0) < 0:
        raise refusal(step, "padding with anything but one number")
    given = x[1].tolist()
    places = [axis % rank for axis in (range(rank) if axes is None else axes.tolist())]
    pads = [0] * (2 * rank)
    for place, axis in enumerate(places):
        pads[axis], pads[axis + rank] = given[place], given[place + len(places)]
    return F.pad(x[0], [side for axis in reversed(range(rank)) for side in (pads[axis], pads[axis + rank])],
                 value=value)


def _axes(step: Step, x: Operands) -> list[int]:
    """Return the axes of a reduction, an attribute or an input depending on the opset; none means all."""
    axes = x[1].tolist() if len(x) > 1 else step.get("axes")
    return list(axes) if axes else list(range(x[0].dim()))


def _reduce(a: Float32, step: Step, x: Operands) -> Tensor:
    axes = _axes(step, x)
    result = (a.mean if step.op == "ReduceMean" else a.sum)(x[0], axes)
    return result if step.get("keepdims", 1) else result.squeeze(axes)


def _global_average_pool(a: Float32, step: Step, x: Operands) -> Tensor:
    return a.mean(x[0], list(range(2, x[0].dim())))


def _layer_normalization(a: Float32, step: Step, x: Operands) -> Tensor:
    axes = list(range(step.get("axis", -1) % x[0].dim(), x[0].dim()))
    centred = a.round(x[0] - a.mean(x[0], axes))
    variance = a.mean(a.round(centred * centred), axes)
    deviation = a.round(a.round(variance + step.get("epsilon", 1e-5)).sqrt())
    y = a.round(a.round(centred / deviation) * x[1])
    return y if len(x) < 3 else a.round(y + x[2])


def _instance_normalization(a: Float32, step: Step, x: Operands) -> Tensor:
    axes = list(range(2, x[0].dim()))
    shape = [-1, *[1] * len(axes)]
    centred = a.round(x[0] - a.mean(x[0], axes))
    variance = a.mean(a.round(centred * centred), axes)
    deviation = a.round(a.round(variance + step.get("epsilon", 1e-5)).sqrt())
    return a.round(a.round(a.round(centred / deviation) * x[1].reshape(shape)) + x[2].reshape(shape))


def _softmax(a: Float32, step: Step, x: Operands) -> Tensor:
    axis = step.get("axis", -1)
    powers = a.round(a.round(x[0] - x[0].amax(axis, keepdim=True)).exp())
    return a.round(powers / a.sum(powers, [axis]))


def _gelu(a: Float32, step: Step, x: Operands) -> Tensor:
    if step.get("approximate", b"none") != b"none":
        raise refusal(step, "GELU with tanh")
    erf = a.round(torch.erf(a.round(x[0] * 0.5**0.5)))
    return a.round(a.round(x[0] * 0.5) * a.round(erf + 1))


def _hard_sigmoid(a: Float32, step: Step, x: Operands) -> Tensor:
    return a.round((x[0] * step.get("alpha", 0.2) + step.get("beta", 0.5)).clamp(0, 1))


def _hard_swish(a: Float32, step: Step, x: Operands) -> Tensor:
    return a.round(x[0] * a.round((x[0] / 6 + 0.5).clamp(0, 1)))


def _max(a: Float32, step: Step, x: Operands) -> Tensor:
    result = x[0]
    for other in x[1:]:
        result = torch.maximum(result, other)
    return result


def _min(a: Float32, step: Step, x: Operands) -> Tensor:
    result = x[0]
    for other in x[1:]:
        result = torch.minimum(result, other)
    return result


def _split(a: Float32, step: Step, x: Operands) -> tuple[Tensor, ...]:
    if len(x) < 2:
        raise refusal(step, "Split without sizes")
    parts: tuple[Tensor, ...] = x[0].split(x[1].tolist(), step.get("axis", 0))
    return parts


def _reshape(a: Float32, step: Step, x: Operands) -> Tensor:
    return x[0].reshape([x[0].shape[axis] if size == 0 else size for axis, size in enumerate(x[1].tolist())])


def _transpose(a: Float32, step: Step, x: Operands) -> Tensor:
    return x[0].permute(step.get("perm", list(reversed(range(x[0].dim())))))


def _slice(a: Float32, step: Step, x: Operands) -> Tensor:
    starts, ends, axes, steps = x[1].tolist(), x[2].tolist(), optional(step, x, 3), optional(step, x, 4)
    return shapes.sliced(x[0], starts, ends, list(range(len(starts))) if axes is None else axes.tolist(),
                         [1] * len(starts) if steps is None else steps.tolist())


def _clip(a: Float32, step: Step, x: Operands) -> Tensor:
    low, high = (None if bound is None else float(bound) for bound in (optional(step, x, 1), optional(step, x, 2)))
    return x[0] if low is None and high is None else x[0].clamp(low, high)


def _power(a: Float32, step: Step, x: Operands) -> Tensor:
    return a.round(x[0].pow(x[1]))


def _gather(a: Float32, step: Step, x: Operands) -> Tensor:
    return shapes.gather(x[0], x[1], step.get("axis", 0))


def _expand(a: Float32, step: Step, x: Operands) -> Tensor:
    return x[0].expand(torch.broadcast_shapes(x[0].shape, torch.Size(x[1].tolist())))


def _max_pool(a: Float32, step: Step, x: Operands) -> Tensor:
    return shapes.max_pool(x[0], *_window(step, x[0]), bool(step.get("ceil_mode", 0)))


def _average_pool(a: Float32, step: Step, x: Operands) -> Tensor:
    if step.get("ceil_mode", 0):
        raise refusal(step, "AveragePool with ceil_mode")
    parts = shapes.windows(x[0], *_window(step, x[0]), bool(step.get("count_include_pad", 0)))
    return a.sum(parts, [-2, -1]).squeeze(-1).squeeze(-1)


def _window(step: Step, x: Tensor) -> tuple[list[int], list[int], list[int]]:
    """Return kernel, strides and pads of a 2-D pool."""
    if x.dim() != 4 or step.get("auto_pad", b"NOTSET") != b"NOTSET" or set(step.get("dilations", [1])) != {1}:
        raise refusal(step, "a pool other than 2-D, dense and with written-out padding")
    return step.get("kernel_shape"), step.get("strides", [1, 1]), step.get("pads", [0] * 4)


def _batch_normalization(a: Float32, step: Step, x: Operands) -> Tensor:
    shape = [-1, *[1] * (x[0].dim() - 2)]
    scale, bias, mean, variance = (value.reshape(shape) for value in x[1:5])
    factor = a.round(scale / (variance + step.get("epsilon", 1e-5)).sqrt())
    return a.round(a.round((x[0] - mean) * factor) + bias)


def _softplus(a: Float32, step: Step, x: Operands) -> Tensor:
    return a.round(a.round(a.round(x[0].exp()) + 1).log())


def _p_relu(a: Float32, step: Step, x: Operands) -> Tensor:
    return torch.where(x[0] < 0, a.round(x[0] * x[1]), x[0])


def _resize(a: Float32, step: Step, x: Operands) -> Tensor:
    coordinates = step.get("coordinate_transformation_mode", b"half_pixel").decode()
    mode = step.get("mode", b"nearest").decode()
    sizes = optional(step, x, 3)
    given = [] if sizes is None else sizes.tolist()
    if x[0].dim() != 4 or given[:2] != list(x[0].shape[:2]) or len(given) != 4 or step.get("antialias", 0):
        raise refusal(step, "a Resize of other than the sides of a map, to given sizes")
    size = given[2:]
    if coordinates == "pytorch_half_pixel" and min(size) > 1:
        coordinates = "half_pixel"
    if mode == "linear" and coordinates in ("half_pixel", "align_corners"):
        return a.round(F.interpolate(x[0], size=size, mode="bilinear", align_corners=coordinates == "align_corners"))
    if mode == "nearest":
        place = shapes.NEAREST.get((coordinates, step.get("nearest_mode", b"round_prefer_floor").decode()))
        if place is not None:
            return shapes.nearest(x[0], size, place)
    raise refusal(step, f"a Resize that is {mode} with {coordinates} coordinates")


def _product(a: Float32, step: Step, x: Operands) -> Tensor:
    axes = sorted(axis % x[0].dim() for axis in _axes(step, x))
    result = x[0].movedim(axes, list(range(len(axes)))).flatten(0, len(axes) - 1)
    total = result[0]
    for term in result[1:]:
        total = a.round(total * term)
    return shapes.unsqueeze(total, axes) if step.get("keepdims", 1) else total


def _dropout(a: Float32, step: Step, x: Operands) -> Tensor:
    training = optional(step, x, 2)
    if training is not None and bool(training):
        raise refusal(step, "Dropout in training")
    return x[0]


def _along(step: Step, values: Tensor, x: Tensor) -> Tensor:
    """Return scales, or zero points, in a shape that goes with `x`: of all of it, or of an axis."""
    if values.dim() > 1 or step.get("block_size", 0):
        raise refusal(step, "scales of blocks")
    return values if values.numel() == 1 else values.reshape(
        [-1 if axis == step.get("axis", 1) % x.dim() else 1 for axis in range(x.dim())])


def _quantize(a: Float32, step: Step, x: Operands) -> Tensor:
    zero = optional(step, x, 2)
    if zero is None or zero.dtype != torch.int8:
        raise refusal(step, "quantisation to another type than int8")
    return ((x[0] / _along(step, x[1], x[0])).round() + _along(step, zero, x[0])).clamp(-128, 127).to(torch.int8)


def _dequantize(a: Float32, step: Step, x: Operands) -> Tensor:
    zero = optional(step, x, 2)
    shift = 0 if zero is None else _along(step, zero, x[0]).float()
    return a.round((x[0].float() - shift) * _along(step, x[1], x[0]))


def _where(a: Float32, step: Step, x: Operands) -> Tensor:
    return torch.where(x[0].bool(), x[1], x[2])


def _arg_max(a: Float32, step: Step, x: Operands) -> Tensor:
    if step.get("select_last_index", 0):
        raise refusal(step, "ArgMax for the last of equal values")
    return x[0].argmax(step.get("axis", 0), keepdim=bool(step.get("keepdims", 1)))


def _cast(a: Float32, step: Step, x: Operands) -> Tensor:
    kinds = {TensorProto.INT32: torch.int32, TensorProto.INT64: torch.int64, TensorProto.FLOAT: torch.float32,
             TensorProto.BOOL: torch.bool}
    kind = kinds.get(step.get("to"))
    if kind is None or (x[0].is_floating_point() and kind in (torch.int32, torch.int64)):
        raise refusal(step, "a Cast other than to float32 or bool, or from whole numbers to int32 or int64")
    result = x[0].to(kind)
    return a.round(result) if result.is_floating_point() else result


RULES: dict[str, Rule] = {
    "Conv": products.conv,
    "ConvTranspose": products.transposed_convolution,
    "Einsum": products.einsum,
    "Pad": _pad,
    "Gemm": products.gemm,
    "MatMul": lambda a, step, x: a.matmul(x[0], x[1]),
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "ReduceProd": _product,
    "ReduceMax": lambda a, step, x: (x[0].amax(_axes(step, x), keepdim=bool(step.get("keepdims", 1)))),
    "ReduceMin": lambda a, step, x: (x[0].amin(_axes(step, x), keepdim=bool(step.get("keepdims", 1)))),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "GlobalAveragePool": _global_average_pool,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "Softmax": _softmax,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Sigmoid": lambda a, step, x: a.round(x[0].sigmoid()),
    "Erf": lambda a, step, x: a.round(torch.erf(x[0])),
    "Relu": lambda a, step, x: x[0].clamp(min=0),
    "LeakyRelu": lambda a, step, x: a.round(F.leaky_relu(x[0], step.get("alpha", 0.01))),
    "PRelu": _p_relu,
    "Clip": _clip,
    "Tanh": lambda a, step, x: a.round(x[0].tanh()),
    "Softplus": _softplus,
    "Elu": lambda a, step, x: a.round(F.elu(x[0], step.get("alpha", 1.0))),
    "Pow": _power,
    "Neg": lambda a, step, x: -x[0],
    "Abs": lambda a, step, x: x[0].abs(),
    "Sign": lambda a, step, x: x[0].sign(),
    "Floor": lambda a, step, x: x[0].floor(),
    "Ceil": lambda a, step, x: x[0].ceil(),
    "Round": lambda a, step, x: x[0].round(),
    "Sin": lambda a, step, x: a.round(x[0].sin()),
    "Cos": lambda a, step, x: a.round(x[0].cos()),
    "Reciprocal": lambda a, step, x: a.round(1 / x[0]),
    "Log": lambda a, step, x: a.round(x[0].log()),
    "Exp": lambda a, step, x: a.round(x[0].exp()),
    "Slice": _slice,
    "ArgMax": _arg_max,
    "Cast": _cast,
    "Resize": _resize,
    "Sqrt": lambda a, step, x: a.round(x[0].sqrt()),
    "Add": lambda a, step, x: a.round(x[0] + x[1]),
    "Sub": lambda a, step, x: a.round(x[0] - x[1]),
    "Mul": lambda a, step, x: a.round(x[0] * x[1]),
    "Div": lambda a, step, x: a.round(x[0] / x[1]),
    "Max": _max,
    "Min": _min,
    "Split": _split,
    "Concat": lambda a, step, x: torch.cat(x, step.get("axis")),
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Identity": lambda a, step, x: x[0],
    "Flatten": lambda a, step, x: shapes.flatten(x[0], step.get("axis", 1)),
    "Squeeze": lambda a, step, x: shapes.squeeze(x[0], x[1].tolist() if len(x) > 1 else None),
    "Unsqueeze": lambda a, step, x: shapes.unsqueeze(x[0], x[1].tolist()),
    "Gather": _gather,
    "Where": _where,
    "Greater": lambda a, step, x: x[0] > x[1],
    "GreaterOrEqual": lambda a, step, x: x[0] >= x[1],
    "Less": lambda a, step, x: x[0] < x[1],
    "LessOrEqual": lambda a, step, x: x[0] <= x[1],
    "Equal": lambda a, step, x: x[0] == x[1],
    "And": lambda a, step, x: x[0] & x[1],
    "Or": lambda a, step, x: x[0] | x[1],
    "Xor": lambda a, step, x: x[0] ^ x[1],
    "Not": lambda a, step, x: ~x[0],
    "Dropout": _dropout,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Expand": _expand,
    "Tile": lambda a, step, x: x[0].repeat(x[1].tolist()),
}
