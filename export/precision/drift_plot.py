"""The drift analysis as a plot along the depth of the network: one SVG file, written by hand."""
import math
from collections.abc import Iterator
from itertools import groupby
from xml.sax.saxutils import escape

from edgenext_deploy.export.precision.drift import DriftReport, NodeDrift

_LEFT, _RIGHT, _TOP = 64, 1080, 64
_ERROR_HEIGHT, _HEADROOM_HEIGHT, _GAP, _BOTTOM = 280, 170, 44, 74
_RED, _ORANGE, _BLUE, _DARK, _GREY = "#c1121f", "#d55e00", "#0072b2", "#333333", "#9a9a9a"
_NUMBERED = 3
# Smaller errors are of the size of FP32's own rounding, and are not drawn.
_FLOOR = 1e-6
# Rough width of a letter at the size of the stage labels, to leave out labels that do not fit.
_LETTER = 6.3


class _Axis:
    """A logarithmic axis from `bottom` to `top` pixels over whole decades."""

    def __init__(self, values: list[float], bottom: float, top: float, at_least: tuple[int, int]) -> None:
        finite = [value for value in values if value > 0 and math.isfinite(value)]
        self.low = min([math.floor(math.log10(value)) for value in finite] + [at_least[0]])
        self.high = max([math.ceil(math.log10(value)) for value in finite] + [at_least[1]])
        self.bottom, self.top = bottom, top

    def __call__(self, value: float) -> float:
        """Return the height in pixels; what is off the axis lies on its edge."""
        decade = self.low if value <= 0 else self.high if math.isinf(value) else math.log10(value)
        share = (min(max(decade, self.low), self.high) - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)

    def ticks(self) -> range:
        """Return the decades that get a line."""
        return range(self.low, self.high + 1, max(1, round((self.high - self.low) / 6)))


def drift_svg(report: DriftReport) -> bytes:
    """Return the plot: errors added and inherited above, headroom to 65504 below; infinite errors on the upper edge."""
    bottom = _TOP + _ERROR_HEIGHT
    errors = _Axis([max(value, _FLOOR) for node in report.nodes for value in (node.added, node.inherited)],
                   bottom, _TOP + 14, (-4, 0))
    foot = bottom + _GAP + _HEADROOM_HEIGHT
    headroom = _Axis([node.headroom for node in report.nodes], foot, bottom + _GAP, (-1, 2))
    width, height = _RIGHT + 24, foot + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        '<g font-family="Helvetica, Arial, sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(_LEFT, 20, "FP16 drift along the depth of the network", 'font-size="15" font-weight="bold"'),
        *_stages(report, foot), *_frame(errors, "error, relative"), *_frame(headroom, "headroom to 65504"),
        *_errors(report, errors), *_headroom(report, headroom), *_legend(), *_worst(report, errors, foot), "</g>",
        "</svg>"]
    return ("\n".join(parts) + "\n").encode("utf-8")


def stage_of(name: str) -> str:
    """Return the part of the network a node belongs to, such as ``stages.2`` or ``head``."""
    parts = name.split("/")[0].split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and parts[1].isdigit() else parts[0]


def _x(report: DriftReport, index: float) -> float:
    return _LEFT + (index + 0.5) / len(report.nodes) * (_RIGHT - _LEFT)


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{_DARK}" {style}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def _stages(report: DriftReport, foot: float) -> Iterator[str]:
    """Shade every other stage, and name those that are wide enough."""
    for number, (stage, group) in enumerate(groupby(report.nodes, key=lambda node: stage_of(node.name))):
        nodes = list(group)
        left, right = _x(report, nodes[0].index - 0.5), _x(report, nodes[-1].index + 0.5)
        if number % 2:
            yield (f'<rect x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" height="{foot - _TOP}" '
                   'fill="#f1f1f1"/>')
        if len(stage) * _LETTER < right - left:
            yield _text((left + right) / 2, foot + 16, stage, 'text-anchor="middle"')


def _frame(axis: _Axis, title: str) -> Iterator[str]:
    for decade in axis.ticks():
        y = axis(10.0**decade)
        yield _line(_LEFT, y, _RIGHT, y, 'stroke="#dddddd" stroke-width="1"')
        label = f"{10**decade:g}" if -2 <= decade <= 2 else f"1e{decade}"
        yield _text(_LEFT - 6, y + 4, label, 'text-anchor="end"')
    yield _line(_LEFT, axis.bottom, _RIGHT, axis.bottom, f'stroke="{_DARK}"')
    middle = (axis.top + axis.bottom) / 2
    yield _text(16, middle, title, f'text-anchor="middle" transform="rotate(-90 16 {middle:.1f})"')


def _errors(report: DriftReport, axis: _Axis) -> Iterator[str]:
    path = " ".join(f"{_x(report, node.index):.1f},{axis(node.inherited):.1f}" for node in report.nodes)
    yield f'<polyline points="{path}" fill="none" stroke="{_BLUE}" stroke-width="1.2" stroke-opacity="0.8"/>'
    for node in report.nodes:
        if node.added >= _FLOOR:
            yield _error_mark(node, _x(report, node.index), axis)


def _error_mark(node: NodeDrift, x: float, axis: _Axis) -> str:
    title = f"<title>{escape(node.name)} ({node.op}): added {node.added:.2g}, inherited {node.inherited:.2g}</title>"
    if node.overflowed:
        y = axis.top - 9
        return f'<path d="M{x - 5:.1f} {y + 8:.1f}h10l-5 -9z" fill="{_RED}">{title}</path>'
    return f'<circle cx="{x:.1f}" cy="{axis(node.added):.1f}" r="2.6" fill="{_ORANGE}">{title}</circle>'


def _headroom(report: DriftReport, axis: _Axis) -> Iterator[str]:
    yield _line(_LEFT, axis(1), _RIGHT, axis(1), f'stroke="{_RED}" stroke-dasharray="5 3"')
    yield _text(_RIGHT - 4, axis(1) + 13, "overflow below this line", f'text-anchor="end" style="fill:{_RED}"')
    for node in report.nodes:
        if not math.isinf(node.headroom):
            colour = _GREY if node.precision == "fp32" else _RED if node.headroom < 1 else _DARK
            yield (f'<circle cx="{_x(report, node.index):.1f}" cy="{axis(node.headroom):.1f}" r="2.2" fill="{colour}">'
                   f"<title>{escape(node.name)} ({node.op}, {node.precision}): largest {node.largest:.3g}, "
                   f"headroom {node.headroom:.2g}</title></circle>")


def _legend() -> Iterator[str]:
    y = 40
    yield f'<circle cx="{_LEFT + 5}" cy="{y - 4}" r="2.6" fill="{_ORANGE}"/>' + _text(_LEFT + 14, y, "error added here")
    yield f'<path d="M{_LEFT + 125} {y}h10l-5 -9z" fill="{_RED}"/>' + _text(_LEFT + 141, y, "overflows here")
    yield _line(_LEFT + 235, y - 4, _LEFT + 255, y - 4, f'stroke="{_BLUE}" stroke-width="1.2"') + _text(
        _LEFT + 261, y, "error inherited")
    yield f'<circle cx="{_LEFT + 365}" cy="{y - 4}" r="2.2" fill="{_DARK}"/>' + _text(_LEFT + 374, y, "node in FP16")
    yield f'<circle cx="{_LEFT + 465}" cy="{y - 4}" r="2.2" fill="{_GREY}"/>' + _text(
        _LEFT + 474, y, "node in FP32 (pinned)")


def _worst(report: DriftReport, axis: _Axis, foot: float) -> Iterator[str]:
    """Number the worst nodes in the plot and name them under it."""
    worst = [node for node in report.worst() if node.added >= _FLOOR][:_NUMBERED]
    for number, node in enumerate(worst, start=1):
        y = axis.top - 12 if node.overflowed else axis(node.added) - 6
        yield _text(_x(report, node.index), y, str(number), 'text-anchor="middle" font-weight="bold"')
    names = "     ".join(f"{number}  {node.name}" for number, node in enumerate(worst, start=1))
    yield _text(_LEFT, foot + 40, f"worst:  {names}" if worst else "no node adds an error", 'xml:space="preserve"')
    yield _text(_LEFT, foot + 58, "x: nodes in topological order; sums in FP32; the worst over all inputs",
                f'style="fill:{_GREY}"')
