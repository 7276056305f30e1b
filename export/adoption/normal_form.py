"""The form in which every later step finds somebody else's graph: fixed shapes, names, constants in one place."""
import re
from collections.abc import Callable, Iterator

import onnx
from onnx import helper, inliner, numpy_helper, version_converter

from edgenext_deploy.errors import BadInputError, IncompatibleError
from edgenext_deploy.export.adoption.older_operators import to_opset
from edgenext_deploy.export.adoption.rewriting import Rewriter
from edgenext_deploy.export.adoption.source_file import require_one_way
from edgenext_deploy.export.graph.opset import opset_of, set_opset
from edgenext_deploy.export.graph.simplify import Simplified
from edgenext_deploy.export.precision.fp32_pins import value_shapes
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import one_line

# Below it, Softmax, Squeeze and others meant or looked like something else; no target writes a lower one.
LOWEST_OPSET = 13
_LONGEST_NAME = 200
# Where in its source onnx refuses, in front of the reason.
_PLACE = re.compile(r"\S+\.(?:h|cc|cpp):\d+: \w+: (?:Assertion `[^`]*` failed: )?")
# They give the shape that they take, and onnx does not infer it.
_OF_ONE_SHAPE = ("GroupNormalization", "MeanVarianceNormalization")


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model without functions.

    Raises:
        BadInputError: functions that onnx does not understand, or no opset of ONNX.
        IncompatibleError: an operator of another domain.
    """
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
    except Exception as error:  # onnx raises many types here, each about the file
        raise BadInputError(f"onnx cannot inline the file's functions: {_reason(error)}",
                            "export the network without functions") from error
    _require_known_operators(model)
    return model


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write a model the way the simplifier and we need it; what it computes stays.

    Nodes get names of their own, constants become initializers, and an old opset becomes `LOWEST_OPSET`.

    Args:
        model: `inlined`, with a fixed input; changed in place.

    Raises:
        BadInputError: a graph that onnx does not understand.
    """
    try:
        opset = opset_of(model)
        if 0 < opset < LOWEST_OPSET:
            model = version_converter.convert_version(model, LOWEST_OPSET)
    except Exception as error:  # onnx raises many types here, each about the file
        raise BadInputError(f"onnx cannot write the graph at opset {LOWEST_OPSET}: {_reason(error)}",
                            f"export the network at opset {LOWEST_OPSET}") from error
    _name_nodes(model)
    _constants_to_initializers(model)
    _plain_header(model)
    return model


def at_target(
    model: onnx.ModelProto, opset: int, ir_version: int, simplify: Callable[[onnx.ModelProto], Simplified]
) -> tuple[Simplified, dict[str, str], dict[str, int]]:
    """Simplify a prepared model and write it for the target.

    Returns:
        The model with the simplifier's warning, the FP32 islands of what was spelled out, and how often each rule was
        used.

    Raises:
        IncompatibleError: what an engine cannot have, or an operator that the target's opset lacks.
        BadInputError: onnx refuses the graph.
    """
    _leave_out_what_nobody_takes(model)
    result = simplify(model)
    simplified = result.model
    _name_nodes(simplified)
    _constants_to_initializers(simplified)  # the simplifier writes what it folds as either
    _say_shapes(simplified)
    require_one_way(simplified)
    try:
        shapes = value_shapes(simplified)
    except Exception as error:  # onnx raises many types here, each about the file
        raise BadInputError(f"the graph's shapes do not go together: {_reason(error)}",
                            "check it with onnx.checker.check_model(model, full_check=True)") from error
    _plain_resizes(simplified, shapes)
    written, islands, rules = to_opset(simplified, opset, shapes)
    del written.graph.value_info[:]
    written.ir_version = min(written.ir_version, ir_version)
    try:
        onnx.checker.check_model(written, full_check=True)
    except Exception as error:  # as above; here it is an element type that the opset lacks for an operator
        raise IncompatibleError(f"the graph cannot be written at opset {opset}: {_reason(error)}",
                                "choose another --target, or export the network in FP32") from error
    return Simplified(written, result.warning), islands, rules


def _reason(error: Exception) -> str:
    return shown(_PLACE.sub("", one_line(error)), 240)


def _require_known_operators(model: onnx.ModelProto) -> None:
    domains = {entry.domain for entry in model.opset_import}
    for node in all_nodes(model.graph):
        if node.domain not in ("", "ai.onnx"):
            raise IncompatibleError(
                f"node {shown(node.name or node.output[0])} ({shown(node.op_type)}) is of the domain "
                f"{shown(node.domain)}; operators of ONNX itself expected",
                "export the network without the optimizations of another runtime")
    if "" not in domains and "ai.onnx" not in domains:
        raise BadInputError("the file imports no opset of ONNX", "export it again")


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node, those of branches and loops among them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from all_nodes(inner)


def _plain_header(model: onnx.ModelProto) -> None:
    """Leave only what says something: one opset, inputs and outputs without remarks."""
    set_opset(model, opset_of(model))
    for node in model.graph.node:
        node.domain = ""
        for field in ("doc_string", "metadata_props", "overload"):
            node.ClearField(field)
    for value in (*model.graph.input, *model.graph.output):
        for field in ("doc_string", "metadata_props"):
            value.ClearField(field)
    for field in ("metadata_props", "doc_string", "functions"):
        model.ClearField(field)
    for field in ("value_info", "metadata_props", "doc_string", "quantization_annotation"):
        model.graph.ClearField(field)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a printable name of its own: pins and verdicts are told by it."""
    taken: set[str] = set()
    last: dict[str, int] = {}
    for index, node in enumerate(model.graph.node):
        base = node.name if node.name.isprintable() and len(node.name) <= _LONGEST_NAME else ""
        name = base = base or f"{node.op_type}_{index}"
        while name in taken:
            last[base] = last.get(base, 1) + 1
            name = f"{base}.{last[base]}"
        node.name = name
        taken.add(name)


def _constants_to_initializers(model: onnx.ModelProto) -> None:
    kept = []
    for node in model.graph.node:
        value = node.attribute[0] if node.op_type == "Constant" and len(node.attribute) == 1 else None
        if value is None or value.name not in ("value", "value_float", "value_int", "value_floats", "value_ints"):
            kept.append(node)
            continue
        tensor = value.t if value.name == "value" else _tensor(value)
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = node.output[0]
        model.graph.initializer.append(copy)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _tensor(attribute: onnx.AttributeProto) -> onnx.TensorProto:
    value = helper.get_attribute_value(attribute)
    kind = onnx.TensorProto.FLOAT if "float" in attribute.name else onnx.TensorProto.INT64
    items = list(value) if attribute.name.endswith("s") else [value]
    return helper.make_tensor("", kind, [len(items)] if attribute.name.endswith("s") else [], items)


def _leave_out_what_nobody_takes(model: onnx.ModelProto) -> None:
    """Remove optional outputs without a taker: old exporters write a Dropout's mask and a MaxPool's places always."""
    taken = {value.name for value in model.graph.output}
    taken.update(name for node in all_nodes(model.graph) for name in node.input)
    taken.update(value.name for node in model.graph.node for attribute in node.attribute
                 for graph in (attribute.g, *attribute.graphs) for value in graph.output)
    opset = opset_of(model)
    for node in model.graph.node:
        if all(name in taken for name in node.output[1:]) or not onnx.defs.has(node.op_type):
            continue
        formal = onnx.defs.get_schema(node.op_type, opset, "").outputs
        for index, name in enumerate(node.output):
            optional = formal[min(index, len(formal) - 1)].option == onnx.defs.OpSchema.FormalParameterOption.Optional
            if index and name not in taken and optional:
                node.output[index] = ""
        while len(node.output) > 1 and not node.output[-1]:
            del node.output[-1]


def _say_shapes(model: onnx.ModelProto) -> None:
    """Write down the shapes that onnx does not infer by itself: some norms give what they take."""
    silent = [node for node in model.graph.node if node.op_type in _OF_ONE_SHAPE]
    for node in silent:
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        taken = next((value for value in (*known.input, *known.value_info) if value.name == node.input[0]), None)
        if taken is not None:
            said = model.graph.value_info.add()
            said.CopyFrom(taken)
            said.name = node.output[0]


def _plain_resizes(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]]) -> None:
    """Write every Resize by its sizes, where they say the same as its scales: those are FP32 even in an FP16 graph."""
    to = Rewriter(model)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Resize":
            continue
        before, after = shapes[node.input[0]], shapes[node.output[0]]
        axes = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"), None)
        policy = next((attribute.s for attribute in node.attribute
                       if attribute.name == "keep_aspect_ratio_policy"), b"stretch")
        by_scales = len(node.input) == 3 and node.input[2] in constants
        scales = dict(zip(axes or range(len(before)), constants[node.input[2]] if by_scales else ()))
        if policy == b"stretch" and (by_scales or axes is not None) and all(
                before[axis] * float(scale) == after[axis] for axis, scale in scales.items()):
            del node.input[1:]
            node.input.extend(["", "", to.constant(f"{node.name}.sizes", list(after))])
            kept = [attribute for attribute in node.attribute if attribute.name != "axes"]
            del node.attribute[:]
            node.attribute.extend(kept)
        if len(node.input) == 4 and node.input[1]:
            node.input[1] = ""  # a region, which only tf_crop_and_resize looks at
