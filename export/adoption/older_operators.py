"""From a newer opset to the target's: operators that it lacks are spelled out, forms that it lacks are written its way.

An attribute or input that the older opset does not know may go only where it says what was always so. Everything else
is refused by the node's name. Sources: ONNX's operator schemas and the change log that comes with them.
"""
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export.adoption.rewriting import Rewriter
from edgenext_deploy.export.graph.fp32_reasons import LAYER_NORM
from edgenext_deploy.export.graph.opset import opset_of, set_opset
from edgenext_deploy.export.precision.fp32_pins import element_types
from edgenext_deploy.files import shown

# The rules of an adoption, in words, for the report.
RULES = {
    "adopted": "graph taken over as the file has it",
    "norm_spelled_out": "norm in primitives, for an opset without it",
    "activation_spelled_out": "activation in primitives, for an opset without it",
    "older_form": "axes, parts, pads or types in the form of an older opset",
}
Shapes = Mapping[str, tuple[int, ...]]


class _Node:
    """One node to write in an older way, with what is known of its values."""

    def __init__(self, node: onnx.NodeProto, rewriter: Rewriter, shapes: Shapes, constants: Mapping[str, np.ndarray],
                 opset: int, types: Mapping[str, int]) -> None:
        self.node, self.to, self.shapes, self.constants, self.opset = node, rewriter, shapes, constants, opset
        self.types = types
        self.attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        self.name, self.inputs, self.output = node.name, list(node.input), node.output[0]

    def get(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)

    def constant(self, index: int) -> list[int] | None:
        """Return an input as integers if it is there, None if it is not; a computed one is refused."""
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        value = self.constants.get(self.inputs[index])
        if value is None:
            raise self.refusal(f"input {index} is computed, and opset {self.opset} takes a constant there")
        return [int(item) for item in value.ravel()]

    def add(self, op_type: str, inputs: list[str], label: str, reason: str = "", **attributes: Any) -> str:
        """Add a step; an empty label makes it the last one, with the node's own output."""
        if not label:
            return self.to.node(op_type, inputs, self.name, self.output, reason, **attributes)
        return self.to.node(op_type, inputs, f"{self.name}/{label}", None, reason, **attributes)

    def number(self, label: str, value: float) -> str:
        return self.to.constant(f"{self.name}.{label}", np.float32(value))

    def refusal(self, what: str) -> IncompatibleError:
        return IncompatibleError(
            f"node {shown(self.name)} ({self.node.op_type}): {what}",
            f"export the network at opset {self.opset}, or choose another --target")


def _normalised(node: _Node, x: str, axes: list[int], eps: float) -> str:
    """Spell out `(x - mean) / sqrt(variance + eps)` over axes; return the result's name."""
    mean = _reduce_mean(node, x, "mean", axes)
    centred = node.add("Sub", [x, mean], "centre", LAYER_NORM)
    square = node.add("Mul", [centred, centred], "square", LAYER_NORM)
    variance = _reduce_mean(node, square, "variance", axes)
    biased = node.add("Add", [variance, node.number("eps", eps)], "add_eps", LAYER_NORM)
    return node.add("Div", [centred, node.add("Sqrt", [biased], "deviation", LAYER_NORM)], "divide", LAYER_NORM)


def _reduce_mean(node: _Node, x: str, label: str, axes: list[int]) -> str:
    if node.opset >= 18:
        return node.add("ReduceMean", [x, node.to.constant(f"{node.name}/{label}.axes", axes)], label, LAYER_NORM,
                        keepdims=1)
    return node.add("ReduceMean", [x], label, LAYER_NORM, axes=axes, keepdims=1)


def _layer_normalization(node: _Node) -> None:
    rank = len(node.shapes[node.inputs[0]])
    axes = list(range(node.get("axis", -1) % rank, rank))
    y = _normalised(node, node.inputs[0], axes, node.get("epsilon", 1e-5))
    bias = [name for name in node.inputs[2:3] if name]
    y = node.add("Mul", [y, node.inputs[1]], "weight" if bias else "", LAYER_NORM)
    if bias:
        node.add("Add", [y, bias[0]], "", LAYER_NORM)


def _group_normalization(node: _Node) -> None:
    batch, channels, *sides = node.shapes[node.inputs[0]]
    groups = node.get("num_groups", 1)
    inner = node.to.constant(f"{node.name}.grouped", [batch, groups, channels // groups * math.prod(sides)])
    outer = node.to.constant(f"{node.name}.shape", [batch, channels, *sides])
    y = node.add("Reshape", [node.inputs[0], inner], "group")
    y = node.add("Reshape", [_normalised(node, y, [2], node.get("epsilon", 1e-5)), outer], "ungroup")
    for label, source, op_type in (("weight", node.inputs[1], "Mul"), ("", node.inputs[2], "Add")):
        value = node.constants.get(source)
        if value is None or value.size != channels:
            raise node.refusal("scale and bias of each channel expected, as constants")
        shaped = node.to.constant(f"{node.name}.{op_type.lower()}", value.reshape(-1, *[1] * len(sides)))
        y = node.add(op_type, [y, shaped], label)


def _rms_normalization(node: _Node) -> None:
    rank = len(node.shapes[node.inputs[0]])
    axes = list(range(node.get("axis", -1) % rank, rank))
    x = node.inputs[0]
    square = node.add("Mul", [x, x], "square", LAYER_NORM)
    biased = node.add("Add", [_reduce_mean(node, square, "mean", axes), node.number("eps", node.get("epsilon", 1e-5))],
                      "add_eps", LAYER_NORM)
    y = node.add("Div", [x, node.add("Sqrt", [biased], "root", LAYER_NORM)], "divide", LAYER_NORM)
    node.add("Mul", [y, node.inputs[1]], "", LAYER_NORM)


def _gelu(node: _Node) -> None:
    x, half = node.inputs[0], node.number("half", 0.5)
    if node.get("approximate", b"none") == b"none":
        inner = node.add("Erf", [node.add("Mul", [x, node.number("scale", 0.5**0.5)], "scaled")], "erf")
    else:
        cube = node.add("Mul", [node.add("Mul", [x, x], "square"), x], "cube")
        sum_ = node.add("Add", [x, node.add("Mul", [cube, node.number("cubic", 0.044715)], "cubic")], "sum")
        inner = node.add("Tanh", [node.add("Mul", [sum_, node.number("scale", math.sqrt(2 / math.pi))], "scaled")],
                         "tanh")
    raised = node.add("Add", [inner, node.number("one", 1.0)], "raised")
    node.add("Mul", [node.add("Mul", [x, half], "halved"), raised], "")


def _hard_swish(node: _Node) -> None:
    gate = node.add("HardSigmoid", [node.inputs[0]], "gate", alpha=1 / 6, beta=0.5)
    node.add("Mul", [node.inputs[0], gate], "")


def _swish(node: _Node) -> None:
    x, alpha = node.inputs[0], node.get("alpha", 1.0)
    scaled = x if alpha == 1.0 else node.add("Mul", [x, node.number("alpha", alpha)], "scaled")
    node.add("Mul", [x, node.add("Sigmoid", [scaled], "gate")], "")


def _mish(node: _Node) -> None:
    gate = node.add("Tanh", [node.add("Softplus", [node.inputs[0]], "softplus")], "gate")
    node.add("Mul", [node.inputs[0], gate], "")


def _cast_like(node: _Node) -> None:
    node.add("Cast", node.inputs[:1], "", to=node.types[node.inputs[1]])


def _reduction(node: _Node) -> None:
    """Axes became an input at opset 18, of ReduceSum at 13."""
    axes = node.constant(1)
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            node.add("Identity", node.inputs[:1], "")
            return
        axes = list(range(len(node.shapes[node.inputs[0]])))
    node.add(node.node.op_type, node.inputs[:1], "", axes=axes, keepdims=node.get("keepdims", 1))


def _split(node: _Node) -> None:
    """Equal parts were counted by the outputs until opset 18, which has `num_outputs` and a smaller last part."""
    axis, count = node.get("axis", 0), len(node.node.output)
    sizes = node.constant(1)
    if sizes is None:
        total = node.shapes[node.inputs[0]][axis]
        part = -(-total // count)
        sizes = [part] * (count - 1) + [total - part * (count - 1)]
    copy = helper.make_node("Split", [node.inputs[0], node.to.constant(f"{node.name}.sizes", sizes)],
                            list(node.node.output), name=node.to.unique(node.name), axis=axis)
    node.to.nodes.append(copy)


def _pad(node: _Node) -> None:
    """Pads of some axes only came with opset 18."""
    rank = len(node.shapes[node.inputs[0]])
    pads, axes = node.constant(1) or [], node.constant(3)
    if axes is not None:
        full = [0] * (2 * rank)
        for place, axis in enumerate(axes):
            full[axis % rank], full[axis % rank + rank] = pads[place], pads[place + len(axes)]
        pads = full
    mode = node.get("mode", b"constant").decode()
    if mode == "wrap" and node.opset < 19:
        raise node.refusal(f"opset {node.opset} has no padding that wraps around")
    inputs = [node.inputs[0], node.to.constant(f"{node.name}.pads", pads), *node.inputs[2:3]]
    node.add("Pad", inputs, "", mode=mode)


def _grid_sample(node: _Node) -> None:
    """Before opset 20 it was for pictures alone, and its modes had their names; before 16 there was none."""
    if node.opset < 16:
        raise node.refusal(f"opset {node.opset} has no such operator")
    if len(node.shapes[node.inputs[0]]) != 4:
        raise node.refusal(f"opset {node.opset} samples pictures alone")
    mode = node.get("mode", b"linear").decode()
    node.add("GridSample", node.inputs, "", mode={"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode),
             padding_mode=node.get("padding_mode", b"zeros").decode(), align_corners=node.get("align_corners", 0))


def _reshape(node: _Node) -> None:
    """With `allowzero`, from opset 14 on, a 0 means an empty axis; without, the size that was there."""
    sizes = node.constant(1) or []
    if 0 in sizes and node.get("allowzero", 0):
        raise node.refusal("an empty axis")
    node.add("Reshape", node.inputs, "")


# The GroupNormalization of opsets 18 to 20 has a scale for each group, and is refused where the opset lacks it.
# By operator: the opset from which the form here is too new, the rule of the report, and what writes the older form.
_SPELLED_OUT: dict[str, tuple[int, str, Callable[[_Node], None]]] = {
    "LayerNormalization": (17, "norm_spelled_out", _layer_normalization),
    "GroupNormalization": (21, "norm_spelled_out", _group_normalization),
    "RMSNormalization": (23, "norm_spelled_out", _rms_normalization),
    "Gelu": (20, "activation_spelled_out", _gelu),
    "HardSwish": (14, "activation_spelled_out", _hard_swish),
    "Swish": (24, "activation_spelled_out", _swish),
    "Mish": (18, "activation_spelled_out", _mish),
    **{f"Reduce{kind}": (18, "older_form", _reduction)
       for kind in ("Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")},
    "CastLike": (15, "older_form", _cast_like),
    "Reshape": (14, "", _reshape),
    "Split": (18, "older_form", _split),
    "Pad": (18, "older_form", _pad),
    "GridSample": (20, "older_form", _grid_sample),
}


def to_opset(
    model: onnx.ModelProto, opset: int, shapes: Shapes
) -> tuple[onnx.ModelProto, dict[str, str], dict[str, int]]:
    """Write a graph in an older opset.

    Args:
        model: of a newer opset, simplified, every node named.
        opset: the one to write.
        shapes: of every value.

    Returns:
        The model, the FP32 islands of what was spelled out, and how often each rule was used.

    Raises:
        IncompatibleError: an operator or a form that the opset does not have; the message names the node.
    """
    found = opset_of(model)
    if found <= opset:
        return model, {}, {}
    to = Rewriter(model)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    types = element_types(model)
    rules: dict[str, int] = {}
    for node in list(model.graph.node):
        since, rule, write = _SPELLED_OUT.get(node.op_type, (0, "", None))
        if write is not None and opset < since <= found:
            if rule:
                rules[rule] = rules.get(rule, 0) + 1
            to.release(node.name)
            write(_Node(node, to, shapes, constants, opset, types))
        else:
            to.nodes.append(_kept(node, found, opset))
    result = to.finish()
    set_opset(result, opset)
    return result, to.islands, rules


def _kept(node: onnx.NodeProto, found: int, opset: int) -> onnx.NodeProto:
    """Return a node without the attributes and inputs that the older opset does not know, if they say nothing."""
    where = f"node {shown(node.name)} ({shown(node.op_type)})"
    fix = f"export the network at opset {opset}, or choose another --target"
    try:
        older = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        raise IncompatibleError(f"{where}: opset {opset} has no such operator, and the file has opset {found}",
                                fix) from None
    newer = onnx.defs.get_schema(node.op_type, found, node.domain)
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.attribute[:]
    for attribute in node.attribute:
        if attribute.name in older.attributes:
            copy.attribute.append(attribute)
        elif not _is_default(attribute, newer):
            raise IncompatibleError(f"{where}: opset {opset} has no attribute {shown(attribute.name)}", fix)
    while copy.input and not copy.input[-1]:
        del copy.input[-1]
    if len(copy.input) > older.max_input:
        raise IncompatibleError(f"{where}: opset {opset} takes {older.max_input} inputs, {len(copy.input)} found", fix)
    return copy


def _is_default(attribute: onnx.AttributeProto, schema: onnx.defs.OpSchema) -> bool:
    known = schema.attributes.get(attribute.name)
    if known is None or known.default_value.type == onnx.AttributeProto.UNDEFINED:
        return False
    return bool(helper.get_attribute_value(known.default_value) == helper.get_attribute_value(attribute))
