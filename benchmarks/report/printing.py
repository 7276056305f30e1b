"""Tables on a terminal or in a file, and how figures are written in all outputs."""
import textwrap
from typing import TYPE_CHECKING, NamedTuple, Optional, Sequence, TextIO, Tuple

from edgenext_deploy.benchmarks.statistics import Interval

if TYPE_CHECKING:
    from rich.console import Console

# Where the width is unknown (a pipe, a file): more than rich takes for it, and a table takes what it needs.
_WIDTH_OF_A_FILE = 200
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


def console_for(stream: TextIO) -> "Console":
    """Return a console that prints text as it is; it raises BrokenPipeError when its reader has gone."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Pass on the error in whose handler this is called; rich would end the process, files unwritten."""
            raise

    return Plain(file=stream, markup=False, highlight=False, emoji=False,
                 width=None if stream.isatty() else _WIDTH_OF_A_FILE)


def print_line(console: "Console", line: str) -> None:
    """Print a line: whole where it may go to a file, broken between words, never within one, on a terminal."""
    text = textwrap.fill(line, console.width - 1, subsequent_indent="  ", break_long_words=False,
                         break_on_hyphens=False) if console.is_terminal else line
    console.print(text, soft_wrap=True)


def print_table(console: "Console", table: Table) -> None:
    """Print a table under its title, in a file with every cell on one line.

    On a terminal texts are broken between words; no figure, name or other word is broken. One that is too narrow for
    that gets a block of lines for each row.
    """
    from rich import box
    from rich.table import Table as RichTable

    words = [index in table.text_columns for index in range(len(table.headings))]
    headings = [heading if is_words else "\n".join(heading.split())
                for heading, is_words in zip(table.headings, words)]
    columns = [[heading, *cells] for heading, *cells in zip(headings, *table.rows)]
    # What a column takes at least: its longest word, or its longest figure. Each has a space before and one behind.
    least = [max(len(word) for cell in column for word in ((cell.split() if is_words else cell.split("\n")) or [""]))
             for column, is_words in zip(columns, words)]
    widths = [max(least[index], *map(len, column)) if words[index] else least[index]
              for index, column in enumerate(columns)]
    natural = [max(width, len(heading)) for width, heading in zip(widths, table.headings)]
    if not console.is_terminal or sum(natural) + 2 * len(natural) <= console.width:
        headings, widths = list(table.headings), natural
    if console.is_terminal and sum(least) + 2 * len(least) > console.width:
        _print_blocks(console, table)
        return
    while console.is_terminal and sum(widths) + 2 * len(widths) > console.width:
        widest = max((index for index in range(len(widths)) if widths[index] > least[index]), key=widths.__getitem__)
        widths[widest] -= 1
    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, width, is_words in zip(headings, widths, words):
        drawn.add_column(heading, width=width, justify="left" if is_words else "right")
    for row in table.rows:
        drawn.add_row(*row)
    print_line(console, table.title)
    width, console.width = console.width, max(console.width, sum(widths) + 2 * len(widths))
    with console.capture() as captured:
        console.print(drawn)
    console.width = width
    # rich fills each line up with blanks.
    console.file.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def _print_blocks(console: "Console", table: Table) -> None:
    """Print the cells of each row one below the other, each behind its heading."""
    print_line(console, table.title)
    indent = max(map(len, table.headings)) + 2
    for row in table.rows:
        console.print()
        for heading, cell in zip(table.headings, row):
            text = textwrap.fill(cell, max(console.width - 1 - indent, 1), break_long_words=False,
                                 break_on_hyphens=False)
            console.print("{:<{}}{}".format(heading, indent, text.replace("\n", "\n" + " " * indent)),
                          soft_wrap=True)
    console.print()


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
