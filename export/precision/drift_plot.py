"""The drift analysis as a drawing along the depth of the network, for a file of its own."""
import math
from collections.abc import Iterator
from itertools import groupby

from edgenext_deploy import svg
from edgenext_deploy.export.precision.drift_records import DriftReport, NodeDrift
from edgenext_deploy.node_names import part_of

_LEFT, _RIGHT, _TOP = 64, 1080, 78
_ERROR_HEIGHT, _HEADROOM_HEIGHT, _GAP, _BOTTOM = 280, 170, 54, 74
_NUMBERED = 3
# Smaller errors are of the size of FP32's own rounding, and are not drawn.
_FLOOR = 1e-6
# Rough width of a letter at the size of the stage labels, to leave out labels that do not fit.
_LETTER = 6.6
_ADDED, _INHERITED, _OVERFLOW, _FP16, _FP32 = "s1", "s0", "bad", "s5", "s2"


def drift_svg(report: DriftReport) -> bytes:
    """Return the plot: errors added and inherited above, headroom to 65504 below; infinite errors on the upper edge."""
    bottom = _TOP + _ERROR_HEIGHT
    foot = bottom + _GAP + _HEADROOM_HEIGHT
    errors = _decades([max(value, _FLOOR) for node in report.nodes for value in (node.added, node.inherited)],
                      bottom, _TOP + 14, (-4, 0))
    headroom = _decades([node.headroom for node in report.nodes], foot, bottom + _GAP, (-1, 2))
    width, height = _RIGHT + 24, foot + _BOTTOM
    title = "FP16 drift along the depth of the network"
    parts = [
        svg.text(_LEFT, 20, title, "strong"), *_stages(report, foot),
        *svg.left_axis(errors, _LEFT, _RIGHT, "error, relative"),
        *svg.left_axis(headroom, _LEFT, _RIGHT, "headroom to 65504"),
        *_errors(report, errors), *_headroom(report, headroom), *_legend(), *_worst(report, errors, foot)]
    return svg.standalone(svg.drawing(width, height, title, parts), width, height)


def stage_of(name: str) -> str:
    """Return the part of the network that a node belongs to, such as ``stages.2`` or ``head``."""
    part = part_of(name)
    return name if part is None else part.stage


def _decades(values: list[float], bottom: float, top: float, at_least: tuple[int, int]) -> svg.Axis:
    """Return a logarithmic axis over whole decades that holds all finite values."""
    logarithms = [math.log10(value) for value in values if value > 0 and math.isfinite(value)]
    low = min([math.floor(value) for value in logarithms] + [at_least[0]])
    high = max([math.ceil(value) for value in logarithms] + [at_least[1]])
    return svg.Axis(10.0**low, 10.0**high, bottom, top, logarithmic=True)


def _x(report: DriftReport, index: float) -> float:
    return _LEFT + (index + 0.5) / len(report.nodes) * (_RIGHT - _LEFT)


def _stages(report: DriftReport, foot: float) -> Iterator[str]:
    """Shade every other stage, and name those that are wide enough."""
    for number, (stage, group) in enumerate(groupby(report.nodes, key=lambda node: stage_of(node.name))):
        nodes = list(group)
        left, right = _x(report, nodes[0].index - 0.5), _x(report, nodes[-1].index + 0.5)
        if number % 2:
            yield svg.bar(left, _TOP, right - left, foot - _TOP, "band")
        if len(stage) * _LETTER < right - left:
            yield svg.text((left + right) / 2, foot + 16, stage, "small", "middle")


def _errors(report: DriftReport, axis: svg.Axis) -> Iterator[str]:
    yield svg.curve(((_x(report, node.index), axis(node.inherited)) for node in report.nodes), _INHERITED)
    for node in report.nodes:
        if node.added >= _FLOOR:
            yield _error_mark(node, _x(report, node.index), axis)


def _error_mark(node: NodeDrift, x: float, axis: svg.Axis) -> str:
    tip = f"{node.name} ({node.op}): added {node.added:.2g}, inherited {node.inherited:.2g}"
    if node.overflowed:
        return svg.peak(x, axis.end - 1, _OVERFLOW, tip)
    return svg.dot(x, axis(node.added), 2.6, _ADDED, tip)


def _headroom(report: DriftReport, axis: svg.Axis) -> Iterator[str]:
    yield svg.line(_LEFT, axis(1), _RIGHT, axis(1), "mark")
    yield svg.text(_RIGHT - 4, axis(1) + 13, "overflow below this line", "bad small", "end")
    for node in report.nodes:
        if not math.isinf(node.headroom):
            colour = _FP32 if node.precision == "fp32" else _OVERFLOW if node.headroom < 1 else _FP16
            yield svg.dot(_x(report, node.index), axis(node.headroom), 2.2, colour,
                          f"{node.name} ({node.op}, {node.precision}): largest {node.largest:.3g}, headroom "
                          f"{node.headroom:.2g}")


def _legend() -> Iterator[str]:
    y = 42
    yield svg.dot(_LEFT + 5, y - 4, 2.6, _ADDED) + svg.text(_LEFT + 14, y, "error added here", "small")
    yield svg.peak(_LEFT + 130, y, _OVERFLOW) + svg.text(_LEFT + 141, y, "overflows here", "small")
    yield svg.curve(((_LEFT + 235, y - 4), (_LEFT + 255, y - 4)), _INHERITED) + svg.text(
        _LEFT + 261, y, "error inherited", "small")
    yield svg.dot(_LEFT + 365, y - 4, 2.2, _FP16) + svg.text(_LEFT + 374, y, "node in FP16", "small")
    yield svg.dot(_LEFT + 465, y - 4, 2.2, _FP32) + svg.text(_LEFT + 474, y, "node in FP32 (pinned)", "small")


def _worst(report: DriftReport, axis: svg.Axis, foot: float) -> Iterator[str]:
    """Number the worst nodes in the plot and name them under it."""
    worst = [node for node in report.worst() if node.added >= _FLOOR][:_NUMBERED]
    for number, node in enumerate(worst, start=1):
        y = axis.end - 12 if node.overflowed else axis(node.added) - 6
        yield svg.text(_x(report, node.index), y, str(number), "strong", "middle")
    names = ", ".join(f"{number} {node.name}" for number, node in enumerate(worst, start=1))
    yield svg.text(_LEFT, foot + 40, f"worst: {names}" if worst else "no node adds an error")
    yield svg.text(_LEFT, foot + 58, "x: nodes in topological order; sums in FP32; the worst over all inputs",
                   "quiet small")
