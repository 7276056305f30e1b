"""A report for people at a terminal: the tables, and under them what every number depends on."""
import textwrap
from typing import TYPE_CHECKING, TextIO

from edgenext_deploy.benchmarks.layout import Table, tables
from edgenext_deploy.benchmarks.notes import notes
from edgenext_deploy.benchmarks.printing import console_for
from edgenext_deploy.benchmarks.record import LatencyReport

if TYPE_CHECKING:
    from rich.table import Table as RichTable

# Where the width is unknown (a pipe, a file): what most windows and pages show.
_WIDTH_OF_A_FILE = 100


def print_report(report: LatencyReport, stream: TextIO) -> None:
    """Print the tables and the notes of a report that has at least one row."""
    console = console_for(stream, _WIDTH_OF_A_FILE)
    for table in tables(report):
        console.print(table.title)
        console.print(_drawn(table))
    for line in notes(report):
        # Lines in a pipe stay whole, for grep; a terminal would break them within words.
        text = textwrap.fill(line, console.width - 1, subsequent_indent="  ", break_long_words=False,
                             break_on_hyphens=False) if stream.isatty() else line
        console.print(text, soft_wrap=True)


def _drawn(table: Table) -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, heading in enumerate(table.headings):
        if index < table.words or heading == "latency is":
            drawn.add_column(heading, overflow="fold")
        else:
            drawn.add_column(heading, justify="right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*row)
    return drawn
