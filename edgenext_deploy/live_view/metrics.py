"""The figures of a run in Prometheus' text format, version 0.0.4."""
from typing import Any, Dict, Iterable, List, Optional, Tuple

from edgenext_deploy.foreign_text import visible
from edgenext_deploy.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Labels of a sample in their order, and its value.
Sample = Tuple[Dict[str, str], Optional[float]]


def metrics_text(document: Dict[str, Any], count: int, total_ms: float, viewers: int) -> str:
    """Return the metrics.

    Args:
        document: of `LiveState.document` and `Board.document`.
        count: number of all latencies.
        total_ms: their sum.
        viewers: open streams of pictures.
    """
    latency, seconds = document["latency_ms"], 1e-3
    lines: List[str] = []
    lines += _metric("info", "gauge", "What runs.", [
        (dict(document["about"], source=document["source"] or "", version=__version__), 1)])
    for name, text in (("captured", "Frames that the source gave."),
                       ("processed", "Frames that the network took."),
                       ("dropped", "Frames that came while the network was busy.")):
        lines += _metric("frames_{}_total".format(name), "counter", text, [({}, document[name])])
    lines += _metric("reconnects_total", "counter", "How often a lost source was opened again.",
                     [({}, document["reconnects"])])
    lines += _metric("frames_per_second", "gauge", "Answers per second, over the last 30.", [({}, document["fps"])])
    lines += _metric("frame_age_seconds", "gauge", "Time since the newest answer.", [({}, document["age_s"])])
    lines += _metric("uptime_seconds", "gauge", "Time since the start.", [({}, document["uptime_s"])])
    lines += _metric("viewers", "gauge", "Open streams of pictures.", [({}, viewers)])
    lines += _metric("latency_seconds", "summary", "From captured frame to answer; quantiles of the last 1000.", [
        ({"quantile": quantile}, None if latency[key] is None else latency[key] * seconds)
        for quantile, key in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))])
    lines += ["edgenext_latency_seconds_sum {!r}".format(total_ms * seconds),
              "edgenext_latency_seconds_count {}".format(count)]
    lines += _metric("temperature_celsius", "gauge", "Temperature of a thermal zone.", [
        ({"zone": zone}, value) for zone, value in document["temperatures_c"].items()])
    if document["power_mode"] is not None:
        lines += _metric("power_mode_info", "gauge", "A Jetson's power mode.", [({"mode": document["power_mode"]}, 1)])
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> List[str]:
    full = "edgenext_" + name
    found = ["{}{} {!r}".format(full, _labels(labels), value) for labels, value in samples if value is not None]
    return ["# HELP {} {}".format(full, text), "# TYPE {} {}".format(full, kind), *found] if (
        found or kind == "summary") else []


def _labels(labels: Dict[str, str]) -> str:
    if not labels:
        return ""
    return "{{{}}}".format(",".join(
        '{}="{}"'.format(key, visible(text).replace("\\", "\\\\").replace('"', '\\"')) for key, text in labels.items()))
