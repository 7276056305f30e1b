"""One ``edgenext-build``: decide what to build with what, build, and write the plan with its sidecar."""
import datetime
import os
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.artifacts.nms_plugin import OP, ends_in_plugin
from edgenext_deploy.artifacts.plan_check import (
    SCHEMA,
    Environment,
    PlanFile,
    PlanRecord,
    find_record,
    present_environment,
    sidecar_path,
    write_plan,
)
from edgenext_deploy.engines import timing_cache, workspace
from edgenext_deploy.engines.best_of import keep_fastest
from edgenext_deploy.engines.build_records import BuildReport, BuildRequest, BuildResult
from edgenext_deploy.engines.isolated import build_in_child
from edgenext_deploy.engines.precision.mode import FP32
from edgenext_deploy.engines.precision.pins import pins_of
from edgenext_deploy.engines.selftest.golden_test import SelfTest
from edgenext_deploy.engines.verify import verify_in_child
from edgenext_deploy.errors import BadInputError, EdgeNextError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.files import require_file, sha256_of_bytes, sha256_of_file, write_files_atomically
from edgenext_deploy.machine.facts import is_jetson, read_memory
from edgenext_deploy.machine.tree import Tree
from edgenext_deploy.targets import TENSORRT, TENSORRT_RTX, Target, get_target
from edgenext_deploy.tensorrt_api.builder_api import NO_GPU
from edgenext_deploy.tensorrt_api.load import is_installed
from edgenext_deploy.version import __version__


class PlanOptions(NamedTuple):
    """What the command was asked for; None means the default that `make_plan` works out."""

    onnx_path: str
    output: Optional[str] = None
    target: Optional[str] = None
    precision: Optional[str] = None
    workspace_mib: Optional[int] = None
    timing_cache: Optional[str] = None
    optimization_level: Optional[int] = None
    best_of: int = 1
    drop_cublas: bool = False
    force: bool = False


class MadePlan(NamedTuple):
    """A plan on the disk.

    Attributes:
        path: of the plan.
        sidecar: of its sidecar.
        record: the sidecar's content.
        report: how it was built.
        warnings: for the user.
        self_test: how the plan answered the golden input, None if it could not be run here.
        untested: why not.
    """

    path: str
    sidecar: str
    record: PlanRecord
    report: BuildReport
    warnings: Tuple[str, ...]
    self_test: Optional[SelfTest] = None
    untested: str = ""

    def to_json(self) -> Dict[str, Any]:
        """Return the result as JSON data."""
        data: Dict[str, Any] = json_records.to_json(self._replace(warnings=()))
        data["warnings"] = list(self.warnings)
        return data


def make_plan(options: PlanOptions) -> MadePlan:
    """Build a plan and write it with its sidecar.

    Raises:
        UsageError: the output exists and is another build, or cannot be written.
        EdgeNextError: whatever `builder.build` raises.
    """
    require_file(options.onnx_path, "ONNX file", "export one with edgenext-export")
    if os.path.splitext(options.onnx_path)[1].lower() in manifests.PLAN_SUFFIXES:
        raise BadInputError("{} is a plan, and a plan is built from an ONNX file".format(options.onnx_path),
                            "look at it: edgenext-build inspect {}".format(options.onnx_path))
    if os.path.splitext(options.onnx_path)[1].lower() != ".onnx":
        raise BadInputError("{} is no model: a name ending in .onnx expected".format(options.onnx_path),
                            "pass the .onnx file that edgenext-export wrote")
    manifest = manifests.read_for(options.onnx_path)
    target = get_target(options.target or manifest.target)
    environment = present_environment()
    runtime = choose_runtime(target, manifest)
    warnings = _check_gpu(target, environment, runtime, explicit=options.target is not None)
    path = options.output or os.path.splitext(options.onnx_path)[0] + ".plan"
    _require_writable(path)
    workspace_bytes, warning = _workspace(options, target, runtime)
    warnings += [warning] if warning else []
    request = BuildRequest(
        onnx_path=options.onnx_path, runtime=runtime, target=target.name, precision=options.precision,
        compute_capability=target.compute_capability if runtime == TENSORRT_RTX else None,
        workspace_bytes=workspace_bytes, timing_cache=_timing_cache(options, environment, runtime),
        optimization_level=options.optimization_level, drop_cublas=options.drop_cublas)
    beside = _manifest_beside(path, options.onnx_path)
    if not options.force:
        _require_same_build(path, request, manifest, environment)
        _require_same_manifest(beside)

    result = build_in_child(request)
    record = _record(result, options.onnx_path, manifest, environment)
    if options.best_of > 1:
        result, note = keep_fastest(result, record, request, options.best_of)
        warnings += [note] if note else []
        record = _record(result, options.onnx_path, manifest, environment)
    write_files_atomically(beside)
    written = write_plan(path, result.plan, record)
    try:
        tested, untested = verify_in_child(path)
    except EdgeNextError:
        # A plan that is known to be wrong must not lie about as if it were right.
        for left in (path, sidecar_path(path)):
            os.unlink(left)
        raise
    return MadePlan(path, sidecar_path(path), written, result.report, tuple(warnings) + result.report.warnings,
                    tested, untested)


def choose_runtime(target: Target, manifest: Manifest) -> str:
    """Return the Python module that builds for a target: ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        UsageError: the target runs no plans.
        MissingRuntimeError: what it needs is not installed.
    """
    if not target.compute_capability:
        raise UsageError("target {!r} runs the ONNX file itself and no plan".format(target.name),
                         "run it: edgenext-run --engine {}".format(manifest.graph.file))
    if target.builder == TENSORRT_RTX:
        return TENSORRT_RTX
    if is_installed(TENSORRT):
        return TENSORRT
    if is_installed(TENSORRT_RTX) and target.precision_mode == "typed":
        return TENSORRT_RTX
    raise MissingRuntimeError(
        "TensorRT is not installed for this Python, and the plan for {} is built where it runs".format(target.title),
        "copy {} and its .json to that machine and run edgenext-build there".format(manifest.graph.file))


def _check_gpu(target: Target, environment: Environment, runtime: str, explicit: bool) -> List[str]:
    if runtime == TENSORRT_RTX:
        if target.builder == TENSORRT_RTX:
            return []
        return ["built by TensorRT-RTX for want of TensorRT: TensorRT itself does not load this plan"]
    found = environment.compute_capability
    if found is None:
        raise MissingRuntimeError("TensorRT needs a GPU to build, and the CUDA driver shows none", NO_GPU)
    if found == target.compute_capability:
        return []
    message = "target {} has a GPU of compute capability {}, and this machine's has {}".format(
        target.name, target.compute_capability, found)
    if explicit:
        raise IncompatibleError(message + "; TensorRT builds for the GPU at hand only",
                                "run edgenext-build on the target, or leave --target out to build for this machine")
    return [message + ": the plan is for this machine"]


def _require_writable(path: str) -> None:
    """Raise UsageError now, and not after minutes of building, if the plan cannot be written."""
    if os.path.isdir(path):
        raise UsageError("cannot write {}: there is a folder of that name".format(path), "choose another --output")
    if os.path.splitext(path)[1].lower() not in manifests.PLAN_SUFFIXES:
        # Whatever opens an engine goes by this ending; the plan would be taken for something else.
        raise UsageError("a plan cannot be named {}: a name ending in one of {} expected".format(
            path, " ".join(manifests.PLAN_SUFFIXES)), "for example --output {}.plan".format(os.path.splitext(path)[0]))
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError("cannot write {}: {}".format(path, error.strerror or error),
                         "choose another folder with --output") from error


def _workspace(options: PlanOptions, target: Target, runtime: str) -> Tuple[int, Optional[str]]:
    shared = runtime == TENSORRT and (target.board.shared_memory or is_jetson(Tree()))
    chosen, warning = workspace.choose_workspace(shared, read_memory(Tree()))
    return (chosen if options.workspace_mib is None else options.workspace_mib * workspace.MIB), warning


def _timing_cache(options: PlanOptions, environment: Environment, runtime: str) -> Optional[str]:
    if options.timing_cache is not None:
        return os.path.abspath(options.timing_cache)
    if runtime == TENSORRT_RTX or environment.tensorrt is None:
        return None
    return timing_cache.default_path(environment.tensorrt, environment.gpu, environment.compute_capability)


def _require_same_build(path: str, request: BuildRequest, manifest: Manifest, environment: Environment) -> None:
    """Raise UsageError if `path` holds anything but an earlier result of the same command."""
    if not os.path.lexists(path):
        return
    try:
        record = find_record(path)
    except EdgeNextError:
        record = None
    version = environment.tensorrt if request.runtime == TENSORRT else environment.tensorrt_rtx
    if record is None:
        why = "nothing says what it is"
    elif record.onnx_sha256 != manifest.graph.sha256:
        why = "it was built from another ONNX file, {}".format(record.onnx_file)
    elif record.precision != (request.precision or manifest.precision.requested):
        why = "it was built in {}".format(record.precision)
    elif (record.flavour, record.tensorrt) != (request.runtime, version):
        why = "it was built with {} {}".format(record.flavour, record.tensorrt)
    else:
        return
    raise UsageError("{} exists already: {}".format(path, why), "replace it with --force, or choose another --output")


def _manifest_beside(path: str, onnx_path: str) -> Dict[str, bytes]:
    """Return the copy of the manifest that a plan under another name or in another folder needs beside it."""
    source, copy = manifests.manifest_path(onnx_path), manifests.manifest_path(path)
    if os.path.realpath(source) == os.path.realpath(copy):
        return {}
    with open(source, "rb") as stream:
        return {copy: stream.read()}


def _require_same_manifest(files: Dict[str, bytes]) -> None:
    for path, content in files.items():
        if os.path.lexists(path) and sha256_of_file(path) != sha256_of_bytes(content):
            raise UsageError("{} exists already and is another manifest than the plan needs beside it".format(path),
                             "replace it with --force, or choose another --output")


def _record(result: BuildResult, onnx_path: str, manifest: Manifest, environment: Environment) -> PlanRecord:
    report = result.report
    capability = report.compute_capability or environment.compute_capability
    pinned = set(report.pins.layers) if report.mode == "flag" else set(pins_of(manifest))
    flags = report.flags + tuple("TACTIC_SOURCES-" + name for name in report.dropped_tactics)
    if report.optimization_level is not None:
        flags += ("OPTIMIZATION_LEVEL_{}".format(report.optimization_level),)
    if report.mode == FP32:
        pinned = set()
    return PlanRecord(
        schema=SCHEMA, toolkit_version=__version__, plan=PlanFile(os.path.basename(onnx_path), "", len(result.plan)),
        onnx_file=os.path.basename(onnx_path), onnx_sha256=manifest.graph.sha256,
        manifest_sha256=sha256_of_file(manifests.manifest_path(onnx_path)), flavour=report.runtime,
        tensorrt=report.version, compute_capabilities=(capability,) if capability else (), environment=environment,
        builder_flags=flags, precision=report.precision, precision_mode="none" if report.mode == FP32 else report.mode,
        fp32_pins={reason: kept for reason, nodes in manifest.precision.fp32_pins.items()
                   for kept in [tuple(node for node in nodes if node in pinned)] if kept},
        workspace_bytes=report.workspace_bytes, build_seconds=report.build_s,
        built_at=datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"), proof=json_records.to_json(report.proof),
        plugins=(OP,) if ends_in_plugin(manifest.outputs) else ())
