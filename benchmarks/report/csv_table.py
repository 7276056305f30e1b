"""A report as CSV: one line for each row, its unit in the name of every column."""
import csv
import io
from typing import Any, Dict, Optional, Tuple

from edgenext_deploy.benchmarks.hardware.monitor import mean_power_mw
from edgenext_deploy.benchmarks.latency_report import LatencyRecord, LatencyReport


def to_csv(report: LatencyReport) -> bytes:
    """Return a report that has at least one row as CSV, UTF-8; what is not known is an empty cell."""
    rows = [flatten(row, report) for row in report.records]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8")


def flatten(row: LatencyRecord, report: LatencyReport) -> Dict[str, Any]:
    """Return one row as a dictionary of plain values, with the same keys for every row."""
    base = report.records[0].name
    ratio, low, high = _ratio(row, base, report)
    latency, interval = row.latency, row.latency.p50_interval
    stages: Dict[str, Any] = {} if row.stages is None else row.stages._asdict()
    power = mean_power_mw(row.hardware)
    start, end = row.hardware.start, row.hardware.end
    mode = row.hardware.power_mode
    return {
        "name": row.name,
        "variant": row.model.variant if row.model is not None else None,
        "precision": row.model.precision if row.model is not None else None,
        "weights": row.model.weights.source if row.model is not None else None,
        "random_weights": row.model.weights.random if row.model is not None else None,
        "device": row.device, "device_found": row.device_found, "device_matches": row.device_matches,
        "runtime": row.session.get("runtime"), "runtime_version": row.session.get("version"),
        "provider": row.session.get("provider"), "threads": row.mode.threads,
        "latency_of": row.mode.latency, "transfers": row.mode.transfers,
        "cuda_graph_requested": row.mode.cuda_graph_requested, "cuda_graph": row.mode.cuda_graph,
        "batch": row.batch, "input_shape": "x".join(str(size) for size in row.input_shape), "image": row.image,
        "n": row.n, "p50_ms": latency.p50_ms,
        "p50_low_ms": interval.low if interval is not None else None,
        "p50_high_ms": interval.high if interval is not None else None,
        "p90_ms": latency.p90_ms, "p99_ms": latency.p99_ms, "min_ms": latency.min_ms, "max_ms": latency.max_ms,
        "mean_ms": latency.mean_ms, "std_ms": latency.std_ms, "throughput_per_s": row.throughput_per_s,
        "compared_with": base if ratio is not None else None, "time_ratio": ratio, "time_ratio_low": low,
        "time_ratio_high": high,
        **{"{}_p50_ms".format(name): stages[name].p50_ms if stages.get(name) is not None else None
           for name in ("enqueue", "host_to_device", "compute", "device_to_host", "latency", "wall")},
        "warmup_ms": row.warmup.duration_ms, "warmup_iterations": row.warmup.iterations,
        "warmup_stable": row.warmup.stable, "window_spread": row.window_spread, "stable": row.stable,
        "is_reference": row.is_reference,
        "outputs_difference": row.outputs.max_relative_difference if row.outputs is not None else None,
        "outputs_top1_equal": row.outputs.top1_equal if row.outputs is not None else None,
        "outputs_passed": row.outputs.passed if row.outputs is not None else None,
        "power_mode": (mode.name or mode.number) if mode is not None else None,
        "clocks_locked": row.hardware.clocks_locked,
        "hottest_start_c": max(start.temperatures_c.values()) if start.temperatures_c else None,
        "hottest_end_c": max(end.temperatures_c.values()) if end.temperatures_c else None,
        "throttled": "; ".join(row.hardware.throttled),
        "mean_power_mw": power[0] if power is not None else None,
        "energy_estimate_mj": row.energy.per_inference_mj if row.energy is not None else None,
        "cautions": "; ".join(caution.code for caution in row.cautions), "interrupted": row.interrupted,
        "engine_sha256": row.engine.sha256, "manifest_sha256": row.engine.manifest_sha256,
        "host": row.host.board or row.host.processor, "toolkit_version": row.versions.toolkit,
        "started_at": row.started_at,
    }


def _ratio(row: LatencyRecord, base: str, report: LatencyReport) -> Tuple[Optional[float], ...]:
    """Return the row's time over that of `base` with its interval, as far as they were compared."""
    for comparison in report.comparisons:
        low, high = comparison.interval or (None, None)
        if (comparison.faster, comparison.slower) == (base, row.name):
            return comparison.ratio, low, high
        if (comparison.slower, comparison.faster) == (base, row.name):
            return 1 / comparison.ratio, 1 / high if high else None, 1 / low if low else None
    return None, None, None
