"""The session protocol: one engine file, opened, that turns arrays into arrays."""
import abc
import functools
import os
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import BadInputError, UsageError

if TYPE_CHECKING:
    from edgenext_deploy.artifacts.plan_sidecar import PlanRecord
    from edgenext_deploy.runtime.profile import LayerTimes


class SessionTimings(NamedTuple):
    """Milliseconds of one inference; None where the runtime cannot tell, or no such stage took place.

    The last four are stages on the GPU, measured with CUDA events.

    Attributes:
        wall_ms: what the caller waited.
        enqueue_ms: the part of `wall_ms` that starting the engine took.
        host_to_device_ms: copy of the input.
        compute_ms: the inference itself.
        device_to_host_ms: copy of the outputs.
        prepare_ms: in place of `host_to_device_ms`, where other work in the stream wrote the input
            (`TensorRTSession.infer_prepared`).
    """

    wall_ms: float
    enqueue_ms: Optional[float] = None
    host_to_device_ms: Optional[float] = None
    compute_ms: Optional[float] = None
    device_to_host_ms: Optional[float] = None
    prepare_ms: Optional[float] = None

    def spent_ms(self) -> float:
        """Return how long the inference took: on the GPU if that was measured, as a result may wait to be collected."""
        stages = self.prepare_ms, self.host_to_device_ms, self.compute_ms, self.device_to_host_ms
        return self.wall_ms if self.compute_ms is None else sum(stage or 0.0 for stage in stages)


class Session(abc.ABC):
    """An open engine. Use it as a context manager, or call `close` (twice does no harm).

    `runtime.table.register_runtime` adds a class; it is called as ``Class(engine_file, options=RuntimeOptions())``.

    Attributes:
        inputs: name, shape and dtype of each input, in order.
        outputs: name, shape and dtype of each output, in order.
        timings: of the last `infer`, None before the first.
        takes_prepared: whether there is a GPU on which a kernel may write the input: `infer_prepared` and `device`.
        record: the sidecar of the plan that runs; None for any other file.
    """

    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    timings: Optional[SessionTimings] = None
    takes_prepared: bool = False
    record: "Optional[PlanRecord]" = None

    @abc.abstractmethod
    def infer_all(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Run once and return every output; the arrays belong to the caller.

        Args:
            image: `[B, 3, H, W]`, of exactly the shape and dtype of ``inputs[0]``, such as float32.

        Returns:
            One array for each of `outputs`, of its shape and dtype, such as logits float32 `[B, classes]`.

        Raises:
            UsageError: another shape or dtype, or a closed session.
        """

    @abc.abstractmethod
    def submit(self, image: np.ndarray) -> None:
        """Start one inference and return at once; `collect` gives the results in the same order.

        Args:
            image: see `infer_all`.
        """

    @abc.abstractmethod
    def collect(self) -> Tuple[np.ndarray, ...]:
        """Wait for the oldest submitted inference and return all its outputs, such as logits float32 `[B, classes]`."""

    @abc.abstractmethod
    def describe(self) -> Dict[str, Any]:
        """Return what a latency record needs: runtime, version, provider or device, threads."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release everything; the session cannot be used afterwards."""

    def profile_layers(self, image: np.ndarray, *, runs: int = 20, warmup: int = 3) -> "LayerTimes":
        """Time every layer with the runtime's profiler, whose own cost is in the times.

        Args:
            image: `[B, 3, H, W]`, of exactly the shape and dtype of ``inputs[0]``.
            runs: number of inferences to take the median of.
            warmup: number of inferences before those.

        Returns:
            Name, operator and median milliseconds of each layer, in the order of execution.

        Raises:
            UsageError: the runtime has no such profiler, another shape or dtype, or a closed session.
            VerificationError: the profiler's answers contradict each other.
        """
        raise UsageError("{} has no profiler of layers".format(self.describe()["runtime"]),
                         "profile the engine in ONNX Runtime or TensorRT")

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Run once and return the first output, such as logits float32 `[B, classes]`.

        Args:
            image: see `infer_all`.
        """
        return self.infer_all(image)[0]

    def check_input(self, image: np.ndarray) -> None:
        """Raise UsageError unless `image` has the shape and dtype that the engine takes.

        Args:
            image: see `infer_all`.
        """
        expected = self.inputs[0]
        if not isinstance(image, np.ndarray):
            raise UsageError("input {!r} must be a numpy array, found {}".format(
                expected.name, type(image).__name__))
        if tuple(image.shape) != expected.shape or _dtype_name(image.dtype) != expected.dtype:
            raise UsageError("input {!r}: {} {} expected, {} {} found".format(
                expected.name, expected.dtype, list(expected.shape), image.dtype.name, list(image.shape)))

    def __enter__(self: "Self") -> "Self":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


Self = TypeVar("Self", bound=Session)


def require_one_input(path: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Raise BadInputError for an engine that no session runs: it has several inputs, or no output."""
    if len(inputs) != 1 or not outputs:
        raise BadInputError("{}: one input and at least one output expected, {} inputs and {} outputs found".format(
            path, len(inputs), len(outputs)), "export again with edgenext-export")


def require_same_process(path: str, pid: int) -> None:
    """Raise UsageError in a fork of the process `pid`, which opened a session whose threads the fork lacks."""
    if os.getpid() != pid:
        raise UsageError("the session of {} was opened in process {} and is used in its fork {}, which has none "
                         "of its threads".format(path, pid, os.getpid()),
                         "open the session in the child, started by multiprocessing's 'spawn'")


def session_closed(path: str) -> UsageError:
    """Return the error of a session that is used after `Session.close`."""
    return UsageError("the session of {} is closed".format(path), "open it again")


def nothing_submitted() -> UsageError:
    """Return the error of `Session.collect` without `Session.submit`."""
    return UsageError("collect was called with nothing submitted", "call submit first")


@functools.lru_cache(maxsize=32)
def _dtype_name(dtype: Any) -> str:
    # numpy puts the name together in Python at every request, which costs as much as the rest of a call.
    return str(dtype.name)
