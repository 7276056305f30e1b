"""Interleaved timing: sessions run by turns in short blocks, so that drift of the machine affects all of them."""
import contextlib
import gc
import itertools
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from edgenext_deploy.benchmarks.hardware.watch import Watch
from edgenext_deploy.benchmarks.latency.blocks import MAX_BLOCK, Block, Runner, now, seconds_since, time_calls, warm_up
from edgenext_deploy.benchmarks.latency_report import WarmUp
from edgenext_deploy.runtime.session import Session, SessionTimings

Progress = Callable[[float, str], None]

# A round is short against drift and there are enough of them for an interval.
_ROUNDS_WANTED = 40
# A ratio's interval needs six pairs of rounds; a machine that slows down after the warm-up makes blocks longer, so
# that the duration is over before.
_MIN_ROUNDS = 12
# Keeps a session that does next to nothing from filling the memory.
_MAX_SAMPLES = 1000000


class Limits(NamedTuple):
    """When to stop.

    Attributes:
        duration_s: time to spend inside the calls of each session.
        warmup_s: the most time for each session to become stable; 0 for none.
        iterations: exact number of timed calls of each session, in place of the duration.
        rounds: exact number of rounds, in place of the duration.
        min_iterations: least number of timed calls of each session.
        block_s: how long one session runs before the next one does.
    """

    duration_s: float = 3.0
    warmup_s: float = 3.0
    iterations: Optional[int] = None
    rounds: Optional[int] = None
    min_iterations: int = 10
    block_s: float = 0.1


class Series(NamedTuple):
    """What was measured of one session, one item per round.

    Attributes:
        blocks: milliseconds per call by the host's clock, float64 `[n]`.
        warmup: the calls before the measurement.
        starts_s: when each call began, in seconds since the first timed call of all sessions, float64 `[n]`.
        timings: timings that the session reports for each call, `[n]`; empty if it reports no stages.
    """

    blocks: Tuple[np.ndarray, ...]
    warmup: WarmUp
    starts_s: Tuple[np.ndarray, ...] = ()
    timings: Tuple[Tuple[SessionTimings, ...], ...] = ()

    @property
    def values_ms(self) -> np.ndarray:
        """All samples in the order of measurement, `[n]` float64 in milliseconds."""
        return np.concatenate(self.blocks) if self.blocks else np.zeros(0)


class EngineFailure(NamedTuple):
    """What a session raised while it was warmed up or timed."""

    name: str
    error: Exception


class Measurement(NamedTuple):
    """The series by session name.

    After Ctrl-C (`interrupted`) or when a session raised (`failed`) they hold what was measured until then; without
    anything timed there are none.
    """

    series: Dict[str, Series]
    interrupted: bool
    failed: Optional[EngineFailure] = None


def measure(
    sessions: Mapping[str, Union[Session, Runner]],
    inputs: Mapping[str, np.ndarray],
    limits: Limits = Limits(),  # noqa: B008 - immutable
    progress: Optional[Progress] = None,
    watch: Watch = Watch(),  # noqa: B008 - holds nothing
) -> Measurement:
    """Time the sessions, interleaved.

    Each session is warmed up until its latency is stable or the time is over. Then in every round each
    session runs for a block of calls, in the given order and, every other round, in reverse. With more than one
    session, with `progress`, or when `watch` read something, the first call of a block is not timed: it finds its
    caches full of others' data. Garbage collection is off meanwhile. `progress` and `watch` are only called between
    blocks.

    Args:
        sessions: sessions by name; a callable is called with its input.
        inputs: the input of each session, by the same names.
        limits: when to stop.
        progress: called with the fraction done, 0 to 1, and what is being done.
        watch: looks at the machine between blocks.

    Raises:
        KeyboardInterrupt: Ctrl-C before anything was timed. Later it ends the measurement, without an error.
    """
    return _Interleaving(sessions, inputs, limits, progress, watch).measure()


class _Contender:
    """One session while it is measured: how often it has run, and its blocks."""

    def __init__(self, name: str, session: Union[Session, Runner], image: np.ndarray) -> None:
        self.name, self.image = name, image
        self.run: Runner = session.infer_all if isinstance(session, Session) else session
        self.blocks: List[Block] = []
        self._session = session if isinstance(session, Session) else None
        self._told: Optional[Session] = None
        self._warmup = WarmUp(0.0, 0, False)
        self._block_size = 1
        self._count = 0
        self._spent_ms = 0.0

    def warm_up(self, limits: Limits) -> int:
        """Warm the session up, and return how many calls fill a block."""
        self._warmup, latency_ms = warm_up(self.run, self.image, limits.warmup_s)
        timings = None if self._session is None else self._session.timings
        # The session says where the time goes within a call.
        self._told = None if timings is None or timings.compute_ms is None else self._session
        self._block_size = _block_size(latency_ms, limits)
        return self._block_size

    def limit_block(self, size: int) -> None:
        """Make every block at most `size` calls long."""
        self._block_size = min(self._block_size, size)

    def run_block(self, limits: Limits, discard_first: bool) -> None:
        """Run one block; what was timed before an error or Ctrl-C is kept."""
        size = self._block_size
        if limits.iterations is not None:
            size = min(size, limits.iterations - self._count)
        block = Block()
        try:
            if discard_first:
                self.run(self.image)
            time_calls(self.run, self.image, size, block, self._told)
        finally:
            if block.samples_ms:
                self.blocks.append(block)
                self._count += len(block.samples_ms)
                self._spent_ms += sum(block.samples_ms)

    def fraction(self, rounds: int, limits: Limits) -> float:
        """Return how much of its work the session has done after `rounds`; 1 or more when nothing is left."""
        if limits.rounds is not None:
            return rounds / limits.rounds
        if limits.iterations is not None:
            return self._count / limits.iterations
        if self._count >= _MAX_SAMPLES:
            return 1.0
        return min(self._spent_ms / (1e3 * limits.duration_s), self._count / limits.min_iterations)

    def series(self, zero: float) -> Series:
        """Return what was measured, with times counted from the tick `zero`."""
        whole = [block.whole_calls() for block in self.blocks]
        return Series(
            tuple(np.array(block.samples_ms) for block in whole), self._warmup,
            tuple(seconds_since(zero, block.starts) for block in whole),
            tuple(tuple(block.timings) for block in whole if block.timings))


class _Interleaving:
    """One measurement of several sessions; see `measure`."""

    def __init__(self, sessions: Mapping[str, Union[Session, Runner]], inputs: Mapping[str, np.ndarray],
                 limits: Limits, progress: Optional[Progress], watch: Watch) -> None:
        self._contenders = [_Contender(name, session, inputs[name]) for name, session in sessions.items()]
        self._limits, self._watch = limits, watch
        self._tell = progress or _silent
        # A bar that is drawn before a block fills the caches as another session does.
        self._disturbs = len(self._contenders) > 1 or progress is not None

    def measure(self) -> Measurement:
        """Warm up, then run round after round until the limits are reached."""
        with _without_garbage_collection():
            failed = self._warm_up()
            if failed is not None:
                return Measurement({}, False, failed)
            self._watch.begin()
            zero = now()
            interrupted = False
            try:
                failed = self._run_rounds()
            except KeyboardInterrupt:
                interrupted = True
        if not any(contender.blocks for contender in self._contenders):
            if interrupted:
                raise KeyboardInterrupt
            return Measurement({}, False, failed)
        return Measurement({contender.name: contender.series(zero) for contender in self._contenders}, interrupted,
                           failed)

    def _warm_up(self) -> Optional[EngineFailure]:
        sizes = []
        for contender in self._contenders:
            self._tell(0.0, "warming up {}".format(contender.name))
            try:
                sizes.append(contender.warm_up(self._limits))
            except Exception as error:
                return EngineFailure(contender.name, error)
        if self._limits.iterations is not None:
            # The same number for all, so that no session finishes while others go on alone.
            for contender in self._contenders:
                contender.limit_block(min(sizes))
        return None

    def _run_rounds(self) -> Optional[EngineFailure]:
        """Run until the limits are reached, or until a session raises."""
        disturbed = False
        for rounds in itertools.count():
            done = self._done(rounds)
            if done >= 1.0:
                break
            for contender in self._contenders if rounds % 2 == 0 else self._contenders[::-1]:
                self._tell(done, "round {}, {}".format(rounds + 1, contender.name))
                try:
                    contender.run_block(self._limits, self._disturbs or disturbed)
                except Exception as error:  # whatever it is, it must not cost the others their rows
                    return EngineFailure(contender.name, error)
                disturbed = self._watch.after_block(contender.name)
        return None

    def _done(self, rounds: int) -> float:
        limits = self._limits
        fractions = [contender.fraction(rounds, limits) for contender in self._contenders]
        if len(fractions) > 1 and limits.iterations is None and limits.rounds is None:
            fractions.append(rounds / _MIN_ROUNDS)
        return min(fractions)


def _block_size(latency_ms: float, limits: Limits) -> int:
    block_ms = 1e3 * limits.block_s
    if limits.iterations is None and limits.rounds is None:
        block_ms = min(block_ms, 1e3 * limits.duration_s / _ROUNDS_WANTED)
    size = int(block_ms / latency_ms) if latency_ms > 0.0 else MAX_BLOCK
    if limits.iterations is not None:
        size = min(size, limits.iterations // _ROUNDS_WANTED)
    return max(1, min(size, MAX_BLOCK))


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _silent(fraction: float, what: str) -> None:
    """Ignore the progress."""
