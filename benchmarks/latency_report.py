"""LatencyRecord: one measured row, with everything needed to know whether two rows may be compared."""
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records as records
from edgenext_deploy.artifacts.manifest import Weights
from edgenext_deploy.benchmarks.hardware.host import Host
from edgenext_deploy.benchmarks.hardware.state import Energy, Hardware
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.errors import BadInputError

SCHEMA = 2
# More single inferences than this are thinned in a report; a histogram and a time line need no more.
MAX_SAMPLES = 20000


class EngineFile(NamedTuple):
    """What was measured.

    Attributes:
        file: a name without folder, or ``torch:VARIANT`` for a module that has no file.
        sha256: of the file; of a module, over its parameters.
        bytes: size of the file; None for a module.
        manifest_sha256: of the manifest beside it; None without one.
    """

    file: str
    sha256: str
    bytes: Optional[int]
    manifest_sha256: Optional[str]


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
    """Milliseconds per inference, of what `Mode.latency` says: by default what the caller waits.

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


class Mode(NamedTuple):
    """How the engine was run, as far as it decides what the numbers mean.

    Attributes:
        latency: what `LatencyRecord.latency` times: ``wall`` (the caller's call, by the host's clock) or ``gpu``
            (GPU compute alone, by CUDA events).
        transfers: whether copies between host and GPU are in it: ``included``, ``excluded``, or ``none`` where
            nothing is copied (an engine on the processor, or zero-copy).
        cuda_graph_requested: what ``--cuda-graph/--no-cuda-graph`` asked for; None without either.
        cuda_graph: whether a CUDA graph was launched; None where the runtime does not say.
        threads: CPU threads of one inference; None where no CPU thread computes.
    """

    latency: str
    transfers: str
    cuda_graph_requested: Optional[bool]
    cuda_graph: Optional[bool]
    threads: Optional[int]


class StageTimes(NamedTuple):
    """Milliseconds per inference of one stage; the percentiles are `statistics.percentiles`, p50 the median."""

    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float


class Stages(NamedTuple):
    """Where the time of a TensorRT inference goes, stage by stage, defined as trtexec defines them.

    Attributes:
        enqueue: host time to put the inference into the stream ("Enqueue Time").
        host_to_device: copy of the input, by CUDA events ("H2D Latency"); None with zero-copy, where there is none.
        compute: between the events around the inference ("GPU Compute Time").
        device_to_host: copy of the outputs, by CUDA events ("D2H Latency"); None likewise.
        latency: host_to_device + compute + device_to_host of each inference ("Latency").
        wall: what the caller waits, by the host's clock; trtexec has no such line, for it queues ahead.
    """

    enqueue: StageTimes
    host_to_device: Optional[StageTimes]
    compute: StageTimes
    device_to_host: Optional[StageTimes]
    latency: StageTimes
    wall: StageTimes


class Reconciliation(NamedTuple):
    """How the wall clock adds up, in means (medians do not add): compute + copies + rest = wall.

    `rest_ms` is what of the enqueueing, of Python and of the waiting the GPU does not hide.
    """

    compute_ms: float
    copies_ms: float
    rest_ms: float
    wall_ms: float


class Samples(NamedTuple):
    """Single inferences, in the order of measurement, for a histogram or a time line.

    Attributes:
        start_s: when each began, in seconds since the run's first timed inference, to 0.1 ms.
        latency_ms: how long each took, of what `Mode.latency` says, to 0.1 µs.
        thinned: there were more than `MAX_SAMPLES`, and these are evenly chosen ones.
    """

    start_s: Tuple[float, ...]
    latency_ms: Tuple[float, ...]
    thinned: bool


class Versions(NamedTuple):
    """What was installed; None where it is not, or cannot be found out.

    Attributes:
        toolkit: this one.
        python: the interpreter.
        numpy: the library.
        onnxruntime: the library, if an engine of the run used it.
        tensorrt: the library.
        torch: the library, if an engine of the run used it.
        cuda: the toolkit under /usr/local/cuda.
        cuda_driver: newest CUDA that the driver serves.
        driver: NVIDIA's kernel driver.
        l4t: Jetson Linux.
        jetpack: the JetPack with that.
    """

    toolkit: str
    python: str
    numpy: str
    onnxruntime: Optional[str]
    tensorrt: Optional[str]
    torch: Optional[str]
    cuda: Optional[str]
    cuda_driver: Optional[str]
    driver: Optional[str]
    l4t: Optional[str]
    jetpack: Optional[str]


class OutputCheck(NamedTuple):
    """The outputs of a row's engine against those of the reference, on the same input.

    Attributes:
        reference: name of the reference's row.
        max_relative_difference: largest difference over the reference's largest magnitude, the worst output;
            None where they cannot be compared (another shape, or values that are not finite).
        top1_equal: same most probable class for every image; None where the output is not scores `[B, classes]`.
        tolerance: what `max_relative_difference` may be.
        passed: it is within that.
    """

    reference: str
    max_relative_difference: Optional[float]
    top1_equal: Optional[bool]
    tolerance: float
    passed: bool


class Caution(NamedTuple):
    """Something about a row that its reader has to know; `code` is one of `cautions`, `text` says what to do."""

    code: str
    text: str


class Failure(NamedTuple):
    """The engine that ended a run early, by name, and its error in words."""

    engine: str
    error: str


class LatencyRecord(NamedTuple):
    """One measured row.

    Attributes:
        name: the row's name within its run.
        engine: the file.
        model: from the manifest; None when there is none.
        device: what ``--device`` asked for, else what was recognised (`device.recognise`).
        device_found: the machine and, where the engine runs on one, the GPU.
        device_matches: this is the device that was asked for; False only with ``--allow-mismatch``.
        session: runtime, version, provider, threads, as `Session.describe` gives them.
        mode: how it was run.
        input_shape: `[B, 3, H, W]`.
        batch: images per inference.
        image: what was fed: ``golden`` (normalised as the manifest says) or ``synthetic``.
        n: timed inferences.
        rounds: number of blocks in which the inferences were measured, interleaved with `interleaved_with`.
        warmup: what came before.
        latency: of the n inferences, of what `Mode.latency` says.
        stages: of a TensorRT engine; None elsewhere.
        reconciliation: of a TensorRT engine; None elsewhere.
        window_spread: how far the medians of five consecutive fifths of the run lie apart, relative.
        stable: that spread is within `statistics.STABLE_SPREAD`.
        throughput_per_s: images per second of time spent inside inferences, one after another.
        is_reference: the row that ``--reference`` named.
        outputs: against the reference; None without one, and of itself.
        interleaved_with: names of the rows measured in the same run.
        interrupted: the run was ended early by Ctrl-C.
        host: the machine.
        versions: of the software.
        hardware: clocks, temperatures, power.
        energy: per inference; None where the module's power is not known, or several engines took turns.
        cautions: what to know before this row is compared with another.
        samples: single inferences; None if they were not asked for.
        started_at: UTC, ISO 8601.
        failure: the run was ended early by an error of this engine or of another one.
        round_p50_ms: of each of the `rounds`; `statistics.paired_ratios_of_medians` with those of another row of the
            same run cancels what slowed both.
    """

    name: str
    engine: EngineFile
    model: Optional[Model]
    device: str
    device_found: str
    device_matches: bool
    session: Dict[str, Any]
    mode: Mode
    input_shape: Tuple[int, ...]
    batch: int
    image: str
    n: int
    rounds: int
    warmup: WarmUp
    latency: Latency
    stages: Optional[Stages]
    reconciliation: Optional[Reconciliation]
    window_spread: float
    stable: bool
    throughput_per_s: float
    is_reference: bool
    outputs: Optional[OutputCheck]
    interleaved_with: Tuple[str, ...]
    interrupted: bool
    host: Host
    versions: Versions
    hardware: Hardware
    energy: Optional[Energy]
    cautions: Tuple[Caution, ...]
    samples: Optional[Samples]
    started_at: Optional[str] = None
    failure: Optional[Failure] = None
    round_p50_ms: Tuple[float, ...] = ()


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
    """What one run writes: its rows, and its rows against each other.

    Attributes:
        schema: version of the format, `SCHEMA`.
        toolkit_version: version of the toolkit that wrote the report.
        records: the rows.
        comparisons: each row compared with the first one or the reference.
        interrupted: the run was ended early by Ctrl-C.
        failure: the run was ended early by an engine's error.
    """

    schema: int
    toolkit_version: str
    records: Tuple[LatencyRecord, ...]
    comparisons: Tuple[Comparison, ...]
    interrupted: bool
    failure: Optional[Failure] = None


def dump(report: LatencyReport) -> bytes:
    """Return the report as JSON."""
    return records.dump(report)


def read(path: str) -> LatencyReport:
    """Read a report that `dump` wrote.

    Raises:
        BadInputError: missing, not JSON, another schema, or a field that is missing or of another type.
    """
    fix = "give a file that edgenext-bench --json FILE wrote"
    data = records.read_file(path, "latency report", fix)
    if data.get("schema") != SCHEMA or "records" not in data:
        raise BadInputError("{}: not a latency report of schema {}: schema {!r} found".format(
            path, SCHEMA, data.get("schema")), fix)
    return records.from_json(LatencyReport, data, path)
