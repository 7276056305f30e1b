"""From an ONNX file to a TensorRT plan with proof of its precision; the same steps for every release.

`build` runs in the calling process. The system may kill it when memory runs out, and TensorRT-RTX may crash when its
process ends, so `edgenext_deploy.engines.isolated` runs it in a child process.
"""
import shlex
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.artifacts.engine_file import EngineFile, open_graph
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.artifacts.nms_plugin import ends_in_plugin
from edgenext_deploy.engines import timing_cache, workspace
from edgenext_deploy.engines.build_records import BuildReport, BuildRequest, BuildResult
from edgenext_deploy.engines.precision import mode as modes
from edgenext_deploy.engines.precision import proof as proofs
from edgenext_deploy.engines.precision.layer_work import Work, network_work
from edgenext_deploy.engines.precision.pins import PinReport, pin_layers, pins_of
from edgenext_deploy.engines.precision.proof import Proof
from edgenext_deploy.errors import IncompatibleError, VerificationError
from edgenext_deploy.machine.facts import SWAP_ADVICE
from edgenext_deploy.tensorrt_api import builder_api, engine_layers
from edgenext_deploy.tensorrt_api.builder_api import Progress, Release
from edgenext_deploy.tensorrt_api.engine_layers import EngineLayer
from edgenext_deploy.tensorrt_api.load import all_errors, register_plugins

_MEMORY_WORDS = ("out of memory", "outofmemory", "insufficient memory", "cudaerrormemoryallocation", "bad_alloc")
_WORKSPACE_WORDS = ("could not find any implementation", "sufficient workspace", "insufficient workspace")


def build(request: BuildRequest, progress: Progress = lambda phase: None) -> BuildResult:
    """Build one plan.

    Args:
        request: what to build.
        progress: called with the name of each phase.

    Raises:
        BadInputError: the graph or its manifest is missing or broken, or they do not belong together.
        IncompatibleError: this TensorRT cannot parse or build this graph in this precision.
        MissingRuntimeError: TensorRT is not installed, or there is no GPU.
        VerificationError: FP16 was asked for and nothing in the engine computes in FP16.
    """
    file = open_graph(request.onnx_path)
    manifest = file.manifest()
    release = builder_api.load(request.runtime)
    precision = request.precision or manifest.precision.requested
    mode = modes.choose_mode(manifest, precision, release, request.target)
    logger = release.make_logger()
    with _Construction(request, manifest, release, logger, mode) as construction:
        construction.parse(file)
        settings = construction.configure(progress)
        compiled = construction.compile()
    progress("reading the engine's layers")
    proof = _prove(release, logger, compiled, manifest, mode)
    if precision == "fp16":
        proofs.require_fp16(proof)
    warnings = list(settings.warnings)
    cache_use = _keep_cache(str(request.timing_cache), settings.cache, compiled.cache, warnings)
    report = BuildReport(
        runtime=release.name, version=release.version, precision=precision, mode=mode, flags=settings.flags,
        compute_capability=request.compute_capability if release.builds_ahead else None,
        workspace_bytes=request.workspace_bytes, optimization_level=settings.optimization_level,
        dropped_tactics=settings.dropped_tactics, build_s=round(compiled.build_s, 3),
        timing_cache=None if cache_use == "none" else request.timing_cache, timing_cache_use=cache_use,
        network_layers=compiled.network_layers, pins=settings.pins, proof=proof, plan_bytes=len(compiled.plan),
        warnings=tuple(warnings))
    return BuildResult(compiled.plan, report)


class _Settings(NamedTuple):
    """How the builder was configured; the fields that `BuildReport` has too mean the same.

    Attributes:
        cache: content of the timing cache that TensorRT accepted, None where none is used.
    """

    flags: Tuple[str, ...]
    pins: PinReport
    optimization_level: Optional[int]
    dropped_tactics: Tuple[str, ...]
    cache: Optional[bytes]
    warnings: Tuple[str, ...]


class _Compiled(NamedTuple):
    """A plan, and what is only known as long as the network is there.

    Attributes:
        plan: as TensorRT serialised it.
        build_s: seconds of the build alone.
        cache: the timing cache after the build, empty where none is used.
        network_layers: layers of the parsed network, before fusion.
        work: what the network's layers compute.
        typed_layers: the network's layers where their types bind, empty in flag mode.
    """

    plan: bytes
    build_s: float
    cache: bytes
    network_layers: int
    work: Sequence[Work]
    typed_layers: List[EngineLayer]


class _Construction:
    """TensorRT's objects for one build, from the parsed network to the plan.

    At the end of the ``with`` block their memory is free again: opening the plan on a small board needs it. Until
    then the parser, which owns the weights of the network, and the monitor, which the builder calls, have to stay.
    """

    def __init__(self, request: BuildRequest, manifest: Manifest, release: Release, logger: Any, mode: str) -> None:
        self._request, self._manifest, self._release, self._logger, self._mode = (
            request, manifest, release, logger, mode)
        if ends_in_plugin(manifest.outputs):
            register_plugins(release.trt)
        self._builder = release.create_builder(logger)
        self._network = release.create_network(self._builder, typed=mode == modes.TYPED)
        self._parser = release.trt.OnnxParser(self._network, logger)
        self._config: Any = None
        self._monitor: Any = None

    def __enter__(self) -> "_Construction":
        return self

    def __exit__(self, *error: Any) -> None:
        # In this order: each may use the ones after it.
        self._config = self._network = self._parser = self._builder = self._monitor = None

    def parse(self, file: EngineFile) -> None:
        """Parse the graph; the file's content is forgotten."""
        errors = self._release.parse(self._parser, file.take_data())
        if errors:
            raise IncompatibleError(
                "{} does not parse {}: {}".format(
                    self._release.title, file.path, "; ".join(_describe(error) for error in errors[:3])),
                "edgenext-export check {} --target TARGET shows which releases take it".format(shlex.quote(file.path)))

    def configure(self, progress: Progress) -> _Settings:
        """Set up the builder."""
        request, release = self._request, self._release
        config = self._config = self._builder.create_builder_config()
        release.set_workspace(config, request.workspace_bytes)
        release.set_detailed(config)
        warnings: List[str] = []
        flags: Tuple[str, ...] = ()
        placed = PinReport((), (), ())
        if self._mode == modes.FLAG:
            placed = pin_layers(release, self._network, pins_of(self._manifest))
            flags = release.set_fp16(config, obey_pins=bool(placed.layers))
            warnings += _pin_warnings(placed, self._manifest)
        if release.builds_ahead and request.compute_capability:
            release.set_compute_capability(config, request.compute_capability)
        level = request.optimization_level
        if level is not None and not release.set_optimization_level(config, level):
            warnings.append("{} has no optimization levels; --optimization-level {} has no effect".format(
                release.title, level))
            level = None
        dropped = release.drop_cublas(config) if request.drop_cublas else ()
        if request.drop_cublas and not dropped:
            warnings.append("{} has no cuBLAS kernels; --no-cublas has no effect".format(release.title))
        cache = None
        if request.timing_cache is not None and release.has_timing_cache:
            cache = self._open_cache(request.timing_cache, warnings)
        elif request.timing_cache is not None:
            warnings.append("{} keeps no kernel times; --timing-cache has no effect".format(release.title))
        if release.has_progress_monitor:
            self._monitor = release.watch(config, progress)
        return _Settings(flags, placed, level, dropped, cache, tuple(warnings))

    def compile(self) -> _Compiled:
        """Build the plan; takes minutes on a small board."""
        release, network = self._release, self._network
        work = network_work(release, network)
        started = time.monotonic()
        serialized = self._builder.build_serialized_network(network, self._config)
        build_s = time.monotonic() - started
        if serialized is None:
            raise _build_error(release, all_errors(self._logger), self._request.workspace_bytes)
        uses_cache = self._request.timing_cache is not None and release.has_timing_cache
        return _Compiled(
            bytes(serialized), build_s, release.serialized_timing_cache(self._config) if uses_cache else b"",
            network.num_layers, work, _network_layers(release, network) if self._mode != modes.FLAG else [])

    def _open_cache(self, path: str, warnings: List[str]) -> bytes:
        """Attach the timing cache; return the content that TensorRT accepted."""
        content, warning = timing_cache.read(path)
        if warning:
            warnings.append(warning)
        if not self._release.attach_timing_cache(self._config, content):
            warnings.append("timing cache {} is ignored: damaged, or of another TensorRT or GPU".format(path))
            return b""
        return content


def _describe(error: Dict[str, str]) -> str:
    # For an operator that they do not support at all, NVIDIA's checkers give only the failed condition, "false".
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


def _keep_cache(path: str, before: Optional[bytes], after: bytes, warnings: List[str]) -> str:
    """Write the timing cache if the build added to it; return what `BuildReport.timing_cache_use` says."""
    if before is None:
        return "none"
    if after == before:
        return "reused"
    warning = timing_cache.write(path, after)
    if warning:
        warnings.append(warning)
    return "extended" if before else "new"


def _build_error(release: Release, errors: Sequence[str], workspace_bytes: int) -> IncompatibleError:
    """Return the error for a builder that gave no engine; the last error of its log usually says why."""
    said = errors[-1] if errors else "it gave no reason"
    message = "{} built no engine: {}".format(release.title, said)
    text = " ".join(errors).lower()
    if any(word in text for word in _MEMORY_WORDS):
        return IncompatibleError(message, SWAP_ADVICE)
    if any(word in text for word in _WORKSPACE_WORDS):
        return IncompatibleError(message, "allow more scratch memory than {} MiB with --workspace-mib {}".format(
            workspace_bytes // workspace.MIB, 2 * max(1, workspace_bytes // workspace.MIB)))
    return IncompatibleError(message, "edgenext-export check MODEL.onnx shows what this release does not support")


def _prove(release: Release, logger: Any, compiled: _Compiled, manifest: Manifest, mode: str) -> Proof:
    """Return the proof of the engine's precision, from the best source that this release has."""
    pins = pins_of(manifest) if mode != modes.FP32 else {}
    if release.builds_ahead or not release.has_inspector:
        found, source = engine_layers.from_builder_log(logger.layer_list), proofs.BUILDER_LOG
    else:
        text = release.inspect(logger, compiled.plan)
        if text is None:
            raise VerificationError("{} cannot open the plan that it has just built: {}".format(
                release.title, (all_errors(logger) or ["it gave no reason"])[-1]))
        found, source = engine_layers.from_inspector(text), proofs.INSPECTOR
    if not found:
        if mode == modes.FLAG:
            raise VerificationError(
                "{} does not list the layers of its engine, so its precision cannot be shown".format(release.title),
                "build with --fp32, or with a later TensorRT")
        found, source = compiled.typed_layers, proofs.NETWORK
    return proofs.prove(found, pins, compiled.work, source)


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
