"""Small pieces of SVG: escaped text, lines, axes with round ticks. No library, so that a Nano can draw too.

Colours are CSS classes, so that a page can have a light and a dark face; `standalone` gives a drawing its own.
"""
import math
from typing import Iterable, List, Optional, Tuple

from edgenext_deploy.foreign_text import attribute as quoteattr
from edgenext_deploy.foreign_text import markup as escape

# Okabe and Ito's colours, which people with any colour vision can tell apart; light and dark face.
SERIES = (("#0072b2", "#56b4e9"), ("#d55e00", "#f0a06a"), ("#009e73", "#4fd0a8"), ("#8a4f7d", "#cc79a7"),
          ("#7a6a00", "#e8d44d"), ("#555555", "#b5b5b5"))

_FACE = {"ink": ("#1c2430", "#e8ebf0"), "quiet": ("#5b6675", "#9aa5b4"), "grid": ("#dfe3e9", "#333c49"),
         "paper": ("#ffffff", "#161b22"), "bad": ("#c1121f", "#ff7b72")}


def style(dark: bool) -> str:
    """Return the values of the CSS variables that the classes use."""
    return "".join("--{}:{};".format(name, faces[1 if dark else 0]) for name, faces in _variables())


def _variables() -> List[Tuple[str, Tuple[str, str]]]:
    """Return the CSS variables, without their dashes, with both faces."""
    return [*_FACE.items(), *[("series-{}".format(index), faces) for index, faces in enumerate(SERIES)]]


def rules() -> str:
    """Return the CSS rules of the classes."""
    series = "".join(".s{0}{{fill:var(--series-{0});color:var(--series-{0})}}".format(index)
                     for index in range(len(SERIES)))
    return ("svg text{fill:var(--ink);font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
            "svg .quiet{fill:var(--quiet)}svg .small{font-size:11px}svg .strong{font-weight:600}"
            "svg .grid{stroke:var(--grid);stroke-width:1}svg .axis{stroke:var(--quiet);stroke-width:1}"
            "svg .bad{fill:var(--bad);color:var(--bad)}svg .band{fill:var(--grid);fill-opacity:.4}"
            "svg .mark{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3}"
            "svg .line{fill:none;stroke:currentColor;stroke-width:1.6}"
            "svg .hollow{fill:var(--paper);stroke:currentColor;stroke-width:1.8}" + series)


def drawing(width: float, height: float, title: str, parts: List[str]) -> str:
    """Return an inline drawing; `title` is its text for those who do not see it."""
    return ('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label={} xmlns="http://www.w3.org/2000/svg">{}</svg>'.format(
        width, height, quoteattr(title), "".join(parts)))


def standalone(drawn: str, width: float, height: float) -> bytes:
    """Return a drawing as a file of its own, on white.

    Its colours are written out: Inkscape and librsvg know no CSS variables.
    """
    sheet = "<style>{}</style><rect width='100%' height='100%' style='fill:var(--paper)'/>".format(rules())
    head, _, rest = drawn.partition(">")
    text = '<?xml version="1.0" encoding="UTF-8"?>\n{} width="{:g}" height="{:g}">{}{}\n'.format(
        head, width, height, sheet, rest)
    for name, faces in _variables():
        text = text.replace("var(--{})".format(name), faces[0])
    return text.encode("utf-8")


def text(x: float, y: float, words: str, classes: str = "", anchor: str = "start") -> str:
    """Return escaped text."""
    return '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>'.format(
        x, y, anchor, classes, escape(words))


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    """Return a line."""
    return '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>'.format(x1, y1, x2, y2, classes)


def bar(x: float, y: float, width: float, height: float, classes: str, tip: str = "") -> str:
    """Return a filled rectangle, with a tip to read under the pointer."""
    return '<rect x="{:.1f}" y="{:.1f}" width="{:.2f}" height="{:.1f}" class="{}">{}</rect>'.format(
        x, y, max(width, 0.0), height, classes, _title(tip))


def dot(x: float, y: float, radius: float, classes: str, tip: str = "") -> str:
    """Return a filled circle, with a tip to read under the pointer."""
    return '<circle cx="{:.1f}" cy="{:.1f}" r="{:g}" class="{}">{}</circle>'.format(x, y, radius, classes, _title(tip))


def peak(x: float, y: float, classes: str, tip: str = "") -> str:
    """Return a small triangle that points up and stands on `y`, with a tip to read under the pointer."""
    return '<path d="M{:.1f} {:.1f}h10l-5 -9z" class="{}">{}</path>'.format(x - 5, y, classes, _title(tip))


def curve(points: Iterable[Tuple[float, float]], classes: str) -> str:
    """Return a line through several points, in the colour of its class."""
    return '<polyline points="{}" class="line {}" style="fill:none"/>'.format(
        " ".join("{:.1f},{:.1f}".format(x, y) for x, y in points), classes)


def _title(tip: str) -> str:
    return "<title>{}</title>".format(escape(tip)) if tip else ""


class Axis:
    """A linear or logarithmic axis from `low` to `high` over pixels `start` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float, logarithmic: bool = False) -> None:
        if high <= low:
            low, high = (low * 0.9, low * 1.1) if low > 0 else (low - 1.0, low + 1.0)
        self.low, self.high, self.start, self.end, self.logarithmic = low, high, start, end, logarithmic

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; what is off the axis lies on its edge."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int = 5) -> List[Tuple[float, str]]:
        """Return round values on the axis with their labels."""
        if self.logarithmic and self.high / self.low > 3:
            values = [factor * 10.0 ** decade for decade in range(math.floor(math.log10(self.low)),
                                                                  math.ceil(math.log10(self.high)) + 1)
                      for factor in ((1, 2, 5) if self.high / self.low <= 1e3 else (1,))]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) > 1:
                return [(value, "{:g}".format(value)) for value in values]
        step = _round_step((self.high - self.low) / wanted)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(number * step, "{:.{}f}".format(number * step, digits)) for number in range(first, last + 1)]


def _round_step(step: float) -> float:
    """Return the one of 1, 2, 5, 10 times a power of ten that is near."""
    power: float = 10.0 ** math.floor(math.log10(step))
    for factor in (1.0, 2.0, 5.0):
        if step <= factor * power * math.sqrt(2.0):
            return factor * power
    return 10.0 * power


def bottom_axis(axis: Axis, y: float, top: Optional[float], unit: str) -> List[str]:
    """Return a horizontal axis at `y` with labels, grid lines up to `top`, and its unit."""
    parts = []
    for value, label in axis.ticks():
        if top is not None:
            parts.append(line(axis(value), top, axis(value), y, "grid"))
        parts.append(text(axis(value), y + 15, label, "quiet small", "middle"))
    parts.append(line(axis.start, y, axis.end, y, "axis"))
    parts.append(text(axis.end, y + 29, unit, "quiet small", "end"))
    return parts


def left_axis(axis: Axis, x: float, right: float, unit: str) -> List[str]:
    """Return a vertical axis at `x` with labels and grid lines to `right`; its unit stands on top."""
    parts = []
    for value, label in axis.ticks(4):
        parts.append(line(x, axis(value), right, axis(value), "grid"))
        parts.append(text(x - 6, axis(value) + 4, label, "quiet small", "end"))
    parts.append(text(4, min(axis.start, axis.end) - 9, unit, "quiet small"))
    return parts
