"""A report for people: the table, what every number depends on, and the relative speeds as sentences."""
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, TextIO, Tuple

from edgenext_deploy.benchmarks.host import Host
from edgenext_deploy.benchmarks.record import Comparison, LatencyRecord, LatencyReport
from edgenext_deploy.benchmarks.statistics import CONFIDENCE, STABLE_SPREAD, Interval

if TYPE_CHECKING:
    from rich.table import Table

# Where the width is unknown (a pipe, a file) no column is cut.
_WIDTH_OF_A_FILE = 160
# All columns side by side need this; narrower terminals get them in two tables.
_WIDTH_OF_ONE_TABLE = 120
_WHAT = ("model", "batch", "n", "images/s")
_LATENCY = ("p50", "{:.0f} % interval".format(100 * CONFIDENCE), "p90", "p99", "min", "mean")
_UNKNOWN = "unknown"


def print_report(report: LatencyReport, stream: TextIO) -> None:
    """Print the table and the notes of a report that has at least one row."""
    from rich.console import Console

    console = Console(file=stream, markup=False, highlight=False, emoji=False,
                      width=None if stream.isatty() else _WIDTH_OF_A_FILE)
    console.print("Latency, ms per inference")
    one_table = console.width >= _WIDTH_OF_ONE_TABLE
    for headings in ((_WHAT + _LATENCY,) if one_table else (_LATENCY, _WHAT)):
        console.print(_table(report.records, headings))
    for line in notes(report):
        console.print(line, soft_wrap=True)


def _table(rows: Sequence[LatencyRecord], headings: Sequence[str]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("engine", overflow="fold")
    for heading in headings:
        if heading == "model":
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        cells = _cells(row)
        table.add_row(row.name, *[cells[heading] for heading in headings])
    return table


def notes(report: LatencyReport) -> List[str]:
    """Return the lines under the table: relative speeds, what was run on what, and warnings."""
    rows = report.records
    shapes = {row.name: row.input_shape for row in rows}
    lines = [relative_speed(comparison, shapes) for comparison in report.comparisons]
    lines += ["{}: {}".format(names, text) for names, text in _grouped(rows, session_line)]
    lines.append("Machine: {}".format(host_line(rows[0].host)))
    lines.append("Versions: edgenext-deploy {}, Python {}, numpy {}".format(
        report.toolkit_version, rows[0].host.python, rows[0].host.numpy))
    lines += ["Warm-up: {} ({})".format(text, names) for names, text in _grouped(rows, _warm_up_text)]
    lines += _warnings(rows)
    if report.interrupted:
        lines.append("Interrupted: these are the measurements until then.")
    return lines


def relative_speed(comparison: Comparison, shapes: Optional[Dict[str, Tuple[int, ...]]] = None) -> str:
    """Return the sentence about two rows.

    Args:
        comparison: of two rows of one interleaved run.
        shapes: input shape of each row by name; the sentence says when the two differ.
    """
    interval = comparison.interval
    ratio = "{:.2f} ×".format(comparison.ratio)
    bounds = "interval {:.2f}–{:.2f}".format(*interval) if interval else "too few rounds for an interval"
    if interval is not None and round(interval.low, 2) <= 1.0:  # to the digits that are shown
        text = "{} and {}: no difference shown ({}, {})".format(
            comparison.faster, comparison.slower, ratio, bounds)
    else:
        text = "{} is {} faster than {} ({})".format(comparison.faster, ratio, comparison.slower, bounds)
    inputs = [list((shapes or {}).get(name, ())) for name in (comparison.faster, comparison.slower)]
    return text if inputs[0] == inputs[1] else "{}; their inputs differ: {} and {}".format(text, *inputs)


def session_line(row: LatencyRecord) -> str:
    """Return runtime, version, provider or device, and threads of a row's session."""
    session: Dict[str, Any] = row.session
    parts = ["{} {}".format(session.get("runtime", _UNKNOWN), session.get("version", "")).strip()]
    parts += [str(session[key]) for key in ("provider", "device") if session.get(key)]
    threads = session.get("threads")
    if threads:
        parts.append("{} thread{}".format(threads, "" if threads == 1 else "s"))
    return ", ".join(parts)


def host_line(host: Host) -> str:
    """Return the machine in one line."""
    load = _UNKNOWN if host.load_average is None else "{:.2f}".format(host.load_average)
    parts = [
        host.board or host.processor or _UNKNOWN,
        "{}, {} of {} cores".format(host.machine, host.usable_cores or _UNKNOWN, host.cores or _UNKNOWN),
        *host.gpus,
        "governor {}".format(host.governor or _UNKNOWN),
        "load {} at the start".format(load),
        host.kernel,
    ]
    return ", ".join(parts)


def _cells(row: LatencyRecord) -> Dict[str, str]:
    """Return the text under each heading of `_WHAT` and `_LATENCY`."""
    latency = row.latency
    what = (_model_text(row), str(row.batch), str(row.n), "{:.1f}".format(row.throughput_per_s))
    figures = (_ms(latency.p50_ms), _interval(latency.p50_interval), _ms(latency.p90_ms), _ms(latency.p99_ms),
               _ms(latency.min_ms), _ms(latency.mean_ms))
    return dict(zip(_WHAT + _LATENCY, what + figures))


def _model_text(row: LatencyRecord) -> str:
    if row.model is None:
        return "no manifest"
    model = row.model
    weights = "random weights" if model.weights.random else model.weights.source
    return "{}, {}, {}".format(model.variant, model.precision, weights)


def _warm_up_text(row: LatencyRecord) -> str:
    verdict = "stable" if row.warmup.stable else "never stable"
    return "{:.2f} s, {} calls, {}".format(row.warmup.duration_ms / 1e3, row.warmup.iterations, verdict)


def _warnings(rows: Sequence[LatencyRecord]) -> List[str]:
    lines: List[str] = []
    random = [row.name for row in rows if row.model is not None and row.model.weights.random]
    if random:
        lines.append("Random weights: {}. Latency only; the answers mean nothing.".format(", ".join(random)))
    restless = [row.name for row in rows if not row.warmup.stable]
    if restless:
        lines.append("Warning: {}: the warm-up ended before the latency was stable; give it more time with "
                     "--warmup.".format(", ".join(restless)))
    unstable = ["{} ({:.0f} %)".format(row.name, 100 * row.window_spread) for row in rows if not row.stable]
    if unstable:
        lines.append(
            "Warning: {}: the medians of fifths of the run lie this far apart, more than {:.0f} %; stop "
            "other load, fix the clocks, or measure longer.".format(", ".join(unstable), 100 * STABLE_SPREAD))
    return lines


def _grouped(rows: Sequence[LatencyRecord], text_of: Any) -> List[Tuple[str, str]]:
    """Return (names, text) with the names of all rows that share a text."""
    groups: Dict[str, List[str]] = {}
    for row in rows:
        groups.setdefault(text_of(row), []).append(row.name)
    return [(", ".join(names), text) for text, names in groups.items()]


def _ms(value: float) -> str:
    return "{:.3f}".format(value) if value >= 1.0 else "{:.4f}".format(value)


def _interval(interval: Optional[Interval]) -> str:
    return "too few" if interval is None else "{}–{}".format(_ms(interval.low), _ms(interval.high))
