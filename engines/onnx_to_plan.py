"""From an ONNX file to a plan on the disk: what to build with what, the build, the sidecar, the self-test."""
import os
import shlex
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.artifacts.missing_engine import engine_fix
from edgenext_deploy.artifacts.plan_check import (
    Environment,
    PlanRecord,
    present_environment,
    sidecar_path,
    write_plan,
)
from edgenext_deploy.bundle.reading import is_bundle_name
from edgenext_deploy.commands.options import kind_of_input
from edgenext_deploy.engines import timing_cache as timing_cache_files
from edgenext_deploy.engines import workspace
from edgenext_deploy.engines.build_records import BuildReport, BuildRequest, BuildResult
from edgenext_deploy.engines.candidate import candidate
from edgenext_deploy.engines.isolated import build_in_child
from edgenext_deploy.engines.plan_description import record_of
from edgenext_deploy.engines.plan_output import (
    manifest_copies,
    require_no_foreign_manifest,
    require_same_build,
    require_same_manifest,
    require_writable,
)
from edgenext_deploy.engines.plan_race import PlanRace
from edgenext_deploy.engines.racing.records import RaceTable
from edgenext_deploy.engines.racing.sources import Source
from edgenext_deploy.engines.racing.work_folder import work_folder
from edgenext_deploy.engines.selftest.engine_test import verify_in_child
from edgenext_deploy.engines.selftest.golden_test import SelfTest
from edgenext_deploy.errors import BadInputError, EdgeNextError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.files import require_file
from edgenext_deploy.machine.facts import is_jetson, read_memory
from edgenext_deploy.machine.tree import Tree
from edgenext_deploy.scratch import scratch_folder
from edgenext_deploy.targets import TENSORRT, TENSORRT_RTX, Target, get_target
from edgenext_deploy.tensorrt_api.builder_api import NO_GPU
from edgenext_deploy.tensorrt_api.load import is_installed


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
        race: the race that it won; None if one plan was built.
    """

    path: str
    sidecar: str
    record: PlanRecord
    report: BuildReport
    warnings: Tuple[str, ...]
    self_test: Optional[SelfTest] = None
    untested: str = ""
    race: Optional[RaceTable] = None

    def to_json(self) -> Dict[str, Any]:
        """Return the result as JSON data."""
        data: Dict[str, Any] = json_records.to_json(self)
        return data


def build_plan(
    onnx: str, output: Optional[str] = None, *, target: Optional[str] = None, precision: Optional[str] = None,
    workspace_mib: Optional[int] = None, timing_cache: Optional[str] = None, optimization_level: Optional[int] = None,
    best_of: int = 1, no_cublas: bool = False, force: bool = False, budget_min: Optional[float] = None,
    progress: Optional[Callable[[str], None]] = None,
) -> BuiltPlan:
    """Build a TensorRT plan from an ONNX file for the GPU of this machine, and write it with its sidecar.

    The build runs in a child process. The plan is then run once on the golden input of the manifest, if this machine
    can run it; a plan with a wrong answer is not written.

    Of a bundle (``edgenext-export --race``) every graph is built and measured against the others, and the fastest plan
    that is right is written, with the manifest of its graph. A race that was interrupted goes on where it was.

    Args:
        onnx: the ONNX file that edgenext-export wrote, with its manifest next to it; or a bundle.
        output: path of the plan; by default that of the ONNX file or bundle with the ending ``.plan``.
        target: where the plan will run, a name in `targets.TARGETS`; by default the one in the manifest.
        precision: ``fp16`` or ``fp32``; by default what the graph was exported for.
        workspace_mib: most scratch memory of a kernel in MiB; by default it follows the free memory.
        timing_cache: file of measured kernel times; by default one per TensorRT and GPU in the user's cache.
        optimization_level: how hard TensorRT searches, 0 to 5, from TensorRT 8.6 on; by default TensorRT's own.
        best_of: number of builds, of which the fastest plan is kept; of a bundle, builds of the graph that wins.
        no_cublas: leave cuBLAS out, which saves memory on small boards (up to TensorRT 10).
        force: replace a plan that is another build.
        budget_min: time for a race in minutes, more than 0; graphs that it is too short for are left out. None for all
            of them.
        progress: called with a line of text before each step of a race.

    Raises:
        UsageError: no such target; the output exists and is another build; it cannot be written, or is no place for
            a plan.
        BadInputError: the graph or its manifest is missing or broken, or they do not belong together.
        IncompatibleError: this TensorRT or this GPU cannot build or hold the graph, or the build was killed.
        MissingRuntimeError: TensorRT is not installed, or there is no GPU.
        VerificationError: FP16 was asked for and nothing in the engine computes in FP16, or the plan's answer to the
            golden input is wrong.
    """
    source = _open_source(onnx)
    manifest = source.manifest
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
    copies = manifest_copies(path, source)
    require_no_foreign_manifest(copies)
    if not force:
        require_same_build(path, request, list(source.manifests.values()), environment)
        require_same_manifest(copies)
    if len(source.manifests) > 1 or best_of > 1:
        budget_s = None if budget_min is None else 60 * budget_min
        with work_folder(path) as folder:
            raced = PlanRace(folder, source, request, environment, best_of, budget_s, progress or _silent).run()
            record = _record(raced.result, source, raced.graph, environment)._replace(race=raced.table.to_json())
            written = write_plan(path, raced.result.plan, record, copies[raced.graph])
            folder.remove()
        if raced.untested:
            warnings.append("no race: {} is {}".format(raced.graph, raced.untested))
        return _built(path, written, raced.result, warnings, raced.self_test, raced.untested, raced.table)
    if budget_min is not None:
        warnings.append("one build of one graph is no race; --budget has no effect")
    graph = next(iter(source.manifests))
    with scratch_folder() as scratch:
        result = build_in_child(request._replace(onnx_path=source.place(graph, os.path.join(scratch, "graph.onnx"))))
    record = _record(result, source, graph, environment)
    tested, untested = _test(result, record, source.manifest_bytes(graph), path)
    return _built(path, write_plan(path, result.plan, record, copies[graph]), result, warnings, tested, untested)


def _silent(text: str) -> None:
    """Ignore the progress."""


def _record(result: BuildResult, source: Source, graph: str, environment: Environment) -> PlanRecord:
    manifest = source.manifests[graph]
    file = manifest.graph.file if is_bundle_name(source.path) else os.path.basename(source.path)
    return record_of(result, file, manifest, source.manifest_bytes(graph), environment)


def _built(path: str, written: PlanRecord, result: BuildResult, warnings: List[str], tested: Optional[SelfTest],
           untested: str, race: Optional[RaceTable] = None) -> BuiltPlan:
    return BuiltPlan(path, sidecar_path(path), written, result.report, tuple(warnings) + result.report.warnings,
                     tested, untested, race)


def _test(result: BuildResult, record: PlanRecord, manifest_file: bytes,
          path: str) -> Tuple[Optional[SelfTest], str]:
    """Test the plan before it is written to `path`: one that is wrong costs nothing that was there."""
    with candidate(result.plan, record, manifest_file) as tried:
        try:
            tested, untested = verify_in_child(tried)
        except EdgeNextError as error:
            kept = "; what is at {} stays as it was".format(path) if os.path.lexists(path) else ""
            raise type(error)(error.message.replace(tried, path) + kept, error.fix) from error
    return tested, untested.replace(tried, path)


def _open_source(onnx: str) -> Source:
    """Return what an ONNX file or a bundle holds; say so if it is something else."""
    endings = manifests.ONNX_SUFFIX, manifests.BUNDLE_SUFFIX
    require_file(onnx, "ONNX file", lambda: engine_fix(onnx, endings))
    suffix = os.path.splitext(onnx)[1].lower()
    if suffix in manifests.PLAN_SUFFIXES:
        raise BadInputError("{} is a plan, and a plan is built from an ONNX file".format(onnx),
                            "look at it: edgenext-build inspect {}".format(shlex.quote(onnx)))
    if suffix not in endings:
        raise BadInputError("{} is no ONNX file and no bundle: a name ending in {} or {} expected".format(
            onnx, *endings), "pass the file that edgenext-export wrote")
    return Source(onnx)


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
