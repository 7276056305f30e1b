"""Whether two measured rows are comparable, and why not.

Published figures of one network differ five-fold because their power mode, clocks, copies and CUDA graphs are not
stated. Here every difference is named, and rows that differ are not ranked.
"""
from typing import Callable, List, NamedTuple, Optional, Tuple

from edgenext_deploy.benchmarks import statistics
from edgenext_deploy.benchmarks.latency_report import LatencyRecord

# Mean clocks under load further apart than this are another state of the machine.
_CLOCK_TOLERANCE = 0.05
_UNKNOWN = "unknown"


class Machine(NamedTuple):
    """Where a row was measured: what ``--device`` asked for, and what was found."""

    asked: str
    found: str

    @property
    def title(self) -> str:
        """For a heading."""
        return "{}: {}".format(self.asked, self.found)


def machine_of(row: LatencyRecord) -> Machine:
    """Return where a row was measured; rows of one machine can be ranked, those of two cannot."""
    return Machine(row.device, row.device_found)


def defects(row: LatencyRecord) -> Tuple[str, ...]:
    """Return why a row should not be compared with any other; empty if nothing is known against it."""
    found: List[str] = []
    if not row.device_matches:
        found.append("not the device asked for: {} asked, {} found".format(row.device, row.device_found))
    if row.interrupted:
        found.append("interrupted after {} inferences".format(row.n))
    if row.failure is not None:
        found.append("ended after {} inferences because {} failed".format(row.n, row.failure.engine))
    if not row.warmup.stable:
        found.append("warm-up never stable")
    if not row.stable:
        found.append("not stable: medians of fifths {:.0f} % apart".format(100 * row.window_spread))
    if row.hardware.throttled:
        found.append("throttled: " + ", ".join(row.hardware.throttled))
    found += ["sensor {} {}".format(trouble.sensor, trouble.kind) for trouble in row.hardware.troubles
              if trouble.kind == "lost"]
    if row.outputs is not None and row.outputs.wrong:
        found.append("outputs differ from {}".format(row.outputs.reference))
    return tuple(found)


def differences(row: LatencyRecord, reference: LatencyRecord) -> Tuple[str, ...]:
    """Return what differs between two rows of one machine, the first row's value first."""
    return differences_of_setting(row, reference) + tuple(_clocks(row, reference))


def differences_of_setting(row: LatencyRecord, reference: LatencyRecord) -> Tuple[str, ...]:
    """Return which settings of two rows of one machine differ, whatever the clocks did under load."""
    return tuple(_differences(row, reference, _OF_THE_RUN + _OF_THE_MACHINE))


def differences_across_machines(row: LatencyRecord, reference: LatencyRecord) -> Tuple[str, ...]:
    """Return what differs between two rows apart from the machine and its state."""
    return tuple(_differences(row, reference, _OF_THE_RUN))


def conditions(row: LatencyRecord) -> Tuple[str, ...]:
    """Return how a row was measured, in a few words for each condition that `differences` looks at."""
    return tuple("{} {}".format(what, text) for what, text in (
        (what, text_of(row)) for what, text_of in _OF_THE_RUN + _OF_THE_MACHINE) if text is not None)


_Text = Callable[[LatencyRecord], Optional[str]]


def _differences(row: LatencyRecord, reference: LatencyRecord, facts: Tuple[Tuple[str, _Text], ...]) -> List[str]:
    found: List[str] = []
    for what, text_of in facts:
        here, there = text_of(row), text_of(reference)
        # None: the question does not arise, as with CUDA graphs on a processor.
        if here is not None and there is not None and here != there:
            found.append("{} {} against {}".format(what, here, there))
    return found


def _clocks(row: LatencyRecord, reference: LatencyRecord) -> List[str]:
    found: List[str] = []
    for name in ("gpu", "emc", "cpu0"):
        here, there = (_mean_clock_mhz(one, name) for one in (row, reference))
        if here and there and abs(here - there) > _CLOCK_TOLERANCE * max(here, there):
            found.append("{} clock {:.0f} MHz against {:.0f} MHz under load".format(name, here, there))
    return found


def _mean_clock_mhz(row: LatencyRecord, name: str) -> Optional[float]:
    clocks = [reading.clocks_mhz[name] for reading in row.hardware.during if name in reading.clocks_mhz]
    return sum(clocks) / len(clocks) if clocks else None


def _precision(row: LatencyRecord) -> Optional[str]:
    return _UNKNOWN if row.model is None else row.model.precision


def _transfers(row: LatencyRecord) -> Optional[str]:
    # An engine on the processor has nothing to copy: what its caller waits holds everything.
    return "included" if row.mode.transfers == "none" else row.mode.transfers


def _graph(row: LatencyRecord) -> Optional[str]:
    return None if row.mode.cuda_graph is None else "on" if row.mode.cuda_graph else "off"


def _threads(row: LatencyRecord) -> Optional[str]:
    return None if row.mode.threads is None else str(row.mode.threads)


def _power_mode(row: LatencyRecord) -> Optional[str]:
    mode = row.hardware.power_mode
    if mode is None:
        return None if row.host.board is None else _UNKNOWN
    return mode.name or "number {}".format(mode.number)


def _locked(row: LatencyRecord) -> Optional[str]:
    locked = row.hardware.clocks_locked
    return _UNKNOWN if locked is None else "locked" if locked else "not locked"


_OF_THE_RUN: Tuple[Tuple[str, _Text], ...] = (
    ("batch", lambda row: str(row.batch)),
    ("input", lambda row: "×".join(map(str, row.input_shape[1:]))),
    ("precision", _precision),
    ("latency", lambda row: row.mode.latency),
    ("transfers", _transfers),
    ("CUDA graph", _graph),
    ("threads", _threads),
)
_OF_THE_MACHINE: Tuple[Tuple[str, _Text], ...] = (("power mode", _power_mode), ("clocks", _locked))


class Ratio(NamedTuple):
    """How many times as long one row takes as another.

    Attributes:
        value: the ratio; above 1 if the row is slower.
        interval: interval at `statistics.CONFIDENCE`; None with too few samples.
        interleaved: both were interleaved in one run, so that drift cancels; otherwise the interval does not
            contain the drift between the two runs.
    """

    value: float
    interval: Optional[statistics.Interval]
    interleaved: bool

    def inverse(self) -> "Ratio":
        """Return the ratio seen from the other row."""
        interval = self.interval
        if interval is not None:
            interval = statistics.Interval(1.0 / interval.high, 1.0 / interval.low)
        return Ratio(1.0 / self.value, interval, self.interleaved)


def ratio_of_rounds(row: LatencyRecord, reference: LatencyRecord) -> Optional[Ratio]:
    """Return the ratio of two rows of one report, paired by rounds; None if they were not interleaved."""
    if reference.name not in row.interleaved_with:
        return None
    ratios = statistics.paired_ratios_of_medians(row.round_p50_ms, reference.round_p50_ms)
    if not len(ratios):
        return None
    return Ratio(statistics.median(ratios), statistics.median_interval(ratios), True)


def ratio_of_medians(row: LatencyRecord, reference: LatencyRecord) -> Ratio:
    """Return the ratio of two p50s of separate runs; the intervals' relative half-widths add in squares.

    That is how hyperfine combines independent errors, here on each side of the intervals by itself. A half-width is
    how many times larger one end is than the other: the interval never reaches zero, and is the same seen from either
    row.
    """
    value = row.latency.p50_ms / reference.latency.p50_ms
    above, below = row.latency.p50_interval, reference.latency.p50_interval
    if above is None or below is None:
        return Ratio(value, None, False)
    low = _hypotenuse(row.latency.p50_ms / above.low - 1.0, below.high / reference.latency.p50_ms - 1.0)
    high = _hypotenuse(above.high / row.latency.p50_ms - 1.0, reference.latency.p50_ms / below.low - 1.0)
    return Ratio(value, statistics.Interval(value / (1.0 + low), value * (1.0 + high)), False)


def _hypotenuse(first: float, second: float) -> float:
    return float((first * first + second * second) ** 0.5)
