"""The columns of a report: each is declared once, and every output shows it.

The terminal, Markdown and the page show a column's title and text, the CSV its key and value, and
``edgenext-bench compare`` the columns that belong to `COMPARED`. A new column is one call of `register_column`;
the columns below are registered by the same call.
"""
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.hardware.monitor import mean_power_mw
from edgenext_deploy.benchmarks.latency_report import LatencyRecord, LatencyReport, StageTimes
from edgenext_deploy.benchmarks.report.printing import EMPTY, interval_text, milliseconds
from edgenext_deploy.benchmarks.report.sentences import input_text, latency_of, runtime_text
from edgenext_deploy.benchmarks.statistics import CONFIDENCE

# The tables of a report, and the one of a comparison.
LATENCY, SETUP, STAGES, COMPARED = "latency", "setup", "stages", "compared"

Text = Callable[[LatencyRecord, LatencyReport], str]
Value = Callable[[LatencyRecord, LatencyReport], Any]


class Column(NamedTuple):
    """A column of a report.

    Attributes:
        key: its name in the CSV, with the unit; unique.
        title: its heading for people.
        text: returns the cell for people, of a row of that report; None for a column of the CSV alone.
        csv: returns the CSV's value, None where it is unknown; None for a column that the CSV has in parts.
        is_number: the cell is a figure: right-aligned and never broken over lines.
        tables: where people see it: some of `LATENCY`, `SETUP`, `STAGES` and `COMPARED`.
    """

    key: str
    title: str
    text: Optional[Text]
    csv: Optional[Value]
    is_number: bool
    tables: Tuple[str, ...] = (LATENCY, COMPARED)


_COLUMNS: Dict[str, Column] = {}


def register_column(column: Column) -> None:
    """Add a column behind those that are there.

    Raises:
        ValueError: the key is taken, or the column has neither text nor a value.
    """
    if column.key in _COLUMNS:
        raise ValueError("there is a column {!r} already".format(column.key))
    if column.text is None and column.csv is None:
        raise ValueError("column {!r} has neither text nor a value for the CSV".format(column.key))
    _COLUMNS[column.key] = column


def shown_columns(*tables: str) -> Tuple[Column, ...]:
    """Return the columns that people see in any of these tables, in their order."""
    return tuple(column for column in _COLUMNS.values()
                 if column.text is not None and any(table in column.tables for table in tables))


def cells(columns: Sequence[Column], row: LatencyRecord, report: LatencyReport) -> List[str]:
    """Return a row's cells for people under these columns."""
    return [EMPTY if column.text is None else column.text(row, report) for column in columns]


def csv_values(row: LatencyRecord, report: LatencyReport) -> Dict[str, Any]:
    """Return a row's values for the CSV by key, with the same keys for every row."""
    return {column.key: column.csv(row, report) for column in _COLUMNS.values() if column.csv is not None}


def _only_csv(key: str, csv: Callable[[LatencyRecord], Any]) -> None:
    register_column(Column(key, key, None, lambda row, _: csv(row), False, ()))


def _milliseconds(key: str, title: str, value_ms: Callable[[LatencyRecord], float],
                  tables: Tuple[str, ...] = (LATENCY,)) -> None:
    register_column(Column(key, title, lambda row, _: milliseconds(value_ms(row)), lambda row, _: value_ms(row), True,
                           tables))


def _words(key: str, title: str, text: Callable[[LatencyRecord], str], csv: Optional[Callable[[LatencyRecord], Any]],
           tables: Tuple[str, ...] = (SETUP,)) -> None:
    register_column(Column(key, title, lambda row, _: text(row), None if csv is None else (lambda row, _: csv(row)),
                           False, tables))


def _count(key: str, title: str, number: Callable[[LatencyRecord], int]) -> None:
    register_column(Column(key, title, lambda row, _: str(number(row)), lambda row, _: number(row), True, (SETUP,)))


def model_text(row: LatencyRecord) -> str:
    """Return variant, precision and weights of a row's engine."""
    if row.model is None:
        return "no manifest"
    weights = "random weights" if row.model.weights.random else row.model.weights.source
    return "{}, {}, {}".format(row.model.variant, row.model.precision, weights)


def ratio_to_first(row: LatencyRecord, report: LatencyReport) -> Tuple[Optional[float], ...]:
    """Return the row's time over that of the report's first row, with its interval, as far as they were compared."""
    first = report.records[0].name
    for comparison in report.comparisons:
        low, high = comparison.interval or (None, None)
        if (comparison.faster, comparison.slower) == (first, row.name):
            return comparison.ratio, low, high
        if (comparison.slower, comparison.faster) == (first, row.name):
            return 1 / comparison.ratio, 1 / high if high else None, 1 / low if low else None
    return None, None, None


def _ratio(key: str, index: int) -> None:
    register_column(Column(key, key, None, lambda row, report: ratio_to_first(row, report)[index], True, ()))


def _stage_times(row: LatencyRecord, name: str) -> Optional[StageTimes]:
    found: Optional[StageTimes] = None if row.stages is None else getattr(row.stages, name)
    return found


def _stage(name: str, title: str) -> None:
    def text(row: LatencyRecord, _: LatencyReport) -> str:
        times = _stage_times(row, name)
        return "none" if times is None else "{} ({})".format(milliseconds(times.p50_ms), milliseconds(times.p99_ms))

    def csv(row: LatencyRecord, _: LatencyReport) -> Optional[float]:
        times = _stage_times(row, name)
        return None if times is None else times.p50_ms

    register_column(Column(name + "_p50_ms", title, text, csv, True, (STAGES,)))


def _power_mode(row: LatencyRecord) -> Any:
    mode = row.hardware.power_mode
    return None if mode is None else mode.name or mode.number


def _hottest_c(temperatures_c: Dict[str, float]) -> Optional[float]:
    return max(temperatures_c.values()) if temperatures_c else None


def _mean_power_mw(row: LatencyRecord) -> Optional[float]:
    power = mean_power_mw(row.hardware)
    return None if power is None else power[0]


_only_csv("name", lambda row: row.name)
_words("model", "model", model_text, None, (SETUP, COMPARED))
_only_csv("variant", lambda row: None if row.model is None else row.model.variant)
_only_csv("precision", lambda row: None if row.model is None else row.model.precision)
_only_csv("weights", lambda row: None if row.model is None else row.model.weights.source)
_only_csv("random_weights", lambda row: None if row.model is None else row.model.weights.random)
_only_csv("device", lambda row: row.device)
_only_csv("device_found", lambda row: row.device_found)
_only_csv("device_matches", lambda row: row.device_matches)
_words("runtime", "runtime", runtime_text, lambda row: row.session.get("runtime"), (COMPARED,))
_only_csv("runtime_version", lambda row: row.session.get("version"))
_only_csv("provider", lambda row: row.session.get("provider"))
_only_csv("threads", lambda row: row.mode.threads)
_words("latency_of", "latency is", latency_of, lambda row: row.mode.latency)
_only_csv("transfers", lambda row: row.mode.transfers)
_only_csv("cuda_graph_requested", lambda row: row.mode.cuda_graph_requested)
_only_csv("cuda_graph", lambda row: row.mode.cuda_graph)
_count("batch", "batch", lambda row: row.batch)
_only_csv("input_shape", lambda row: "x".join(str(size) for size in row.input_shape))
_only_csv("image", lambda row: row.image)
_count("n", "n", lambda row: row.n)
_milliseconds("p50_ms", "p50", lambda row: row.latency.p50_ms, (LATENCY, COMPARED))
register_column(Column("p50_interval", "{:.0f} % interval".format(100 * CONFIDENCE),
                       lambda row, _: interval_text(row.latency.p50_interval), None, True, (LATENCY, COMPARED)))
_only_csv("p50_low_ms", lambda row: None if row.latency.p50_interval is None else row.latency.p50_interval.low)
_only_csv("p50_high_ms", lambda row: None if row.latency.p50_interval is None else row.latency.p50_interval.high)
_milliseconds("p90_ms", "p90", lambda row: row.latency.p90_ms)
_milliseconds("p99_ms", "p99", lambda row: row.latency.p99_ms, (LATENCY, COMPARED))
_milliseconds("min_ms", "min", lambda row: row.latency.min_ms)
_only_csv("max_ms", lambda row: row.latency.max_ms)
_milliseconds("mean_ms", "mean", lambda row: row.latency.mean_ms)
_only_csv("std_ms", lambda row: row.latency.std_ms)
register_column(Column("throughput_per_s", "images/s", lambda row, _: "{:.1f}".format(row.throughput_per_s),
                       lambda row, _: row.throughput_per_s, True, (LATENCY,)))
register_column(Column("compared_with", "compared with", None, lambda row, report: None if ratio_to_first(
    row, report)[0] is None else report.records[0].name, False, ()))
for _index, _key in enumerate(("time_ratio", "time_ratio_low", "time_ratio_high")):
    _ratio(_key, _index)
for _name, _title in (("enqueue", "enqueue"), ("host_to_device", "H2D"), ("compute", "compute"),
                      ("device_to_host", "D2H"), ("latency", "latency"), ("wall", "wall")):
    _stage(_name, _title)
_only_csv("warmup_ms", lambda row: row.warmup.duration_ms)
_only_csv("warmup_iterations", lambda row: row.warmup.iterations)
_only_csv("warmup_stable", lambda row: row.warmup.stable)
_only_csv("window_spread", lambda row: row.window_spread)
_only_csv("stable", lambda row: row.stable)
_only_csv("is_reference", lambda row: row.is_reference)
_only_csv("outputs_difference", lambda row: None if row.outputs is None else row.outputs.max_relative_difference)
_only_csv("outputs_top1_equal", lambda row: None if row.outputs is None else row.outputs.top1_equal)
_only_csv("outputs_passed", lambda row: (
    None if row.outputs is None or row.outputs.another_model is not None else row.outputs.passed))
_only_csv("power_mode", _power_mode)
_only_csv("clocks_locked", lambda row: row.hardware.clocks_locked)
_only_csv("hottest_start_c", lambda row: _hottest_c(row.hardware.start.temperatures_c))
_only_csv("hottest_end_c", lambda row: _hottest_c(row.hardware.end.temperatures_c))
_only_csv("throttled", lambda row: "; ".join(row.hardware.throttled))
_only_csv("mean_power_mw", _mean_power_mw)
_only_csv("energy_estimate_mj", lambda row: None if row.energy is None else row.energy.per_inference_mj)
_only_csv("cautions", lambda row: "; ".join(caution.code for caution in row.cautions))
_only_csv("interrupted", lambda row: row.interrupted)
_only_csv("engine_sha256", lambda row: row.engine.sha256)
_only_csv("manifest_sha256", lambda row: row.engine.manifest_sha256)
_only_csv("host", lambda row: row.host.board or row.host.processor)
_only_csv("toolkit_version", lambda row: row.versions.toolkit)
_only_csv("started_at", lambda row: row.started_at)
_only_csv("inputs", lambda row: "; ".join(map(input_text, row.inputs)))
