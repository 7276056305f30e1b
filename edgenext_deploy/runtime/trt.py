"""The TensorRT session: runs a plan on the GPU through pycuda."""
import collections
import contextlib
import os
import threading
import time
import traceback
from typing import Any, Deque, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from edgenext_deploy.errors import BadInputError, EdgeNextError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.plan import (
    PlanRecord,
    check_plan,
    present_environment,
    read_header,
    read_plan,
    rebuild_command,
)
from edgenext_deploy.runtime import cuda
from edgenext_deploy.runtime.buffers import BufferSet, Prepare
from edgenext_deploy.runtime.session import Session
from edgenext_deploy.runtime.trt_api import (
    Execution,
    import_tensorrt,
    last_errors,
    make_logger,
    open_execution,
    split,
)

# Of `close` for calls that run: at exit a daemon thread may never return, and a signal's handler interrupts one.
_CLOSE_TIMEOUT_S = 5.0


class TensorRTSession(Session):
    """A plan opened in TensorRT 8.0 to 11 (or TensorRT-RTX), with static shapes and one input.

    Any thread may call any method; inferences run one after another, in a CUDA stream of the session's own.
    `infer` has a buffer set to itself, so it never waits for `collect`.

    Attributes:
        record: the plan's sidecar; None for a plan without one.

    Args:
        path: the plan, its sidecar beside it.
        trust: accept a plan without a sidecar. A plan is executable content: only if you know who built it.
        device: number of the GPU.
        buffer_sets: inferences that can be submitted and not yet collected; `submit` refuses one more.
        check_finite: refuse inputs with values that are not finite; costs a pass over the input.

    Raises:
        BadInputError: no such file, not a plan, or not the one its sidecar describes.
        IncompatibleError: built for another TensorRT or GPU, refused by TensorRT, or too large for the memory.
        MissingRuntimeError: no TensorRT, no pycuda, no driver or no GPU.
        UsageError: no such device, or `buffer_sets` less than 1.
        CudaError: CUDA failed; its message says when the process has to be restarted.
    """

    def __init__(self, path: str, trust: bool = False, device: int = 0, buffer_sets: int = 2,
                 check_finite: bool = False) -> None:
        self._path = path = os.fspath(path)
        self._idle = threading.Condition()
        self._calls = 0
        self._open = False
        self._abandoned = False
        if buffer_sets < 1:
            raise UsageError("buffer_sets must be at least 1, found {}".format(buffer_sets))
        self._buffer_sets = buffer_sets
        self._check_finite = check_finite
        self._enqueue_lock = threading.Lock()
        self._infer_lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._free: Deque[BufferSet] = collections.deque()
        self._pending: Deque[BufferSet] = collections.deque()
        self._sets: List[BufferSet] = []
        self._engine: Optional[Any] = None
        self._execution: Optional[Execution] = None
        self._stream: Optional[Any] = None
        self._runtime: Optional[Any] = None
        self._runtime_name = read_header(path).flavour
        try:
            trt = import_tensorrt(self._runtime_name)
            self._cuda = cuda.acquire(device, self)
        except MissingRuntimeError:
            # What is wrong with the plan, or where it would run, says more than what is missing here.
            check_plan(path, present_environment(), trust)
            raise
        self._open = True
        self._version = str(trt.__version__)
        self._logger = make_logger(trt)
        try:
            environment = present_environment()._replace(
                gpu=self._cuda.name, compute_capability="{}.{}".format(*self._cuda.compute_capability))
            data, self.record = read_plan(path, environment, trust)
            with self._cuda.active() as driver:
                self._load(trt, data)
                self._allocate(driver, buffer_sets + 1)
        except BaseException as error:
            _clear_frames(error)
            self.close()
            raise

    def infer_all(self, image: np.ndarray, views: bool = False) -> Tuple[np.ndarray, ...]:
        """Run once and return every output; see `Session.infer_all`.

        Args:
            image: as the session takes it; any strides and byte order.
            views: return read-only views of the session's own page-locked memory instead of copies; they are
                valid until the next `infer` or `close`, and a Nano's processor reads them slowly.
        """
        with self._call():
            self._check(image)
            return self._run(image, views)

    def infer_prepared(self, prepare: Prepare, views: bool = False) -> Tuple[np.ndarray, ...]:
        """Run once on an input that the caller writes on the device, such as with a preprocessing kernel.

        Args:
            prepare: called once, in this thread and before this method returns, as
                ``prepare(driver, stream, address)`` with the CUDA context current: ``pycuda.driver``, the session's
                ``pycuda.driver.Stream``, and the device address of the input tensor, ``inputs[0]`` in shape and dtype,
                contiguous. It puts into that stream whatever writes every element of the input. It must not
                synchronise, call this session or keep the address. What it reads has to stay as it is until this
                method returns. Nothing checks what it writes, for finiteness neither.
            views: as for `infer_all`.

        Raises:
            UsageError: a closed session.
            CudaError: CUDA or TensorRT failed; whatever else `prepare` raises passes through.
        """
        with self._call():
            return self._run(prepare, views)

    def submit(self, image: np.ndarray) -> None:
        """Start one inference and return; `image` is copied, its buffer may be reused at once.

        Raises:
            UsageError: as many inferences as there are buffer sets wait for `collect` already, another shape or
                dtype than the engine takes, or a closed session.
        """
        with self._call():
            self._check(image)
            self._submit(image)

    def submit_prepared(self, prepare: Prepare) -> None:
        """Start one inference as `infer_prepared` does, and return; what `prepare` reads is in use until `collect`.

        Raises:
            UsageError: as for `submit`.
            CudaError: as for `infer_prepared`.
        """
        with self._call():
            self._submit(prepare)

    def collect(self, views: bool = False) -> Tuple[np.ndarray, ...]:
        """Wait for the oldest submitted inference and return every output of it.

        Args:
            views: as for `infer_all`; the views are valid until the next `submit` or `close`.

        Raises:
            UsageError: nothing was submitted, or the session is closed.
        """
        with self._call():
            with self._queue_lock:
                if not self._pending:
                    raise UsageError("collect was called with nothing submitted", "call submit first")
                buffers = self._pending.popleft()
            try:
                with self._cuda.active():
                    return self._finish(buffers, views)
            finally:
                self._free.append(buffers)

    def describe(self) -> Dict[str, Any]:
        """Return runtime, version, provider and device; threads is None, for no CPU thread computes."""
        return {"runtime": self._runtime_name, "version": self._version, "provider": "CUDA", "threads": None,
                "device": self._cuda.name, "compute_capability": "{}.{}".format(*self._cuda.compute_capability),
                "buffer_sets": self._buffer_sets}

    def close(self) -> None:
        """Wait for running calls, drop what was not collected, and release everything, the context last."""
        with self._idle:
            if not self._open:
                return
            self._open = False
            if not self._idle.wait_for(lambda: self._calls == 0, _CLOSE_TIMEOUT_S):
                self._abandoned = True  # the last call to return will release
                return
        self._release()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _release(self) -> None:
        try:
            if not self._cuda.usable:
                self._release_all()
                return
            # An error here is about results that nobody collects, or memory that goes with the process.
            with contextlib.suppress(EdgeNextError), self._cuda.active() as driver:
                with contextlib.suppress(driver.Error):
                    if self._stream is not None:
                        self._stream.synchronize()
                self._release_all()
        finally:
            self._cuda.release()

    def _release_all(self) -> None:
        if self._execution is not None:
            self._execution.close()
        self._execution = None
        self._engine = None
        for buffers in self._sets:
            buffers.free()
        self._pending.clear()
        self._free.clear()
        self._sets.clear()
        self._stream = None
        self._runtime = None
        self._logger = None

    @contextlib.contextmanager
    def _call(self) -> Iterator[None]:
        """Keep `close` waiting during a call, and refuse the call once the session is closed."""
        with self._idle:
            if not self._open:
                raise UsageError("the session of {} is closed".format(self._path), "open it again")
            self._calls += 1
        try:
            yield
        finally:
            with self._idle:
                self._calls -= 1
                self._idle.notify_all()
                late = self._abandoned and self._calls == 0
            if late:
                self._release()

    def _check(self, image: np.ndarray) -> None:
        self.check_input(image)
        # The caller's array is looked at, not the page-locked copy, which a Nano's CPU reads uncached.
        if self._check_finite and not np.isfinite(image).all():
            raise UsageError("input {!r}: {} values of {} are not finite".format(
                self.inputs[0].name, int((~np.isfinite(image)).sum()), image.size))

    def _run(self, source: Union[np.ndarray, Prepare], views: bool) -> Tuple[np.ndarray, ...]:
        with self._infer_lock, self._cuda.active():
            self._start(self._sets[0], source)
            return self._finish(self._sets[0], views)

    def _submit(self, source: Union[np.ndarray, Prepare]) -> None:
        with self._queue_lock:
            if not self._free:
                raise UsageError("all {} buffer sets hold inferences that were not collected".format(
                    self._buffer_sets), "call collect first, or open the session with more buffer_sets")
            with self._cuda.active():
                self._start(self._free[0], source)
            self._pending.append(self._free.popleft())

    def _start(self, buffers: BufferSet, source: Union[np.ndarray, Prepare]) -> None:
        """Put the input, the inference and the copy back into the stream."""
        begin = time.perf_counter()
        if isinstance(source, np.ndarray):
            buffers.fill(source)
        # TensorRT's execution context belongs to one thread at a time.
        with self._enqueue_lock:
            assert self._stream is not None and self._execution is not None
            if isinstance(source, np.ndarray):
                buffers.copy_in(self._stream)
            else:
                buffers.prepare(self._stream, source)
            enqueue = time.perf_counter()
            done = self._execution.enqueue(buffers.addresses, self._stream.handle)
            buffers.enqueue_ms = (time.perf_counter() - enqueue) * 1e3
            if not done:
                raise self._refused()
            buffers.copy_out(self._stream)
        buffers.spent_ms = (time.perf_counter() - begin) * 1e3

    def _refused(self) -> EdgeNextError:
        """Return the error of an inference that TensorRT did not take."""
        text = last_errors(self._logger)
        if cuda.is_sticky(text):
            return self._cuda.fail(text)
        return cuda.CudaError("{}: TensorRT {} does not run it: {}".format(self._path, self._version, text))

    def _finish(self, buffers: BufferSet, views: bool) -> Tuple[np.ndarray, ...]:
        begin = time.perf_counter()
        buffers.wait()
        outputs = buffers.read(views)
        buffers.spent_ms += (time.perf_counter() - begin) * 1e3
        self.timings = buffers.timings()
        return outputs

    def _load(self, trt: Any, data: bytes) -> None:
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise self._not_loaded()
        try:
            self._execution = open_execution(self._engine)
        except IncompatibleError as error:
            raise IncompatibleError("{}: {}".format(self._path, error.message), error.fix) from error
        self.inputs, self.outputs = split(self._execution.tensors)
        if len(self.inputs) != 1 or not self.outputs:
            raise BadInputError("{}: one input and at least one output expected, {} inputs and {} outputs found".format(
                self._path, len(self.inputs), len(self.outputs)), "export again with edgenext-export")

    def _not_loaded(self) -> EdgeNextError:
        reason = last_errors(self._logger)
        if cuda.is_sticky(reason):
            return self._cuda.fail(reason)
        return IncompatibleError(
            "{} cannot be loaded: built for {}, found TensorRT {} on {} (compute capability {}.{}): {}".format(
                self._path, _built_for(self.record), self._version, self._cuda.name,
                *self._cuda.compute_capability, reason),
            "build it on this machine: " + rebuild_command(self._path))

    def _allocate(self, driver: Any, count: int) -> None:
        assert self._execution is not None
        self._stream = driver.Stream()
        for _ in range(count):
            self._sets.append(BufferSet(driver, self._execution.tensors))
        self._free.extend(self._sets[1:])


def _clear_frames(error: BaseException) -> None:
    """Drop what the traceback's frames hold, or it would keep the engine alive beyond its CUDA context."""
    link: Optional[BaseException] = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def _built_for(record: Optional[PlanRecord]) -> str:
    if record is None:
        return "an unknown machine (no sidecar)"
    return "TensorRT {} on {} (compute capability {})".format(
        record.tensorrt, record.environment.gpu or "an unknown GPU", " or ".join(record.compute_capabilities))
