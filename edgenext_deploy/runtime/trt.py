"""The TensorRT session: runs a plan on the GPU through pycuda."""
import collections
import contextlib
import os
import threading
import traceback
from typing import Any, Deque, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from edgenext_deploy.artifacts.engine_file import EngineFile, open_plan
from edgenext_deploy.artifacts.plan_check import (
    PlanRecord,
    present_environment,
    rebuild_command,
    require_fit,
)
from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import EdgeNextError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.runtime import cuda
from edgenext_deploy.runtime.buffers import BufferSet, Prepare, ZeroCopy
from edgenext_deploy.runtime.options import RuntimeOptions, check_options, runtime_from_keywords
from edgenext_deploy.runtime.profile import LayerTimes, layers_of_reports, make_profiler
from edgenext_deploy.runtime.runner import Runner
from edgenext_deploy.runtime.session import (
    Session,
    SessionTimings,
    nothing_submitted,
    require_one_input,
    session_closed,
)
from edgenext_deploy.runtime.warmup import choose_zero_copy, use_graphs
from edgenext_deploy.tensorrt_api.load import last_errors, load_tensorrt, register_plugins, shared_logger
from edgenext_deploy.tensorrt_api.runtime_api import (
    Execution,
    make_runtime,
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
        device: number of the GPU it runs on.
        timings: of the calling thread's last inference; in a thread that has run none, of the last one at all.

    Args:
        engine: path of the plan, with its sidecar next to it; or what `open_engine_file` made of it.
        options: `device`, `zero_copy`, `cuda_graph` and `trust`.
        buffer_sets: inferences that can be submitted and not yet collected; `submit` refuses one more.
        check_finite: refuse inputs with values that are not finite; costs a pass over the input.

    Raises:
        BadInputError: no such file, not a plan, or not the one its sidecar describes.
        IncompatibleError: built for another TensorRT or GPU, refused by TensorRT, too large for the memory, or
            `zero_copy` on a GPU that cannot.
        MissingRuntimeError: no TensorRT, no pycuda, no GPU, or no driver that is new enough.
        UsageError: no such device, or `buffer_sets` less than 1.
        CudaError: CUDA failed; its message says when the process has to be restarted.
    """

    takes_prepared = True

    @old_call("trust", "device", "buffer_sets", "check_finite", "zero_copy", "cuda_graph",
               adapt=runtime_from_keywords("options"))
    def __init__(self, engine: "Union[str, os.PathLike[str], EngineFile]", *,
                 options: RuntimeOptions = RuntimeOptions(),  # noqa: B008 - immutable
                 buffer_sets: int = 2, check_finite: bool = False) -> None:
        self._idle = threading.Condition()
        self._latest: Optional[SessionTimings] = None
        self._own = threading.local()
        self._calls = 0
        self._open = False
        self._abandoned = False
        check_options(options)
        if buffer_sets < 1:
            raise UsageError("buffer_sets must be at least 1, found {}".format(buffer_sets))
        self.device = options.device
        self._buffer_sets = buffer_sets
        self._check_finite = check_finite
        self._infer_lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._free: Deque[BufferSet] = collections.deque()
        self._pending: Deque[BufferSet] = collections.deque()
        self._sets: List[BufferSet] = []
        self._engine: Optional[Any] = None
        self._runner: Optional[Runner] = None
        self._zero_copy = ZeroCopy()
        self._runtime: Optional[Any] = None
        file = engine if isinstance(engine, EngineFile) else open_plan(engine, trust=options.trust)
        header = file.plan_header()
        self._path, self.record, self._runtime_name = file.path, file.record, header.flavour
        try:
            trt = load_tensorrt(self._runtime_name, "or run the .onnx file, which needs no GPU")
            self._cuda = cuda.acquire(options.device, self)
        except MissingRuntimeError:
            # Why the plan would not run here anyway says more than what is missing.
            require_fit(file.path, header, file.record, present_environment())
            raise
        self._open = True
        self._version = str(trt.__version__)
        self._logger = shared_logger(trt)
        try:
            environment = present_environment()._replace(
                gpu=self._cuda.name, compute_capability="{}.{}".format(*self._cuda.compute_capability))
            require_fit(file.path, header, file.record, environment)
            with self._cuda.active() as driver:
                execution = self._load(trt, file.take_data())
                self._allocate(driver, execution, options)
        except BaseException as error:
            if self._cuda.can_be_pushed():
                _clear_frames(error)
            else:
                self._cuda.keep_for_good(error)  # its frames hold what was half made
            self.close()
            raise

    @property
    def timings(self) -> Optional[SessionTimings]:  # type: ignore[override]  # the protocol's is an attribute
        """SessionTimings are per thread; see the class docstring."""
        own: Optional[SessionTimings] = getattr(self._own, "timings", None)
        return own or self._latest

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
                method returns; the stream does not wait for others, not even for the default stream. The address is
                in device memory, with zero-copy too. Nothing checks what it writes, for finiteness neither.
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
        """Wait for the oldest submitted inference and return its outputs.

        Args:
            views: as for `infer_all`; the views are valid until the next `submit` or `close`.

        Raises:
            UsageError: nothing was submitted, or the session is closed.
        """
        with self._call():
            with self._queue_lock:
                if not self._pending:
                    raise nothing_submitted()
                buffers = self._pending.popleft()
            try:
                with self._cuda.active():
                    return self._finish(buffers, views)
            finally:
                self._free.append(buffers)

    def profile_layers(self, image: np.ndarray, *, runs: int = 20, warmup: int = 3) -> LayerTimes:
        """Time every layer; see `Session.profile_layers`.

        Every layer is waited for, so their sum is more than the latency of an inference. Inferences of other threads
        meanwhile are reported among them. CUDA graphs are not replayed.

        Raises:
            UsageError: another shape or dtype, or a closed session.
            VerificationError: not every inference reported the same layers.
            CudaError: CUDA or TensorRT failed.
        """
        for _ in range(warmup):
            self.infer_all(image)
        profiler = make_profiler(load_tensorrt(self._runtime_name))
        # The context around all of it, as for everything that TensorRT may call CUDA in.
        with self._call(), self._cuda.active():
            assert self._runner is not None
            self._runner.attach(profiler)
            wall_ms: List[float] = []
            try:
                for _ in range(runs):
                    profiler.begin()
                    self.infer_all(image)
                    wall_ms.append(self._own.timings.wall_ms)
            finally:
                self._runner.attach(None)
        return LayerTimes(layers_of_reports(profiler.runs), runs, float(np.median(wall_ms)), self.describe())

    def describe(self) -> Dict[str, Any]:
        """Return runtime, version, provider, device and how inferences run.

        ``threads`` is None, because no CPU thread computes. ``zero_copy`` is ``none``, ``input``, ``outputs`` or
        ``input and outputs``; ``cuda_graph`` is True while graphs are replayed.
        """
        return {"runtime": self._runtime_name, "version": self._version, "provider": "CUDA", "threads": None,
                "device": self._cuda.name, "compute_capability": "{}.{}".format(*self._cuda.compute_capability),
                "buffer_sets": self._buffer_sets, "zero_copy": str(self._zero_copy),
                "cuda_graph": self._runner is not None and self._runner.graphs}

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
            if not self._cuda.can_be_pushed():
                # A driver that is broken, or was forked, is better not asked for anything, by destructors neither.
                self._cuda.keep_for_good(list(self._sets), self._runner, self._engine, self._runtime)
                self._forget()
                return
            # An error here is about results that nobody collects, or memory that goes with the process.
            with contextlib.suppress(EdgeNextError), self._cuda.active() as driver:
                with contextlib.suppress(driver.Error):
                    if self._runner is not None and self._runner.stream is not None:
                        self._runner.stream.synchronize()
                self._release_all()
        finally:
            self._cuda.release()

    def _release_all(self) -> None:
        # Graphs go with their buffer sets, before the execution context whose memory they use.
        for buffers in self._sets:
            buffers.free()
        if self._runner is not None:
            self._runner.close()
        self._forget()

    def _forget(self) -> None:
        self._runner = None
        self._engine = None
        self._pending.clear()
        self._free.clear()
        self._sets.clear()
        self._runtime = None

    @contextlib.contextmanager
    def _call(self) -> Iterator[None]:
        """Keep `close` waiting during a call, and refuse the call once the session is closed."""
        with self._idle:
            if not self._open:
                raise session_closed(self._path)
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
            assert self._runner is not None
            self._runner.start(self._sets[0], source)
            return self._finish(self._sets[0], views)

    def _submit(self, source: Union[np.ndarray, Prepare]) -> None:
        with self._queue_lock:
            if not self._free:
                raise UsageError("all {} buffer sets hold inferences that were not collected".format(
                    self._buffer_sets), "call collect first, or open the session with more buffer_sets")
            with self._cuda.active():
                assert self._runner is not None
                self._runner.start(self._free[0], source)
            self._pending.append(self._free.popleft())

    def _finish(self, buffers: BufferSet, views: bool) -> Tuple[np.ndarray, ...]:
        assert self._runner is not None
        outputs = self._runner.finish(buffers, views)
        self._latest = self._own.timings = buffers.timings()
        return outputs

    def _load(self, trt: Any, data: bytes) -> Execution:
        # Only where needed: a plan may misuse what is registered. Without a sidecar nothing says what it needs.
        if self.record is None or self.record.plugins:
            register_plugins(trt)
        self._runtime = make_runtime(trt, self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise self._not_loaded()
        try:
            execution = open_execution(self._engine)
        except IncompatibleError as error:
            raise IncompatibleError("{}: {}".format(self._path, error.message), error.fix) from error
        self.inputs, self.outputs = split(execution.tensors)
        require_one_input(self._path, self.inputs, self.outputs)
        return execution

    def _not_loaded(self) -> EdgeNextError:
        reason = last_errors(self._logger)
        if cuda.is_sticky(reason):
            return self._cuda.fail(reason)
        return IncompatibleError(
            "{} cannot be loaded: built for {}, found TensorRT {} on {} (compute capability {}.{}): {}".format(
                self._path, _built_for(self.record), self._version, self._cuda.name,
                *self._cuda.compute_capability, reason),
            "build it on this machine: " + rebuild_command(self._path))

    def _allocate(self, driver: Any, execution: Execution, options: RuntimeOptions) -> None:
        name = "{}: TensorRT {}".format(self._path, self._version)
        self._runner = Runner(self._cuda, execution, self._logger, name)
        self._zero_copy = choose_zero_copy(self._cuda, self._runner, execution.tensors, options.zero_copy)
        for _ in range(self._buffer_sets + 1):
            self._sets.append(BufferSet(driver, execution.tensors, self._zero_copy))
        self._free.extend(self._sets[1:])
        if options.cuda_graph is not False:
            use_graphs(self._runner, self._sets, self.inputs[0], options.cuda_graph)


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
