"""Plots as SVG files: the latencies of a run, and a profile."""
import textwrap
from typing import List, NamedTuple, Sequence, Tuple

from edgenext_deploy import svg
from edgenext_deploy.benchmarks.charts import svg_charts
from edgenext_deploy.benchmarks.charts.svg_charts import Bar
from edgenext_deploy.benchmarks.latency_report import LatencyReport
from edgenext_deploy.benchmarks.profile.layer_times import Profile
from edgenext_deploy.benchmarks.report.printing import milliseconds

_WIDTH = 760.0
_MARGIN = 12.0
# What surely fits into the width, and the height of a line, in pixels.
_TITLE_LETTERS, _LINE = 90, 18.0


class Panel(NamedTuple):
    """A drawing, `<svg>`, with its title and its height in pixels."""

    title: str
    drawn: str
    height: float


def latency_plot(report: LatencyReport) -> bytes:
    """Return a plot of a run that has at least one row: every row's spread, and its latency over the run."""
    rows = report.records
    first = rows[0]
    panels = [Panel("Latency in ms, {}, batch {}: line min to p99, tick p90, mark p50, band its 95 % interval".format(
        first.device_found, first.batch), svg_charts.spreads(
            [(row.name, row.latency) for row in rows], "latency of every engine", _WIDTH),
        svg_charts.spreads_height(len(rows)))]
    for row in rows:
        if row.samples is not None and len(row.samples.latency_ms) > 1:
            panels.append(Panel("{} over the run".format(row.name), svg_charts.time_line(
                row.samples.start_s, row.samples.latency_ms, "latency of {} over the run".format(row.name), _WIDTH),
                svg_charts.HEIGHT))
    return _stacked(panels, "latency of " + ", ".join(row.name for row in rows))


def profile_plot(profile: Profile) -> bytes:
    """Return the plot of a profile: bars by kind, by stage and by block."""
    panels = []
    for series, (name, items) in enumerate(profile_bars(profile)):
        title = "{}: time by {}".format(profile.engine.file, name)
        panels.append(Panel(title, svg_charts.bars(items, title, _WIDTH, series), svg_charts.bars_height(items)))
    return _stacked(panels, "profile of " + profile.engine.file)


def profile_bars(profile: Profile) -> List[Tuple[str, List[Bar]]]:
    """Return the bars of a profile by kind, by stage and by block."""
    return [(name, [Bar(share.name, share.ms, "{} ms, {:.1f} %".format(milliseconds(share.ms), 100 * share.share))
                    for share in shares])
            for name, shares in (("kind", profile.by_kind), ("stage", profile.by_stage), ("block", profile.by_block))]


def _lines(title: str) -> List[str]:
    return [title] if len(title) <= _TITLE_LETTERS else textwrap.wrap(title, _TITLE_LETTERS)


def _stacked(panels: Sequence[Panel], title: str) -> bytes:
    """Return panels one below the other, as a file."""
    y = _MARGIN
    parts: List[str] = []
    for panel in panels:
        for number, line in enumerate(_lines(panel.title)):
            y += _LINE if number else 0
            parts.append(svg.text(_MARGIN, y + 14, line, "strong"))
        parts.append(panel.drawn.replace("<svg ", '<svg x="0" y="{:g}" width="{:g}" height="{:g}" '.format(
            y + 22, _WIDTH, panel.height), 1))
        y += 22 + panel.height + 14
    return svg.standalone(svg.drawing(_WIDTH, y, title, parts), _WIDTH, y)
