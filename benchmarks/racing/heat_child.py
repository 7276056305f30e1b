"""Child process of `engines.racing.heats`: opens engines, checks their answers, and measures them in turns.

From FOLDER/request.json to FOLDER/answer.json, which is renamed into place last. FOLDER/current says at any moment
which engine is at work.
"""
import contextlib
import json
import os
import sys
from typing import Dict, List, Optional

import numpy as np

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.benchmarks import statistics
from edgenext_deploy.benchmarks.hardware.monitor import Monitor, open_monitor
from edgenext_deploy.benchmarks.latency.engines import Engine, open_engine
from edgenext_deploy.benchmarks.latency.interleave import Limits, Series, measure
from edgenext_deploy.benchmarks.latency.run import failure_of
from edgenext_deploy.benchmarks.latency.summarise import GPU, headline, mode_of, summarise
from edgenext_deploy.engines.racing.heats import ANSWER, CURRENT, REQUEST, HeatAnswer, HeatEngine, HeatRequest
from edgenext_deploy.engines.racing.records import Measured, Timing
from edgenext_deploy.engines.selftest.golden_test import SelfTest, self_test
from edgenext_deploy.runtime.options import RuntimeOptions

_LONGEST_WARMUP_S = 3.0
_FIFTHS = 5
_SLOWEST_FIFTH = 100.0 - 100.0 / _FIFTHS


class _Heat:
    """One heat, from its request to its answer."""

    def __init__(self, request: HeatRequest, current: str) -> None:
        self._request, self._current = request, current
        self._tests: Dict[str, SelfTest] = {}
        self._failed: Dict[str, str] = {}

    def run(self) -> HeatAnswer:
        """Open, test and measure; one that fails is left out, and if it failed while it was timed, nothing counts."""
        with contextlib.ExitStack() as stack:
            engines: List[Engine] = []
            for wanted in self._request.engines:
                self._note(wanted.name)
                try:
                    engines.append(self._opened(wanted, stack))
                except Exception as error:  # whatever it is, it must not cost the others their race
                    self._failed[wanted.name] = failure_of(wanted.name, error).error
            return self._measured(engines)

    def _opened(self, wanted: HeatEngine, stack: contextlib.ExitStack) -> Engine:
        engine = stack.enter_context(open_engine(wanted.path, wanted.name, RuntimeOptions(**wanted.options)))
        if wanted.self_test:
            self._tests[wanted.name] = self_test(engine.session, open_engine_file(wanted.path).manifest())
        return engine

    def _measured(self, engines: List[Engine]) -> HeatAnswer:
        nothing = HeatAnswer("", {}, self._tests, self._failed)
        if not engines:
            return nothing
        watch = open_monitor()
        found = measure(
            {engine.name: engine.session for engine in engines}, {engine.name: engine.image for engine in engines},
            Limits(duration_s=self._request.duration_s, warmup_s=min(_LONGEST_WARMUP_S, self._request.duration_s)),
            lambda fraction, what: self._note(_name_in(what)), watch)
        watch.end()
        if found.interrupted:
            raise KeyboardInterrupt
        if found.failed is not None:
            self._failed[found.failed.name] = failure_of(*found.failed).error
            return nothing
        yardstick = self._request.yardstick or _yardstick(found.series)
        return nothing._replace(yardstick=yardstick, measured={
            engine.name: _summary(engine, found.series[engine.name], found.series[yardstick], watch)
            for engine in engines})

    def _note(self, name: str) -> None:
        with open(self._current, "w", encoding="utf-8") as stream:
            stream.write(name)


def _name_in(what: str) -> str:
    """Return whose turn it is: the harness says "warming up NAME" or "round 3, NAME"."""
    warming_up = "warming up "
    return what[len(warming_up):] if what.startswith(warming_up) else what.partition(", ")[2]


def _yardstick(series: Dict[str, Series]) -> str:
    """Return the fastest that is stable, or the fastest."""
    stable = [name for name, found in series.items() if _spread(found) <= statistics.STABLE_SPREAD]
    return min(stable or series, key=lambda name: statistics.median(series[name].values_ms))


def _spread(series: Series) -> float:
    return statistics.window_spread(series.values_ms, _FIFTHS)


def _summary(engine: Engine, series: Series, yardstick: Series, watch: Monitor) -> Measured:
    ratios = statistics.paired_ratios(series.blocks, yardstick.blocks)
    if not len(ratios):
        ratios = np.array([statistics.median(series.values_ms) / statistics.median(yardstick.values_ms)])
    interval = statistics.median_interval(ratios)
    spread = _spread(series)
    # Where even the yardstick is not stable, the machine is what changes, and the pairs of rounds cancel that.
    calm = _spread(yardstick) <= statistics.STABLE_SPREAD
    gpu: Optional[Timing] = None
    mode = mode_of(engine, series, True, None)
    if mode.latency == GPU:
        gpu = _timing(headline(series, mode).values_ms)
    return Measured(
        wall=_timing(series.values_ms), gpu=gpu, calls=len(series.values_ms), spread=spread,
        stable=spread <= statistics.STABLE_SPREAD, ratio=statistics.median(ratios),
        ratio_low=float(ratios.min()) if interval is None else interval.low,
        ratio_high=float(ratios.max()) if interval is None else interval.high,
        # A single slow pair of six is something else that ran meanwhile.
        slowest_ratio=float(np.percentile(ratios, _SLOWEST_FIFTH)) if calm else statistics.median(ratios),
        throttled=watch.hardware(engine.name).throttled)


def _timing(values_ms: np.ndarray) -> Timing:
    found = summarise(values_ms)
    interval = found.p50_interval
    return Timing(found.p50_ms, *((None, None) if interval is None else interval))


def main(folder: str) -> None:
    """Run the heat, and write the answer."""
    with open(os.path.join(folder, REQUEST), encoding="utf-8") as stream:
        # Our own parent wrote it. Read as a foreign record, its paths would be escaped and lead nowhere.
        data = json.load(stream)
    engines = tuple(HeatEngine(**engine) for engine in data["engines"])
    request = HeatRequest(engines, data["duration_s"], data["yardstick"])
    answer = _Heat(request, os.path.join(folder, CURRENT)).run()
    path = os.path.join(folder, ANSWER)
    with open(path + ".tmp", "wb") as out:
        out.write(json_records.dump(answer))
    os.replace(path + ".tmp", path)


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    # Native code may crash while the interpreter shuts down: leave without it.
    os._exit(0)
