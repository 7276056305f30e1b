"""A report for people at a terminal: the tables, and under them what every number depends on."""
from typing import TextIO

from edgenext_deploy.benchmarks.latency_report import LatencyReport
from edgenext_deploy.benchmarks.report.printing import console_for, print_line, print_table
from edgenext_deploy.benchmarks.report.sentences import notes
from edgenext_deploy.benchmarks.report.tables import tables


def print_report(report: LatencyReport, stream: TextIO) -> None:
    """Print the tables and the notes of a report that has at least one row."""
    console = console_for(stream)
    for table in tables(report):
        print_table(console, table)
    for line in notes(report):
        print_line(console, line)
