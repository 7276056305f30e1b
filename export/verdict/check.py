"""Any ONNX file, read with suspicion and judged for every documented TensorRT release and every target."""
import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgenext_deploy.artifacts.engine_file import open_graph
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.targets import TARGETS, get_target

if TYPE_CHECKING:
    import onnx

    from edgenext_deploy.export.verdict.findings import Verdict

# Protobuf cannot hold more in one message.
_FIX = "export it again, or copy it again if it was damaged on the way"


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """What TensorRT and the targets make of one ONNX file.

    Attributes:
        path: of the file.
        opset: imported ai.onnx opset, 0 if there is none.
        ir_version: ONNX IR version of the file.
        nodes: how many it has, those of subgraphs included.
        releases: verdict of every documented TensorRT release, oldest first.
        problems: of every target, why it cannot run the file; empty if it can.
    """

    path: str
    opset: int
    ir_version: int
    nodes: int
    releases: "Mapping[str, Verdict]"
    problems: Mapping[str, tuple[str, ...]]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets that can run the file."""
        return tuple(name for name, found in self.problems.items() if not found)

    def require(self, target: str) -> None:
        """Raise IncompatibleError unless this target can run the file, UsageError if there is no such target."""
        from edgenext_deploy.export.verdict.judge import refuse

        refuse(get_target(target), self.problems[get_target(target).name])

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data, notes included."""
        from edgenext_deploy.export.verdict.findings import summary

        return {
            "file": self.path, "opset": self.opset, "ir_version": self.ir_version, "nodes": self.nodes,
            "verdicts": summary(self.releases),
            "targets": {name: {"accepted": not found, "problems": list(found)}
                        for name, found in self.problems.items()}}


def check_onnx(path: str | os.PathLike[str], *, target: str | None = None) -> Verdicts:
    """Say which TensorRT releases and targets can run an ONNX file, and why the others cannot.

    The file is read, never run. docs/operators.md says what that can and cannot know.

    Args:
        path: a single-file ONNX model, from anywhere.
        target: raise unless this target can run it.

    Raises:
        UsageError: no such target.
        BadInputError: see `load_model`.
        IncompatibleError: `target` cannot run the file; the message names the first nodes.
    """
    if target is not None:
        get_target(target)  # before the file is read
    model = load_model(os.fspath(path))
    from edgenext_deploy.export.verdict import judge

    analysis = judge.analyse(model)
    verdicts = Verdicts(
        os.fspath(path), analysis.opset, analysis.ir_version, len(analysis.nodes),
        judge.judge_every_release(analysis),
        {name: judge.target_problems(analysis, known) for name, known in TARGETS.items()})
    if target is not None:
        verdicts.require(target)
    return verdicts


def load_model(path: str) -> "onnx.ModelProto":
    """Read a single-file ONNX model and check that it is one.

    Args:
        path: the ``.onnx`` file.

    Raises:
        BadInputError: missing, empty, a folder, truncated, not ONNX, over 2 GB, with external data, or
            refused by the ONNX checker.
    """
    import onnx

    from edgenext_deploy.export.verdict.nodes import tensors_of

    content = open_graph(path).take_data()
    size_bytes = len(content)
    try:
        model = onnx.load_model_from_string(content)
    # Protobuf's own DecodeError; what else it may raise says no more.
    except Exception as error:
        raise BadInputError(f"{path} is not an ONNX file, or it is truncated ({size_bytes} bytes)",
                            _FIX) from error
    if not model.HasField("graph") or not model.graph.node:
        raise BadInputError(f"{path}: no graph found; it is not an ONNX model, or it is truncated", _FIX)
    for tensor in tensors_of(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BadInputError(f"{path}: tensor {tensor.name!r} keeps its data in another file",
                                "save the model as one file: onnx.save(onnx.load(...), path)")
    try:
        onnx.checker.check_model(model, full_check=True)
    # The checker and the inference functions behind it raise many types; each says that the file is bad.
    except Exception as error:
        raise BadInputError(f"{path}: the ONNX checker refuses it: {_one_line(error)}", _FIX) from error
    return model


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text[:240] + "…") if len(text) > 240 else text or type(error).__name__
