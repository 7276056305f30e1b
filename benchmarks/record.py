"""LatencyRecord: one measured row, with everything needed to know whether two rows may be compared."""
import json
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy import records
from edgenext_deploy.benchmarks.host import Host
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file
from edgenext_deploy.manifest import Weights

SCHEMA = 1


class EngineFile(NamedTuple):
    """The file that was measured; `file` is a name without folder."""

    file: str
    sha256: str
    bytes: int


class Model(NamedTuple):
    """What the manifest beside the engine says it is."""

    variant: str
    target: str
    precision: str
    weights: Weights


class WarmUp(NamedTuple):
    """Calls before the measurement. `stable`: the last windows agreed before the time limit."""

    duration_ms: float
    iterations: int
    stable: bool


class Latency(NamedTuple):
    """Milliseconds per inference as the caller waits for it (wall clock around the call).

    Percentiles are trtexec's (`statistics.percentiles`), except that `p50_ms` is its median. `p50_interval`
    is at confidence `statistics.CONFIDENCE`; None when the samples are too few. `std_ms` has n - 1 below.
    """

    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float
    std_ms: float
    p50_interval: Optional[Interval]


class LatencyRecord(NamedTuple):
    """One measured row.

    Attributes:
        name: the row's name within its run.
        engine: the file.
        model: from the manifest; None when there is none.
        device: what ``--device`` asked for, and what the run was checked to be on.
        session: runtime, version, provider, threads, as `Session.describe` gives them.
        input_shape: `[B, 3, H, W]`.
        batch: images per inference.
        image: what was fed: ``golden`` (normalised as the manifest says) or ``synthetic``.
        n: timed inferences.
        rounds: blocks they were measured in, taking turns with `interleaved_with`.
        warmup: what came before.
        latency: of the n inferences.
        window_spread: how far the medians of five consecutive fifths of the run lie apart, relative.
        stable: that spread is within `statistics.STABLE_SPREAD`.
        throughput_per_s: images per second of time spent inside inferences.
        interleaved_with: names of the rows measured in the same run.
        interrupted: the run was ended early by Ctrl-C.
        host: the machine.
        started_at: UTC, ISO 8601.
    """

    name: str
    engine: EngineFile
    model: Optional[Model]
    device: str
    session: Dict[str, Any]
    input_shape: Tuple[int, ...]
    batch: int
    image: str
    n: int
    rounds: int
    warmup: WarmUp
    latency: Latency
    window_spread: float
    stable: bool
    throughput_per_s: float
    interleaved_with: Tuple[str, ...]
    interrupted: bool
    host: Host
    started_at: Optional[str] = None


class Comparison(NamedTuple):
    """`slower` takes `ratio` times as long as `faster`, in one interleaved run.

    `ratio` is the median of `statistics.paired_ratios` over `rounds`; the ratio of the p50s of the whole run
    may differ a little, for it keeps what disturbed the machine. `interval` is the ratio's, at
    `statistics.CONFIDENCE`, None with too few rounds; it holds 1 when neither is faster for sure.
    """

    faster: str
    slower: str
    ratio: float
    interval: Optional[Interval]
    rounds: int


class LatencyReport(NamedTuple):
    """What one run writes: its rows, and its rows against each other."""

    schema: int
    toolkit_version: str
    records: Tuple[LatencyRecord, ...]
    comparisons: Tuple[Comparison, ...]
    interrupted: bool


def dump(report: LatencyReport) -> bytes:
    """Return the report as JSON."""
    return records.dump(report)


def read(path: str) -> LatencyReport:
    """Read a report that `dump` wrote.

    Raises:
        BadInputError: missing, not JSON, another schema, or a field that is missing or of another type.
    """
    fix = "give a file that edgenext-bench --json FILE wrote"
    require_file(path, "latency report", fix)
    try:
        with open(path, encoding="utf-8") as stream:
            data = json.load(stream)
    except (ValueError, RecursionError) as error:
        raise BadInputError("{}: not a latency report: {}".format(path, error), fix) from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA or "records" not in data:
        raise BadInputError("{}: not a latency report of schema {}: schema {!r} found".format(
            path, SCHEMA, found), fix)
    return records.from_json(LatencyReport, data, path)
