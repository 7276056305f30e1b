"""The ONNX Runtime session: runs an exported graph on any machine, GPU or not."""
import json
import os
import time
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from edgenext_deploy.artifacts.engine_file import EngineFile, open_graph
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import (
    BadInputError,
    MissingRuntimeError,
    UsageError,
)
from edgenext_deploy.files import shown
from edgenext_deploy.runtime.options import RuntimeOptions, available_threads, check_options, runtime_from_keywords
from edgenext_deploy.runtime.ort_memory import limit_memory
from edgenext_deploy.runtime.session import (
    SessionTimings,
    require_one_input,
    require_same_process,
    session_closed,
)
from edgenext_deploy.runtime.worker import Results, Worker, WorkerSession
from edgenext_deploy.telemetry import disable_telemetry

if TYPE_CHECKING:
    from edgenext_deploy.runtime.profile import LayerTimes

# The tensors that numpy has too, by what ONNX Runtime calls them.
_DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(int32)": "int32", "tensor(int64)": "int64",
    "tensor(uint16)": "uint16", "tensor(int16)": "int16", "tensor(uint32)": "uint32", "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}
_FATAL_ONLY = 4
_LEVELS = {"all": "ORT_ENABLE_ALL", "extended": "ORT_ENABLE_EXTENDED", "basic": "ORT_ENABLE_BASIC",
           "none": "ORT_DISABLE_ALL"}
_PROCESSOR = "CPUExecutionProvider"
_SPINNING = "session.intra_op.allow_spinning"
# A setting of ONNX Runtime 1.19 and later; older ones ignore it.
_EXTERNAL_DATA_FOLDER = "session.model_external_initializers_file_folder_path"


class OnnxRuntimeSession(WorkerSession):
    """An ONNX file opened in ONNX Runtime, 1.10 or later.

    Operators run one after another, each on `threads` threads, by default with every graph optimisation on.

    Args:
        engine: path of the ONNX file, or what `open_engine_file` made of it; one input, and static shapes.
        options: `threads`, `optimization`, `spinning`, `provider`, and for a GPU's provider `device`.
        profile_prefix: have ONNX Runtime's profiler time every operator, which slows them a little, and write a JSON
            trace into a file whose path begins so. `profile_layers` reads it.

    Raises:
        BadInputError: the file is missing, empty, truncated or no such graph.
        IncompatibleError: the installed ONNX Runtime does not know the file's IR version, its opset or
            one of its operators.
        MissingRuntimeError: onnxruntime cannot be imported, or the provider's libraries do not load.
        UsageError: `threads` less than 1, or a provider that this installation lacks.
    """

    @old_call("threads", adapt=runtime_from_keywords("options"))
    def __init__(self, engine: "Union[str, os.PathLike[str], EngineFile]", *,
                 options: RuntimeOptions = RuntimeOptions(),  # noqa: B008 - immutable
                 profile_prefix: Optional[str] = None) -> None:
        check_options(options)
        file = engine if isinstance(engine, EngineFile) else open_graph(engine)
        path = file.path
        self._options, self._sha256 = options, file.sha256
        onnxruntime = _import_onnxruntime()
        self._path = path
        self._version = str(onnxruntime.__version__)
        self._threads = options.threads or available_threads()
        self._profile_prefix = profile_prefix
        self._session: Optional[Any] = _open(onnxruntime, file, self._threads, options, profile_prefix)
        self._pid = os.getpid()
        self._worker = Worker()
        self._provider = str(self._session.get_providers()[0])
        self.inputs, self.outputs = self._find_specs(self._session)

    def describe(self) -> Dict[str, Any]:
        """Return runtime, version, provider and threads; `optimization` where it is not all, `spinning` where not."""
        limited = self._options.optimization not in (None, "all")
        return {"runtime": "onnxruntime", "version": self._version, "provider": self._provider,
                "threads": self._threads, **({"optimization": self._options.optimization} if limited else {}),
                **({"spinning": False} if self._options.spinning is False else {})}

    def profile_layers(self, image: np.ndarray, *, runs: int = 20, warmup: int = 3) -> "LayerTimes":
        """Time every node; see `Session.profile_layers`.

        ONNX Runtime's profiler has to be there from the start, so the file is opened a second time.

        Raises:
            BadInputError: the file was replaced since it was opened.
            UsageError: another shape or dtype, a closed session, or no room for the trace in TMPDIR.
            VerificationError: the trace cannot be divided among the inferences.
        """
        from edgenext_deploy.runtime.profile import LayerTimes, layers_of_trace
        from edgenext_deploy.scratch import TMPDIR_FIX, scratch_folder

        self._require_open()
        self.check_input(image)
        file = self._read_again()
        with scratch_folder() as folder:
            with self._opened_again(file, os.path.join(folder, "trace")) as other:
                wall_ms = [other._run(image)[1].wall_ms for _ in range(warmup + runs)][warmup:]
                trace = str(other._require_open().end_profiling())
            with open(trace, encoding="utf-8") as stream:
                try:
                    events = json.load(stream)
                except ValueError as error:
                    raise UsageError("ONNX Runtime's trace of the layers is cut short: {}".format(error),
                                     TMPDIR_FIX) from error
        layers = layers_of_trace(events, warmup + runs, warmup)
        return LayerTimes(layers, runs, float(np.median(wall_ms)), self.describe())

    def close(self) -> None:
        """Wait for running inferences, drop their results, and release the graph."""
        if os.getpid() != self._pid:  # a fork has none of the threads to wait for
            return
        self._session = None
        self._worker.close()

    def _find_specs(self, session: Any) -> Tuple[Tuple[TensorSpec, ...], Tuple[TensorSpec, ...]]:
        """Return what `inputs` and `outputs` will be."""
        inputs = _specs(self._path, "input", session.get_inputs())
        outputs = _specs(self._path, "output", session.get_outputs())
        require_one_input(self._path, inputs, outputs)
        return inputs, outputs

    def _feed(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        """Return the array of each input."""
        taken = self.inputs[0]
        # The dtype also makes the byte order native, which onnxruntime takes for granted.
        return {taken.name: np.ascontiguousarray(image, taken.dtype)}

    def _read_again(self) -> EngineFile:
        file = open_graph(self._path)
        if file.sha256 != self._sha256:
            raise BadInputError("{} was replaced since it was opened".format(self._path), "open it again")
        return file

    def _opened_again(self, file: EngineFile, profile_prefix: str) -> "OnnxRuntimeSession":
        return OnnxRuntimeSession(file, options=self._options, profile_prefix=profile_prefix)

    def _open_with(self, sizes: Mapping[str, int]) -> Any:
        """Open the graph once more, with sizes for the dimensions that it has names for; it becomes the session."""
        self._session = _open(_import_onnxruntime(), self._read_again(), self._threads, self._options,
                              self._profile_prefix, sizes)
        return self._session

    def _require_open(self) -> Any:
        require_same_process(self._path, self._pid)
        session = self._session  # another thread may close it meanwhile
        if session is None:
            raise session_closed(self._path)
        return session

    def _run(self, image: np.ndarray) -> Results:
        session = self._require_open()
        start = time.perf_counter()
        try:
            outputs = session.run(None, self._feed(image))
        except Exception as error:  # onnxruntime's exceptions have no common base below Exception
            from edgenext_deploy.runtime.ort_errors import run_error

            raise run_error(self._path, self._version, error) from error
        return tuple(outputs), SessionTimings(wall_ms=(time.perf_counter() - start) * 1e3)


def _import_onnxruntime() -> Any:
    disable_telemetry()
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingRuntimeError("ONNX Runtime cannot be imported: {}".format(error),
                                  "python3 -m pip install onnxruntime") from error
    return onnxruntime


def _open(onnxruntime: Any, file: EngineFile, threads: int, options: RuntimeOptions, profile_prefix: Optional[str],
          sizes: Optional[Mapping[str, int]] = None) -> Any:
    provider = options.provider or _PROCESSOR
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise UsageError("this onnxruntime has no {}".format(provider), "choose from: " + ", ".join(available))
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, _LEVELS[options.optimization or "all"])
    if options.spinning is False:
        settings.add_session_config_entry(_SPINNING, "0")
    # Errors that it logs are raised too, and reported in one line.
    settings.log_severity_level = _FATAL_ONLY
    if profile_prefix is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = profile_prefix
    # Weights in a second file, which nothing vouches for, are looked for where there is no file.
    settings.add_session_config_entry(_EXTERNAL_DATA_FOLDER, os.devnull)
    for name, size in (sizes or {}).items():
        settings.add_free_dimension_override_by_name(name, size)
    limit_memory(onnxruntime, settings)
    # The first GPU needs no option, which a provider without a GPU might refuse.
    chosen = (provider, {"device_id": str(options.device)}) if options.device and provider != _PROCESSOR else provider
    try:
        session = onnxruntime.InferenceSession(file.take_data(), settings, providers=[chosen])
    except Exception as error:  # onnxruntime's exceptions have no common base below Exception
        from edgenext_deploy.runtime.ort_errors import load_error

        raise load_error(file.path, onnxruntime.__version__, error) from error
    used = str(session.get_providers()[0])
    if used != provider:
        # ONNX Runtime takes the processor, without an error, when a provider's libraries do not load.
        raise MissingRuntimeError(
            "{} was asked for, and ONNX Runtime runs {} on {}".format(provider, file.path, used),
            "look for the libraries that the provider needs (CUDA, cuDNN, TensorRT) in the versions of this "
            "onnxruntime: https://onnxruntime.ai/docs/execution-providers")
    # Otherwise its Python binding opens the graph on the processor when the provider fails while it runs.
    session.disable_fallback()
    return session


def dtype_of(path: str, side: str, node: Any) -> str:
    """Return the numpy name of the type of an input or output (`side`), as ONNX Runtime describes it.

    Raises:
        BadInputError: it is no tensor of a type that numpy has.
    """
    if node.type not in _DTYPES:
        raise BadInputError(
            "{}: {} {!r} has the type {}; a tensor of numbers expected".format(
                path, side, shown(node.name), shown(node.type)),
            "give a network whose inputs and outputs are {}".format(", ".join(sorted(_DTYPES))))
    return _DTYPES[node.type]


def _specs(path: str, side: str, nodes: Sequence[Any]) -> Tuple[TensorSpec, ...]:
    specs = []
    for node in nodes:
        dtype = dtype_of(path, side, node)
        if not all(isinstance(size, int) and size >= 0 for size in node.shape):
            raise BadInputError(
                "{}: {} {!r} has shape {}, fixed sizes expected".format(path, side, node.name, node.shape),
                "export again with edgenext-export, which fixes every size")
        specs.append(TensorSpec(node.name, tuple(node.shape), dtype))
    return tuple(specs)
