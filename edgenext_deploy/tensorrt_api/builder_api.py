"""What differs between TensorRT releases when an engine is built. The rest of the builder does not know the version.

Every difference is found by `hasattr` on a class, and every enum member by its name. No number is written in
this code: bit 0 of the network's flags means EXPLICIT_BATCH up to TensorRT 10 and STRONGLY_TYPED in 11.
The classes and members of each release are in tests/data/trt_python_api.json.
"""
import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple

from edgenext_deploy.artifacts.plan_header import RUNTIME_NAMES
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError
from edgenext_deploy.tensorrt_api.load import (
    is_null_pointer,
    load_tensorrt,
    make_logger,
    version_of,
    why_no_object,
)

Progress = Callable[[str], None]

NO_GPU = ("build on the machine that will run the plan, with its GPU and driver (nvidia-smi, or tegrastats on a "
          "Jetson, must work); without a GPU only TensorRT-RTX can build: --target rtx")


class Release:
    """One installed TensorRT or TensorRT-RTX.

    Attributes:
        trt: the module, ``tensorrt`` or ``tensorrt_rtx``.
        name: its name.
        version: such as ``8.2.1.8``.
    """

    def __init__(self, trt: Any, name: str) -> None:
        self.trt = trt
        self.name = name
        self.version = version_of(trt)

    @property
    def title(self) -> str:
        """Name and version for people."""
        return "{} {}".format(RUNTIME_NAMES[self.name], self.version)

    @property
    def builds_ahead(self) -> bool:
        """Whether it builds for a named GPU generation, with no GPU present (TensorRT-RTX)."""
        return hasattr(self.trt, "ComputeCapability")

    @property
    def has_fp16_flag(self) -> bool:
        """Whether the builder can be told to use FP16 in an FP32 graph (up to TensorRT 10)."""
        return _has_member(self.trt.BuilderFlag, "FP16")

    @property
    def has_typed_networks(self) -> bool:
        """Whether a network can be made whose own dtypes decide (from TensorRT 9)."""
        return _has_member(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")

    @property
    def has_inspector(self) -> bool:
        """Whether a built engine can be asked for its layers (from TensorRT 8.2)."""
        return hasattr(self.trt, "EngineInspector")

    @property
    def has_progress_monitor(self) -> bool:
        """Whether the builder reports its progress (from TensorRT 9)."""
        return hasattr(self.trt, "IProgressMonitor")

    @property
    def has_timing_cache(self) -> bool:
        """Whether measured kernel times are kept; in TensorRT-RTX the calls are there and do nothing."""
        return hasattr(self.trt, "ITimingCache") and not self.builds_ahead

    def make_logger(self) -> Any:
        """Return a logger for one build, see `load.make_logger`."""
        return make_logger(self.trt)

    def create_builder(self, logger: Any) -> Any:
        """Return a Builder.

        Raises:
            MissingRuntimeError: there is no GPU, or no driver for it.
        """
        try:
            builder = self.trt.Builder(logger)
        except TypeError as error:
            if not is_null_pointer(error):
                raise
            raise MissingRuntimeError(
                "{} finds no usable GPU: {}".format(self.title, why_no_object(logger)), NO_GPU) from error
        return builder

    def create_network(self, builder: Any, typed: bool) -> Any:
        """Return an empty network, with explicit batch where that is a choice.

        Raises:
            IncompatibleError: `typed`, and this release knows no such network.
        """
        wanted = ["EXPLICIT_BATCH"]
        if typed:
            if not self.has_typed_networks:
                raise IncompatibleError("{} has no strongly typed networks".format(self.title))
            wanted.append("STRONGLY_TYPED")
        members = self.trt.NetworkDefinitionCreationFlag.__members__
        flags = 0
        for name in wanted:
            if name in members:
                flags |= 1 << int(members[name])
        return builder.create_network(flags)

    def parse(self, parser: Any, onnx_bytes: bytes) -> List[Dict[str, str]]:
        """Parse the graph; return the parser's errors as ``node``, ``op`` and ``reason``, none on success."""
        if parser.parse(onnx_bytes):
            return []
        found = []
        for index in range(parser.num_errors):
            error = parser.get_error(index)
            named = hasattr(self.trt.ParserError, "node_name")
            found.append({
                "node": str(error.node_name()) if named else "",
                "op": str(error.node_operator()) if named else "",
                "index": str(error.node()),
                "reason": " ".join(str(error.desc()).split()),
            })
        return found or [{"node": "", "op": "", "index": "", "reason": "the parser gave no reason"}]

    def set_workspace(self, config: Any, workspace_bytes: int) -> None:
        """Set the most scratch memory that a kernel may use; the default of 8.2 is 0."""
        if hasattr(self.trt.IBuilderConfig, "set_memory_pool_limit"):
            config.set_memory_pool_limit(self.trt.MemoryPoolType.WORKSPACE, workspace_bytes)
        else:
            config.max_workspace_size = workspace_bytes

    def set_fp16(self, config: Any, obey_pins: bool) -> Tuple[str, ...]:
        """Allow FP16 kernels; return the names of the flags that were set.

        Args:
            config: the builder's configuration.
            obey_pins: some layers are pinned to FP32, and a build that cannot honour that must fail.
        """
        names = ["FP16"]
        if obey_pins:
            # STRICT_TYPES was the only such flag until 8.2.
            names.append(next(name for name in ("OBEY_PRECISION_CONSTRAINTS", "STRICT_TYPES")
                              if _has_member(self.trt.BuilderFlag, name)))
        for name in names:
            config.set_flag(getattr(self.trt.BuilderFlag, name))
        return tuple(names)

    def pin_to_fp32(self, layer: Any) -> bool:
        """Make one layer compute and give FP32; return False where that is not allowed.

        Shape and integer layers must stay as they are, or the build fails. Constants are folded into the layer that
        uses them and take its type.
        """
        if self.layer_kind(layer) in ("SHAPE", "CONSTANT"):
            return False
        outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
        if any(tensor.is_shape_tensor or not self.is_floating(tensor) for tensor in outputs):
            return False
        with warnings.catch_warnings():
            # From 10.12 on both warn of their end. In a network with the FP16 flag there is no other way to pin; the
            # way around is another graph, one that is typed.
            warnings.simplefilter("ignore", DeprecationWarning)
            layer.precision = self.trt.DataType.FLOAT
            for index in range(layer.num_outputs):
                layer.set_output_type(index, self.trt.DataType.FLOAT)
        return True

    def is_floating(self, tensor: Any) -> bool:
        """Return whether a network tensor is FP32 or FP16."""
        return tensor.dtype in (self.trt.DataType.FLOAT, self.trt.DataType.HALF)

    def layer_kind(self, layer: Any) -> str:
        """Return the name of a network layer's type, such as ``CONVOLUTION``."""
        return str(layer.type).rsplit(".", 1)[-1]

    def layer_nodes(self, layer: Any) -> Tuple[str, ...]:
        """Return the names under which a manifest may know a network layer, the most certain first.

        The parser names the first layer of a node after the node, and appends a number for the next ones. From 8.6
        on it also says which node a layer came from.
        """
        names = [layer.name]
        if hasattr(self.trt.ILayer, "metadata"):
            names.extend(nodes_in_metadata(layer.metadata))
        base, _, number = layer.name.rpartition("_")
        if number.isdigit():
            names.append(base)
        return tuple(names)

    def as_convolution(self, layer: Any) -> Any:
        """Return a convolution layer with its kernel's size; the API hands out every layer as its base class."""
        layer.__class__ = self.trt.IConvolutionLayer
        return layer

    def set_optimization_level(self, config: Any, level: int) -> bool:
        """Set how hard the builder searches (0 to 5); return False where there is no such setting (before 8.6)."""
        if not hasattr(self.trt.IBuilderConfig, "builder_optimization_level"):
            return False
        config.builder_optimization_level = level
        return True

    def set_detailed(self, config: Any) -> None:
        """Keep the layers' details in the engine, so that its precision can be proved."""
        members = self.trt.ProfilingVerbosity.__members__
        config.profiling_verbosity = members["DETAILED" if "DETAILED" in members else "VERBOSE"]

    def drop_cublas(self, config: Any) -> Tuple[str, ...]:
        """Build without cuBLAS and cuBLASLt kernels; return the names dropped, none where they are gone (11).

        Loading cuBLAS took 241 MB on a Nano with TensorRT 8.2 (wang-xinyu/tensorrtx issue 1160).
        """
        members = self.trt.TacticSource.__members__
        dropped = tuple(name for name in ("CUBLAS", "CUBLAS_LT") if name in members)
        if dropped:
            sources = config.get_tactic_sources()
            for name in dropped:
                sources &= ~(1 << int(members[name]))
            config.set_tactic_sources(sources)
        return dropped

    def set_compute_capability(self, config: Any, compute_capability: str) -> None:
        """Name the GPU generation to build for; only where `builds_ahead`.

        Args:
            config: the builder's configuration.
            compute_capability: such as ``8.6``.

        Raises:
            IncompatibleError: this release does not build for it.
        """
        members = self.trt.ComputeCapability.__members__
        name = "SM" + compute_capability.replace(".", "")
        if name not in members:
            raise IncompatibleError(
                "{} does not build for compute capability {}".format(self.title, compute_capability),
                "it builds for " + ", ".join(sorted(known[2:] for known in members if known.startswith("SM"))))
        config.num_compute_capabilities = 1
        config.set_compute_capability(members[name], 0)

    def attach_timing_cache(self, config: Any, content: bytes) -> bool:
        """Give the builder a timing cache; return False if `content` was refused and an empty one is used."""
        cache = _try(lambda: config.create_timing_cache(content))
        accepted = cache is not None and bool(_try(lambda: config.set_timing_cache(cache, False)))
        if not accepted:
            config.set_timing_cache(config.create_timing_cache(b""), False)
        return accepted

    def serialized_timing_cache(self, config: Any) -> bytes:
        """Return the timing cache as it is after a build."""
        return bytes(config.get_timing_cache().serialize())

    def watch(self, config: Any, progress: Progress) -> Any:
        """Have the builder call `progress` with each phase it starts; keep the returned object alive."""
        monitor = _make_monitor(self.trt, progress)
        config.progress_monitor = monitor
        return monitor

    def inspect(self, logger: Any, plan: bytes) -> Optional[str]:
        """Return the engine inspector's JSON, None where a plan cannot be opened (TensorRT-RTX with no GPU)."""
        engine = self.trt.Runtime(logger).deserialize_cuda_engine(plan)
        if engine is None:
            return None
        return str(engine.create_engine_inspector().get_engine_information(self.trt.LayerInformationFormat.JSON))


def load(name: str) -> Release:
    """Import a runtime, `TENSORRT` or `TENSORRT_RTX`; see `load_tensorrt` for what it raises."""
    return Release(load_tensorrt(name), name)


def nodes_in_metadata(metadata: str) -> List[str]:
    """Return the ONNX nodes named in a layer's metadata, ``[ONNX Layer: a][ONNX Layer: b]``."""
    marker = "[ONNX Layer: "
    return [part[:part.rindex("]")] for part in metadata.split(marker)[1:] if "]" in part]


def _has_member(enumeration: Any, name: str) -> bool:
    return name in enumeration.__members__


def _try(call: Callable[[], Any]) -> Any:
    """Return None where the bindings raise on content they do not like; some releases return None themselves."""
    try:
        return call()
    except (RuntimeError, TypeError, ValueError):
        return None


def _make_monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            progress(phase_name)

        def phase_finish(self, phase_name: str) -> None:
            pass

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True  # go on

    return Monitor()

