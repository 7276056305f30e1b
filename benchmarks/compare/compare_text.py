"""A comparison for people: a table for each machine, sentences with their uncertainty, and published figures."""
from typing import Any, Dict, List, TextIO, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.benchmarks.compare.comparable import Ratio
from edgenext_deploy.benchmarks.compare.reports import Across, Compared, Group, Row
from edgenext_deploy.benchmarks.latency_report import Comparison
from edgenext_deploy.benchmarks.report.columns import COMPARED, cells, shown_columns
from edgenext_deploy.benchmarks.report.printing import EMPTY, Table, console_for, print_line, print_table
from edgenext_deploy.benchmarks.report.sentences import relative_speed, runtime_text
from edgenext_deploy.data.published import PublishedFigure

PUBLISHED_HEADINGS = ("variant", "figure", "source", "how it was measured")
PUBLISHED_TITLE = "Published by others, not measured here"
_QUANTITIES = {"nano_latency": "Nano latency", "nano_throughput": "Nano throughput", "a100_latency": "A100 time",
               "a100_throughput_batch1": "A100 throughput, batch 1", "a100_throughput_batch256":
               "A100 throughput, batch 256"}
_UNITS = {"us": "µs"}


def group_table(group: Group) -> Table:
    """Return the rows of a machine; the last column, why a row is not ranked, only if there is such a row."""
    columns = shown_columns(COMPARED)
    headings = ["engine", "rank", *[column.title for column in columns], "times the reference", "not ranked because"]
    rows = [[row.label, EMPTY if row.rank is None else str(row.rank), *cells(columns, row.record, row.source),
             EMPTY if row.ratio is None else ratio_text(row.ratio) + _mark(group, row), "; ".join(row.reasons)]
            for row in group.rows]
    words = [0, *[index for index, column in enumerate(columns, 2) if not column.is_number], len(headings) - 1]
    shown = len(headings) if any(row.reasons for row in group.rows) else len(headings) - 1
    return Table("{}, ms per inference; the reference is {}".format(group.machine.title, group.reference),
                 headings[:shown], [row[:shown] for row in rows], tuple(words))


def sentences(group: Group) -> List[str]:
    """Return the relative speed of every row against the reference, and what is known against that one.

    A row that is not ranked has one if the two were interleaved, and the sentence says what to think of it.
    """
    against = next((row.reasons for row in group.rows if row.label == group.reference), ())
    doubt = "; known against {}: {}".format(group.reference, "; ".join(against)) if against else ""
    return [_sentence(row.label, group.reference, row.ratio) + _mark(group, row) + doubt for row in group.rows
            if row.ratio is not None and row.label != group.reference]


def _mark(group: Group, row: Row) -> str:
    """Return what is put behind the ratio of a row that is not ranked; empty for one that is."""
    pair = [one.record for one in group.rows if one is row or one.label == group.reference]
    unstable = not all(record.stable and record.warmup.stable for record in pair)
    return "" if not row.reasons else ", unstable" if unstable else ", not ranked"


def across_sentences(compared: Compared) -> List[str]:
    """Return the relative speed of the same variant on several machines, or why it is not given."""
    return [_across_sentence(across) for across in compared.across]


def published_cells(figure: PublishedFigure) -> List[str]:
    """Return the cells of a published figure under `PUBLISHED_HEADINGS`."""
    number = "{:.1f}" if figure.unit == "ms" else "{:.9g}"  # as printed: 21.0 ms, 10359.98 images/s
    value = "{}: {} {}".format(_QUANTITIES.get(figure.quantity, figure.quantity), number.format(figure.value),
                               _UNITS.get(figure.unit, figure.unit))
    return [figure.variant, value, figure.source, figure.note]


def print_compared(compared: Compared, stream: TextIO) -> None:
    """Print tables and sentences."""
    console = console_for(stream)
    for group in compared.groups:
        print_table(console, group_table(group))
        for line in sentences(group):
            print_line(console, line)
        console.print()
    for line in across_sentences(compared):
        print_line(console, line)
    if compared.published:
        console.print()
        print_table(console, Table(PUBLISHED_TITLE, PUBLISHED_HEADINGS, list(map(published_cells, compared.published)),
                                   (0, 1, 2, 3)))


def dump_compared(compared: Compared) -> bytes:
    """Return the comparison as JSON: the rows in short, by report and name; the reports hold the rest."""
    return json_records.dump({
        "kind": "comparison", "schema": 1,
        "machines": [{"asked": group.machine.asked, "found": group.machine.found, "reference": group.reference,
                      "rows": [_row_fields(row) for row in group.rows]} for group in compared.groups],
        "across_machines": [{"variant": across.variant, "first": _row_fields(across.first),
                             "second": _row_fields(across.second), "first_over_second": across.ratio,
                             "reasons": across.reasons} for across in compared.across],
        "published": compared.published,
    })


def ratio_text(ratio: Ratio) -> str:
    """Return a ratio with its interval."""
    bounds = "" if ratio.interval is None else " ({}–{})".format(*map(_times, ratio.interval))
    return "{} ×{}".format(_times(ratio.value), bounds)


def _times(value: float) -> str:
    # With two digits after the point, a row that is a hundred times faster would take no time at all.
    return "{:.2f}".format(value) if value >= 0.1 else "{:.2g}".format(value)


def _sentence(name: str, reference: str, ratio: Ratio) -> str:
    pair: Tuple[str, str] = (reference, name)
    if ratio.value < 1.0:
        pair, ratio = (name, reference), ratio.inverse()
    text = relative_speed(Comparison(pair[0], pair[1], ratio.value, ratio.interval, 0))
    return text + (", interleaved in one run" if ratio.interleaved else
                   ", from separate runs: drift between them is not in the interval")


def _across_sentence(across: Across) -> str:
    names = [_named(row) for row in (across.first, across.second)]
    if across.ratio is None:
        return "{}: {} and {} are not compared: {}".format(across.variant, *names, "; ".join(across.reasons))
    return "{}: {}".format(across.variant, _sentence(names[0], names[1], across.ratio))


def _named(row: Row) -> str:
    return "{} on {}".format(runtime_text(row.record), row.record.device_found)


def _row_fields(row: Row) -> Dict[str, Any]:
    record = row.record
    return {"report": row.report, "name": record.name, "variant": None if record.model is None else
            record.model.variant, "p50_ms": record.latency.p50_ms, "p50_interval": record.latency.p50_interval,
            "rank": row.rank, "times_the_reference": row.ratio, "reasons": row.reasons}
