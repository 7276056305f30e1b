"""From an ONNX file to a plan on the disk: what to build with what, the build, the sidecar, the self-test."""
import datetime
import os
import shlex
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.engine_file import open_graph
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.artifacts.missing_engine import engine_fix
from edgenext_deploy.artifacts.nms_plugin import OP, ends_in_plugin
from edgenext_deploy.artifacts.plan_check import (
    SCHEMA,
    Environment,
    PlanFile,
    PlanRecord,
    present_environment,
    sidecar_path,
    write_plan,
)
from edgenext_deploy.commands.options import kind_of_input
from edgenext_deploy.engines import timing_cache as timing_cache_files
from edgenext_deploy.engines import workspace
from edgenext_deploy.engines.best_of import keep_fastest
from edgenext_deploy.engines.build_records import BuildReport, BuildRequest, BuildResult
from edgenext_deploy.engines.candidate import candidate
from edgenext_deploy.engines.isolated import build_in_child
from edgenext_deploy.engines.plan_output import (
    manifest_copy_for,
    require_no_foreign_manifest,
    require_same_build,
    require_same_manifest,
    require_writable,
)
from edgenext_deploy.engines.precision.mode import FP32
from edgenext_deploy.engines.precision.pins import pins_of
from edgenext_deploy.engines.selftest.engine_test import verify_in_child
from edgenext_deploy.engines.selftest.golden_test import SelfTest
from edgenext_deploy.errors import BadInputError, EdgeNextError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.files import require_file, sha256_of_file
from edgenext_deploy.machine.facts import is_jetson, read_memory
from edgenext_deploy.machine.tree import Tree
from edgenext_deploy.targets import TENSORRT, TENSORRT_RTX, Target, get_target
from edgenext_deploy.tensorrt_api.builder_api import NO_GPU
from edgenext_deploy.tensorrt_api.load import is_installed
from edgenext_deploy.version import __version__


class BuiltPlan(NamedTuple):
    """A plan on the disk.

    Attributes:
        path: path of the plan.
        sidecar: path of its sidecar, the JSON file that identifies the plan.
        record: content of the sidecar.
        report: how it was built.
        warnings: what the user should know.
        self_test: how the plan answered the golden input; None if it could not be run here.
        untested: why it could not be run; empty if it was.
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
        data: Dict[str, Any] = json_records.to_json(self)
        return data


def build_plan(
    onnx: str, output: Optional[str] = None, *, target: Optional[str] = None, precision: Optional[str] = None,
    workspace_mib: Optional[int] = None, timing_cache: Optional[str] = None, optimization_level: Optional[int] = None,
    best_of: int = 1, no_cublas: bool = False, force: bool = False,
) -> BuiltPlan:
    """Build a TensorRT plan from an ONNX file for the GPU of this machine, and write it with its sidecar.

    The build runs in a child process. The plan is then run once on the golden input of the manifest, if this machine
    can run it; a plan with a wrong answer is not written.

    Args:
        onnx: the ONNX file that edgenext-export wrote, with its manifest next to it.
        output: path of the plan; by default that of the ONNX file with the ending ``.plan``.
        target: where the plan will run, a name in `targets.TARGETS`; by default the one in the manifest.
        precision: ``fp16`` or ``fp32``; by default what the graph was exported for.
        workspace_mib: most scratch memory of a kernel in MiB; by default it follows the free memory.
        timing_cache: file of measured kernel times; by default one per TensorRT and GPU in the user's cache.
        optimization_level: how hard TensorRT searches, 0 to 5, from TensorRT 8.6 on; by default TensorRT's own.
        best_of: number of builds, of which the fastest plan is kept.
        no_cublas: leave cuBLAS out, which saves memory on small boards (up to TensorRT 10).
        force: replace a plan that is another build.

    Raises:
        UsageError: no such target; the output exists and is another build; it cannot be written, or is no place for
            a plan.
        BadInputError: the graph or its manifest is missing or broken, or they do not belong together.
        IncompatibleError: this TensorRT or this GPU cannot build or hold the graph, or the build was killed.
        MissingRuntimeError: TensorRT is not installed, or there is no GPU.
        VerificationError: FP16 was asked for and nothing in the engine computes in FP16, or the plan's answer to the
            golden input is wrong.
    """
    manifest = _read_manifest(onnx)
    chosen = get_target(target or manifest.target)
    environment = present_environment()
    runtime = choose_runtime(chosen, manifest)
    warnings = _check_gpu(chosen, environment, runtime, explicit=target is not None)
    path = output or os.path.splitext(onnx)[0] + ".plan"
    require_writable(path)
    automatic_bytes, warning = _automatic_workspace(chosen, runtime)
    warnings += [warning] if warning else []
    request = BuildRequest(
        onnx_path=onnx, runtime=runtime, target=chosen.name, precision=precision,
        compute_capability=chosen.compute_capability if runtime == TENSORRT_RTX else None,
        workspace_bytes=automatic_bytes if workspace_mib is None else workspace_mib * workspace.MIB,
        timing_cache=_timing_cache(timing_cache, environment, runtime), optimization_level=optimization_level,
        drop_cublas=no_cublas)
    manifest_copy = manifest_copy_for(path, onnx)
    require_no_foreign_manifest(manifest_copy)
    if not force:
        require_same_build(path, request, manifest, environment)
        require_same_manifest(manifest_copy)

    result = build_in_child(request)
    record = _record(result, onnx, manifest, environment)
    if best_of > 1:
        result, note = keep_fastest(result, record, request, best_of)
        warnings += [note] if note else []
        record = _record(result, onnx, manifest, environment)
    tested, untested = _test(result, record, onnx, path)
    written = write_plan(path, result.plan, record, manifest_copy)
    return BuiltPlan(path, sidecar_path(path), written, result.report, tuple(warnings) + result.report.warnings,
                     tested, untested)


def _test(result: BuildResult, record: PlanRecord, onnx: str, path: str) -> Tuple[Optional[SelfTest], str]:
    """Test the plan before it is written to `path`: one that is wrong costs nothing that was there."""
    with candidate(result.plan, record, onnx) as tried:
        try:
            tested, untested = verify_in_child(tried)
        except EdgeNextError as error:
            kept = "; what is at {} stays as it was".format(path) if os.path.lexists(path) else ""
            raise type(error)(error.message.replace(tried, path) + kept, error.fix) from error
    return tested, untested.replace(tried, path)


def _read_manifest(onnx: str) -> Manifest:
    """Return the manifest of an ONNX file; say so if it is something else."""
    require_file(onnx, "ONNX file", engine_fix(onnx))
    suffix = os.path.splitext(onnx)[1].lower()
    if suffix in manifests.PLAN_SUFFIXES:
        raise BadInputError("{} is a plan, and a plan is built from an ONNX file".format(onnx),
                            "look at it: edgenext-build inspect {}".format(shlex.quote(onnx)))
    if suffix != manifests.ONNX_SUFFIX:
        raise BadInputError("{} is no ONNX file: a name ending in {} expected".format(onnx, manifests.ONNX_SUFFIX),
                            "pass the .onnx file that edgenext-export wrote")
    return open_graph(onnx).manifest()


def choose_runtime(target: Target, manifest: Manifest) -> str:
    """Return the Python module that builds for a target: ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        UsageError: the target runs no plans.
        MissingRuntimeError: what it needs is not installed.
    """
    if not target.compute_capability:
        raise UsageError("target {!r} runs the ONNX file itself, not a plan".format(target.name),
                         "run it: edgenext-run {} PHOTO.jpg".format(shlex.quote(manifest.graph.file)))
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
        return ["built by TensorRT-RTX, because TensorRT is not installed; TensorRT itself does not load this plan"]
    found = environment.compute_capability
    if found is None:
        raise MissingRuntimeError("TensorRT needs a GPU to build, and the CUDA driver shows none", NO_GPU)
    if found == target.compute_capability:
        return []
    message = "target {} has a GPU of compute capability {}, and this machine's has {}".format(
        target.name, target.compute_capability, found)
    if explicit:
        raise IncompatibleError(message + "; TensorRT builds only for the GPU that it runs on",
                                "run edgenext-build on the target, or leave --target out to build for this machine")
    return [message + ": the plan is for this machine"]


def _automatic_workspace(target: Target, runtime: str) -> Tuple[int, Optional[str]]:
    """Return the workspace in bytes that fits this machine, and a warning if the build may run out of memory."""
    tree = Tree()
    shared = runtime == TENSORRT and (target.board.shared_memory or is_jetson(tree))
    return workspace.choose_workspace(shared, read_memory(tree))


def _timing_cache(given: Optional[str], environment: Environment, runtime: str) -> Optional[str]:
    """Return the path of the timing cache, None for none."""
    if given is not None:
        kind = kind_of_input(given)
        if kind is not None:
            raise UsageError("--timing-cache would write over {}: {}".format(kind, given),
                             "give another file with --timing-cache")
        return os.path.abspath(given)
    if runtime == TENSORRT_RTX or environment.tensorrt is None:
        return None
    return timing_cache_files.default_path(environment.tensorrt, environment.gpu, environment.compute_capability)


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
        manifest_sha256=sha256_of_file(manifests.find_manifest_path(onnx_path)), flavour=report.runtime,
        tensorrt=report.version, compute_capabilities=(capability,) if capability else (), environment=environment,
        builder_flags=flags, precision=report.precision, precision_mode="none" if report.mode == FP32 else report.mode,
        fp32_pins={reason: kept for reason, nodes in manifest.precision.fp32_pins.items()
                   for kept in [tuple(node for node in nodes if node in pinned)] if kept},
        workspace_bytes=report.workspace_bytes, build_seconds=report.build_s,
        built_at=datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"), proof=json_records.to_json(report.proof),
        plugins=(OP,) if ends_in_plugin(manifest.outputs) else ())
