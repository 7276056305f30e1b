"""A report for people at a terminal: the tables, and under them what every number depends on."""
import textwrap
from typing import TYPE_CHECKING, TextIO

from edgenext_deploy.benchmarks.latency_report import LatencyReport
from edgenext_deploy.benchmarks.report.printing import console_for
from edgenext_deploy.benchmarks.report.sentences import notes
from edgenext_deploy.benchmarks.report.tables import Table, tables

if TYPE_CHECKING:
    from rich.table import Table as RichTable

# Where the width is unknown (a pipe, a file): what most windows and pages show.
_WIDTH_OF_A_FILE = 100
# Words may be broken to so many letters.
_LEAST_WORD = 12


def print_report(report: LatencyReport, stream: TextIO) -> None:
    """Print the tables and the notes of a report that has at least one row."""
    console = console_for(stream, _WIDTH_OF_A_FILE)
    width = console.width
    for table in tables(report):
        # A window that is too narrow breaks the lines; rich would cut the figures and leave the names out.
        console.width = max(width, _least_width(table))
        console.print(table.title)
        console.print(_drawn(table))
    for line in notes(report):
        # Lines in a pipe stay whole, for grep; a terminal would break them within words.
        text = textwrap.fill(line, width - 1, subsequent_indent="  ", break_long_words=False,
                             break_on_hyphens=False) if stream.isatty() else line
        console.print(text, soft_wrap=True)


def _least_width(table: Table) -> int:
    """Return the width at which every figure is whole; each column has a space before it and one behind it."""
    columns = [max(map(len, column)) for column in zip(table.headings, *table.rows)]
    return sum(2 + (min(width, _LEAST_WORD) if _is_words(table, index) else width)
               for index, width in enumerate(columns))


def _is_words(table: Table, index: int) -> bool:
    return index < table.words or table.headings[index] == "latency is"


def _drawn(table: Table) -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, heading in enumerate(table.headings):
        if _is_words(table, index):
            drawn.add_column(heading, overflow="fold")
        else:
            drawn.add_column(heading, justify="right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*row)
    return drawn
