"""LatencyRecord: one measured row, with everything needed to know whether two rows may be compared."""
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records as records
from edgenext_deploy.artifacts.manifest import TensorSpec, Weights
from edgenext_deploy.benchmarks.hardware.host import Host
from edgenext_deploy.benchmarks.hardware.state import Energy, Hardware
from edgenext_deploy.benchmarks.report_limits import require_limits
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

SCHEMA = 2
# More single inferences than this are thinned in a report; a histogram and a time line need no more.
MAX_SAMPLES = 20000


class EngineFile(NamedTuple):
    """The engine that was measured.

    Attributes:
        file: its name without folder, or ``torch:VARIANT`` for a module that has no file.
        sha256: SHA-256 of the file, or of a module's parameters, as 64 hexadecimal digits.
        bytes: size of the file; None for a module.
        manifest_sha256: SHA-256 of the manifest next to it; None without a manifest.
    """

    file: str
    sha256: str
    bytes: Optional[int]
    manifest_sha256: Optional[str]


class Model(NamedTuple):
    """The network, as the manifest next to the engine describes it."""

    variant: str
    target: str
    precision: str
    weights: Weights


class WarmUp(NamedTuple):
    """The calls before the measurement; `stable` says whether the last windows agreed before the time limit."""

    duration_ms: float
    iterations: int
    stable: bool


class Latency(NamedTuple):
    """Milliseconds per inference. `Mode.latency` says what was timed; by default it is what the caller waits.

    Percentiles follow trtexec (`statistics.percentiles`); `p50_ms` is the median. `p50_interval` is the interval of the
    median at confidence `statistics.CONFIDENCE`, None with too few samples. `std_ms` divides by n - 1.
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
    """How the engine was run: what a reader must know to interpret the numbers.

    Attributes:
        latency: what `LatencyRecord.latency` times: ``wall`` (the caller's call, by the host's clock) or ``gpu``
            (GPU compute alone, by CUDA events).
        transfers: whether the latency contains the copies between host and GPU: ``included``, ``excluded``, or
            ``none`` if nothing is copied (an engine on the processor, or zero-copy).
        cuda_graph_requested: what ``--cuda-graph/--no-cuda-graph`` asked for; None without either.
        cuda_graph: whether a CUDA graph was launched; None if the runtime does not say.
        threads: CPU threads of one inference; None if no CPU thread computes.
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
        host_to_device: copy of the input, by CUDA events ("H2D Latency"); None with zero-copy, which needs no copy.
        compute: time between the events around the inference ("GPU Compute Time").
        device_to_host: copy of the outputs, by CUDA events ("D2H Latency"); None with zero-copy.
        latency: host_to_device + compute + device_to_host of each inference ("Latency").
        wall: what the caller waits, by the host's clock; trtexec queues ahead and has no such line.
    """

    enqueue: StageTimes
    host_to_device: Optional[StageTimes]
    compute: StageTimes
    device_to_host: Optional[StageTimes]
    latency: StageTimes
    wall: StageTimes


class Reconciliation(NamedTuple):
    """How the wall clock adds up, in means, because medians do not add: compute + copies + rest = wall.

    `rest_ms` is the time of enqueueing, Python and waiting that does not overlap with the GPU's work.
    """

    compute_ms: float
    copies_ms: float
    rest_ms: float
    wall_ms: float


class Samples(NamedTuple):
    """Single inferences, in the order of measurement, for a histogram or a time line.

    Attributes:
        start_s: start of each inference in seconds since the run's first timed one, rounded to 0.1 ms.
        latency_ms: latency of each inference as `Mode.latency` defines it, rounded to 0.1 µs.
        thinned: there were more than `MAX_SAMPLES`; these were chosen evenly.
    """

    start_s: Tuple[float, ...]
    latency_ms: Tuple[float, ...]
    thinned: bool


class Versions(NamedTuple):
    """Versions of the software; None if it is not installed, or if its version is unknown.

    Attributes:
        toolkit: edgenext-deploy.
        python: the interpreter.
        numpy: numpy.
        onnxruntime: ONNX Runtime, if an engine of the run used it.
        tensorrt: TensorRT.
        torch: PyTorch, if an engine of the run used it.
        cuda: the CUDA toolkit under /usr/local/cuda.
        cuda_driver: the newest CUDA that the driver supports.
        driver: NVIDIA's kernel driver.
        l4t: Jetson Linux.
        jetpack: the JetPack that contains this Jetson Linux.
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
    """The outputs of a row's engine, compared with those of the reference on the same input.

    Attributes:
        reference: name of the reference's row.
        max_relative_difference: largest difference divided by the reference's largest magnitude, of the worst output;
            None if they cannot be compared (another shape, or values that are not finite).
        top1_equal: the most probable class is the same for every image; None if the output is not scores
            `[B, classes]`.
        tolerance: the largest `max_relative_difference` allowed.
        passed: the difference is within the tolerance.
        another_model: in what the two are different networks, so that they were not compared; None if they are not
            known to be.
    """

    reference: str
    max_relative_difference: Optional[float]
    top1_equal: Optional[bool]
    tolerance: float
    passed: bool
    another_model: Optional[str] = None

    @property
    def wrong(self) -> bool:
        """Whether the outputs are not what this network should give."""
        return self.another_model is None and not self.passed


class Caution(NamedTuple):
    """A warning about a row; `code` is one of the codes in `latency.cautions`, `text` says what to do."""

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
        engine: the engine file.
        model: the network, from the manifest; None without a manifest.
        device: name that ``--device`` asked for, else the one that was recognised (`devices.recognise`).
        device_found: the machine and, if the engine runs on one, the GPU.
        device_matches: this is the device that was asked for; False only with ``--allow-mismatch``.
        session: runtime, version, provider and threads, as `Session.describe` returns them.
        mode: how it was run.
        input_shape: `[B, 3, H, W]`; without a manifest the shape of the first input.
        batch: images per inference; without a manifest the first size of that input, if it has at least two.
        image: the input: ``golden`` (normalised as the manifest says) or ``synthetic``.
        n: number of timed inferences.
        rounds: number of blocks in which they were measured, interleaved with those of `interleaved_with`.
        warmup: the calls before the measurement.
        latency: statistics of the n inferences, of the quantity that `Mode.latency` names.
        stages: where the time goes, of a TensorRT engine; None for other engines.
        reconciliation: how the stages add up to the wall time, of a TensorRT engine; None for other engines.
        window_spread: relative spread of the medians of five consecutive fifths of the run.
        stable: that spread is within `statistics.STABLE_SPREAD`.
        throughput_per_s: images per second of time spent inside inferences, one after another.
        is_reference: this is the row that ``--reference`` named.
        outputs: comparison with the reference's outputs; None without a reference, and for the reference itself.
        interleaved_with: names of the other rows measured in the same run.
        interrupted: Ctrl-C ended the run early.
        host: the machine.
        versions: versions of the software.
        hardware: clocks, temperatures and power during the run.
        energy: energy per inference; None if the module's power is unknown, or if several engines were interleaved.
        cautions: warnings to read before this row is compared with another.
        samples: single inferences; None if they were not asked for.
        started_at: start of the run, UTC, ISO 8601.
        failure: the error, of this engine or of another one, that ended the run early.
        round_p50_ms: median of each round in milliseconds; `statistics.paired_ratios_of_medians` with those of
            another row of the same run cancels what slowed both.
        inputs: name, shape and dtype of every input; none in a report of an earlier version.
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
    inputs: Tuple[TensorSpec, ...] = ()


class Comparison(NamedTuple):
    """`slower` takes `ratio` times as long as `faster`, in one interleaved run.

    `ratio` is the median of `statistics.paired_ratios` over `rounds`. The ratio of the p50s of the whole run may differ
    a little, because it contains what disturbed the machine. `interval` is the ratio's interval at
    `statistics.CONFIDENCE`, None with too few rounds; it contains 1 if neither engine is faster for sure.
    """

    faster: str
    slower: str
    ratio: float
    interval: Optional[Interval]
    rounds: int


class LatencyReport(NamedTuple):
    """The report of one run: its rows, and how they compare.

    Attributes:
        schema: version of the format, `SCHEMA`.
        toolkit_version: version of edgenext-deploy that wrote the report.
        records: the rows.
        comparisons: pairs of rows with the ratio of their latencies.
        interrupted: Ctrl-C ended the run early.
        failure: the engine's error that ended the run early.
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
        BadInputError: missing, not JSON, another schema, or a field that is missing, of another type or beyond its
            range.
    """
    fix = "give a file that edgenext-bench --json-file FILE wrote"
    data = records.read_file(path, "latency report", fix)
    if data.get("schema") != SCHEMA or "records" not in data:
        raise BadInputError("{}: not a latency report of schema {}: schema {} found".format(
            path, SCHEMA, shown(repr(data.get("schema")), 60)), fix)
    report = records.from_json(LatencyReport, data, path)
    require_limits(report, path)
    return report
