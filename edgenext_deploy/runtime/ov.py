"""The OpenVINO session: runs an exported graph on the processor of a workstation or a server."""
import collections
import contextlib
import os
import time
from typing import Any, Deque, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from edgenext_deploy.artifacts.engine_file import EngineFile, open_graph
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.files import shown
from edgenext_deploy.install import install_command
from edgenext_deploy.runtime.options import RuntimeOptions, available_threads, check_options
from edgenext_deploy.runtime.session import (
    Session,
    SessionTimings,
    nothing_submitted,
    require_one_input,
    require_same_process,
    session_closed,
)

_DEVICE = "CPU"
# What its frontend says of an operator that it does not have.
_UNKNOWN_OPERATOR = "No conversion rule found"


class OpenVINOSession(Session):
    """An ONNX file opened in OpenVINO, 2023.1 or later.

    It computes in FP32, also where the processor has something faster and coarser, and one inference has all threads.

    Args:
        engine: path of the ONNX file, or what `open_engine_file` made of it; one input, and static shapes.
        options: `threads`.

    Raises:
        BadInputError: the file is missing, empty, truncated or no such graph.
        IncompatibleError: OpenVINO has not one of its operators.
        MissingRuntimeError: openvino cannot be imported.
        UsageError: `threads` less than 1.
    """

    def __init__(self, engine: "Union[str, os.PathLike[str], EngineFile]", *,
                 options: RuntimeOptions = RuntimeOptions()) -> None:  # noqa: B008 - immutable
        check_options(options)
        file = engine if isinstance(engine, EngineFile) else open_graph(engine)
        library = _import_openvino()
        self._path, self._version = file.path, str(library.__version__).partition("-")[0]
        self._threads = options.threads or available_threads()
        self._pid = os.getpid()
        compiled = _compile(library, file, self._threads)
        self.inputs, self.outputs = _specs(file.path, "input", compiled.inputs), _specs(
            file.path, "output", compiled.outputs)
        require_one_input(file.path, self.inputs, self.outputs)
        self._compiled: Any = compiled
        # Each request with its input, which it reads where it is.
        self._pending: Deque[Tuple[Any, np.ndarray]] = collections.deque()
        # A request is of one caller at a time: it has one set of tensors.
        self._idle: List[Any] = [compiled.create_infer_request()]

    def infer_all(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Run once and return every output; see `Session.infer_all`."""
        request = self._request_for(image)
        started = time.perf_counter()
        # The input is read where it is. The outputs are copied: they belong to the caller.
        found = request.infer([np.ascontiguousarray(image, self.inputs[0].dtype)], share_inputs=True,
                              share_outputs=False)
        answers = tuple(found[index] for index in range(len(self.outputs)))
        self.timings = SessionTimings(wall_ms=(time.perf_counter() - started) * 1e3)
        self._idle.append(request)
        return answers

    def submit(self, image: np.ndarray) -> None:
        """Start one inference; `image` is copied, its buffer may be reused at once."""
        request, own = self._request_for(image), np.array(image, self.inputs[0].dtype, order="C")
        request.start_async([own], share_inputs=True)
        self._pending.append((request, own))

    def collect(self) -> Tuple[np.ndarray, ...]:
        """Wait for the oldest submitted inference and return its outputs.

        Raises:
            UsageError: nothing was submitted, or the session is closed.
        """
        self._require_open()
        try:
            request, _ = self._pending.popleft()
        except IndexError:
            raise nothing_submitted() from None
        request.wait()
        answers = tuple(request.get_output_tensor(index).data.copy() for index in range(len(self.outputs)))
        self.timings = SessionTimings(wall_ms=float(request.latency))
        self._idle.append(request)
        return answers

    def describe(self) -> Dict[str, Any]:
        """Return runtime, version, provider and threads."""
        return {"runtime": "openvino", "version": self._version, "provider": _DEVICE, "threads": self._threads}

    def close(self) -> None:
        """Wait for running inferences, drop their results, and release the graph."""
        if os.getpid() != self._pid:  # a fork has none of the threads to wait for
            return
        self._compiled = None
        while self._pending:
            with contextlib.suppress(IndexError):  # another thread collects it
                self._pending.popleft()[0].wait()
        self._idle.clear()

    def _request_for(self, image: np.ndarray) -> Any:
        """Return a request that nobody else has; raise UsageError for a closed session or another shape or dtype."""
        compiled = self._require_open()
        self.check_input(image)
        try:
            return self._idle.pop()
        except IndexError:
            return compiled.create_infer_request()

    def _require_open(self) -> Any:
        require_same_process(self._path, self._pid)
        compiled = self._compiled  # another thread may close it meanwhile
        if compiled is None:
            raise session_closed(self._path)
        return compiled


def _import_openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingRuntimeError("OpenVINO cannot be imported: {}".format(error),
                                  install_command("openvino")) from error
    return openvino


def _compile(library: Any, file: EngineFile, threads: int) -> Any:
    # FP32: processors with AMX would compute in bfloat16.
    settings = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": "f32"}
    core = library.Core()
    try:
        return core.compile_model(core.read_model(model=file.take_data(), weights=b""), _DEVICE, settings)
    except RuntimeError as error:  # OpenVINO raises no other
        text = str(error)
        if _UNKNOWN_OPERATOR in text:
            raise IncompatibleError("{} has an operator that OpenVINO {} cannot run: {}".format(
                file.path, library.__version__, _line_with(text, _UNKNOWN_OPERATOR)),
                "run it in ONNX Runtime: --runtime onnxruntime") from error
        raise BadInputError("{} is not a graph that OpenVINO can run: {}".format(
            file.path, shown(" ".join(text.split()), 300)),
            "export again with edgenext-export, or copy the file again") from error


def _line_with(text: str, words: str) -> str:
    return shown(next(line for line in text.splitlines() if words in line).strip(" -"), 200)


def _specs(path: str, side: str, ports: Sequence[Any]) -> Tuple[TensorSpec, ...]:
    specs = []
    for port in ports:
        name, shape = port.get_any_name(), port.get_partial_shape()
        if not shape.is_static:
            raise BadInputError("{}: {} {!r} has shape {}, fixed sizes expected".format(path, side, shown(name), shape),
                                "export again with edgenext-export, which fixes every size")
        dtype = _numpy_dtype(port.get_element_type())
        if dtype is None:
            raise BadInputError("{}: {} {!r} has the type {}; a tensor of numbers expected".format(
                path, side, shown(name), port.get_element_type().get_type_name()), "give a network of numbers")
        specs.append(TensorSpec(name, tuple(int(size) for size in shape.to_shape()), dtype))
    return tuple(specs)


def _numpy_dtype(element_type: Any) -> Optional[str]:
    """Return numpy's name of a type of numbers; None for any other, such as strings."""
    try:
        dtype = np.dtype(element_type.to_dtype())
    except (TypeError, RuntimeError):  # of fewer than eight bits
        return None
    return str(dtype.name) if dtype.kind in "fiub" else None
