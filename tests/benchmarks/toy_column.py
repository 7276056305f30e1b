"""A column of somebody else's: how steady a row is. The only file that it needs."""
from edgenext_deploy.benchmarks import Column, register_column

COLUMN = Column(
    "p99_over_p50", "p99/p50", lambda row, report: "{:.2f}".format(row.latency.p99_ms / row.latency.p50_ms),
    lambda row, report: row.latency.p99_ms / row.latency.p50_ms, True)


def add():
    register_column(COLUMN)
