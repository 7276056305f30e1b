"""Every node of an ONNX model, with what can be known of its tensors without running anything.

Subgraphs of If, Loop and Scan and the bodies of local functions are part of the walk. Nothing here loads
external data: a tensor whose bytes lie elsewhere is a constant of unknown value.
"""
import dataclasses
import functools
import math
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

AI_ONNX = ""
# Axes, bounds and scale factors are small; anything larger is a weight, whose values no rule needs.
_MAX_VALUES = 4096
_SHAPE_OPS = frozenset({"Shape", "Size"})

Shape = tuple[int | None, ...]


@dataclasses.dataclass
class _Scope:
    """What is visible by tensor name at one point of the model; a subgraph sees the tensors of its parents."""

    types: MutableMapping[str, int]
    shapes: MutableMapping[str, Shape]
    constants: MutableMapping[str, TensorProto]
    producers: MutableMapping[str, tuple[str, str]]
    static: MutableMapping[str, bool]
    network_outputs: frozenset[str] = frozenset()

    def child(self) -> "_Scope":
        return _Scope(ChainMap({}, self.types), ChainMap({}, self.shapes), ChainMap({}, self.constants),
                      ChainMap({}, self.producers), ChainMap({}, self.static), self.network_outputs)


@dataclasses.dataclass(frozen=True)
class NodeView:
    """One node with what is known of its tensors.

    Attributes:
        name: the node's name, or its first output, or its operator; after a path of outer nodes and ``/``.
        op: operator type.
        domain: operator domain, empty for ai.onnx.
        inputs: tensor names; empty for an optional input that is left out.
        outputs: tensor names; empty for an optional output that is left out.
        attributes: by name, as Python values (tensors and graphs as protobuf messages).
        function: the node calls one of the model's local functions.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    function: bool
    _scope: _Scope
    _written: bytes = b""

    @functools.cached_property
    def signature(self) -> tuple[object, ...]:
        """All that a rule may ask about the node: equal for nodes of which every rule says the same."""
        scope = self._scope
        tensors = tuple((
            bool(name), scope.types.get(name, 0), scope.shapes.get(name), id(scope.constants.get(name)),
            scope.static.get(name, False), self.made_by(index), self.is_constant_behind_casts(index))
            for index, name in enumerate(self.inputs))
        outputs = tuple((bool(name), scope.types.get(name, 0), scope.shapes.get(name), self.is_network_output(name))
                        for name in self.outputs)
        return self.op, self.domain, self.function, self._written, tensors, outputs

    def input(self, index: int) -> str:
        """Return the name of input `index`, empty where there is none."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def output(self, index: int) -> str:
        """Return the name of output `index`, empty where there is none."""
        return self.outputs[index] if index < len(self.outputs) else ""

    def is_constant(self, index: int) -> bool:
        """Whether input `index` is an initializer, the output of a Constant node, or left out."""
        return not self.input(index) or self.input(index) in self._scope.constants

    def value(self, index: int) -> np.ndarray | None:
        """Return a small constant input as numbers, None if left out, not constant, too large or text."""
        tensor = self._scope.constants.get(self.input(index))
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            return None
        if int(np.prod(list(tensor.dims), dtype=object)) > _MAX_VALUES:
            return None
        try:
            array = np.asarray(numpy_helper.to_array(tensor))
            # BF16 and the 8- and 4-bit types are extension dtypes; rules compare plain numbers.
            return array if array.dtype.kind in "biuf" else array.astype(np.float32)
        except (ValueError, TypeError, KeyError):
            return None

    def element_type(self, tensor: str) -> int:
        """Return the ``TensorProto`` element type of a tensor of this node, 0 if it is not known."""
        return self._scope.types.get(tensor, 0)

    def shape(self, index: int) -> Shape | None:
        """Return the shape of input `index` with None for an unknown size; None if the rank is unknown."""
        return self._scope.shapes.get(self.input(index))

    def rank(self, index: int) -> int | None:
        """Return the rank of input `index`, None if it is not known."""
        shape = self.shape(index)
        return None if shape is None else len(shape)

    def produced_by(self, index: int) -> str:
        """Return the operator that computes input `index`, empty for a graph input or an initializer."""
        return self._scope.producers.get(self.input(index), ("", ""))[0]

    def made_by(self, index: int) -> tuple[str, str]:
        """Return the last two operators on the way to input `index`, the last one first; empty where there is none."""
        last, before = self._scope.producers.get(self.input(index), ("", ""))
        return last, self._scope.producers.get(before, ("", ""))[0]

    def is_constant_behind_casts(self, index: int) -> bool:
        """Whether input `index` is a constant, or one behind nodes of Cast and Identity alone."""
        name = self.input(index)
        while name and name not in self._scope.constants:
            op, name = self._scope.producers.get(name, ("", ""))
            if op not in {"Cast", "Identity"}:
                return False
        return True

    def is_network_input(self, index: int) -> bool:
        """Whether input `index` is there and no node, constant or shape gives it."""
        return self.depends_on_data(index) and self.input(index) not in self._scope.producers

    def depends_on_data(self, index: int) -> bool:
        """Whether input `index` is there and comes from the network's inputs, not from constants and shapes alone."""
        return bool(self.input(index)) and not self.is_shape_arithmetic(self.input(index))

    def is_shape_arithmetic(self, tensor: str) -> bool:
        """Whether a tensor is computed from constants and tensor shapes alone."""
        return self._scope.static.get(tensor, False)

    def is_network_output(self, tensor: str) -> bool:
        """Whether a tensor is an output of the main graph."""
        return tensor in self._scope.network_outputs

    def type_of(self, index: int) -> int:
        """Return the ``TensorProto`` element type of input `index`, 0 if it is not known."""
        return self.element_type(self.input(index))

    def text(self, name: str, default: str) -> str:
        """Return a text attribute, or what the operator's definition takes where it is left out."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def number(self, name: str, default: float) -> float:
        """Return a number attribute; the default where it is left out or no number."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, (int, float)) else default

    def items(self, name: str, kind: type = int) -> list[Any]:
        """Return a list attribute's items of one type; an empty list where it is left out."""
        value = self.attributes.get(name, [])
        return [item for item in value if isinstance(item, kind)] if isinstance(value, list) else []


def walk(model: onnx.ModelProto) -> Iterator[NodeView]:
    """Yield every node: the main graph in order, subgraphs after the node that holds them, then functions in use."""
    functions = frozenset((function.domain, function.name) for function in model.functions)
    outputs = frozenset(info.name for info in model.graph.output)
    yield from _walk_graph(model.graph, _Scope({}, {}, {}, {}, {}, outputs), "", functions)
    for function in used_functions(model):
        # Types inside a function depend on its caller; none are known here. Its inputs may be constants.
        path = _readable(function.name) + "/"
        scope = _Scope({}, {}, {}, {}, dict.fromkeys(function.input, True))
        yield from _walk_nodes(function.node, scope, path, functions)


def used_functions(model: onnx.ModelProto) -> list[onnx.FunctionProto]:
    """Return the local functions that the main graph calls, directly or through others, each once."""
    known = {(function.domain, function.name): function for function in model.functions}
    used: dict[tuple[str, str], onnx.FunctionProto] = {}
    graphs = [model.graph.node]
    while known and graphs:
        for node in graphs.pop():
            graphs.extend(graph.node for graph in _subgraphs(node))
            key = (node.domain, node.op_type)
            if key in known and key not in used:
                used[key] = known[key]
                graphs.append(known[key].node)
    return list(used.values())


def unfolded_nodes(model: onnx.ModelProto) -> float:
    """Return how many nodes there are with each function written out at its calls; inf if one calls itself."""
    known = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], float] = {}

    def size_of(nodes: Iterable[onnx.NodeProto]) -> float:
        total = 0.0
        for node in nodes:
            key = (node.domain, node.op_type)
            total += 1 + sum(size_of(graph.node) for graph in _subgraphs(node))
            if key in known:
                if key not in sizes:
                    sizes[key] = math.inf  # until it is known: a function that calls itself never ends
                    sizes[key] = size_of(known[key].node)
                total += sizes[key]
        return total

    return size_of(model.graph.node)


def graphs_of(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """Yield the main graph and every subgraph, those of local functions included."""
    bodies = [node for function in model.functions for node in function.node]
    pending = [model.graph, *(graph for node in bodies for graph in _subgraphs(node))]
    while pending:
        graph = pending.pop()
        yield graph
        pending.extend(inner for node in graph.node for inner in _subgraphs(node))


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Yield every stored tensor: initializers, sparse ones, and tensor attributes anywhere."""
    nodes = [node for function in model.functions for node in function.node]
    for graph in graphs_of(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        nodes.extend(graph.node)
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def _walk_graph(graph: onnx.GraphProto, scope: _Scope, path: str,
                functions: frozenset[tuple[str, str]]) -> Iterator[NodeView]:
    for info in (*graph.input, *graph.value_info, *graph.output):
        _learn_type(scope, info)
    for tensor in graph.initializer:
        _learn_constant(scope, tensor.name, tensor)
    yield from _walk_nodes(graph.node, scope, path, functions)


def _walk_nodes(nodes: Iterable[onnx.NodeProto], scope: _Scope, path: str,
                functions: frozenset[tuple[str, str]]) -> Iterator[NodeView]:
    for node in nodes:
        domain = AI_ONNX if node.domain == "ai.onnx" else node.domain
        attributes = _attributes(node)
        for output in filter(None, node.output):
            scope.producers[output] = (node.op_type, node.input[0] if node.input else "")
            scope.static[output] = node.op_type in _SHAPE_OPS or (
                bool(node.input) and all(scope.static.get(name, False) for name in node.input if name))
        if node.op_type == "Constant" and domain == AI_ONNX and node.output:
            _learn_constant(scope, node.output[0], _constant_tensor(attributes))
        name = path + _readable(node.name or next(filter(None, node.output), node.op_type))
        yield NodeView(name, _readable(node.op_type), _readable(domain), tuple(node.input), tuple(node.output),
                       attributes, (node.domain, node.op_type) in functions, scope, _written(node))
        for graph in _subgraphs(node):
            yield from _walk_graph(graph, scope.child(), name + "/", functions)


def _written(node: onnx.NodeProto) -> bytes:
    return b"".join(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)


def _readable(name: str | bytes) -> str:
    """Return a name as text: protobuf gives one that is not UTF-8 as bytes."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _learn_type(scope: _Scope, info: onnx.ValueInfoProto) -> None:
    tensor = info.type.tensor_type
    scope.types[info.name] = tensor.elem_type
    if tensor.HasField("shape"):
        scope.shapes[info.name] = tuple(
            dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)


def _learn_constant(scope: _Scope, name: str, tensor: TensorProto) -> None:
    scope.constants[name] = tensor
    scope.types[name] = tensor.data_type
    scope.shapes[name] = tuple(tensor.dims)
    scope.static[name] = True


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    found = {}
    for attribute in node.attribute:
        # In a function body an attribute may stand for one of the caller's; its value is not known.
        if not attribute.ref_attr_name:
            try:
                found[attribute.name] = helper.get_attribute_value(attribute)
            except ValueError:
                continue
    return found


def _constant_tensor(attributes: Mapping[str, Any]) -> TensorProto:
    """Return the value of a Constant node as a tensor; an empty message for sparse and string values."""
    if isinstance(attributes.get("value"), TensorProto):
        tensor: TensorProto = attributes["value"]
        return tensor
    for key, dtype in (("value_int", np.int64), ("value_ints", np.int64),
                       ("value_float", np.float32), ("value_floats", np.float32)):
        if key in attributes:
            return numpy_helper.from_array(np.asarray(attributes[key], dtype))
    return TensorProto()
