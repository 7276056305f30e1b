"""Puts the inferences of one engine into one CUDA stream."""
import logging
import threading
import time
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np

from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.runtime import cuda
from edgenext_deploy.runtime.buffers import BufferSet, Prepare
from edgenext_deploy.runtime.graph import GraphApi, GraphError, capture, is_capturing
from edgenext_deploy.tensorrt_api.load import last_errors
from edgenext_deploy.tensorrt_api.runtime_api import Execution

_log = logging.getLogger(__name__)

# CU_STREAM_NON_BLOCKING: the stream neither waits for the legacy default stream nor is waited for. torch and the CUDA
# runtime use that one, and while a blocking stream is captured their calls fail with error 906.
_NON_BLOCKING = 1


class Runner:
    """An execution context with the stream it runs in. Every method needs an active context; any thread may call.

    Attributes:
        stream: the ``pycuda.driver.Stream``.
        graphs: whether inferences are started by replaying the graph of their buffer set, where it has one.
    """

    def __init__(self, context: cuda.CudaContext, execution: Execution, logger: Any, name: str) -> None:
        self._context = context
        self._execution: Optional[Execution] = execution
        self._logger = logger
        self._name = name
        # TensorRT's execution context belongs to one thread at a time.
        self._lock = threading.Lock()
        self.stream: Optional[Any] = context.driver.Stream(_NON_BLOCKING)
        self.graphs = False
        self._profiled = False

    def start(self, buffers: BufferSet, source: Union[np.ndarray, Prepare]) -> None:
        """Put the input, the inference and the copy of the outputs into the stream.

        Raises:
            CudaError: TensorRT refuses; nothing is wrong with the next inference, unless the error is `sticky`.
        """
        begin = time.perf_counter()
        if isinstance(source, np.ndarray):
            buffers.fill(source)
        with self._lock:
            if isinstance(source, np.ndarray):
                buffers.copy_in(self.stream)
            else:
                buffers.prepare(self.stream, source)
            enqueue = time.perf_counter()
            self._enqueue(buffers)
            buffers.enqueue_ms = (time.perf_counter() - enqueue) * 1e3
            buffers.copy_out(self.stream)
        buffers.spent_ms = (time.perf_counter() - begin) * 1e3

    def finish(self, buffers: BufferSet, views: bool = False) -> Tuple[np.ndarray, ...]:
        """Wait for what was started and return its outputs; see `BufferSet.read`."""
        begin = time.perf_counter()
        buffers.wait()
        outputs = buffers.read(views)
        buffers.spent_ms += (time.perf_counter() - begin) * 1e3
        return outputs

    def run(self, buffers: BufferSet, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Start and finish one inference."""
        self.start(buffers, image)
        return self.finish(buffers)

    def capture(self, api: GraphApi, buffers: BufferSet) -> None:
        """Record the inference on a buffer set that it has run on, and give the set its graph.

        Only the inference is recorded. The copies and the events stay outside: events that are recorded tell no times,
        and what writes the input differs from call to call.

        Raises:
            GraphError: it cannot be recorded; `start` still works.
            CudaError: the stream cannot be used any more.
        """
        assert self.stream is not None
        handle = self.stream.handle
        with self._lock:
            try:
                buffers.graph = capture(api, handle, lambda: self._plain(buffers), lambda: last_errors(self._logger))
            except BaseException:
                if is_capturing(api, handle):
                    raise cuda.CudaError("{}: the stream stays in capture mode".format(self._name),
                                         "open the session with cuda_graph=False") from None
                raise

    def drop_graphs(self, sets: Sequence[BufferSet]) -> None:
        """Stop using graphs; nothing may be running."""
        self.graphs = False
        for buffers in sets:
            if buffers.graph is not None:
                buffers.graph.close()
                buffers.graph = None

    def attach(self, profiler: Optional[Any]) -> None:
        """Report the layers' times to `profiler` until None is attached. Graphs report none and are not replayed."""
        with self._lock:
            assert self._execution is not None
            self._execution.attach(profiler)
            self._profiled = profiler is not None

    def close(self) -> None:
        """Destroy the execution context and the stream; buffer sets with graphs have to be freed before."""
        if self._execution is not None:
            self._execution.close()
        self._execution = None
        self.stream = None

    def _enqueue(self, buffers: BufferSet) -> None:
        recorded = buffers.recorded if self.graphs and not self._profiled else None
        if recorded is not None:
            assert self.stream is not None
            try:
                recorded.launch(self.stream.handle)
                return
            except GraphError as error:
                if cuda.is_sticky(str(error)):
                    raise self._context.fail(str(error)) from error
                self.graphs = False
                _log.warning("%s: no CUDA graph from now on: %s", self._name, str(error))
        if not self._plain(buffers):
            text = last_errors(self._logger)
            if cuda.is_sticky(text):
                raise self._context.fail(text)
            raise self._refused(text)

    def _plain(self, buffers: BufferSet) -> bool:
        assert self.stream is not None and self._execution is not None
        return self._execution.enqueue(buffers.addresses, self.stream.handle)

    def _refused(self, text: str) -> EdgeNextError:
        return cuda.CudaError("{} does not run it: {}".format(self._name, text))
