"""NVIDIA's own parser and builder, on a machine with no GPU: TensorRT-RTX in a child process.

`tensorrt_rtx` (the extra ``[rtx]``) is the TensorRT 11 code base with kernels compiled on the user's
machine. It parses ONNX and builds engines for a named compute capability without a driver, so a graph
that it accepts has been through NVIDIA's own code, not only through our table. It says nothing about
older releases, nor about speed.
"""
import dataclasses
import importlib.util
import json
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgenext_deploy.child_process import python_command
from edgenext_deploy.errors import IncompatibleError, VerificationError
from edgenext_deploy.export.checks.advice import OUR_NETWORK, Advice
from edgenext_deploy.files import require_file, write_files_atomically
from edgenext_deploy.install import install_command
from edgenext_deploy.scratch import scratch_folder
from edgenext_deploy.targets import Target

RTX = "tensorrt_rtx"
_CHILD = Path(__file__).with_name("rtx_child.py")
_FP16_LAYERNORM = "layernorm nodes in fp16"
# Compute capabilities that TensorRT-RTX 1.7 builds every graph for. It also knows 75 (Turing), for which it refuses
# matrix products in FP32.
SMS = ("80", "86", "89", "120", "121")


@dataclasses.dataclass(frozen=True)
class RtxBuild:
    """One build for one GPU generation.

    Attributes:
        sm: compute capability without the dot, ``86``.
        ok: the builder returned a plan.
        seconds: wall time of the build alone.
        plan_bytes: size of the serialized plan.
        messages: the builder's warnings and errors, each once.
        plan_path: where the plan was kept, None unless asked for.
        engine_layers: layers of the engine, after fusion; 0 if the builder did not list them.
    """

    sm: str
    ok: bool
    seconds: float
    plan_bytes: int
    messages: tuple[str, ...]
    plan_path: str | None = None
    engine_layers: int = 0


@dataclasses.dataclass(frozen=True)
class RtxReport:
    """What TensorRT-RTX says about one ONNX file.

    Attributes:
        available: `tensorrt_rtx` is installed and could be loaded.
        ok: parsed, and built for every compute capability asked for.
        version: of `tensorrt_rtx`, empty if not available.
        layers: layers of the parsed network, before the builder fuses them.
        errors: the parser's errors, with the node's name and operator.
        messages: the parser's warnings and errors as logged.
        builds: one per compute capability that was tried.
        reason: one sentence that says why `ok` is False; empty when it is True.
        parsed: the parser took it.
        parts: where it did not: the parts of the main graph that it has nothing against, as numbers of nodes.
        timed_out: it was ended before it had answered everything.
    """

    available: bool
    ok: bool
    version: str = ""
    layers: int = 0
    errors: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    builds: tuple[RtxBuild, ...] = ()
    reason: str = ""
    parsed: bool = False
    parts: tuple[tuple[int, ...], ...] = ()
    timed_out: bool = False

    @property
    def answered(self) -> bool:
        """Whether the parser said yes or no; a crash and the end of the time are neither."""
        return self.parsed or bool(self.errors)

    @property
    def fp16_layernorm(self) -> bool:
        """Whether the builder warned that a LayerNorm runs in FP16, where it can overflow."""
        logged = (*self.messages, *(message for build in self.builds for message in build.messages))
        return any(_FP16_LAYERNORM in message.lower() for message in logged)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return dataclasses.asdict(self)


Build = Callable[[str, Sequence[str]], RtxReport]


def sm_for(target: Target) -> str:
    """Return the compute capability to build for: the target's own, else the nearest that TensorRT-RTX has.

    A Jetson Nano (5.3) and a Xavier (7.2) get 80, an Orin (8.7) 86, a Thor (11.0) 120, an H100 (9.0) 89.
    """
    own = int(target.compute_capability.replace(".", ""))
    return min(SMS, key=lambda sm: abs(int(sm) - own))


def require_build(content: bytes, name: str, target: Target, fp32_norms: bool, build: Build,
                  advice: Advice = OUR_NETWORK) -> RtxReport:
    """Build a graph with TensorRT-RTX for the target's GPU, or the nearest that it knows.

    Args:
        content: the ONNX file.
        name: of the graph, for messages.
        target: where the engine will run; one without a GPU has nothing to build.
        fp32_norms: the graph computes in FP16, and its norms in FP32.
        build: `build_with_rtx`, or a stand-in.
        advice: what to do if it refuses.

    A builder that is too slow here refuses nothing: its report says that it gave no answer.

    Raises:
        VerificationError: TensorRT-RTX refuses the graph, which is a defect, or would compute a LayerNorm in FP16.
        IncompatibleError: it refuses what the file of somebody else has.
    """
    if not target.compute_capability:
        return RtxReport(False, False, reason=f"target {target.name} has no GPU")
    with scratch_folder() as folder:
        path = Path(folder, f"{name}.onnx")
        path.write_bytes(content)
        report = build(str(path), (sm_for(target),))
    if report.available and not report.ok and not report.timed_out:
        kind = VerificationError if advice.refusal_is_a_defect else IncompatibleError
        raise kind(f"TensorRT-RTX {report.version} refuses the graph: {report.reason}; nothing was written",
                   advice.refused)
    if fp32_norms and report.fp16_layernorm:
        raise VerificationError(
            f"TensorRT-RTX {report.version} sees a LayerNorm that computes in FP16; nothing was written",
            "this is a defect of the FP32 pins: please report the variant and the options")
    return report


def build_with_rtx(onnx_path: str, sms: Sequence[str] = ("80", "86"), timeout_s: float = 120,
                   keep_plan: str | None = None, package: str = RTX, largest: int = 1) -> RtxReport:
    """Parse `onnx_path` and build it for every compute capability in `sms`.

    Args:
        onnx_path: a single-file ONNX model, FP32 or FP16-typed.
        sms: compute capabilities without the dot; TensorRT-RTX 1.7 knows 75, 80, 86, 89, 120 and 121.
        timeout_s: seconds for all of it together.
        package: ``tensorrt_rtx``, or ``tensorrt`` to have the full TensorRT of this machine parse, with `sms` empty.
        largest: inputs' open sizes are built for 1 up to this.
        keep_plan: a folder that gets ``<model>.sm<SM>.plan`` for every build; by default plans are dropped.

    Returns:
        The report. A model that TensorRT-RTX refuses, a crash and a timeout are results, not exceptions.

    Raises:
        BadInputError: the file is missing, empty or not a file.
        UsageError: `keep_plan` cannot be written.
    """
    require_file(onnx_path, "ONNX file", "export one with edgenext-export")
    if importlib.util.find_spec(package) is None:
        return RtxReport(False, False, reason=f"{package} is not installed" + (
            f" ({install_command('rtx')})" if package == RTX else ""))
    with scratch_folder() as folder:
        result = Path(folder, "report.json")
        command = python_command(str(_CHILD), [
            str(Path(onnx_path).resolve()), str(result), folder if keep_plan else "", package, str(largest), *sms])
        timed_out = False
        try:
            child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s,
                                   cwd=folder, check=False)
            ending = _ending(child.returncode, child.stderr)
        except subprocess.TimeoutExpired:
            ending, timed_out = f"gave no result within {timeout_s:g} s", True
        if not result.is_file():
            return RtxReport(False, False, reason=f"the child process {ending} before it could report",
                             timed_out=timed_out)
        report = dataclasses.replace(
            _read(json.loads(result.read_text(encoding="utf-8")), ending), timed_out=timed_out)
        return _keep_plans(report, onnx_path, keep_plan) if keep_plan else report


def _ending(code: int, stderr: bytes) -> str:
    if code < 0:
        try:
            return f"crashed ({signal.Signals(-code).name})"
        except ValueError:
            return f"crashed (signal {-code})"
    last = stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"ended with code {code}" + (f" ({last[0][:200]})" if last else "")


def _read(data: dict[str, Any], ending: str) -> RtxReport:
    errors = tuple(dict.fromkeys(_describe(error) for error in data["errors"]))
    builds = tuple(
        RtxBuild(build["sm"], build["ok"], build["seconds"], build["plan_bytes"], tuple(build["messages"]),
                 build["plan"] or None, build.get("engine_layers", 0))
        for build in data["builds"])
    report = RtxReport(data["available"], False, data["version"], data["layers"], errors,
                       tuple(data["messages"]), builds, parsed=data["parsed"],
                       parts=tuple(map(tuple, data["parts"])))
    # Each step is written down before it runs, so a crash names its step. A crash after the last one is harmless.
    if not data["available"]:
        reason = data.get("reason", f"the child process {ending} at: {data['stage']}")
    elif not data["parsed"] and (errors or report.messages):
        reason = "; ".join(errors[:3]) or report.messages[0]
    elif data["stage"] != "done":
        reason = f"the child process {ending} at: {data['stage']}"
    elif not data["parsed"]:
        reason = "refused without a message"
    else:
        failed = [build for build in builds if not build.ok]
        if not failed:
            return dataclasses.replace(report, ok=True)
        said = failed[0].messages[:1] or ("the builder gave no reason",)
        reason = f"no engine for SM{failed[0].sm}: {' '.join(said[0].split())}"
    return dataclasses.replace(report, reason=reason)


def _describe(error: dict[str, str]) -> str:
    reason = " ".join(error["reason"].split())
    # NVIDIA's checkers fail a wholly unsupported operator with the bare condition "false".
    if reason in {"", "false"}:
        reason = "operator not supported"
    if not error["op"]:
        return reason
    return f"node {error['node'] or '(unnamed)'!r} ({error['op']}): {reason}"


def _keep_plans(report: RtxReport, onnx_path: str, folder: str) -> RtxReport:
    kept = {build.sm: str(Path(folder, f"{Path(onnx_path).stem}.sm{build.sm}.plan"))
            for build in report.builds if build.plan_path}
    write_files_atomically({
        kept[build.sm]: Path(build.plan_path).read_bytes() for build in report.builds if build.plan_path})
    return dataclasses.replace(report, builds=tuple(
        dataclasses.replace(build, plan_path=kept.get(build.sm)) for build in report.builds))
