"""Blocks of timed calls of one session, and the warm-up before them."""
import time
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.benchmarks import statistics
from edgenext_deploy.benchmarks.latency_report import WarmUp
from edgenext_deploy.runtime.session import Session, SessionTimings

Runner = Callable[[np.ndarray], Any]

# perf_counter_ns came with Python 3.7; the float loses nothing until the machine has been up for months.
_clock: Callable[[], float] = getattr(time, "perf_counter_ns", time.perf_counter)
_MS_PER_TICK = 1e-6 if hasattr(time, "perf_counter_ns") else 1e3

# Keeps a session that does next to nothing from filling the memory.
MAX_BLOCK = 10000
# A warm-up window: long enough that its median is not one disturbance.
_WINDOW_MS = 50.0
_WINDOW_CALLS = 3
_WINDOWS_THAT_AGREE = 3


class Block:
    """The calls of one block as they are made, so that Ctrl-C loses none."""

    def __init__(self) -> None:
        self.samples_ms: List[float] = []
        self.starts: List[float] = []
        self.timings: List[SessionTimings] = []

    def whole_calls(self) -> "Block":
        """Return the finished calls: Ctrl-C may come after a call's start was kept and before its time was."""
        count = len(self.samples_ms)
        whole = Block()
        whole.samples_ms, whole.starts, whole.timings = self.samples_ms, self.starts[:count], self.timings[:count]
        return whole


def now() -> float:
    """Return the tick of the clock that times calls."""
    return _clock()


def seconds_since(zero: float, ticks: Sequence[float]) -> np.ndarray:
    """Return ticks of that clock as seconds since the tick `zero`, float64 `[n]`."""
    return (np.array(ticks, dtype=np.float64) - zero) * (_MS_PER_TICK / 1e3)


def warm_up(run: Runner, image: np.ndarray, limit_s: float) -> Tuple[WarmUp, float]:
    """Call until the medians of the last windows agree within `statistics.STABLE_SPREAD`.

    Returns:
        What was done, and the latency of a call in milliseconds at its end. With `limit_s` 0 the latency
        comes from one call, which counts as the warm-up.
    """
    medians: List[float] = []
    iterations, spent_ms, stable = 0, 0.0, False
    while not stable and (not medians or spent_ms < 1e3 * limit_s):
        block = Block()
        window = block.samples_ms
        window_ms = 0.0
        while window_ms < _WINDOW_MS or len(window) < _WINDOW_CALLS:
            time_calls(run, image, 1, block)
            window_ms += window[-1]
            if spent_ms + window_ms >= 1e3 * limit_s or len(window) == MAX_BLOCK:
                break
        iterations, spent_ms = iterations + len(window), spent_ms + window_ms
        medians.append(statistics.median(np.array(window)))
        last = medians[-_WINDOWS_THAT_AGREE:]
        # A window that the time limit cut short may be one call, which agrees by chance.
        whole = len(window) == MAX_BLOCK or (window_ms >= _WINDOW_MS and len(window) >= _WINDOW_CALLS)
        stable = whole and len(last) == _WINDOWS_THAT_AGREE and statistics.spread(last) <= statistics.STABLE_SPREAD
    return WarmUp(spent_ms, iterations, stable), medians[-1]


def time_calls(run: Runner, image: np.ndarray, count: int, block: Block, told: Optional[Session] = None) -> None:
    """Time `count` calls into `block`, call by call; `told` says where the time of each went."""
    clock, scale = _clock, _MS_PER_TICK
    for _ in range(count):
        start = clock()
        run(image)
        stop = clock()
        if told is not None:
            timings = told.timings
            assert timings is not None
            block.timings.append(timings)
        block.starts.append(start)
        block.samples_ms.append((stop - start) * scale)
