"""Any ONNX file, read with suspicion and judged for every documented TensorRT release and every target."""
import dataclasses
import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from edgenext_deploy.errors import UsageError
from edgenext_deploy.targets import TARGETS, get_target

if TYPE_CHECKING:
    from edgenext_deploy.export.checks.rtx import RtxReport
    from edgenext_deploy.export.verdict.findings import Verdict


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
        real: what TensorRT-RTX's own parser and builder said; None where they were not asked.
    """

    path: str
    opset: int
    ir_version: int
    nodes: int
    releases: "Mapping[str, Verdict]"
    problems: Mapping[str, tuple[str, ...]]
    real: "RtxReport | None" = None

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
            "real": self.real and self.real.to_json(),
            "targets": {name: {"accepted": not found, "problems": list(found)}
                        for name, found in self.problems.items()}}


def check_onnx(path: str | os.PathLike[str], *, target: str | None = None, real: bool | None = None,
               build: str | None = None, plugins: Collection[str] = ()) -> Verdicts:
    """Say which TensorRT releases and targets can run an ONNX file, and why the others cannot.

    The file is read, never run. docs/operators.md says what that can and cannot know.

    Args:
        path: an ONNX model, from anywhere. Weights may lie in other files, which are not read.
        target: raise unless this target can run it.
        real: ask NVIDIA's own parsers, that of TensorRT-RTX and that of a full TensorRT on a machine with a GPU, for
            the verdicts of their releases; None: where they are installed, for files up to 128 MiB and for at most 8 s.
        build: have its builder build for this compute capability too, such as ``86``.
        plugins: operators that the device has plugins for, beside NVIDIA's own.

    Raises:
        UsageError: no such target or compute capability, or `build` with ``real=False``.
        MissingRuntimeError: `real` or `build`, and TensorRT-RTX is not installed.
        BadInputError: missing, empty, truncated, not ONNX, over 2 GB, or nested too deep.
        IncompatibleError: `target` cannot run the file; the message names the first nodes.
    """
    if target is not None:
        get_target(target)  # before the file is read
    from edgenext_deploy.export.verdict import judge
    from edgenext_deploy.export.verdict import real as nvidia
    from edgenext_deploy.export.verdict.reading import load_model

    if build is not None and real is False:
        raise UsageError("build needs NVIDIA's own builder, and real=False leaves it out", "leave one of the two out")
    sm = None if build is None else nvidia.check_capability(build)
    if real or build is not None:
        nvidia.require_installed()
    analysis = judge.analyse(load_model(os.fspath(path)), from_elsewhere=True, plugins=plugins)
    asked_for = bool(real or sm)
    report = nvidia.ask(os.fspath(path), sm, asked_for=asked_for) if asked_for or (
        real is None and nvidia.installed()) else None
    if report is not None and report.available:
        release = judge.RTX
        analysis.judged[release] = nvidia.verdict_of(report, judge.judge_analysis(analysis, release))
    full = nvidia.ask_full(os.fspath(path), asked_for=asked_for) if real is not False else None
    if full is not None:
        release, said = full
        analysis.judged[release] = nvidia.verdict_of(said, judge.judge_analysis(analysis, release), "TensorRT")
    releases = judge.judge_every_release(analysis)
    verdicts = Verdicts(
        os.fspath(path), analysis.opset, analysis.ir_version, len(analysis.nodes),
        {**releases, **({full[0]: analysis.judged[full[0]]} if full is not None else {})},
        {name: judge.target_problems(analysis, known) for name, known in TARGETS.items()}, report)
    if target is not None:
        verdicts.require(target)
    return verdicts
