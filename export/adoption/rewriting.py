"""Adding nodes to somebody else's graph: names that are new, constants as initializers."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Rewriter:
    """Collects new nodes and initializers beside those of a graph.

    Args:
        model: the graph, of which every node has a name.

    Attributes:
        nodes: the new list of nodes, in order.
        islands: new nodes that must compute in FP32, each with the reason.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.islands: dict[str, str] = {}
        self._taken = {value for node in graph.node for value in (node.name, *node.output)}
        self._taken |= {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}

    def unique(self, name: str) -> str:
        """Return the name, with a number behind it if it is taken."""
        free, number = name, 2
        while free in self._taken:
            free, number = f"{name}.{number}", number + 1
        self._taken.add(free)
        return free

    def release(self, name: str) -> None:
        """Make a node's name free for the node that takes its place."""
        self._taken.discard(name)

    def constant(self, name: str, value: Any) -> str:
        """Add an initializer, floating point as float32 and integers as int64; return its name."""
        array = np.asarray(value)
        array = np.ascontiguousarray(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
        free = self.unique(name)
        self.model.graph.initializer.append(numpy_helper.from_array(array, free))
        return free

    def node(self, op_type: str, inputs: Sequence[str], name: str, output: str | None = None, reason: str = "",
             **attributes: Any) -> str:
        """Add a node with one output and return that output's name.

        Args:
            op_type: of ai.onnx.
            inputs: names of values.
            name: of the node, made unique.
            output: name of its output; None takes the node's.
            reason: why it computes in FP32, empty if it need not.
            attributes: of the node.
        """
        free = self.unique(name)
        result = free if output is None else output
        self.nodes.append(helper.make_node(op_type, list(inputs), [result], name=free, **attributes))
        if reason:
            self.islands[free] = reason
        return result

    def finish(self) -> onnx.ModelProto:
        """Put the new list of nodes into the model and return it."""
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        return self.model
