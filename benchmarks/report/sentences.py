"""The sentences under a table: relative speeds, where the time goes, what it ran on, and what to be careful about."""
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.benchmarks.hardware.host import Host
from edgenext_deploy.benchmarks.hardware.monitor import mean_power_mw
from edgenext_deploy.benchmarks.hardware.sensor_kinds import value_kinds
from edgenext_deploy.benchmarks.latency.cautions import UNSTABLE
from edgenext_deploy.benchmarks.latency_report import Comparison, LatencyRecord, LatencyReport
from edgenext_deploy.benchmarks.report.printing import milliseconds

_UNKNOWN = "unknown"
# Number of temperatures that are shown, the hottest ones; the record has all.
_SHOWN_ZONES = 2
# Number of inputs that are shown, the first ones; the record has all.
_SHOWN_INPUTS = 8
_Name = Callable[[LatencyRecord], str]


def notes(report: LatencyReport) -> List[str]:
    """Return the lines under the table of a report that has at least one row."""
    rows = report.records
    by_name = {row.name: row for row in rows}
    lines = [relative_speed(comparison, by_name) for comparison in report.comparisons]
    lines += ["{}: {}".format(row.name, reconciliation(row)) for row in rows if row.reconciliation is not None]
    lines += ["{}: {}".format(row.name, agreement(row)) for row in rows if row.outputs is not None]
    lines += ["Inputs: {} ({})".format(text, names) for names, text in _grouped(rows, inputs_text) if text]
    lines += ["Runs on: {} ({})".format(text, names) for names, text in _grouped(rows, session_line)]
    lines.append("Machine: {}".format(host_line(rows[0].host)))
    lines += ["Hardware: {} ({})".format(text, names) for names, text in _grouped(rows, hardware_line) if text]
    lines += ["Energy: {} ({})".format(energy_line(row), row.name) for row in rows if row.energy is not None]
    lines.append("Versions: {}".format(versions_line(rows[0])))
    lines += ["Warm-up: {} ({})".format(text, names) for names, text in _grouped(rows, warm_up_text)]
    lines += _warnings(rows)
    return lines + ended_early(report)


def ended_early(report: LatencyReport) -> List[str]:
    """Return the line that says that a run did not come to its end, and why; none if it did."""
    if report.failure is not None:
        return ["Failed: {}: {}. These are the measurements until then.".format(*report.failure)]
    return ["Interrupted: these are the measurements until then."] if report.interrupted else []


def relative_speed(comparison: Comparison, rows: Optional[Dict[str, LatencyRecord]] = None) -> str:
    """Return the sentence about two rows.

    Args:
        comparison: two rows of one interleaved run.
        rows: the rows by name; with them the sentence says how the two were measured differently.
    """
    interval = comparison.interval
    ratio = "{:.2f} ×".format(comparison.ratio)
    bounds = "interval {:.2f}–{:.2f}".format(*interval) if interval else "too few rounds for an interval"
    if interval is not None and round(interval.low, 2) <= 1.0:  # to the digits that are shown
        text = "{} and {}: no difference shown ({}, {})".format(
            comparison.faster, comparison.slower, ratio, bounds)
    else:
        text = "{} is {} faster than {} ({})".format(comparison.faster, ratio, comparison.slower, bounds)
    pair = [(rows or {}).get(name) for name in (comparison.faster, comparison.slower)]
    if pair[0] is None or pair[1] is None:
        return text
    if pair[0].input_shape != pair[1].input_shape:
        text += "; their inputs differ: {} and {}".format(*[list(row.input_shape) for row in pair if row is not None])
    if pair[0].mode.latency != pair[1].mode.latency:
        text += "; their clocks differ: {} and {}".format(*[latency_of(row) for row in pair if row is not None])
    return text


def latency_of(row: LatencyRecord) -> str:
    """Return what the row's latency times, in words."""
    if row.mode.latency == "gpu":
        return "GPU compute alone"
    return {"included": "wall clock with copies", "none": "wall clock"}.get(row.mode.transfers, "wall clock")


def input_text(spec: TensorSpec) -> str:
    """Return an input's name, dtype and shape."""
    return "{} {} {}".format(spec.name, spec.dtype, "x".join(map(str, spec.shape)) or "scalar")


def inputs_text(row: LatencyRecord) -> str:
    """Return the inputs that a row without a manifest was timed with; empty for other rows."""
    if row.model is not None or not row.inputs:
        return ""
    texts = list(map(input_text, row.inputs[:_SHOWN_INPUTS]))
    more = len(row.inputs) - len(texts)
    return ", ".join(texts) + (" and {} more".format(more) if more else "") + "; values made by the seed"


def reconciliation(row: LatencyRecord) -> str:
    """Return how GPU time and the caller's time fit together; the row has a reconciliation."""
    parts = row.reconciliation
    assert parts is not None
    return "GPU only {} ms + copies {} ms + enqueue and Python {} ms = {} ms, what your app sees (means)".format(
        *map(milliseconds, (parts.compute_ms, parts.copies_ms, parts.rest_ms, parts.wall_ms)))


def agreement(row: LatencyRecord) -> str:
    """Return how far the row's outputs are from the reference's; the row has a check."""
    check = row.outputs
    assert check is not None
    if check.another_model is not None:
        return "another model than {} ({}), so its outputs are not compared".format(
            check.reference, check.another_model)
    if check.max_relative_difference is None:
        return "outputs NOT comparable with {}".format(check.reference)
    top1 = {None: "", True: ", same top-1", False: ", ANOTHER top-1"}[check.top1_equal]
    return "outputs {} {} within {:.2g} (difference {:.2g}{})".format(
        "agree with" if check.passed else "DO NOT AGREE with", check.reference, check.tolerance,
        check.max_relative_difference, top1)


def session_line(row: LatencyRecord) -> str:
    """Return runtime, version, provider or device, threads and CUDA graph of a row's session."""
    session: Dict[str, Any] = row.session
    parts = ["{} {}".format(session.get("runtime", _UNKNOWN), session.get("version", "")).strip()]
    parts += [str(session[key]) for key in ("provider", "device") if session.get(key)]
    threads = row.mode.threads
    if threads:
        parts.append("{} thread{}".format(threads, "" if threads == 1 else "s"))
    if row.mode.cuda_graph is not None:
        parts.append("CUDA graph" if row.mode.cuda_graph else "no CUDA graph")
    if session.get("zero_copy") not in (None, "none"):
        parts.append("zero-copy of {}".format(session["zero_copy"]))
    if row.device != "cpu":
        parts.append("as --device {}".format(row.device) if row.device_matches else
                     "NOT the --device {} that was asked for".format(row.device))
    parts.append(latency_of(row))
    return ", ".join(parts)


def runtime_text(row: LatencyRecord) -> str:
    """Return runtime, version, provider (if it is not the usual one) and threads."""
    session = row.session
    parts = ["{} {}".format(session.get("runtime", _UNKNOWN), session.get("version", "")).strip()]
    if session.get("provider") not in (None, "CUDA", "CPUExecutionProvider"):
        parts.append(str(session["provider"]))
    if row.mode.threads is not None:
        parts.append("{} thread{}".format(row.mode.threads, "" if row.mode.threads == 1 else "s"))
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


def hardware_line(row: LatencyRecord) -> str:
    """Return power mode, clocks, temperatures, throttling and power; empty where no sensor says anything."""
    state = row.hardware
    parts: List[str] = []
    if state.power_mode is not None:
        parts.append("power mode {}".format(state.power_mode.name or state.power_mode.number))
    for name in _main_clocks(row):
        text = _from_to("{:.0f}", state.start.clocks_mhz.get(name), state.end.clocks_mhz.get(name))
        limits = state.clock_ranges.get(name)
        parts.append("{} {} MHz{}".format(name, text, "" if limits is None else (
            " (locked)" if limits.locked else " (free, {:.0f}–{:.0f})".format(*limits))))
    hottest = sorted(state.end.temperatures_c, key=lambda zone: -state.end.temperatures_c[zone])[:_SHOWN_ZONES]
    parts += ["{} {} °C".format(zone, _from_to("{:.1f}", state.start.temperatures_c.get(zone),
                                              state.end.temperatures_c[zone])) for zone in hottest]
    power = mean_power_mw(state)
    if power is not None:
        parts.append("{} {:.2f} W at work".format(" + ".join(state.total_rails), power[0] / 1e3))
    for kind in value_kinds():
        form = "{{:.{}f}}".format(kind.digits)
        parts += ["{} {} {}".format(name, _from_to(form, state.start.values(kind.name).get(name), value), kind.unit)
                  for name, value in state.end.others.get(kind.name, {}).items()]
    if parts:
        parts.append("throttled: {}".format(", ".join(state.throttled)) if state.throttled else "no throttling seen")
    return ", ".join(parts)


def energy_line(row: LatencyRecord) -> str:
    """Return the energy of an inference, called an estimate; the row has one."""
    energy = row.energy
    assert energy is not None
    return "about {:.3g} mJ per inference, estimated from {:.2f} W over {} reading{} of {}".format(
        energy.per_inference_mj, energy.mean_power_mw / 1e3, energy.readings, "" if energy.readings == 1 else "s",
        " + ".join(row.hardware.total_rails))


def versions_line(row: LatencyRecord) -> str:
    """Return the versions of the software, without what is not there."""
    titles = {"toolkit": "edgenext-deploy", "python": "Python", "onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT",
              "cuda": "CUDA", "cuda_driver": "driver for CUDA", "l4t": "Jetson Linux", "jetpack": "JetPack"}
    found = [(titles.get(name, name), getattr(row.versions, name)) for name in row.versions._fields]
    return ", ".join("{} {}".format(title, version) for title, version in found if version is not None)


def _main_clocks(row: LatencyRecord) -> List[str]:
    """Return the first CPU policy's clock and the GPU's."""
    names = list(row.hardware.start.clocks_mhz)
    return ([name for name in names if name.startswith("cpu")][:1]
            + [name for name in names if name.startswith(("gpu", "emc")) and not name.endswith("_memory")])


def _from_to(form: str, first: Optional[float], last: Optional[float]) -> str:
    texts = [_UNKNOWN if value is None else form.format(value) for value in (first, last)]
    return texts[0] if texts[0] == texts[1] else "{} → {}".format(*texts)


def warm_up_text(row: LatencyRecord) -> str:
    """Return how long the warm-up of a row was, and whether the latency became stable."""
    verdict = "stable" if row.warmup.stable else "never stable"
    return "{:.2f} s, {} calls, {}".format(row.warmup.duration_ms / 1e3, row.warmup.iterations, verdict)


def _warnings(rows: Sequence[LatencyRecord]) -> List[str]:
    lines: List[str] = []
    random = [row.name for row in rows if row.model is not None and row.model.weights.random]
    if random:
        lines.append("Random weights: {}. Latency only; the answers mean nothing.".format(", ".join(random)))
    return lines + ["Warning ({}): {}: {}.".format(code, ", ".join(names), text)
                    for code, text, names in grouped_cautions(rows)]


def grouped_cautions(rows: Sequence[LatencyRecord]) -> List[Tuple[str, str, List[str]]]:
    """Return every caution once: its code, its text, and the names of the rows that it is about."""
    groups: Dict[Tuple[str, str], List[str]] = {}
    for row in rows:
        for caution in row.cautions:
            name, text = row.name, caution.text
            if caution.code == UNSTABLE:  # rows that differ only in how far share a line
                share = "{:.0f} %".format(100 * row.window_spread)
                name, text = "{} ({})".format(name, share), text.replace(" {} apart".format(share), " so far apart")
            groups.setdefault((caution.code, text), []).append(name)
    return [(code, text, names) for (code, text), names in groups.items()]


def _grouped(rows: Sequence[LatencyRecord], text_of: _Name) -> List[Tuple[str, str]]:
    """Return (names, text) with the names of all rows that share a text."""
    groups: Dict[str, List[str]] = {}
    for row in rows:
        groups.setdefault(text_of(row), []).append(row.name)
    return [(", ".join(names), text) for text, names in groups.items()]
