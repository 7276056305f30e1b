"""onnx-simplifier in a child process: it may crash or hang, and then the graph goes on as it was."""
import dataclasses
import subprocess
from pathlib import Path

import onnx

from edgenext_deploy.child_process import python_command
from edgenext_deploy.scratch import scratch_folder

_CHILD = Path(__file__).with_name("simplify_child.py")


@dataclasses.dataclass(frozen=True)
class Simplified:
    """The simplified model, or the given one with the reason in `warning`."""

    model: onnx.ModelProto
    warning: str | None


def simplify(
    model: onnx.ModelProto, timeout_s: float = 60.0, child: Path = _CHILD, may_add: bool = False
) -> Simplified:
    """Simplify a model, keeping every remaining node's name, the opset and the IR version.

    Args:
        model: a checked model.
        timeout_s: wall time after which the child is killed.
        child: the script to run; tests give one that misbehaves.
        may_add: new nodes are fine, as in a graph of which nobody knows the names yet.
    """
    with scratch_folder() as folder:
        source, destination = Path(folder, "in.onnx"), Path(folder, "out.onnx")
        source.write_bytes(model.SerializeToString(deterministic=True))
        try:
            process = subprocess.run(
                python_command(str(child), [str(source), str(destination)]), timeout=timeout_s, check=False,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return Simplified(model, f"onnx-simplifier took more than {timeout_s:g} s")
        if process.returncode != 0:
            lines = process.stderr.decode(errors="replace").strip().splitlines()
            return Simplified(
                model, f"onnx-simplifier ended with code {process.returncode}: {lines[-1] if lines else 'no message'}")
        try:
            simplified = onnx.load(str(destination), load_external_data=False)
            onnx.checker.check_model(simplified, full_check=True)
        except Exception as error:
            return Simplified(model, f"onnx-simplifier wrote a broken file: {error}")
    changed = _changed(model, simplified, may_add)
    return Simplified(model, f"onnx-simplifier {changed}") if changed else Simplified(simplified, None)


def _changed(before: onnx.ModelProto, after: onnx.ModelProto, may_add: bool) -> str | None:
    """Return what the simplifier changed that it must not change, or None."""
    for field in ("opset_import", "ir_version"):
        if getattr(before, field) != getattr(after, field):
            return f"changed {field}"
    for field in ("input", "output"):
        if getattr(before.graph, field) != getattr(after.graph, field):
            return f"changed the graph's {field}s"
    known = {node.name: node.op_type for node in before.graph.node}
    for node in after.graph.node:
        if not may_add and known.get(node.name) != node.op_type:
            return f"put a new node into the graph: {node.name or '(no name)'} ({node.op_type})"
    return None
