"""From an FP32 graph and its FP32 pins to a graph typed in FP16, with explicit Casts around the FP32 islands.

This is what strongly typed builders (TensorRT 11, TensorRT-RTX, and 10 on request) take: the types in the file
decide, and an FP32 file would silently give an FP32 engine.
"""
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export.graph.opset import opset_of
from edgenext_deploy.export.precision.arithmetic import FP16_MAX
from edgenext_deploy.export.precision.fp32_pins import Pins, element_types, fp32_nodes

_NUMPY: dict[int, type[np.floating[Any]]] = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
_SUFFIX: dict[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}


def to_typed(model: onnx.ModelProto, pins: Pins, io: str = "fp32") -> onnx.ModelProto:
    """Return the model typed in FP16.

    Args:
        model: FP32, checked, static shapes, no subgraphs.
        pins: nodes that stay FP32.
        io: type of the graph's inputs and outputs, ``fp32`` or ``fp16``.

    Raises:
        VerificationError: a weight of an FP16 node is beyond FP16's range.
    """
    return _Typing(model, pins, TensorProto.FLOAT16 if io == "fp16" else TensorProto.FLOAT).run()


def count_casts(model: onnx.ModelProto) -> int:
    """Return how many Cast nodes a model has."""
    return sum(node.op_type == "Cast" for node in model.graph.node)


class _Typing:
    """One conversion: `types` says what each value has become, `casts` which conversions exist already."""

    def __init__(self, model: onnx.ModelProto, pins: Pins, io_type: int) -> None:
        self.model = model
        self.opset = opset_of(model)
        self.io_type = io_type
        before = element_types(model)
        self.floating = {name for name, kind in before.items() if kind == TensorProto.FLOAT}
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.fp32 = fp32_nodes(model, pins)
        self.types: dict[str, int] = {value.name: io_type for value in model.graph.input}
        self.casts: dict[tuple[str, int], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def run(self) -> onnx.ModelProto:
        outputs = {value.name for value in self.model.graph.output}
        for node in self.model.graph.node:
            self._add(node, outputs)
        typed = onnx.ModelProto()
        typed.CopyFrom(self.model)
        for field in ("node", "initializer", "value_info"):
            typed.graph.ClearField(field)
        typed.graph.node.extend(self.nodes)
        typed.graph.initializer.extend(self.initializers.values())
        for value in (*typed.graph.input, *typed.graph.output):
            if value.name in self.floating:
                value.type.tensor_type.elem_type = self.io_type
        onnx.checker.check_model(typed, full_check=True)
        return typed

    def _add(self, node: onnx.NodeProto, graph_outputs: set[str]) -> None:
        inner_type = TensorProto.FLOAT if node.name in self.fp32 else TensorProto.FLOAT16
        schema = onnx.defs.get_schema(node.op_type, self.opset, node.domain)
        inputs = []
        for index, name in enumerate(node.input):
            wanted = inner_type if _takes_fp16(schema.inputs, index, schema) else TensorProto.FLOAT
            inputs.append(self._constant(name, wanted) if name in self.constants else self._value(name, wanted))
        outputs, pending = [], []
        for index, name in enumerate(node.output):
            wanted = inner_type if _takes_fp16(schema.outputs, index, schema) else TensorProto.FLOAT
            self.types[name] = wanted if name in self.floating else 0
            if name in graph_outputs and name in self.floating and wanted != self.io_type:
                inner = f"{name}.{_SUFFIX[wanted]}"
                self.types[inner] = wanted
                pending.append(self._cast_node(inner, name, self.io_type, name))
                self.types[name] = self.io_type
                outputs.append(inner)
            else:
                outputs.append(name)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:], copy.output[:] = inputs, outputs
        for attribute in copy.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = inner_type
        self.nodes.append(copy)
        self.nodes.extend(pending)

    def _value(self, name: str, wanted: int) -> str:
        if name not in self.floating or self.types[name] == wanted:
            return name
        key = (name, wanted)
        if key not in self.casts:
            result = f"{name}/to_{_SUFFIX[wanted]}"
            self.nodes.append(self._cast_node(name, result, wanted, result))
            self.casts[key] = result
        return self.casts[key]

    @staticmethod
    def _cast_node(source: str, result: str, to: int, label: str) -> onnx.NodeProto:
        name = label if "/to_" in label else f"{label}/to_{_SUFFIX[to]}"
        return helper.make_node("Cast", [source], [result], name=name, to=to)

    def _constant(self, name: str, wanted: int) -> str:
        tensor = self.constants[name]
        if name not in self.floating:
            self.initializers.setdefault(name, tensor)
            return name
        typed = name if wanted == TensorProto.FLOAT else f"{name}.fp16"
        if typed not in self.initializers:
            array = numpy_helper.to_array(tensor)
            # FP16 has infinities: one in a mask stays what it is.
            largest = float(np.abs(array[np.isfinite(array)]).max(initial=0))
            if wanted == TensorProto.FLOAT16 and largest > FP16_MAX:
                raise VerificationError(
                    f"weight {name!r} has magnitude {largest:g}, FP16 ends at {FP16_MAX:g}",
                    "let the analysis pin its node: add --auto-pin")
            self.initializers[typed] = numpy_helper.from_array(array.astype(_NUMPY[wanted]), typed)
        return typed


def _takes_fp16(formal: Sequence[Any], index: int, schema: onnx.defs.OpSchema) -> bool:
    """Say whether ONNX has an FP16 form of a node's input or output: the scales of some operators are FP32 always."""
    kind = formal[min(index, len(formal) - 1)].type_str
    allowed = next(
        (entry.allowed_type_strs for entry in schema.type_constraints if entry.type_param_str == kind), [kind])
    return "tensor(float16)" in allowed or "tensor(float)" not in allowed
