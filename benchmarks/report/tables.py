"""The tables of a report as rows of text: what is measured, what it was measured on, and where the time goes."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.latency_report import LatencyRecord, LatencyReport, StageTimes
from edgenext_deploy.benchmarks.report.sentences import latency_of
from edgenext_deploy.benchmarks.statistics import CONFIDENCE, Interval

_LATENCY = ("p50", "{:.0f} % interval".format(100 * CONFIDENCE), "p90", "p99", "min", "mean", "images/s")
_WHAT = ("model", "batch", "n", "latency is")
_STAGES = ("enqueue", "H2D", "compute", "D2H", "latency", "wall")


class Table(NamedTuple):
    """One table.

    Attributes:
        title: above it.
        headings: of the columns; the first column holds the rows' names.
        rows: as many cells each as there are headings.
        words: how many columns, the first ones, hold words, which may be broken; the others hold numbers.
    """

    title: str
    headings: Tuple[str, ...]
    rows: List[Tuple[str, ...]]
    words: int


def tables(report: LatencyReport) -> List[Table]:
    """Return the tables of a report, none wider than 110 columns if the names are short."""
    rows = report.records
    found = [
        Table("Latency, ms per inference", ("engine", *_LATENCY), [(title_of(row), *_latency(row)) for row in rows], 1),
        Table("What was measured", ("engine", *_WHAT), [(title_of(row), *_what(row)) for row in rows], 2),
    ]
    split = [row for row in rows if row.stages is not None]
    if split:
        found.append(Table("Stages as trtexec defines them, ms: median (p99)", ("engine", *_STAGES),
                           [(title_of(row), *_stages(row)) for row in split], 1))
    return found


def milliseconds(value: float) -> str:
    """Return a time in ms with the digits that it deserves."""
    return "{:.3f}".format(value) if value >= 1.0 else "{:.4f}".format(value)


def title_of(row: LatencyRecord) -> str:
    """Return the row's name with what nobody must miss."""
    title = row.name
    if row.is_reference:
        title += " (reference)"
    if not row.device_matches:
        title += " [not {}]".format(row.device)
    if row.outputs is not None and not row.outputs.passed:
        title += " [WRONG OUTPUTS]"
    if row.failure is not None and row.failure.engine == row.name:
        title += " [FAILED]"
    return title


def _latency(row: LatencyRecord) -> Tuple[str, ...]:
    latency = row.latency
    return (milliseconds(latency.p50_ms), _interval(latency.p50_interval),
            *[milliseconds(value) for value in (latency.p90_ms, latency.p99_ms, latency.min_ms, latency.mean_ms)],
            "{:.1f}".format(row.throughput_per_s))


def _what(row: LatencyRecord) -> Tuple[str, ...]:
    return _model(row), str(row.batch), str(row.n), latency_of(row)


def _stages(row: LatencyRecord) -> Sequence[str]:
    assert row.stages is not None
    return [_stage(stage) for stage in row.stages]


def _stage(times: Optional[StageTimes]) -> str:
    return "none" if times is None else "{} ({})".format(milliseconds(times.p50_ms), milliseconds(times.p99_ms))


def _model(row: LatencyRecord) -> str:
    if row.model is None:
        return "no manifest"
    model = row.model
    weights = "random weights" if model.weights.random else model.weights.source
    return "{}, {}, {}".format(model.variant, model.precision, weights)


def _interval(interval: Optional[Interval]) -> str:
    return "too few" if interval is None else "{}–{}".format(milliseconds(interval.low), milliseconds(interval.high))
