"""Whether the tensor types of a node are ones that a release documents for its operator."""
import functools
from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edgenext_deploy.export.verdict.nodes import NodeView
from edgenext_deploy.export.verdict.releases import Release
from edgenext_deploy.export.verdict.rules import ERROR, NOTE, WARNING, Problems

_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16", TensorProto.BFLOAT16: "BF16",
    TensorProto.DOUBLE: "FP64", TensorProto.INT8: "INT8", TensorProto.UINT8: "UINT8",
    TensorProto.INT32: "INT32", TensorProto.INT64: "INT64", TensorProto.BOOL: "BOOL",
    TensorProto.FLOAT8E4M3FN: "FP8", TensorProto.INT4: "INT4",
}
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
# The importers of these take the value as it is, whatever the document lists.
_ANY_TYPE = frozenset({"Constant", "ConstantOfShape"})


def type_name(element_type: int) -> str:
    """Return the TensorRT documents' name of an ONNX element type, ``FP16`` for FLOAT16."""
    return _NAMES.get(element_type) or str(TensorProto.DataType.Name(element_type))


def type_problems(node: NodeView, release: Release, opset: int) -> Problems:
    """Yield a problem per tensor type of the node that the release does not document for the operator."""
    documented = release.operators[node.op].types
    if not documented:
        return
    seen: set[str] = set()
    for tensor in _described_tensors(node, opset):
        element_type = node.element_type(tensor)
        if element_type not in TensorProto.DataType.values() or element_type == TensorProto.UNDEFINED:
            continue
        name = type_name(element_type)
        if name in seen:
            continue
        seen.add(name)
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
        inputs = tuple(index for index in range(count) if _same_type_as_first(node.op, opset, index))
    yield from filter(None, (node.input(index) for index in inputs))
    yield from filter(None, (node.output(index) for index in outputs))


@functools.lru_cache(maxsize=4096)
def _same_type_as_first(op: str, opset: int, index: int) -> bool:
    """Whether input `index` has the type parameter of the first: axes, sizes and conditions have another."""
    try:
        formal = onnx.defs.get_schema(op, max_inclusive_version=max(opset, 1), domain="").inputs
    except onnx.defs.SchemaError:
        return index == 0
    if not formal:
        return False
    return formal[min(index, len(formal) - 1)].type_str == formal[0].type_str
