"""The charts of a report as inline SVG: distribution, time line, bars, and accuracy against latency."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy import svg
from edgenext_deploy.benchmarks import statistics
from edgenext_deploy.benchmarks.latency_report import Latency
from edgenext_deploy.foreign_text import markup as escape
from edgenext_deploy.svg import Axis, bar, drawing, line, text

_WIDTH, HEIGHT = 460.0, 190.0
_ROW = 32.0
_BINS = 48
_COLUMNS = 230
# A label's letters are about so wide, to keep labels apart and inside.
_LETTER = 6.4


class Bar(NamedTuple):
    """A horizontal bar: its label, its length, and the text behind it."""

    label: str
    value: float
    text: str


class Dot(NamedTuple):
    """A point of accuracy against latency."""

    label: str
    latency_ms: float
    top1: float
    tip: str


class Series(NamedTuple):
    """Points of one origin; `published` ones are hollow. Those of one family are joined by a line."""

    name: str
    published: bool
    families: Tuple[Tuple[Dot, ...], ...]


def histogram(values_ms: Sequence[float], title: str) -> str:
    """Return the distribution of latencies, with p50, p90 and p99 marked.

    The axis ends a little behind p99; the last bar holds everything behind it.
    """
    values = np.asarray(values_ms, dtype=np.float64)
    p90, p99 = statistics.percentiles(values, (90, 99))
    p50 = statistics.median(values)
    low, high = float(values.min()), p99 + 0.25 * max(p99 - float(values.min()), 1e-6)
    edges = np.linspace(low, high, _BINS + 1)
    counts, _ = np.histogram(np.minimum(values, high), edges)
    left, right, top, bottom = 12.0, _WIDTH - 12, 34.0, HEIGHT - 36
    x = Axis(low, high, left, right)
    scale = (bottom - top) / max(int(counts.max()), 1)
    parts = svg.bottom_axis(x, bottom, None, "ms")
    for index, count in enumerate(counts):
        if count:
            last = index == _BINS - 1 and float(values.max()) > high
            tip = "{} inferences, {:.3f} to {} ms".format(
                count, edges[index], "{:.3f}".format(float(values.max()) if last else edges[index + 1]))
            parts.append(bar(x(edges[index]), bottom - count * scale, x(edges[index + 1]) - x(edges[index]) - 0.8,
                             count * scale, "s1" if last else "s0", tip))
    labels: List[Tuple[float, float, str]] = []
    taken = left
    for name, value in (("p50", p50), ("p90", p90), ("p99", p99)):
        label = "{} {:.0f}".format(name, value) if value >= 100 else "{} {:.3g}".format(name, value)
        half = 0.5 * _LETTER * len(label)
        place = max(x(value), taken + half)
        parts.append(line(x(value), top - 12, x(value), bottom, "mark"))
        labels.append((place, half, label))
        taken = place + half + _LETTER
    # What sticks out on the right moves the others with it.
    limit = right
    for place, half, label in reversed(labels):
        place = min(place, limit - half)
        parts.append(text(place, top - 18, label, "small", "middle"))
        limit = place - half - _LETTER
    return drawing(_WIDTH, HEIGHT, title, parts)


def time_line(start_s: Sequence[float], latency_ms: Sequence[float], title: str, width: float = _WIDTH) -> str:
    """Return latencies over the time of the run: their spread as a band, their median as a line.

    What lies far above p99 is drawn as a triangle on the upper edge.
    """
    starts, values = np.asarray(start_s, dtype=np.float64), np.asarray(latency_ms, dtype=np.float64)
    [p99] = statistics.percentiles(values, (99,))
    ceiling = min(float(values.max()), p99 * 1.3)
    left, right, top, bottom = 44.0, width - 12, 26.0, HEIGHT - 36
    x = Axis(float(starts.min()), float(starts.max()), left, right)
    y = Axis(float(values.min()) * 0.98, ceiling * 1.02, bottom, top)
    parts = [*svg.left_axis(y, left, right, "ms"), *svg.bottom_axis(x, bottom, None, "s")]
    columns = np.minimum(((starts - x.low) / (x.high - x.low) * _COLUMNS).astype(int), _COLUMNS - 1)
    medians: List[str] = []
    for column in np.unique(columns):
        inside = values[columns == column]
        place = left + (float(column) + 0.5) / _COLUMNS * (right - left)
        upper, lower = y(float(inside.max())), y(float(inside.min()))
        parts.append('<rect x="{:.1f}" y="{:.1f}" width="1.4" height="{:.1f}" class="s0" opacity="0.45"/>'.format(
            place - 0.7, upper, max(lower - upper, 1.4)))
        medians.append("{:.1f},{:.1f}".format(place, y(statistics.median(inside))))
        if float(inside.max()) > ceiling * 1.02:
            parts.append(svg.peak(place, top - 2, "s1", "{:.3f} ms".format(float(inside.max()))))
    parts.append('<polyline points="{}" class="line s0" style="fill:none"/>'.format(" ".join(medians)))
    return drawing(width, HEIGHT, title, parts)


def spreads(rows: Sequence[Tuple[str, Latency]], title: str, width: float = _WIDTH) -> str:
    """Return the spread of every row's latency on one axis, which begins at 0.

    A line from the least latency to p99, a tick at p90, a band for the interval of the median, a mark at the median.
    """
    labels = min(0.44 * width, 14 + _LETTER * max(len(name) for name, _ in rows))
    height = spreads_height(len(rows))
    bottom = height - 36
    x = Axis(0.0, 1.02 * max(max(latency.p99_ms, latency.p50_ms) for _, latency in rows), labels, width - 16)
    parts = svg.bottom_axis(x, bottom, 6.0, "ms per inference")
    for index, (name, latency) in enumerate(rows):
        y = 24 + _ROW * index
        colour = "s{}".format(index % len(svg.SERIES))
        tip = "{}: p50 {:.3f} ms, p90 {:.3f} ms, p99 {:.3f} ms".format(
            name, latency.p50_ms, latency.p90_ms, latency.p99_ms)
        parts.append(text(labels - 8, y + 4, _cut(name, labels - 10), "small", "end"))
        parts.append(line(x(latency.min_ms), y, x(latency.p99_ms), y, "line " + colour))
        parts.append(line(x(latency.p90_ms), y - 6, x(latency.p90_ms), y + 6, "line " + colour))
        if latency.p50_interval is not None:
            low, high = latency.p50_interval
            parts.append(bar(x(low), y - 4, x(high) - x(low), 8, colour))
        parts.append(_dot(x(latency.p50_ms), y, colour, False, tip))
        parts.append(text(x(latency.p50_ms), y - 9, "{:.4g}".format(latency.p50_ms), "small", "middle"))
    return drawing(width, height, title, parts)


def spreads_height(rows: int) -> float:
    """Return the height of `spreads`."""
    return 50 + _ROW * rows


def bars(items: Sequence[Bar], title: str, width: float = _WIDTH, series: int = 0) -> str:
    """Return horizontal bars, one below the other."""
    height = bars_height(items)
    labels = min(0.44 * width, 14 + _LETTER * max(len(item.label) for item in items))
    behind = 14 + _LETTER * max(len(item.text) for item in items)
    longest = max(max(item.value for item in items), 1e-12)
    parts: List[str] = []
    for index, item in enumerate(items):
        y = 6 + 22.0 * index
        length = item.value / longest * (width - labels - behind)
        parts.append(text(labels - 8, y + 13, _cut(item.label, labels - 10), "small", "end"))
        parts.append(bar(labels, y + 2, max(length, 1.0), 15, "s{}".format(series), "{}: {}".format(
            item.label, item.text)))
        parts.append(text(labels + length + 6, y + 13, item.text, "quiet small"))
    return drawing(width, height, title, parts)


def bars_height(items: Sequence[Bar]) -> float:
    """Return the height of `bars`."""
    return 12 + 22.0 * len(items)


def stacked(parts_ms: Sequence[Tuple[str, float]], title: str) -> str:
    """Return one bar made of parts, with a legend below."""
    total = sum(value for _, value in parts_ms) or 1.0
    pieces: List[str] = []
    x = 0.0
    legend_x, legend_y = 0.0, 46.0
    for index, (name, value) in enumerate(parts_ms):
        width = value / total * _WIDTH
        label = "{} {:.3f} ms, {:.0f} %".format(name, value, 100 * value / total)
        pieces.append(bar(x, 2, max(width - 1, 0.5), 22, "s{}".format(index), label))
        if legend_x + 22 + _LETTER * len(label) > _WIDTH:
            legend_x, legend_y = 0.0, legend_y + 19
        pieces.append(bar(legend_x, legend_y - 10, 11, 11, "s{}".format(index)))
        pieces.append(text(legend_x + 16, legend_y, label, "small"))
        legend_x += 30 + _LETTER * len(label)
        x += width
    return drawing(_WIDTH, legend_y + 8, title, pieces)


def accuracy_chart(many: Sequence[Series], title: str) -> Optional[str]:
    """Return top-1 accuracy over latency (logarithmic), as the paper's Fig. 1; None without a point."""
    dots = [dot for series in many for family in series.families for dot in family]
    if not dots:
        return None
    width, height = 640.0, 400.0
    left, right, bottom = 46.0, width - 16, height - 44
    top = 30.0
    latencies = [dot.latency_ms for dot in dots]
    # Room for the label of the slowest point, which would else lie among the others.
    x = Axis(min(latencies) / 1.25, max(latencies) * 1.6, left, right, logarithmic=True)
    accuracies = [dot.top1 for dot in dots]
    y = Axis(min(accuracies) - 1.0, max(accuracies) + 1.0, bottom, top)
    parts = [*svg.left_axis(y, left, right, "top-1 %"), *svg.bottom_axis(x, bottom, top, "ms per inference")]
    # Where labels must not go: on points, and on each other.
    placed = [(x(dot.latency_ms) - 6, y(dot.top1) + 4, 12.0) for dot in dots]
    for index, series in enumerate(many):
        colour = "s{}".format(index % len(svg.SERIES))
        parts += _series(series, colour, x, y, placed)
    return drawing(width, height, title, parts)


def series_key(index: int, published: bool) -> str:
    """Return the mark of a series for a legend."""
    return drawing(14, 14, "", [_dot(7, 7, "s{}".format(index % len(svg.SERIES)), published)])


def _series(series: Series, colour: str, x: Axis, y: Axis, placed: List[Tuple[float, float, float]]) -> List[str]:
    parts: List[str] = []
    for family in series.families:
        ordered = sorted(family, key=lambda dot: dot.latency_ms)
        points = " ".join("{:.1f},{:.1f}".format(x(dot.latency_ms), y(dot.top1)) for dot in ordered)
        parts.append('<polyline points="{}" class="line {}" style="fill:none" opacity="0.55"{}/>'.format(
            points, colour, ' stroke-dasharray="5 4"' if series.published else ""))
        for dot in ordered:
            at_x, at_y = x(dot.latency_ms), y(dot.top1)
            parts.append(_dot(at_x, at_y, colour, series.published, dot.tip))
            parts.append(_label(dot.label, at_x, at_y, placed, x))
    return parts


def _dot(x: float, y: float, colour: str, published: bool, tip: str = "") -> str:
    shape = ('<circle cx="{:.1f}" cy="{:.1f}" r="4.6" class="{}{}"' if published else
             '<path d="M{:.1f} {:.1f}m-5.2 0l5.2 -5.2l5.2 5.2l-5.2 5.2z" class="{}{}"').format(
                 x, y, colour, " hollow" if published else "")
    name = "path" if not published else "circle"
    return "{}>{}</{}>".format(shape, "<title>{}</title>".format(escape(tip)) if tip else "", name)


def _label(words: str, x: float, y: float, placed: List[Tuple[float, float, float]], axis: Axis) -> str:
    """Return a label beside a point, on a side where no other label lies yet."""
    width = _LETTER * len(words)
    candidates = [(place, y + below) for below in (4, -8, 18, -20, 30) for place in (x + 9, x - 9 - width)]
    inside = [place for place in candidates if axis.start <= place[0] and place[0] + width <= axis.end] or candidates
    free = [place for place in inside if all(
        abs(place[1] - other[1]) > 12 or place[0] > other[0] + other[2] or place[0] + width < other[0]
        for other in placed)]
    chosen = (free or inside)[0]
    placed.append((chosen[0], chosen[1], width))
    return text(chosen[0], chosen[1], words, "small")


def _cut(words: str, pixels: float) -> str:
    letters = max(int(pixels / _LETTER), 4)
    return words if len(words) <= letters else words[:letters - 1] + "…"
