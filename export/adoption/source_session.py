"""The file as given, in ONNX Runtime: the reference with which every step is compared."""
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from edgenext_deploy.errors import BadInputError, IncompatibleError
from edgenext_deploy.export.adoption.source_file import ImageInput
from edgenext_deploy.export.checks.parity import runtime_session
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import one_line

# Of ONNX Runtime: what it refuses is raised too, and told in one line.
_FATAL_ONLY = 4
# Where in its source it refuses, in front of the reason.
_PLACE = re.compile(r"(\[ONNXRuntimeError\] : \d+ : \w+ : )?(.*?)/onnxruntime_src/\S+:\d+ .*?\) (?=\S)")
_NUMBERS = frozenset(f"tensor({name})" for name in (
    "float", "double", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"))


class SourceSession:
    """A file with some of its values as outputs.

    Args:
        model: with a fixed input.
        image: that input.
        names: of the values that `run` may be asked for.

    Raises:
        BadInputError: ONNX Runtime refuses the file.
        IncompatibleError: a value is no tensor of numbers.
    """

    def __init__(self, model: onnx.ModelProto, image: ImageInput, names: Sequence[str]) -> None:
        self.image, self.names = image, tuple(names)
        try:
            self._session: Any = runtime_session(with_outputs(model, names), _FATAL_ONLY)
        except Exception as error:  # onnxruntime raises types of its own, which need not be imported to be told
            raise BadInputError(f"ONNX Runtime refuses the file: {_reason(error)}",
                                "export the network again; onnxruntime.InferenceSession must open it") from error
        for value in self._session.get_outputs():
            if value.type not in _NUMBERS:
                raise IncompatibleError(f"output {shown(value.name)} is {shown(value.type)}, no tensor of numbers that "
                                        "an engine gives", "name another with --logits, or export the network with "
                                        "tensors of FP32 for outputs")

    def type_of(self, name: str) -> str:
        """Return ONNX Runtime's name of a value's type, such as ``tensor(float16)``."""
        return next(str(value.type) for value in self._session.get_outputs() if value.name == name)

    def run(self, image: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, ...]:
        """Return values by name for `[B, 3, H, W]` float32; floating point as float32.

        Raises:
            BadInputError: ONNX Runtime cannot run the file.
        """
        taken = image.transpose(0, 2, 3, 1) if self.image.channels_last else image
        try:
            results = self._session.run(list(names), {self.image.name: np.ascontiguousarray(taken)})
        except Exception as error:  # as above
            raise BadInputError(f"ONNX Runtime cannot run the file: {_reason(error)}",
                                "give the input's size with --input") from error
        return tuple(value.astype(np.float32) if value.dtype.kind == "f" else value for value in results)


def _reason(error: Exception) -> str:
    return shown(_PLACE.sub(r"\2", one_line(error)), 300)


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy of a model with these values as its outputs, and without the nodes that only others need."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name: value for value in (*model.graph.output, *onnx.shape_inference.infer_shapes(
        model, data_prop=True).graph.value_info)}
    del copy.graph.output[:]
    for name in dict.fromkeys(names):
        found = known.get(name)
        if found is not None:
            copy.graph.output.append(found)
        else:
            copy.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    needed, kept = set(names), []
    for node in reversed(copy.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= _taken(node)
    del copy.graph.node[:]
    copy.graph.node.extend(reversed(kept))
    initializers = [tensor for tensor in copy.graph.initializer if tensor.name in needed]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(initializers)
    return copy


def _taken(node: onnx.NodeProto) -> set[str]:
    """Return the values that a node takes, those that its branches take from outside among them."""
    taken = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            taken.update(value.name for value in graph.output)
            for inner in graph.node:
                taken |= _taken(inner)
    return taken
