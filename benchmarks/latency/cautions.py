"""What the reader of a row has to know, each with a code for programs and a sentence that says what to do."""
from typing import Callable, Iterator, List, Tuple

from edgenext_deploy.benchmarks.hardware.state import DENIED
from edgenext_deploy.benchmarks.latency.devices import runs_on_processor
from edgenext_deploy.benchmarks.latency_report import Caution, LatencyRecord
from edgenext_deploy.benchmarks.statistics import STABLE_SPREAD
from edgenext_deploy.machine.facts import is_jetson_model

DEVICE_MISMATCH = "device-mismatch"
OUTPUTS_DIFFER = "outputs-differ"
INTERRUPTED = "interrupted"
ENGINE_FAILED = "engine-failed"
WARM_UP_UNSTABLE = "warm-up-unstable"
UNSTABLE = "unstable"
THROTTLED = "throttled"
CLOCKS_FREE = "clocks-free"
ENQUEUE_BOUND = "enqueue-bound"
TRANSFER_BOUND = "transfer-bound"
CUDA_GRAPH_UNUSED = "cuda-graph-unused"
TRANSFERS_NOT_SEPARATE = "transfers-not-separate"
SENSOR_FAILED = "sensor-failed"
SENSOR_DENIED = "sensor-denied"

# trtexec says "may be bound by Enqueue Time" when enqueueing takes longer than the GPU. It queues ahead; here one
# inference follows another, and a GPU that waits for its launches is as slow as they are, but never faster.
_ENQUEUE_SHARE = 0.8
# Copies that take more than half as long as the computation are what to work on next.
_COPY_SHARE = 0.5


def cautions_of(row: LatencyRecord) -> Tuple[Caution, ...]:
    """Return the cautions of a row, the gravest first."""
    return tuple(caution for rule in _RULES for caution in rule(row))


def _device(row: LatencyRecord) -> Iterator[Caution]:
    if not row.device_matches:
        yield Caution(DEVICE_MISMATCH, "not measured on {}, but on {}; it says nothing about {}".format(
            row.device, row.device_found, row.device))


def _outputs(row: LatencyRecord) -> Iterator[Caution]:
    check = row.outputs
    if check is None or check.another_model is not None or (check.passed and check.top1_equal is not False):
        return
    if check.max_relative_difference is None:
        yield Caution(OUTPUTS_DIFFER, "its outputs cannot be compared with those of {} (another input or shape, or "
                      "values that are not finite); do not use its speed".format(check.reference))
    elif check.passed:
        yield Caution(OUTPUTS_DIFFER, "another top-1 class than {}, though within the tolerance; check the accuracy "
                      "with edgenext-eval".format(check.reference))
    else:
        yield Caution(OUTPUTS_DIFFER, "its outputs differ from those of {} by {:.2g} of the largest value, {:.2g} is "
                      "allowed; do not use its speed before that is understood".format(
                          check.reference, check.max_relative_difference, check.tolerance))


def _interrupted(row: LatencyRecord) -> Iterator[Caution]:
    if row.interrupted:
        yield Caution(INTERRUPTED, "the run was ended early; measure again for a figure to publish")


def _failed(row: LatencyRecord) -> Iterator[Caution]:
    failure = row.failure
    if failure is None:
        return
    if failure.engine == row.name:
        yield Caution(ENGINE_FAILED, "it failed after {} inferences ({}); do not use its speed before that is "
                      "understood".format(row.n, failure.error))
    else:
        yield Caution(ENGINE_FAILED, "the run was ended early because {} failed; measure again for a figure to "
                      "publish".format(failure.engine))


def _throttled(row: LatencyRecord) -> Iterator[Caution]:
    if row.hardware.throttled:
        yield Caution(THROTTLED, "the clocks were held down during the run: {}; cool the board, or give it a stronger "
                      "supply, and measure again".format(", ".join(row.hardware.throttled)))


def _warm_up(row: LatencyRecord) -> Iterator[Caution]:
    if not row.warmup.stable:
        yield Caution(WARM_UP_UNSTABLE, "the latency was not stable when the warm-up ended; give it more time with "
                      "--warmup")


def _unstable(row: LatencyRecord) -> Iterator[Caution]:
    if not row.stable:
        yield Caution(UNSTABLE, "the medians of fifths of the run lie {:.0f} % apart, more than {:.0f} %; stop other "
                      "load, lock the clocks ({}), or measure longer".format(
                          100 * row.window_spread, 100 * STABLE_SPREAD, lock_command(row)))


def _clocks(row: LatencyRecord) -> Iterator[Caution]:
    gpus = [(name, value) for name, value in row.hardware.clock_ranges.items() if name.startswith("gpu")]
    free = [(name, value) for name, value in gpus if not value.locked]
    if row.stages is not None and free:
        name, value = free[0]
        yield Caution(CLOCKS_FREE, "the {} clock moves between {:.0f} and {:.0f} MHz with the load; lock it: {}".format(
            name.upper(), value.min_mhz, value.max_mhz, lock_command(row)))


def _bound(row: LatencyRecord) -> Iterator[Caution]:
    stages = row.stages
    if stages is None:
        return
    compute_ms = stages.compute.p50_ms
    if stages.enqueue.p50_ms > _ENQUEUE_SHARE * compute_ms and not row.mode.cuda_graph:
        yield Caution(ENQUEUE_BOUND, "enqueueing takes the host {:.2f} ms of the GPU's {:.2f} ms: the GPU waits for "
                      "its launches; use a CUDA graph (--cuda-graph)".format(stages.enqueue.p50_ms, compute_ms))
    copies_ms = sum(stage.p50_ms for stage in (stages.host_to_device, stages.device_to_host) if stage is not None)
    if copies_ms > _COPY_SHARE * compute_ms:
        yield Caution(TRANSFER_BOUND, "copies take {:.2f} ms, computing {:.2f} ms; prepare the input on the "
                      "GPU, or open the session with zero-copy on a Jetson".format(copies_ms, compute_ms))


def _requests(row: LatencyRecord) -> Iterator[Caution]:
    if row.mode.cuda_graph_requested and not row.mode.cuda_graph:
        yield Caution(CUDA_GRAPH_UNUSED, "--cuda-graph was asked for and no graph was launched: {}".format(
            "this session has none" if row.mode.cuda_graph is None else
            "none can be recorded here that gives the plain run's answer"))


def _sensors(row: LatencyRecord) -> Iterator[Caution]:
    troubles = row.hardware.troubles
    failed = [trouble.text for trouble in troubles if trouble.kind != DENIED]
    if failed:
        yield Caution(SENSOR_FAILED, "{}; what it would have said is unknown, measure again to be sure".format(
            _some(failed)))
    denied = [trouble.sensor for trouble in troubles if trouble.kind == DENIED]
    if denied:
        yield Caution(SENSOR_DENIED, "no permission to read {}; run the command with sudo to record it".format(
            _some(denied)))


def lock_command(row: LatencyRecord) -> str:
    """Return the command that locks the clocks of the row's machine."""
    if is_jetson_model(row.host.board):
        return "sudo jetson_clocks"
    if row.stages is not None or not runs_on_processor(row.session):
        return "sudo nvidia-smi -lgc MHZ"
    return "sudo cpupower frequency-set -g performance"


def transfers_not_separate(on_processor: bool) -> Caution:
    """Return the caution of a row for which ``--exclude-transfers`` changes nothing."""
    return Caution(TRANSFERS_NOT_SEPARATE, "--exclude-transfers makes no difference: {}".format(
        "the engine runs on the processor, nothing is copied" if on_processor else
        "the runtime does not say how long its copies take, and they are in the figure"))


def _some(texts: List[str]) -> str:
    return texts[0] if len(texts) == 1 else "{} (and {} more)".format(texts[0], len(texts) - 1)


_RULES: Tuple[Callable[[LatencyRecord], Iterator[Caution]], ...] = (
    _device, _outputs, _failed, _interrupted, _throttled, _warm_up, _unstable, _clocks, _bound, _requests, _sensors)
