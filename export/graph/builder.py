"""A small builder of ONNX graphs: every node and initializer gets the name it is given."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.version import __version__

_ELEMENT_TYPE = {
    "float32": onnx.TensorProto.FLOAT, "float16": onnx.TensorProto.FLOAT16, "int32": onnx.TensorProto.INT32,
    "uint8": onnx.TensorProto.UINT8}


class GraphBuilder:
    """Collects nodes and initializers in the order they are given.

    Attributes:
        opset: ai.onnx opset the nodes are written for; operators look at it to choose their form.
        islands: nodes that must compute in FP32, each with the reason.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._names: set[str] = set()
        self._island: str | None = None
        self.islands: dict[str, str] = {}

    @contextmanager
    def fp32(self, reason: str) -> Iterator[None]:
        """Mark the nodes added inside as an FP32 island."""
        outer, self._island = self._island, reason
        try:
            yield
        finally:
            self._island = outer

    def constant(self, name: str, value: Any) -> str:
        """Add an initializer, floating point as float32 and integers as int64; return its name."""
        array = np.asarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        if name in self._initializers:
            raise ValueError(f"initializer {name!r} is defined twice")
        self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def node(self, op_type: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output, which has the node's name; return that name."""
        return self.node_with_outputs(op_type, inputs, name, [name], **attributes)[0]

    def node_with_outputs(
        self, op_type: str, inputs: list[str], name: str, outputs: list[str], **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node whose outputs are named one by one; return their names."""
        if name in self._names:
            raise ValueError(f"node {name!r} is defined twice")
        self._names.add(name)
        if self._island is not None:
            self.islands[name] = self._island
        self._nodes.append(helper.make_node(op_type, inputs, outputs, name=name, **attributes))
        return tuple(outputs)

    def model(
        self, graph_name: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...],
        results: tuple[str, ...], ir_version: int,
    ) -> onnx.ModelProto:
        """Return the model; `results` are the values that become `outputs`, under the outputs' names."""
        rename = {result: spec.name for result, spec in zip(results, outputs)}
        for node in self._nodes:
            for field in (node.input, node.output):
                for index, value in enumerate(field):
                    if value in rename:
                        field[index] = rename[value]
        graph = helper.make_graph(
            self._nodes, graph_name, [_value_info(spec) for spec in inputs], [_value_info(spec) for spec in outputs],
            list(self._initializers.values()))
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir_version,
            producer_name="edgenext-deploy", producer_version=__version__)


def _value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, _ELEMENT_TYPE[spec.dtype], list(spec.shape))


def input_spec(model: onnx.ModelProto) -> TensorSpec:
    """Return the one input of a model with fixed sizes."""
    (value,) = model.graph.input
    kinds = {kind: name for name, kind in _ELEMENT_TYPE.items()}
    taken = value.type.tensor_type
    return TensorSpec(value.name, tuple(dim.dim_value for dim in taken.shape.dim), kinds[taken.elem_type])
