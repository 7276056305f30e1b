"""A report as Markdown, for a page or an issue."""
from typing import List

from edgenext_deploy.benchmarks.latency_report import LatencyReport
from edgenext_deploy.benchmarks.report.printing import Table
from edgenext_deploy.benchmarks.report.sentences import notes
from edgenext_deploy.benchmarks.report.tables import tables
from edgenext_deploy.foreign_text import markdown


def to_markdown(report: LatencyReport) -> bytes:
    """Return the tables and notes of a report that has at least one row."""
    lines: List[str] = []
    for table in tables(report):
        lines += ["### " + table.title, "", *_table(table), ""]
    lines += ["- " + markdown(line) for line in notes(report)]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _table(table: Table) -> List[str]:
    rule = ["---" if index in table.text_columns else "--:" for index in range(len(table.headings))]
    return ["| {} |".format(" | ".join(cells)) for cells in (
        table.headings, rule, *[[markdown(cell) for cell in row] for row in table.rows])]

