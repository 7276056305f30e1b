"""Plots as files: PNG by matplotlib, where that is installed, and SVG by our own `charts` everywhere."""
import io
import os
from typing import Any, List, Sequence, Tuple

from edgenext_deploy import svg
from edgenext_deploy.benchmarks.charts import svg_charts
from edgenext_deploy.benchmarks.charts.svg_charts import Bar
from edgenext_deploy.benchmarks.latency_report import LatencyReport
from edgenext_deploy.benchmarks.profile.layer_times import Profile, Share
from edgenext_deploy.benchmarks.report.printing import milliseconds
from edgenext_deploy.errors import MissingRuntimeError, UsageError

_DPI = 130
_GREY = "#5b6675"
_COLOURS = tuple(light for light, _ in svg.SERIES)
# Of rows with the same colour: every six another mark.
_MARKS = ("o", "^", "s", "D", "v")


# Only what matplotlib 3.3 has, the last for the Python of JetPack 4.
def require_matplotlib() -> Any:
    """Return ``matplotlib.figure``, which draws without a screen.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure
    except ImportError as error:
        raise MissingRuntimeError("a PNG plot needs matplotlib: {}".format(error),
                                  'python3 -m pip install matplotlib, or take --html, which needs nothing') from error
    return matplotlib.figure


def latency_png(report: LatencyReport) -> bytes:
    """Return a plot of a run: every row's latency with its spread, and the course of the run.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    rows = report.records
    sampled = [row for row in rows if row.samples is not None and row.samples.latency_ms]
    figure = require_matplotlib().Figure(figsize=(9.0, 1.5 + 0.42 * len(rows) + (3.0 if sampled else 0.0)),
                                         constrained_layout=True)
    if sampled:
        spread, course = figure.subplots(2, 1, gridspec_kw={"height_ratios": [0.9 + 0.42 * len(rows), 3.0]})
    else:
        spread, course = figure.subplots(), None
    for index, row in enumerate(rows):
        latency, (colour, mark) = row.latency, _looks(index)
        spread.plot([latency.min_ms, latency.p99_ms], [index, index], color=colour, linewidth=1.5, alpha=0.6)
        spread.plot([latency.p90_ms], [index], marker="|", color=colour, markersize=11)
        if latency.p50_interval is not None:
            spread.plot([latency.p50_interval.low, latency.p50_interval.high], [index, index], color=colour,
                        linewidth=7, alpha=0.5, solid_capstyle="butt")
        spread.plot([latency.p50_ms], [index], marker=mark, color=colour, markersize=5)
        spread.annotate(milliseconds(latency.p50_ms), (latency.p50_ms, index), xytext=(0, 7),
                        textcoords="offset points", ha="center", fontsize=8)
    spread.set_yticks(range(len(rows)))
    spread.set_yticklabels([_plain(row.name) for row in rows])
    spread.set_ylim(len(rows) - 0.5, -0.6)
    spread.set_xlim(left=0.0)
    spread.set_xlabel("ms per inference: line min to p99, tick p90, mark p50, band its 95 % interval", fontsize=8)
    spread.set_title("Latency, {}, batch {}".format(_plain(rows[0].device_found), rows[0].batch), fontsize=11,
                     loc="left")
    _plain_axes(spread)
    if course is not None:
        for index, row in enumerate(rows):
            if row.samples is not None and row.samples.latency_ms:
                colour, mark = _looks(index)
                course.plot(row.samples.start_s, row.samples.latency_ms, mark, markersize=2.5, alpha=0.6, color=colour,
                            markeredgewidth=0.0, label=_plain(row.name))
        _logarithmic(course, [value for row in sampled if row.samples is not None for value in row.samples.latency_ms])
        course.set_xlabel("s since the first timed inference", fontsize=8)
        course.set_ylabel("ms", fontsize=8)
        _plain_axes(course)
    return _png(figure)


def _looks(index: int) -> Tuple[str, str]:
    """Return colour and mark of a row."""
    return _COLOURS[index % len(_COLOURS)], _MARKS[index // len(_COLOURS) % len(_MARKS)]


def _logarithmic(axes: Any, values: Sequence[float]) -> None:
    """Give the vertical axis the round ticks of the pages' charts; matplotlib's own labels lie on each other."""
    low, high = min(values), max(values)
    axes.set_yscale("log")
    axes.set_ylim(low / 1.1, high * 1.1)
    ticks = svg.Axis(low / 1.1, high * 1.1, 0.0, 1.0, logarithmic=True).ticks()
    axes.set_yticks([value for value, _ in ticks])
    axes.set_yticklabels([label for _, label in ticks])
    axes.set_yticks([], minor=True)


def profile_plot(profile: Profile, path: str) -> bytes:
    """Return the plot of a profile, in the format that the name of its file asks for.

    Raises:
        UsageError: the name ends in neither .svg nor .png.
        MissingRuntimeError: .png, and matplotlib is not installed.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".svg":
        return _profile_svg(profile)
    if suffix == ".png":
        return _profile_png(profile)
    raise UsageError("cannot draw {}: a name ending in .svg or .png expected".format(path), "give another name")


def _panels(profile: Profile) -> List[Tuple[str, List[Bar]]]:
    return [("{}: time by {}".format(profile.engine.file, name), [Bar(share.name, share.ms, _share_text(share))
                                                                   for share in shares])
            for name, shares in (("kind", profile.by_kind), ("stage", profile.by_stage), ("block", profile.by_block))]


def _share_text(share: Share) -> str:
    return "{} ms, {:.1f} %".format(milliseconds(share.ms), 100 * share.share)


def _profile_svg(profile: Profile) -> bytes:
    width, y = 760.0, 12.0
    parts: List[str] = []
    for number, (title, items) in enumerate(_panels(profile)):
        height = svg_charts.bars_height(items)
        parts.append(svg.text(12, y + 14, title, "strong"))
        drawn = svg_charts.bars(items, title, width, number)
        parts.append(drawn.replace("<svg ", '<svg x="0" y="{:g}" width="{:g}" height="{:g}" '.format(
            y + 22, width, height), 1))
        y += 22 + height + 14
    return svg.standalone(svg.drawing(width, y, "profile of " + profile.engine.file, parts), width, y)


def _profile_png(profile: Profile) -> bytes:
    panels = _panels(profile)
    heights = [0.7 + 0.24 * len(items) for _, items in panels]
    figure = require_matplotlib().Figure(figsize=(8.5, sum(heights)), constrained_layout=True)
    for number, (axes, (title, items)) in enumerate(zip(
            figure.subplots(len(panels), 1, gridspec_kw={"height_ratios": heights}), panels)):
        axes.barh([_plain(item.label) for item in items], [item.value for item in items], color=_COLOURS[number],
                  height=0.7)
        for index, item in enumerate(items):
            axes.annotate(item.text, (item.value, index), xytext=(4, 0), textcoords="offset points", va="center",
                          fontsize=8, color=_GREY)
        axes.set_ylim(len(items) - 0.4, -0.6)
        axes.margins(x=0.22)
        axes.set_title(_plain(title), fontsize=10, loc="left")
        _plain_axes(axes)
    return _png(figure)


def _plain_axes(axes: Any) -> None:
    axes.grid(axis="x", color="#dfe3e9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _plain(words: str) -> str:
    """Return text in which matplotlib sees no formula."""
    return words.replace("$", r"\$")


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return stream.getvalue()
