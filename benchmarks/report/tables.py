"""The tables of a report as rows of text: what is measured, what it was measured on, and where the time goes."""
from typing import List, Optional, Sequence

from edgenext_deploy.benchmarks.latency_report import LatencyRecord, LatencyReport
from edgenext_deploy.benchmarks.report.columns import LATENCY, SETUP, STAGES, Column, cells, shown_columns
from edgenext_deploy.benchmarks.report.printing import Table


def tables(report: LatencyReport) -> List[Table]:
    """Return the tables of a report, none wider than 110 columns if the names are short."""
    found = [_table("Latency, ms per inference", report, shown_columns(LATENCY)),
             _table("What was measured", report, shown_columns(SETUP))]
    split = [row for row in report.records if row.stages is not None]
    if split:
        found.append(_table("Stages as trtexec defines them, ms: median (p99)", report, shown_columns(STAGES), split))
    return found


def results(report: LatencyReport, title: str) -> Table:
    """Return one table of the measured rows, as a page shows it."""
    return _table(title, report, shown_columns(LATENCY, SETUP))


def title_of(row: LatencyRecord) -> str:
    """Return the row's name, with the flags that its reader must see."""
    title = row.name
    if row.is_reference:
        title += " (reference)"
    if not row.device_matches:
        title += " [not {}]".format(row.device)
    if row.outputs is not None and row.outputs.wrong:
        title += " [WRONG OUTPUTS]"
    if row.outputs is not None and row.outputs.another_model is not None:
        title += " [another model]"
    if row.failure is not None and row.failure.engine == row.name:
        title += " [FAILED]"
    return title


def _table(title: str, report: LatencyReport, columns: Sequence[Column],
           rows: Optional[Sequence[LatencyRecord]] = None) -> Table:
    return Table(title, ("engine", *[column.title for column in columns]),
                 [(title_of(row), *cells(columns, row, report)) for row in (report.records if rows is None else rows)],
                 (0, *[index for index, column in enumerate(columns, 1) if not column.is_number]))
