"""A report for people at a terminal: the tables, and under them what every number depends on."""
import textwrap
from typing import TextIO

from edgenext_deploy.benchmarks.latency_report import LatencyReport
from edgenext_deploy.benchmarks.report.printing import console_for, print_table
from edgenext_deploy.benchmarks.report.sentences import notes
from edgenext_deploy.benchmarks.report.tables import tables

# Where the width is unknown (a pipe, a file): what most windows and pages show.
_WIDTH_OF_A_FILE = 100


def print_report(report: LatencyReport, stream: TextIO) -> None:
    """Print the tables and the notes of a report that has at least one row."""
    console = console_for(stream, _WIDTH_OF_A_FILE)
    for table in tables(report):
        print_table(console, table)
    for line in notes(report):
        # Lines in a pipe stay whole, for grep; a terminal would break them within words.
        text = textwrap.fill(line, console.width - 1, subsequent_indent="  ", break_long_words=False,
                             break_on_hyphens=False) if stream.isatty() else line
        console.print(text, soft_wrap=True)
