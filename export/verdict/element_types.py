"""Whether the tensor types of a node are ones that a release documents for its operator."""
import functools
from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edgenext_deploy.export.verdict.nodes import NodeView
from edgenext_deploy.export.verdict.releases import Release, type_since
from edgenext_deploy.export.verdict.severities import ERROR, NOTE, WARNING, Problems

_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16", TensorProto.BFLOAT16: "BF16",
    TensorProto.DOUBLE: "FP64", TensorProto.INT8: "INT8", TensorProto.UINT8: "UINT8",
    TensorProto.INT32: "INT32", TensorProto.INT64: "INT64", TensorProto.BOOL: "BOOL",
    TensorProto.FLOAT8E4M3FN: "FP8", TensorProto.INT4: "INT4", TensorProto.FLOAT4E2M1: "FP4",
}
FOUR_BIT = frozenset({TensorProto.INT4, TensorProto.FLOAT4E2M1})
# Operators whose documented types are not those of the first input: (inputs, outputs) that they describe.
_DESCRIBED: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "Cast": ((0,), (0,)),
    "CastLike": ((0,), (0,)),
    "Constant": ((), (0,)),
    "ConstantOfShape": ((), (0,)),
    "EyeLike": ((), (0,)),
    "If": ((), ()),
    "Loop": ((), ()),
    "OneHot": ((2,), ()),
    "Scan": ((), ()),
    "Where": ((1, 2), ()),
}
# Above every opset; onnx takes 32 bits.
_ANY_OPSET = 9999
# No operator has more formal inputs.
_FORMAL = 30
# The importers of these take the value as it is, whatever the document lists.
_ANY_TYPE = frozenset({"Constant", "ConstantOfShape"})


@functools.lru_cache(maxsize=64)
def _is_known(element_type: int) -> bool:
    """Whether the installed onnx has a name for an element type. Once for each: a list of all takes long per tensor."""
    return element_type != TensorProto.UNDEFINED and element_type in TensorProto.DataType.values()


def type_name(element_type: int) -> str:
    """Return the TensorRT documents' name of an ONNX element type, ``FP16`` for FLOAT16."""
    return _NAMES.get(element_type) or str(TensorProto.DataType.Name(element_type))


def type_problems(node: NodeView, release: Release, opset: int) -> Problems:
    """Yield a problem per tensor type that the release does not have, or does not document for the operator."""
    operator = release.operators[node.op]
    used = dict.fromkeys(node.element_type(tensor) for tensor in dict.fromkeys((*node.inputs, *node.outputs)) if tensor)
    lacking = [element_type for element_type in used if _is_known(element_type) and not release.has_type(element_type)]
    for element_type in lacking:
        since = type_since(element_type)
        yield ERROR, f"{type_name(element_type)} tensors, " + (
            f"which need {since}" if since else "a type that TensorRT does not have")
    seen: set[str] = {type_name(element_type) for element_type in lacking}
    for tensor in dict.fromkeys(_described_tensors(node, opset)):
        element_type = node.element_type(tensor)
        name = type_name(element_type) if _is_known(element_type) else ""
        if not name or name in seen:
            continue
        seen.add(name)
        if name in operator.refused:
            yield ERROR, f"{name} tensors, which TensorRT-RTX's parser refuses for this operator"
        if name in operator.unbuilt:
            yield WARNING, f"{name} tensors: the parser takes them, and the builder refused them in a trial"
        documented = operator.types
        if not documented:
            continue
        narrowed = _narrowed(name, release)
        if name == "FP64":
            yield WARNING, "FP64 tensors are narrowed to FP32, with clamping"
        if narrowed in documented:
            continue
        reason = f"{name} tensors; the document lists {', '.join(sorted(documented))}"
        if node.op in _ANY_TYPE:
            yield WARNING, reason
        elif narrowed in {"INT32", "INT64"} and node.is_shape_arithmetic(tensor):
            yield NOTE, reason + "; on shapes and constants, which the parser folds, that can pass"
        else:
            yield ERROR, reason


def _narrowed(name: str, release: Release) -> str:
    if name == "FP64":
        return "FP32"
    return "INT32" if name == "INT64" and release.before(9) else name


def _described_tensors(node: NodeView, opset: int) -> Iterator[str]:
    inputs, outputs = _DESCRIBED.get(node.op, (None, ()))
    if inputs is None:
        count = len(node.inputs)
        # What comes after the formal inputs is like the last of them.
        inputs = tuple(index for index in range(count) if _same_type_as_first(node.op, opset, min(index, _FORMAL)))
    yield from filter(None, (node.input(index) for index in inputs))
    yield from filter(None, (node.output(index) for index in outputs))


@functools.lru_cache(maxsize=4096)
def _same_type_as_first(op: str, opset: int, index: int) -> bool:
    """Whether input `index` has the type parameter of the first: axes, sizes and conditions have another."""
    try:
        formal = onnx.defs.get_schema(op, max_inclusive_version=min(max(opset, 1), _ANY_OPSET), domain="").inputs
    except onnx.defs.SchemaError:
        return index == 0
    if not formal:
        return False
    return formal[min(index, len(formal) - 1)].type_str == formal[0].type_str
