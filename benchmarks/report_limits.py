"""Reports come from other machines: their numbers are looked at before tables and charts divide by them."""
from typing import Any, Iterator, Optional, Tuple

from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

# Bytes of memory and Hz are the largest numbers of a report.
_LARGEST = 1e15
_LONGEST_TEXT = 4000
# A millisecond that is shorter is no measurement, and its inverse no throughput.
_SHORTEST_MS = 1e-6
_FIX = "give a file that edgenext-bench --json-file FILE wrote"


def require_limits(report: Any, path: str) -> None:
    """Raise BadInputError, naming the field, for values that no run gives.

    Args:
        report: a `LatencyReport`, whose module imports this one.
        path: of its file, for the message.
    """
    for field, problem in _problems(report):
        raise BadInputError("{}: {} {}".format(path, shown(field, 200), problem), _FIX)


def _problems(report: Any) -> Iterator[Tuple[str, str]]:
    yield from _beyond(report, "report")
    if not report.records:
        yield "records", "is empty"
    names = [row.name for row in report.records]
    if len(set(names)) < len(names):
        yield "records", "has two rows of one name"
    for index, row in enumerate(report.records):
        at = "records[{}].".format(index)
        # Without a manifest a file may have any first input.
        if (row.model is not None and len(row.input_shape) != 4) or min((1, *row.input_shape)) < 1:
            yield at + "input_shape", "is {}, [B, 3, H, W] expected".format(list(row.input_shape[:8]))
        for name in ("n", "rounds", "batch"):
            if getattr(row, name) < 1:
                yield at + name, "is {}, 1 at least expected".format(getattr(row, name))
        for name, value in row.latency._asdict().items():
            if name.endswith("_ms") and name != "std_ms" and not value >= _SHORTEST_MS:
                yield at + "latency." + name, "is {}, a time expected".format(value)
        yield from _not_an_interval(row.latency.p50_interval, at + "latency.p50_interval")
        if not row.throughput_per_s > 0:
            yield at + "throughput_per_s", "is {}, more than 0 expected".format(row.throughput_per_s)
        if row.round_p50_ms and not min(row.round_p50_ms) >= _SHORTEST_MS:
            yield at + "round_p50_ms", "has {}, a time expected".format(min(row.round_p50_ms))
        samples = row.samples
        if samples is not None and (len(samples.start_s) != len(samples.latency_ms) or not samples.start_s
                                    or not min(samples.latency_ms) > 0):
            yield at + "samples", "has {} starts and {} latencies, as many times above 0 expected".format(
                len(samples.start_s), len(samples.latency_ms))
    for index, comparison in enumerate(report.comparisons):
        if not comparison.ratio > 1 / _LARGEST:
            yield "comparisons[{}].ratio".format(index), "is {}, more than 0 expected".format(comparison.ratio)
        yield from _not_an_interval(comparison.interval, "comparisons[{}].interval".format(index))


def _not_an_interval(interval: Optional[Interval], field: str) -> Iterator[Tuple[str, str]]:
    """Complain of an interval of times or of their ratios whose ends are none, or change places."""
    if interval is not None and not _SHORTEST_MS <= interval.low <= interval.high:
        yield field, "is {} to {}, two numbers above 0 expected, the lower one first".format(*interval)


def _beyond(value: Any, field: str) -> Iterator[Tuple[str, str]]:
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            yield field, "has {} characters, at most {} expected".format(len(value), _LONGEST_TEXT)
    elif isinstance(value, (int, float)):
        if not abs(value) <= _LARGEST:
            yield field, "is {:g}, at most {:g} expected".format(float(value), _LARGEST)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _beyond(key, field)
            yield from _beyond(item, "{}.{}".format(field, key))
    elif hasattr(value, "_fields"):
        for name, item in zip(value._fields, value):
            yield from _beyond(item, name if field == "report" else "{}.{}".format(field, name))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _beyond(item, "{}[{}]".format(field, index))
