"""From an ONNX file to a TensorRT plan with proof of its precision; the same steps for every release.

`build` runs in the calling process. TensorRT may be killed for want of memory and TensorRT-RTX may crash when
its process ends, so the command runs it in a child process (`edgenext_deploy.engines.child`).
"""
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.artifacts.nms_plugin import ends_in_plugin
from edgenext_deploy.engines import timing_cache, workspace
from edgenext_deploy.engines.precision import mode as modes
from edgenext_deploy.engines.precision import proof as proofs
from edgenext_deploy.engines.precision.layer_work import Work, network_work
from edgenext_deploy.engines.precision.pins import PinReport, pin_layers, pins_of
from edgenext_deploy.engines.precision.proof import Proof
from edgenext_deploy.errors import IncompatibleError, VerificationError
from edgenext_deploy.files import require_file
from edgenext_deploy.tensorrt_api import builder_api as releases
from edgenext_deploy.tensorrt_api import engine_layers
from edgenext_deploy.tensorrt_api.builder_api import Progress, Release
from edgenext_deploy.tensorrt_api.engine_layers import EngineLayer

_MEMORY_WORDS = ("out of memory", "outofmemory", "insufficient memory", "cudaerrormemoryallocation", "bad_alloc")
_WORKSPACE_WORDS = ("could not find any implementation", "sufficient workspace", "insufficient workspace")


class BuildRequest(NamedTuple):
    """One build.

    Attributes:
        onnx_path: the graph, its manifest beside it.
        runtime: Python module that builds: ``tensorrt`` or ``tensorrt_rtx``.
        target: name of the target, for advice.
        precision: ``fp16`` or ``fp32``; None for what the manifest was exported for.
        compute_capability: GPU generation to build for, where the runtime builds ahead.
        workspace_bytes: most scratch memory of a kernel.
        timing_cache: path of the timing cache, None for none.
        optimization_level: 0 to 5, None for TensorRT's default.
        drop_cublas: leave cuBLAS out, which saves memory on small boards.
    """

    onnx_path: str
    runtime: str
    target: str
    precision: Optional[str]
    compute_capability: Optional[str]
    workspace_bytes: int
    timing_cache: Optional[str] = None
    optimization_level: Optional[int] = None
    drop_cublas: bool = False


class BuildReport(NamedTuple):
    """How a plan was built.

    Attributes:
        runtime: ``tensorrt`` or ``tensorrt_rtx``.
        version: of the runtime.
        precision: ``fp16`` or ``fp32``.
        mode: ``flag``, ``typed`` or ``fp32``.
        flags: builder flags that were set.
        compute_capability: that was named to the builder; None where the plan is for the GPU at hand.
        workspace_bytes: most scratch memory of a kernel.
        optimization_level: None for TensorRT's default.
        dropped_tactics: sources of kernels that were left out.
        build_s: seconds of the build alone.
        timing_cache: path of the timing cache, None for none.
        timing_cache_use: ``none``, ``new``, ``extended`` or ``reused`` (every time was found in it).
        network_layers: layers of the parsed network, before fusion.
        pins: what became of the manifest's pins; empty except in flag mode.
        proof: the precision of what was built.
        plan_bytes: size of the plan.
        warnings: for the user.
    """

    runtime: str
    version: str
    precision: str
    mode: str
    flags: Tuple[str, ...]
    compute_capability: Optional[str]
    workspace_bytes: int
    optimization_level: Optional[int]
    dropped_tactics: Tuple[str, ...]
    build_s: float
    timing_cache: Optional[str]
    timing_cache_use: str
    network_layers: int
    pins: PinReport
    proof: Proof
    plan_bytes: int
    warnings: Tuple[str, ...]


class BuildResult(NamedTuple):
    """A plan, still in memory, and how it was built."""

    plan: bytes
    report: BuildReport


def build(request: BuildRequest, progress: Progress = lambda phase: None) -> BuildResult:
    """Build one plan.

    Args:
        request: what to build.
        progress: called with the name of each phase.

    Raises:
        BadInputError: the graph or its manifest is missing, broken, or they do not belong together.
        IncompatibleError: this TensorRT cannot parse or build this graph in this precision.
        MissingRuntimeError: TensorRT is not installed, or there is no GPU.
        VerificationError: FP16 was asked for and nothing in the engine computes in FP16.
    """
    require_file(request.onnx_path, "ONNX file", "export one with edgenext-export")
    manifest = manifests.read_for(request.onnx_path)
    release = releases.load(request.runtime)
    precision = request.precision or manifest.precision.requested
    mode = modes.choose_mode(manifest, precision, release, request.target)
    logger = release.make_logger()
    if ends_in_plugin(manifest.outputs):
        release.register_plugins(logger)
    builder = release.create_builder(logger)
    network, parser = _parse(release, builder, logger, request.onnx_path, mode)

    config = builder.create_builder_config()
    release.set_workspace(config, request.workspace_bytes)
    release.set_detailed(config)
    warnings: List[str] = []
    flags: Tuple[str, ...] = ()
    placed = PinReport((), (), ())
    if mode == modes.FLAG:
        placed = pin_layers(release, network, pins_of(manifest))
        flags = release.set_fp16(config, obey_pins=bool(placed.layers))
        warnings += _pin_warnings(placed, manifest)
    if release.builds_ahead and request.compute_capability:
        release.set_compute_capability(config, request.compute_capability)
    level = request.optimization_level
    if level is not None and not release.set_optimization_level(config, level):
        warnings.append("{} has no optimization levels; --optimization-level {} has no effect".format(
            release.title, level))
        level = None
    dropped = release.drop_cublas(config) if request.drop_cublas else ()
    cache = _open_cache(release, config, request.timing_cache, warnings)
    monitor = release.watch(config, progress) if release.has_progress_monitor else None

    work = network_work(release, network)
    started = time.monotonic()
    serialized = builder.build_serialized_network(network, config)
    build_s = time.monotonic() - started
    if serialized is None:
        raise _build_error(release, logger.errors, request.workspace_bytes)
    plan = bytes(serialized)
    uses_cache = request.timing_cache is not None and release.has_timing_cache
    new_cache = release.serialized_timing_cache(config) if uses_cache else b""
    network_layers = network.num_layers
    typed_layers = _network_layers(release, network) if mode != modes.FLAG else []
    # Opening the plan on a small board needs what the builder holds. Until here the parser had to stay, which owns
    # the weights of the network, and the monitor, which the builder calls.
    del serialized, config, network, parser, builder, monitor
    progress("reading the engine's layers")
    proof = _prove(release, logger, plan, typed_layers, manifest, work, mode)
    if precision == "fp16":
        proofs.require_fp16(proof)
    cache_use = _keep_cache(request.timing_cache, cache, new_cache, warnings) if uses_cache else "none"
    report = BuildReport(
        runtime=release.name, version=release.version, precision=precision, mode=mode, flags=flags,
        compute_capability=request.compute_capability if release.builds_ahead else None,
        workspace_bytes=request.workspace_bytes, optimization_level=level, dropped_tactics=dropped,
        build_s=round(build_s, 3), timing_cache=None if cache_use == "none" else request.timing_cache,
        timing_cache_use=cache_use, network_layers=network_layers, pins=placed, proof=proof,
        plan_bytes=len(plan), warnings=tuple(warnings))
    return BuildResult(plan, report)


def _parse(release: Release, builder: Any, logger: Any, path: str, mode: str) -> Tuple[Any, Any]:
    network = release.create_network(builder, typed=mode == modes.TYPED)
    parser = release.trt.OnnxParser(network, logger)
    with open(path, "rb") as stream:
        errors = release.parse(parser, stream.read())
    if errors:
        raise IncompatibleError(
            "{} does not parse {}: {}".format(release.title, path, "; ".join(_describe(error) for error in errors[:3])),
            "edgenext-export check {} --target TARGET shows which releases take it".format(path))
    return network, parser


def _describe(error: Dict[str, str]) -> str:
    # NVIDIA's checkers fail a wholly unsupported operator with the bare condition "false".
    reason = error["reason"] if error["reason"] not in ("", "false") else "operator not supported"
    if error["op"]:
        return "node {!r} ({}): {}".format(error["node"] or "unnamed", error["op"], reason)
    return "node number {}: {}".format(error["index"], reason) if error["index"] else reason


def _pin_warnings(placed: PinReport, manifest: Manifest) -> List[str]:
    warnings = []
    if placed.unmatched:
        warnings.append("{} pins of the manifest fit no layer and have no effect: {}".format(
            len(placed.unmatched), _some(placed.unmatched)))
    if placed.refused:
        warnings.append("{} layers cannot be pinned, being shapes, integers or constants: {}".format(
            len(placed.refused), _some(placed.refused)))
    if not manifest.precision.fp32_pins:
        warnings.append("the manifest names no layer to keep in FP32, so norms may overflow: export with --fp16")
    return warnings


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _open_cache(release: Release, config: Any, path: Optional[str], warnings: List[str]) -> bytes:
    """Attach the timing cache; return the content that TensorRT accepted."""
    if path is None or not release.has_timing_cache:
        return b""
    content, warning = timing_cache.read(path)
    if warning:
        warnings.append(warning)
    if not release.attach_timing_cache(config, content):
        warnings.append("timing cache {} is ignored: damaged, or of another TensorRT or GPU".format(path))
        return b""
    return content


def _keep_cache(path: Optional[str], before: bytes, after: bytes, warnings: List[str]) -> str:
    if after == before:
        return "reused"
    warning = timing_cache.write(str(path), after)
    if warning:
        warnings.append(warning)
    return "extended" if before else "new"


def _build_error(release: Release, errors: Sequence[str], workspace_bytes: int) -> IncompatibleError:
    """Return what a builder that gave no engine means; its last error is usually the telling one."""
    said = errors[-1] if errors else "it gave no reason"
    message = "{} built no engine: {}".format(release.title, said)
    text = " ".join(errors).lower()
    if any(word in text for word in _MEMORY_WORDS):
        return IncompatibleError(message, workspace.SWAP_ADVICE)
    if any(word in text for word in _WORKSPACE_WORDS):
        return IncompatibleError(message, "allow more scratch memory than {} MiB with --workspace-mib {}".format(
            workspace_bytes // workspace.MIB, 2 * max(1, workspace_bytes // workspace.MIB)))
    return IncompatibleError(message, "edgenext-export check MODEL.onnx shows what this release does not support")


def _prove(release: Release, logger: Any, plan: bytes, typed_layers: List[EngineLayer], manifest: Manifest,
           work: Sequence[Work], mode: str) -> Proof:
    """Return the proof, from the best source there is; `typed_layers` are the network's, where its types bind."""
    pins = pins_of(manifest) if mode != modes.FP32 else {}
    if release.builds_ahead or not release.has_inspector:
        found, source = engine_layers.from_builder_log(logger.layer_list), proofs.BUILDER_LOG
    else:
        text = release.inspect(logger, plan)
        if text is None:
            raise VerificationError("{} cannot open the plan that it has just built: {}".format(
                release.title, logger.errors[-1] if logger.errors else "it gave no reason"))
        found, source = engine_layers.from_inspector(text), proofs.INSPECTOR
    if not found:
        if mode == modes.FLAG:
            raise VerificationError(
                "{} does not tell the layers of its engine, so its precision cannot be shown".format(release.title),
                "build with --fp32, or with a later TensorRT")
        found, source = typed_layers, proofs.NETWORK
    return proofs.prove(found, pins, work, source)


def _network_layers(release: Release, network: Any) -> List[EngineLayer]:
    found = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        found.append(EngineLayer(
            name=layer.name, kind=release.layer_kind(layer), nodes=release.layer_nodes(layer),
            inputs=_types([layer.get_input(i) for i in range(layer.num_inputs)]),
            outputs=_types([layer.get_output(i) for i in range(layer.num_outputs)]), weights=""))
    return found


def _types(tensors: Sequence[Any]) -> Tuple[str, ...]:
    # An optional input that is not given is None.
    return tuple(engine_layers.element_type(str(tensor.dtype)) for tensor in tensors if tensor is not None)
