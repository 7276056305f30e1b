"""From a lowered module to an ONNX model: trace with torch.fx, then let every operator emit itself."""
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from torch import fx, nn

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.export.graph.builder import GraphBuilder
from edgenext_deploy.export.lowering.ops import Op


class _Tracer(fx.Tracer):
    """Stops at operators, so that the traced graph holds nothing else."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Op)


def emit(
    lowered: nn.Module, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], opset: int, ir_version: int,
    graph_name: str, front: Sequence[tuple[str, Op]] = (), end: Sequence[tuple[str, Op]] = (),
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return the ONNX model of a lowered module, and its FP32 islands: node name to reason.

    Node names are the operators' paths in the module, such as ``stages.2.5.xca.scores``.

    Args:
        lowered: the module.
        inputs: the graph's.
        outputs: the graph's.
        opset: of the graph.
        ir_version: of the file.
        graph_name: of the graph.
        front: operators between the graph's one input and the module, with the names of their nodes.
        end: operators between the module's one result and the graph's output.

    Raises:
        TypeError: the module does something that is not an `Op`.
    """
    graph = GraphBuilder(opset)
    values: dict[fx.Node, str | tuple[str, ...]] = {}
    results: tuple[str, ...] = ()
    specs = iter(inputs)
    for node in _Tracer().trace(lowered).nodes:
        if node.op == "placeholder":
            values[node] = _chain(graph, front, next(specs).name)
        elif node.op == "call_module":
            operator = lowered.get_submodule(str(node.target))
            assert isinstance(operator, Op)
            values[node] = operator.emit(graph, str(node.target), *(str(values[arg]) for arg in node.args))
        elif node.op == "call_function" and getattr(node.target, "__name__", "") == "getitem":
            parts, index = node.args
            values[node] = values[parts][index]
        elif node.op == "output":
            results = tuple(_chain(graph, end, result) for result in _flat(node.args[0], values))
        else:
            raise TypeError(f"a lowered module may call only operators; found {node.op} {node.target}")
    return graph.model(graph_name, inputs, outputs, results, ir_version), graph.islands


def _chain(graph: GraphBuilder, operators: Sequence[tuple[str, Op]], value: str) -> str:
    """Emit operators one behind the other; return the name of the last one's result."""
    for name, operator in operators:
        value = str(operator.emit(graph, name, value))
    return value


def _flat(returned: Any, values: dict[fx.Node, str | tuple[str, ...]]) -> Iterator[str]:
    """Yield the names of what a module returns: a value, or a tuple of values."""
    if isinstance(returned, (tuple, list)):
        for item in returned:
            yield from _flat(item, values)
    else:
        value = values[returned]
        yield from (value,) if isinstance(value, str) else value
