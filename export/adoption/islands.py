"""The parts of a graph that FP16 cannot hold, found by their form, in anybody's graph.

Normalisations, L2 norms, softmax and exponentials: their squares, sums and powers leave FP16's range or vanish in it,
whatever the weights are. What only some weights make too large, the drift analysis finds.
"""
from collections.abc import Iterator

import onnx
from onnx import numpy_helper

from edgenext_deploy.export.graph.fp32_reasons import SOFTMAX
from edgenext_deploy.export.precision.fp32_pins import MOVES

_NORM = "statistics of a norm: the sum of squares overflows"
_WHOLE = {
    "LayerNormalization": _NORM, "InstanceNormalization": _NORM, "GroupNormalization": _NORM,
    "RMSNormalization": _NORM, "MeanVarianceNormalization": _NORM, "LpNormalization": _NORM, "ReduceL2": _NORM,
    "ReduceSumSquare": _NORM, "LRN": _NORM,
    "Softmax": SOFTMAX, "LogSoftmax": SOFTMAX,
    "Exp": "exponential: it overflows from 11.1 on", "ReduceLogSumExp": SOFTMAX,
    "Softplus": "exponential: it overflows from 11.1 on",
    "Log": "logarithm: small values are zero in FP16", "ReduceLogSum": "logarithm: small values are zero in FP16",
    "CumSum": "running sum: it grows along the axis",
}
_REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "GlobalAveragePool"})
_ROOTS = frozenset({"Sqrt", "Pow"})
# Between the sum of squares and what it divides.
_ON_THE_WAY = frozenset({"Add", "Max", "Clip", "Sqrt", "Pow", "Reciprocal", "Div", "Mul", *MOVES, "Expand"})


class _Graph:
    """A graph by what makes and what takes each value."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.producer = {value: node for node in self.nodes for value in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for value in node.input:
                self.consumers.setdefault(value, []).append(node)
        self.scalars = {tensor.name: float(numpy_helper.to_array(tensor).ravel()[0])
                        for tensor in model.graph.initializer if not tensor.dims or list(tensor.dims) == [1]}
        self.constants = {tensor.name for tensor in model.graph.initializer}


def find_islands(model: onnx.ModelProto) -> dict[str, str]:
    """Return the nodes that must compute in FP32, each with the reason.

    Args:
        model: FP32, simplified, every node named.
    """
    graph = _Graph(model)
    islands: dict[str, str] = {}
    for node in graph.nodes:
        if node.op_type in _WHOLE:
            islands[node.name] = _WHOLE[node.op_type]
        if node.op_type == "Softmax":
            islands.update((scale.name, "temperature of a softmax: small differences decide")
                           for scale in _scalings_before(graph, node))
        if node.op_type == "Exp":
            islands.update((part.name, SOFTMAX) for part in _softmax_around(graph, node))
        if _is_square(graph, node):
            islands.update((part.name, _NORM) for part in _norm_around(graph, node))
    return islands


def _is_square(graph: _Graph, node: onnx.NodeProto) -> bool:
    if node.op_type == "Mul":
        return len(node.input) == 2 and node.input[0] == node.input[1]
    return node.op_type == "Pow" and graph.scalars.get(node.input[1]) == 2.0


def _scalings_before(graph: _Graph, softmax: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yield the factors by one number between a matrix product and a softmax, and its mask, added or chosen."""
    node = graph.producer.get(softmax.input[0])
    while node is not None and node.op_type in ("Mul", "Div", "Add", "Sub", "Where"):
        if not any(name in graph.constants for name in node.input):
            return
        yield node
        numbers = node.input[1:] if node.op_type == "Where" else node.input
        node = graph.producer.get(next((name for name in numbers if name not in graph.constants), ""))


def _softmax_around(graph: _Graph, exponential: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yield the sum of exponentials, the quotient and the difference from the largest of a softmax in primitives."""
    takers = graph.consumers.get(exponential.output[0], ())
    sums = [node for node in takers if node.op_type == "ReduceSum"]
    if not sums:
        return
    yield from sums
    for taker in (*takers, *graph.consumers.get(sums[0].output[0], ())):
        if taker.op_type in ("Div", "Log", "Reciprocal"):
            yield taker
    before = graph.producer.get(exponential.input[0])
    if before is not None and before.op_type == "Sub":
        yield before


def _norm_around(graph: _Graph, square: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return the nodes of the norm that a square belongs to, none if it is no norm.

    From a square over a reduction to a root, on to the division; and back over the difference from the mean.
    """
    reductions = [node for node in graph.consumers.get(square.output[0], ()) if node.op_type in _REDUCTIONS]
    if len(reductions) != 1:
        return []
    forward = _to_root(graph, reductions[0])
    if forward[-1].op_type not in _ROOTS:
        return []
    parts = [square, *forward]
    # Everything from the root to the quotient.
    node: onnx.NodeProto | None = forward[-1]
    while node is not None:
        takers = [taker for taker in graph.consumers.get(node.output[0], ()) if taker.op_type in _ON_THE_WAY]
        node = takers[0] if len(takers) == 1 else None
        parts += takers
        if any(_combines(graph, taker) for taker in takers):
            break
    centred = graph.producer.get(square.input[0])
    if centred is not None and centred.op_type == "Sub":
        mean = graph.producer.get(centred.input[1])
        while mean is not None and mean.op_type in MOVES:
            mean = graph.producer.get(mean.input[0])
        if mean is not None and mean.op_type in _REDUCTIONS:
            parts += [centred, mean]
    return parts


def _combines(graph: _Graph, node: onnx.NodeProto) -> bool:
    """Say whether a node divides or multiplies two computed values: there the norm meets what it scales."""
    return node.op_type in ("Div", "Mul") and not any(name in graph.constants for name in node.input)


def _to_root(graph: _Graph, start: onnx.NodeProto, most: int = 8) -> list[onnx.NodeProto]:
    """Return the chain of nodes from `start` to the first root, or as far as each has one taker on the way."""
    chain = [start]
    while chain[-1].op_type not in _ROOTS and len(chain) < most:
        takers = graph.consumers.get(chain[-1].output[0], [])
        if len(takers) != 1 or takers[0].op_type not in _ON_THE_WAY:
            return chain
        chain.append(takers[0])
    return chain
