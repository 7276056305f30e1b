"""What a session decides by measuring when it is opened: zero-copy and CUDA graphs.

Both depend on the board, the engine and the driver. So the candidates run interleaved on this engine, each several
times, and the median of the GPU's time from the start of the copies to their end decides.
"""
import logging
from typing import Any, Callable, List, Optional, Sequence

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.runtime import cuda, graph
from edgenext_deploy.runtime.buffers import BufferSet, ZeroCopy
from edgenext_deploy.runtime.graph import GraphApi, GraphError
from edgenext_deploy.runtime.runner import Runner
from edgenext_deploy.tensorrt_api.runtime_api import Tensor

_log = logging.getLogger(__name__)

ROUNDS = 7
# Medians of seven runs that differ by less count as equal.
MARGIN = 0.02
_CANDIDATES = (ZeroCopy(), ZeroCopy(input=True), ZeroCopy(outputs=True), ZeroCopy(input=True, outputs=True))


def choose_zero_copy(context: cuda.CudaContext, runner: Runner, tensors: Sequence[Tensor],
                     wanted: Optional[bool]) -> ZeroCopy:
    """Return which tensors need no copy; needs the context to be active.

    Args:
        context: of the device.
        runner: of the engine.
        tensors: of the engine.
        wanted: True or False for all or none. None to measure, and copy what does not gain; everything is copied
            where the GPU has a memory of its own, and where there is too little for what is compared.

    Raises:
        IncompatibleError: `wanted`, and the GPU does not map the processor's memory.
    """
    if wanted and not context.maps_host_memory:
        raise IncompatibleError("{} does not map the processor's memory".format(context.name),
                                "open the session without zero_copy")
    if wanted is not None:
        return ZeroCopy(wanted, wanted)
    if not (context.integrated and context.maps_host_memory):
        return ZeroCopy()
    sets: List[BufferSet] = []
    try:
        for candidate in _CANDIDATES:
            sets.append(BufferSet(context.driver, tensors, candidate))
        image = sample(next(tensor.spec for tensor in tensors if tensor.is_input))
        times = medians_ms([_timed(runner, buffers, image) for buffers in sets])
    except (context.driver.LogicError, context.driver.MemoryError) as error:
        if cuda.is_sticky(str(error)):
            raise
        _log.info("no zero-copy: %s", str(error))  # a record that is kept must not keep memory
        return ZeroCopy()
    finally:
        for buffers in sets:
            buffers.free()
    best = min(range(len(times)), key=times.__getitem__)
    # A copy costs GPU time, but copied data is cached: copies win a tie.
    chosen = _CANDIDATES[best] if times[best] < times[0] * (1 - MARGIN) else ZeroCopy()
    _log.info("zero-copy of %s: %s", chosen, ", ".join(
        "{} {:.3f} ms".format(candidate, time) for candidate, time in zip(_CANDIDATES, times)))
    return chosen


def use_graphs(runner: Runner, sets: Sequence[BufferSet], spec: TensorSpec, wanted: Optional[bool]) -> None:
    """Record the inference on every buffer set and have it replayed; needs the context to be active.

    A graph is used only if its answer, on every set, is bit for bit that of a plain run on the same input.

    Args:
        runner: of the engine; without graphs, it goes on starting inferences plainly.
        sets: all buffer sets.
        spec: of the input.
        wanted: True to use graphs if they work. None to do without where they are slower: where the GPU takes equally
            long, a graph still relieves the processor, which starts one thing and not a hundred kernels.

    Raises:
        CudaError: a plain inference fails.
    """
    image = sample(spec)
    other = np.equal(image, 0).astype(image.dtype)
    try:
        api = GraphApi(graph.driver_library())
        expected = _bytes(runner, sets[0], image)
        for buffers in sets:
            # Another input: what the replay leaves undone then shows. And TensorRT's own preparations for new
            # addresses are over when the recording begins.
            runner.run(buffers, other)
            runner.capture(api, buffers)
            runner.graphs = True
            if _bytes(runner, buffers, image) != expected:
                raise GraphError("replayed, the inference gives another result")
            if not runner.graphs:
                raise GraphError("the driver did not start it")
            runner.graphs = False
    except GraphError as error:
        runner.drop_graphs(sets)
        _settle(runner, sets[0], image)
        _log.log(logging.WARNING if wanted else logging.INFO, "no CUDA graph: %s", str(error))
        return
    if wanted is None:
        plain, replayed = medians_ms([_timed(runner, sets[0], image, graphs) for graphs in (False, True)])
        _log.info("CUDA graph: %.3f ms, without: %.3f ms", replayed, plain)
        if replayed > plain * (1 + MARGIN):
            runner.drop_graphs(sets)
            return
    runner.graphs = True


def medians_ms(runs: Sequence[Callable[[], float]], rounds: int = ROUNDS) -> List[float]:
    """Return the median of what each of `runs` returns, called in turn; the first round does not count."""
    times = [[run() for run in runs] for _ in range(rounds + 1)]
    return [float(np.median(column)) for column in zip(*times[1:])]


def sample(spec: TensorSpec) -> np.ndarray:
    """Return an input of zeros and ones, which every dtype has."""
    return np.random.RandomState(0).randint(0, 2, spec.shape).astype(spec.dtype)


def _timed(runner: Runner, buffers: BufferSet, image: np.ndarray, graphs: bool = False) -> Callable[[], float]:
    def run() -> float:
        runner.graphs = graphs
        runner.run(buffers, image)
        return buffers.span_ms()

    return run


def _bytes(runner: Runner, buffers: BufferSet, image: np.ndarray) -> Any:
    return [output.tobytes() for output in runner.run(buffers, image)]


def _settle(runner: Runner, buffers: BufferSet, image: np.ndarray) -> None:
    """Run plainly after a capture that failed.

    The CUDA runtime inside TensorRT keeps an error until somebody asks for it, and TensorRT may take it for the next
    run's. So the first run may fail, the second may not.
    """
    try:
        runner.run(buffers, image)
    except cuda.CudaError as error:
        if error.sticky:
            raise
        runner.run(buffers, image)
