"""Tables on a terminal or in a file, and how figures are written in all outputs."""
import textwrap
from typing import TYPE_CHECKING, NamedTuple, Optional, Sequence, TextIO, Tuple

from edgenext_deploy.benchmarks.statistics import Interval

if TYPE_CHECKING:
    from rich.console import Console

# Where the width is unknown (a pipe, a file) no column is cut.
_WIDTH_OF_A_FILE = 200
# A column of words is broken to this many letters at least.
_LEAST_WORD = 12
EMPTY = "–"


class Table(NamedTuple):
    """A table of text.

    Attributes:
        title: a line above the table.
        headings: one for each column; the first column names the rows.
        rows: cells of each row, one for each heading.
        text_columns: numbers of the columns that hold words, which may be broken; the others hold figures.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: Tuple[int, ...] = (0,)


def console_for(stream: TextIO, width_of_a_file: int = _WIDTH_OF_A_FILE) -> "Console":
    """Return a console that prints text as it is; it raises BrokenPipeError when its reader has gone."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Pass on the error in whose handler this is called; rich would end the process, files unwritten."""
            raise

    return Plain(file=stream, markup=False, highlight=False, emoji=False,
                 width=None if stream.isatty() else width_of_a_file)


def print_table(console: "Console", table: Table) -> None:
    """Print a table under its title; a console that is too narrow breaks lines, and no figure is cut."""
    from rich import box
    from rich.table import Table as RichTable

    widths = [max([0, *map(len, column)]) for column in zip(*table.rows)] or [0] * len(table.headings)
    wide = sum(2 + max(len(heading), width) for heading, width in zip(table.headings, widths)) > console.width
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    least = 0
    for index, (heading, width) in enumerate(zip(table.headings, widths)):
        if index in table.text_columns:
            drawn.add_column(heading, overflow="fold")
            width = min(max(width, len(heading)), _LEAST_WORD)
        else:
            longest = max(map(len, heading.split()), default=0)
            if wide:
                heading = textwrap.fill(heading, max(width, longest, 1), break_long_words=False)
            drawn.add_column(heading, justify="right", no_wrap=True)
            width = max(width, longest)
        # Each column has a space before it and one behind it.
        least += 2 + width
    for row in table.rows:
        drawn.add_row(*row)
    console.print(table.title, soft_wrap=True)
    # On a console that is narrower still, rich would cut the figures.
    width, console.width = console.width, max(console.width, least)
    console.print(drawn)
    console.width = width


def number(value: Optional[float], digits: int = 2) -> str:
    """Return a figure with `digits` digits after the point, or the sign of an empty cell."""
    return EMPTY if value is None else "{:.{}f}".format(value, digits)


def milliseconds(value: Optional[float]) -> str:
    """Return milliseconds to about four digits, or the sign of an empty cell."""
    if value is None:
        return EMPTY
    return "{:.1f}".format(value) if value >= 100 else "{:.2f}".format(value) if value >= 10 else (
        "{:.3f}".format(value) if value >= 1 else "{:.4f}".format(value))


def interval_text(interval: Optional[Interval]) -> str:
    """Return an interval of milliseconds."""
    return "too few" if interval is None else "{}–{}".format(milliseconds(interval.low), milliseconds(interval.high))
