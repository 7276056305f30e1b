"""The parts of a page about measured rows, each from the records alone."""
from typing import Dict, List, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.charts import svg_charts
from edgenext_deploy.benchmarks.charts.plots import profile_bars
from edgenext_deploy.benchmarks.charts.svg_charts import Dot, Series
from edgenext_deploy.benchmarks.compare import comparable
from edgenext_deploy.benchmarks.compare.compare_text import (
    PUBLISHED_HEADINGS,
    PUBLISHED_TITLE,
    published_cells,
)
from edgenext_deploy.benchmarks.compare.reports import published_speeds
from edgenext_deploy.benchmarks.hardware.sensor_kinds import SensorKind, value_kinds
from edgenext_deploy.benchmarks.hardware.state import Hardware, Reading
from edgenext_deploy.benchmarks.latency_report import LatencyRecord, LatencyReport
from edgenext_deploy.benchmarks.profile.layer_times import Profile
from edgenext_deploy.benchmarks.profile.profile_text import slowest
from edgenext_deploy.benchmarks.profile.profile_text import summary as profile_summary
from edgenext_deploy.benchmarks.report import tables
from edgenext_deploy.benchmarks.report.html.page import bullets, card, cards, facts, folded, legend, paragraph, table
from edgenext_deploy.benchmarks.report.printing import EMPTY, milliseconds, number
from edgenext_deploy.benchmarks.report.sentences import (
    ended_early,
    grouped_cautions,
    host_line,
    reconciliation,
    runtime_text,
    session_line,
    warm_up_text,
)
from edgenext_deploy.data import published

_NANO = "published: Jetson Nano, TensorRT, FP16"
# Variant, side of its input, latency, and whose figure that is.
_Point = Tuple[str, Optional[int], float, str]


def results(report: LatencyReport) -> str:
    """Return the table of a report's rows."""
    found = tables.results(report, "Milliseconds per inference: {}".format(_what_is_timed(report)))
    return table(found.title, found.headings, found.rows, found.text_columns,
                 row_classes=["flagged" if comparable.defects(row) else "" for row in report.records])


def warnings(report: LatencyReport) -> List[str]:
    """Return what a reader has to know, each line once, with the rows that it is about."""
    found = [(words, names) for _, words, names in grouped_cautions(report.records)]
    found += [("; ".join(comparable.defects(row)), [row.name]) for row in report.records
              if not row.cautions and comparable.defects(row)]
    return ended_early(report) + ["{}: {}".format(", ".join(names), words) for words, names in found]


def distributions(report: LatencyReport) -> str:
    """Return a histogram and a time line for every row that has its single inferences."""
    made = []
    for row in report.records:
        samples = row.samples
        if samples is None or len(samples.latency_ms) < 2:
            continue
        note = "{} inferences{}".format(row.n, ", thinned evenly to {}".format(len(samples.latency_ms))
                                        if samples.thinned else "")
        made.append(card(row.name, paragraph(note, "quiet small"),
                         svg_charts.histogram(samples.latency_ms, "distribution of the latency of " + row.name),
                         svg_charts.time_line(samples.start_s, samples.latency_ms, "latency of {} over the run".format(
                             row.name))))
    return cards(made)


def stages(report: LatencyReport) -> str:
    """Return where the wall time of TensorRT rows goes."""
    made = []
    for row in report.records:
        split, sums = row.stages, row.reconciliation
        if split is None or sums is None:
            continue
        # With zero-copy nothing is copied.
        copies = [(name, times.mean_ms) for name, times in (
            ("copy in", split.host_to_device), ("copy out", split.device_to_host)) if times is not None]
        parts = [("GPU compute", sums.compute_ms), *copies, ("enqueue and Python", sums.rest_ms)]
        made.append(card(row.name, svg_charts.stacked(parts, "parts of the latency of " + row.name),
                         paragraph(reconciliation(row) + ".", "quiet small")))
    return cards(made)


def accuracy(reports: Sequence[LatencyReport]) -> str:
    """Return published accuracy over latency: published and measured points, marked differently."""
    many = [Series(_NANO, True, _families([
        (figure.variant, figure.image_size, figure.value, "published: {}".format(figure.source))
        for figure in published.figures(quantity="nano_latency")]))]
    # Other weights than the published ones, and an engine with other outputs, have not the published accuracy.
    rows = [row for report in reports for row in report.records
            if row.model is not None and row.model.weights.published and not (row.outputs and row.outputs.wrong)]
    many += [Series(name, False, families) for name, points in _by_setting(rows).items()
               for families in (_families(points),) if families]
    if len(many) < 2:
        return ""
    drawn = svg_charts.accuracy_chart(many, "ImageNet top-1 accuracy over latency")
    keys = [(svg_charts.series_key(index, series.published), series.name) for index, series in enumerate(many)]
    words = ("As the paper's Fig. 1, over latency. Accuracy is the published figure of the network at this input size, "
             "as it was trained; nothing here measured it. Hollow: published by others. Filled: p50 measured by this "
             "toolkit with the published weights; rows with other weights are not drawn.")
    return card("", legend(keys), '<div class="wide">{}</div>'.format(drawn or ""), paragraph(words, "quiet small"))


def _by_setting(rows: Sequence[LatencyRecord]) -> Dict[str, List[_Point]]:
    """Return the points of comparable rows, under a name that says how they differ from the others."""
    conditions = [comparable.conditions(row) for row in rows]
    shared = set(conditions[0]).intersection(*conditions) if conditions else set()
    found: Dict[str, List[_Point]] = {}
    for row, words in zip(rows, conditions):
        own = [word for word in words if word not in shared and not word.startswith("threads")]
        name = ", ".join(["measured: " + row.device_found, runtime_text(row), *own])
        variant = row.model.variant if row.model is not None else ""
        height, width = row.input_shape[-2:]
        found.setdefault(name, []).append((variant, width if height == width else None, row.latency.p50_ms, "measured"))
    return found


def published_figures(variants: Sequence[str]) -> str:
    """Return the table of what others published about the speed of these variants."""
    # A Nano's throughput is its latency once more; the page is long enough.
    figures = [figure for figure in published_speeds(variants) if figure.quantity != "nano_throughput"]
    if not figures:
        return ""
    return table(PUBLISHED_TITLE, PUBLISHED_HEADINGS, map(published_cells, figures), (1, 2, 3), (0, 1, 2, 3))


def profile(found: Profile) -> str:
    """Return where the time goes: bars by kind and by stage, and the slowest layers."""
    made = [card("by " + name, svg_charts.bars(bars, "time by " + name)) for name, bars in profile_bars(found)]
    return cards(made, last_beside=True) + folded("Slowest layers", table(
        "Slowest layers of {}".format(found.engine.file), ("layer", "kind", "block", "ms", "share"),
        slowest(found), (1, 2))) + bullets(profile_summary(found), "quiet small")


def environment(report: LatencyReport) -> str:
    """Return the machine, its state, the software and the files, row by row where they differ."""
    first = report.records[0]
    versions = [(name, str(value)) for name, value in first.versions._asdict().items() if value is not None]
    sessions = dict.fromkeys(session_line(row) for row in report.records)
    machine = [("machine", host_line(first.host)), ("device asked for", first.device),
               ("device found", first.device_found), ("runtime", "; ".join(sessions)),
               ("started", first.started_at or EMPTY)]
    states = [card("State", facts(_state(hardware))) for hardware in _states(report.records)]
    made = [card("Machine", facts(machine)), *states, card("Software", facts(versions))]
    files = table("Files", ("engine", "file", "MB", "SHA-256", "of its manifest"), [
        (row.name, row.engine.file, EMPTY if row.engine.bytes is None else "{:.2f}".format(1e-6 * row.engine.bytes),
         row.engine.sha256[:16] + "…", (row.engine.manifest_sha256 or EMPTY)[:16]) for row in report.records],
        (1, 3, 4))
    how = table("How each row was measured", ("engine", "conditions", "input", "rounds", "warm-up"), [
        (row.name, ", ".join(comparable.conditions(row)), row.image, str(row.rounds), warm_up_text(row))
        for row in report.records], (1, 2, 4))
    return cards(made) + folded("Files and conditions", how, files)


def _states(rows: Sequence[LatencyRecord]) -> List[Hardware]:
    """Return the state of every machine of a report, with what was read while any of its rows ran."""
    found: List[Hardware] = []
    for row in rows:
        for index, known in enumerate(found):
            if known.start == row.hardware.start:
                during = sorted([*known.during, *row.hardware.during], key=lambda reading: reading.at_s)
                found[index] = known._replace(during=tuple(during))
                break
        else:
            found.append(row.hardware)
    return found


def _state(hardware: Hardware) -> List[Tuple[str, str]]:
    mode = hardware.power_mode
    readings = (hardware.start, *hardware.during, hardware.end)
    pairs = [("power mode", EMPTY if mode is None else "{} ({})".format(mode.name or mode.number, mode.source)),
             ("clocks", {True: "locked", False: "not locked", None: "unknown"}[hardware.clocks_locked])]
    for kind in value_kinds():
        names = dict.fromkeys(name for reading in readings for name in reading.values(kind.name))
        pairs += [("{} {}".format(kind.name, name), _course(readings, kind, name)) for name in names]
    pairs.append(("throttled", ", ".join(hardware.throttled) or "not seen"))
    pairs += [(trouble.sensor, "{}: {}".format(trouble.kind, trouble.text)) for trouble in hardware.troubles]
    return pairs


def _course(readings: Sequence[Reading], kind: SensorKind, name: str) -> str:
    """Return a sensor's first and last value, and its range."""
    values = [reading.values(kind.name)[name] for reading in readings if name in reading.values(kind.name)]
    unit = kind.unit
    shown = [number(value, kind.digits) for value in (values[0], values[-1], min(values), max(values))]
    if len(set(shown)) == 1:
        return "{} {}".format(shown[0], unit)
    return "{} to {} {} (between {} and {})".format(shown[0], shown[1], unit, shown[2], shown[3])


def _families(points: Sequence[_Point]) -> Tuple[Tuple[Dot, ...], ...]:
    families: Dict[str, List[Dot]] = {}
    for variant, image_size, latency_ms, origin in points:
        top1 = _top1(variant, image_size)
        if top1 is None:
            continue
        family = variant.split("_")[0] if variant.startswith("mobilevit") else (
            "bn_hs" if variant.endswith("_bn_hs") else "edgenext")
        families.setdefault(family, []).append(Dot(variant, latency_ms, top1, "{}: {:.1f} %, {} ms, {}".format(
            variant, top1, milliseconds(latency_ms), origin)))
    return tuple(tuple(family) for family in families.values())


def _top1(variant: str, image_size: Optional[int]) -> Optional[float]:
    return next((figure.value for figure in published.figures(variant, "top1") if figure.image_size == image_size),
                None)


def _what_is_timed(report: LatencyReport) -> str:
    modes = {row.mode.latency for row in report.records}
    return "what the caller waits" if modes == {"wall"} else "GPU compute alone" if modes == {"gpu"} else (
        "what the caller waits, or GPU compute alone, see below")
