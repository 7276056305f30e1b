"""The FP32 pins: a dictionary from a node's name to the reason why it computes in FP32. All others compute in FP16.

The lowering fills it while it emits the graph (`GraphBuilder.fp32`); the drift analysis may add to it. In flag mode
the names go into the manifest, and the builder pins these nodes. In typed mode `typed.to_typed` writes Casts around
them. Both modes use the same dictionary, so both engines compute the same.
"""
from collections.abc import Iterator, Mapping

import onnx

from edgenext_deploy import node_work
from edgenext_deploy.errors import IncompatibleError, VerificationError

Pins = Mapping[str, str]

# Operators that do arithmetic worth counting.
COMPUTE = frozenset(node_work.COUNTED)
# Operators that pass elements on as they are, in either precision; a Cast here is one of pixels or of classes.
MOVES = frozenset({
    "Cast", "Reshape", "Transpose", "Split", "Concat", "Identity", "Slice", "Squeeze", "Unsqueeze", "Flatten"})


def pins_of(model: onnx.ModelProto, islands: Pins) -> dict[str, str]:
    """Return the islands whose nodes are in the model, in the graph's order."""
    return {node.name: islands[node.name] for node in model.graph.node if node.name in islands}


def fp32_nodes(model: onnx.ModelProto, pins: Pins) -> frozenset[str]:
    """Return the nodes that stay FP32: the pinned ones, and moves between nodes that all stay FP32."""
    producer = {value: node for node in model.graph.node for value in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for value in node.input:
            consumers.setdefault(value, []).append(node)

    def neighbours(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        for value in node.input:
            if value in producer:
                yield producer[value]
        for value in node.output:
            yield from consumers.get(value, [])

    fp32 = {node.name for node in model.graph.node if node.name in pins}
    moves = [node for node in model.graph.node if node.op_type in MOVES and node.name not in pins]
    # A chain of moves stays FP32 as a whole or not at all: start with all, remove those with an FP16 neighbour.
    fp32.update(node.name for node in moves)
    changed = True
    while changed:
        changed = False
        for node in moves:
            if node.name in fp32 and not all(other.name in fp32 for other in neighbours(node)):
                fp32.discard(node.name)
                changed = True
    return frozenset(fp32)


def multiply_adds(model: onnx.ModelProto) -> dict[str, int]:
    """Return the multiply-adds of every node of `COMPUTE`, by its name.

    Raises:
        ValueError: a shape cannot be inferred.
    """
    shapes = value_shapes(model)
    return {
        node.name: node_work.multiply_adds(
            node.op_type, [shapes.get(name, ()) for name in node.input], shapes[next(filter(None, node.output))],
            {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute})
        for node in model.graph.node if node.op_type in COMPUTE}


def value_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the static shape of every value and initializer."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)}
    shapes.update((tensor.name, tuple(tensor.dims)) for tensor in inferred.initializer)
    missing = [name for node in model.graph.node for name in node.output if name and name not in shapes]
    if missing:
        raise ValueError(f"no static shape for {missing[0]!r}")
    return shapes


def fp16_share(model: onnx.ModelProto, pins: Pins) -> float:
    """Return the share of multiply-adds, 0..1, that the pins leave in FP16."""
    counts = multiply_adds(model)
    total = sum(counts.values())
    return sum(count for name, count in counts.items() if name not in pins) / total if total else 0.0


def require_fp16(model: onnx.ModelProto, pins: Pins, minimum_share: float = 0.5) -> float:
    """Return `fp16_share`, or raise if ``--fp16`` would be a name only.

    Raises:
        VerificationError: less than `minimum_share` of the multiply-adds would compute in FP16.
        IncompatibleError: there are no multiply-adds.
    """
    if not any(node.op_type in COMPUTE for node in model.graph.node):
        raise IncompatibleError(
            f"--fp16 was asked for, and the network has no {', '.join(sorted(COMPUTE))}: nothing is faster in FP16",
            "export without --fp16")
    share = fp16_share(model, pins)
    if share < minimum_share:
        raise VerificationError(
            f"--fp16 was asked for, and the FP32 pins leave {share:.0%} of the multiply-adds in FP16, "
            f"{minimum_share:.0%} is the least; {len(pins)} nodes are pinned to FP32",
            "raise --tolerance, or export without --fp16")
    return share


def require_typed_fp16(model: onnx.ModelProto, pins: Pins) -> None:
    """Check in the graph's own types that every node of `COMPUTE` without a pin computes in FP16.

    Raises:
        VerificationError: one computes in FP32; the message names it.
    """
    types = element_types(model)
    wrong = [node.name for node in model.graph.node if node.op_type in COMPUTE and node.name not in pins
             and any(types.get(name) == onnx.TensorProto.FLOAT for name in (*node.input, *node.output))]
    if wrong:
        raise VerificationError(
            f"the typed graph computes {len(wrong)} nodes in FP32 that have no FP32 pin: {', '.join(wrong[:3])}",
            "this is a defect of the typing: please report the variant and the options")


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the ONNX element type of every value and initializer."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type
             for value in (*inferred.input, *inferred.value_info, *inferred.output)}
    types.update((tensor.name, tensor.data_type) for tensor in inferred.initializer)
    return types
