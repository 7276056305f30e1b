"""A report as CSV: one line for each row, its unit in the name of every column."""
import csv
import io

from edgenext_deploy.benchmarks.latency_report import LatencyReport
from edgenext_deploy.benchmarks.report.columns import csv_values
from edgenext_deploy.foreign_text import csv_cell


def to_csv(report: LatencyReport) -> bytes:
    """Return a report that has at least one row as CSV, UTF-8; what is not known is an empty cell."""
    rows = [csv_values(row, report) for row in report.records]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return stream.getvalue().encode("utf-8")
