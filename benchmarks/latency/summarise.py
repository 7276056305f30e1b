"""From what was measured to the rows of a report."""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.benchmarks import latency_report, statistics
from edgenext_deploy.benchmarks.hardware.host import Host
from edgenext_deploy.benchmarks.hardware.monitor import mean_power_mw
from edgenext_deploy.benchmarks.hardware.nvml import GPU_BOARD
from edgenext_deploy.benchmarks.hardware.state import Energy, Hardware
from edgenext_deploy.benchmarks.latency.cautions import cautions_of, transfers_not_separate
from edgenext_deploy.benchmarks.latency.devices import runs_on_processor
from edgenext_deploy.benchmarks.latency.engines import Engine
from edgenext_deploy.benchmarks.latency.interleave import Series
from edgenext_deploy.runtime.session import SessionTimings

WALL, GPU = "wall", "gpu"


class Setting(NamedTuple):
    """What all rows of a run have in common.

    Attributes:
        device_found: description of this machine.
        exclude_transfers: the latency is that of the GPU alone, if the session reports it.
        cuda_graph: value of ``--cuda-graph/--no-cuda-graph``; None without either.
        host: the machine.
        versions: versions of the software.
        started_at: UTC, ISO 8601.
        interrupted: Ctrl-C ended the run early.
        keep_samples: whether single inferences go into the rows.
        failure: the engine's error that ended the run early.
    """

    device_found: str
    exclude_transfers: bool
    cuda_graph: Optional[bool]
    host: Host
    versions: latency_report.Versions
    started_at: str
    interrupted: bool
    keep_samples: bool
    failure: Optional[latency_report.Failure] = None


class Measured(NamedTuple):
    """One engine of a run, and what was measured of it.

    Attributes:
        engine: open.
        device: name of the device that the row stands for.
        device_matches: it ran there.
        series: latencies by the host's clock, at least one.
        hardware: the machine while this engine ran.
        outputs: compared with those of the reference; None without one.
        is_reference: this is the reference.
        interleaved_with: names of the other rows of the run.
    """

    engine: Engine
    device: str
    device_matches: bool
    series: Series
    hardware: Hardware
    outputs: Optional[latency_report.OutputCheck] = None
    is_reference: bool = False
    interleaved_with: Tuple[str, ...] = ()


def mode_of(engine: Engine, series: Series, exclude_transfers: bool, cuda_graph: Optional[bool]) -> latency_report.Mode:
    """Return how an engine was run, and what its latency is."""
    session = engine.session.describe()
    latency = GPU if exclude_transfers and series.timings else WALL
    copies = not runs_on_processor(session) and not _copies_nothing(series)
    transfers = "none" if not copies else "excluded" if latency == GPU else "included"
    return latency_report.Mode(latency, transfers, cuda_graph, session.get("cuda_graph"), session.get("threads"))


def headline(series: Series, mode: latency_report.Mode) -> Series:
    """Return the series with the latency that `mode` names in its blocks."""
    if mode.latency == WALL:
        return series
    blocks = tuple(np.array([timings.compute_ms for timings in block], dtype=np.float64) for block in series.timings)
    return series._replace(blocks=blocks)


def make_row(measured: Measured, setting: Setting) -> latency_report.LatencyRecord:
    """Return the row of one engine."""
    engine, series, hardware = measured.engine, measured.series, measured.hardware
    mode = mode_of(engine, series, setting.exclude_transfers, setting.cuda_graph)
    chosen = headline(series, mode)
    values_ms = chosen.values_ms
    latency = summarise(values_ms)
    spread = statistics.window_spread(values_ms)
    stages, reconciliation = split(series)
    batch = int(engine.image.shape[0]) if engine.image.ndim > 1 else 1
    session: Dict[str, Any] = engine.session.describe()
    on_processor = runs_on_processor(session)
    row = latency_report.LatencyRecord(
        name=engine.name, engine=engine.file, model=engine.model, device=measured.device,
        device_found=_found(setting, session), device_matches=measured.device_matches, session=session, mode=mode,
        input_shape=tuple(int(size) for size in engine.image.shape), batch=batch, image=engine.image_source,
        n=len(values_ms), rounds=len(series.blocks), warmup=series.warmup, latency=latency, stages=stages,
        reconciliation=reconciliation, window_spread=spread, stable=spread <= statistics.STABLE_SPREAD,
        throughput_per_s=1e3 * batch / latency.mean_ms, is_reference=measured.is_reference, outputs=measured.outputs,
        interleaved_with=measured.interleaved_with, interrupted=setting.interrupted, host=setting.host,
        versions=setting.versions, hardware=hardware,
        energy=None if measured.interleaved_with else energy_of(
            hardware, float(series.values_ms.mean()), on_processor),
        cautions=(), samples=samples_of(chosen) if setting.keep_samples else None, started_at=setting.started_at,
        failure=setting.failure, round_p50_ms=tuple(statistics.median(block) for block in chosen.blocks),
        inputs=engine.session.inputs)
    cautions = cautions_of(row)
    if setting.exclude_transfers and mode.latency == WALL:
        cautions += (transfers_not_separate(on_processor),)
    return row._replace(cautions=cautions)


def summarise(values_ms: np.ndarray) -> latency_report.Latency:
    """Return the statistics of at least one latency."""
    p90_ms, p99_ms = statistics.percentiles(values_ms, (90, 99))
    return latency_report.Latency(
        min_ms=float(values_ms.min()), p50_ms=statistics.median(values_ms), p90_ms=p90_ms, p99_ms=p99_ms,
        max_ms=float(values_ms.max()), mean_ms=float(values_ms.mean()),
        std_ms=float(values_ms.std(ddof=1)) if len(values_ms) > 1 else 0.0,
        p50_interval=statistics.median_interval(values_ms))


def split(series: Series) -> Tuple[Optional[latency_report.Stages], Optional[latency_report.Reconciliation]]:
    """Return the stages of a series and how they add up; None if its session reports none."""
    timings = [item for block in series.timings for item in block]
    if not timings:
        return None, None
    wall_ms = series.values_ms
    copied_in, copied_out = _column(timings, "host_to_device_ms"), _column(timings, "device_to_host_ms")
    compute = _column(timings, "compute_ms")
    assert compute is not None
    copies_ms = sum((column for column in (copied_in, copied_out) if column is not None), np.zeros(len(timings)))
    enqueue = _column(timings, "enqueue_ms")
    stages = latency_report.Stages(
        enqueue=_times(np.zeros(len(timings)) if enqueue is None else enqueue),
        host_to_device=None if copied_in is None else _times(copied_in), compute=_times(compute),
        device_to_host=None if copied_out is None else _times(copied_out), latency=_times(copies_ms + compute),
        wall=_times(wall_ms))
    means = [float(values.mean()) for values in (compute, copies_ms, wall_ms - compute - copies_ms, wall_ms)]
    return stages, latency_report.Reconciliation(*means)


def energy_of(hardware: Hardware, mean_ms: float, on_processor: bool) -> Optional[Energy]:
    """Return the energy of an inference that takes `mean_ms` by the wall clock; None where the power is not known.

    On a server that is the power of the GPU board, which says nothing of an engine on the processor.
    """
    if on_processor and hardware.total_rails == (GPU_BOARD,):
        return None
    power = mean_power_mw(hardware)
    return Energy(power[0] * mean_ms / 1e3, power[0], power[1]) if power is not None else None


def samples_of(series: Series, limit: int = latency_report.MAX_SAMPLES) -> latency_report.Samples:
    """Return the single inferences of a series, evenly thinned to at most `limit`."""
    values, starts = series.values_ms, np.concatenate(series.starts_s) if series.starts_s else np.zeros(0)
    thinned = len(values) > limit
    if thinned:
        chosen = np.linspace(0, len(values) - 1, limit).round().astype(int)
        values, starts = values[chosen], starts[chosen]
    return latency_report.Samples(tuple(round(float(value), 4) for value in starts),
                                  tuple(round(float(value), 4) for value in values), thinned)


def _copies_nothing(series: Series) -> bool:
    """Return whether the session reports its stages and none is a copy: zero-copy of input and outputs."""
    told = [item for block in series.timings for item in block]
    return bool(told) and all(item.host_to_device_ms is None and item.device_to_host_ms is None for item in told)


def _found(setting: Setting, session: Dict[str, Any]) -> str:
    """Return what the machine is and, if the driver's list does not say it already, the GPU that was used."""
    gpu = session.get("device")
    return setting.device_found if not gpu or gpu in setting.device_found else "{}, {}".format(
        setting.device_found, gpu)


def _column(timings: Sequence[SessionTimings], name: str) -> Optional[np.ndarray]:
    """Return one stage of every inference, `[n]`; None if it never took place."""
    values: List[Optional[float]] = [getattr(item, name) for item in timings]
    if all(value is None for value in values):
        return None
    return np.array([0.0 if value is None else value for value in values])


def _times(values_ms: np.ndarray) -> latency_report.StageTimes:
    p90_ms, p99_ms = statistics.percentiles(values_ms, (90, 99))
    return latency_report.StageTimes(float(values_ms.min()), statistics.median(values_ms), p90_ms, p99_ms,
                                     float(values_ms.max()), float(values_ms.mean()))
