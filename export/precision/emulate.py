"""Runs one of our FP32 graphs on the CPU node by node, in FP32 or as an FP16 engine with FP32 pins would.

It is an emulation of the number format, not of a device: see docs/precision.md for what it leaves out.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.graph.builder import input_spec
from edgenext_deploy.export.precision.arithmetic import Float16, Float32, float16
from edgenext_deploy.export.precision.fp32_pins import Pins, fp32_nodes
from edgenext_deploy.export.precision.semantics import RULES, evaluate
from edgenext_deploy.export.precision.steps import Operands, Step, refusal
from edgenext_deploy.preprocess.input_form import as_input

Values = dict[str, Tensor]


class Emulator:
    """A graph taken apart: `steps` in topological order, `constants` as tensors.

    Args:
        model: FP32, checked, one input, static shapes, no subgraphs.

    Raises:
        IncompatibleError: an operator that the lowering never writes; the message names the node.
        UsageError: more than one input.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        if len(model.graph.input) != 1:
            raise UsageError(f"the emulation takes graphs with one input, found {len(model.graph.input)}")
        self.input = model.graph.input[0].name
        self._takes = input_spec(model)
        self.outputs = tuple(value.name for value in model.graph.output)
        self.constants = {tensor.name: _constant(tensor) for tensor in model.graph.initializer}
        self.steps = [_step(index, node) for index, node in enumerate(model.graph.node)]
        for step in self.steps:
            if step.op not in RULES:
                raise refusal(step, f"operator {step.op}")
        last_use = {name: step.index for step in self.steps for name in step.inputs}
        self._dead_after: dict[int, list[str]] = {}
        for name, index in last_use.items():
            if name not in self.outputs:
                self._dead_after.setdefault(index, []).append(name)

    def run(self, image: np.ndarray, pins: Pins | None = None, accumulate: str = "fp32") -> dict[str, np.ndarray]:
        """Return the outputs by name, float32.

        Args:
            image: prepared images `[B, 3, H, W]` float32; a graph that takes pixels gets them in its own form.
            pins: nodes that compute in FP32, the others in FP16. None runs every node in FP32.
            accumulate: precision of the sums in FP16 nodes: ``fp32``, or ``fp16`` for the worst case.
        """
        half = None if pins is None else float16(accumulate)
        fp32 = fp32_nodes(self.model, pins or {})
        values = self.start(image)
        with quiet_torch():
            for step in self.steps:
                arithmetic = None if step.name in fp32 else half
                values.update(zip(step.outputs, compute(step, self.operands(step, values), arithmetic)))
                self.forget(step, values)
        return {name: values[name].numpy() for name in self.outputs}

    def start(self, image: np.ndarray) -> Values:
        """Return the values that exist before the first step."""
        if self._takes.dtype == "float32":
            return {self.input: torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))}
        return {self.input: torch.from_numpy(as_input(image, self._takes))}

    def operands(self, step: Step, values: Mapping[str, Tensor]) -> Operands:
        """Return a step's inputs, unrounded."""
        return [self.constants[name] if name in self.constants else values[name] for name in step.inputs if name]

    def forget(self, step: Step, values: Values) -> None:
        """Drop the values that no later step takes."""
        for name in self._dead_after.get(step.index, []):
            values.pop(name, None)


def compute(step: Step, operands: Operands, half: Float16 | None, exact: Float32 | None = None) -> tuple[Tensor, ...]:
    """Return a step's outputs in FP16 arithmetic `half`, or in FP32 where that is None.

    An FP16 node rounds what it takes, constants included: this is the Cast, or the reformat, in front of it.
    """
    if half is None:
        return evaluate(exact or Float32(), step, operands)
    return evaluate(half, step, [half.round(x) if x.is_floating_point() else x for x in operands])


def _constant(tensor: onnx.TensorProto) -> Tensor:
    try:
        return torch.from_numpy(numpy_helper.to_array(tensor).copy())
    except TypeError:  # the eight-bit floats and others that numpy does not have
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        raise IncompatibleError(f"the FP16 emulation does not know {kind}, the type of constant {tensor.name!r}",
                                "export without --drift and --auto-pin") from None


def _step(index: int, node: onnx.NodeProto) -> Step:
    attributes: dict[str, Any] = {
        attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return Step(index, node.name, node.op_type, tuple(node.input), tuple(node.output), attributes)
