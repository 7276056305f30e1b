"""Rows of several reports in one table: comparable rows are ranked, the others are shown with the reason."""
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.compare.comparable import (
    Machine,
    Ratio,
    defects,
    differences,
    differences_across_machines,
    machine_of,
    ratio_of_medians,
    ratio_of_rounds,
)
from edgenext_deploy.benchmarks.latency_report import Comparison, LatencyRecord, LatencyReport, read
from edgenext_deploy.data import published
from edgenext_deploy.errors import UsageError

# What was published about speed; the rest of `published` stands in the tables of the paper. Of the A100 at batch 256
# the tables print the time of one image; for the networks of Fig. 3 there is the throughput alone.
_SPEEDS = ("nano_latency", "nano_throughput", "a100_latency", "a100_throughput_batch256", "a100_throughput_batch1")


class Row(NamedTuple):
    """A measured row in a comparison.

    Attributes:
        report: file name of its report.
        label: its name, with the report's where several rows have that name.
        record: the measured row.
        source: the report itself.
        rank: among the comparable rows of its machine, 1 for the fastest; None if it is not ranked.
        ratio: its latency over the reference's, 1 for the reference; of a row that is not ranked that of its run, if
            the two were interleaved and its outputs are right, else None.
        reasons: why it is not ranked.
    """

    report: str
    label: str
    record: LatencyRecord
    source: LatencyReport
    rank: Optional[int]
    ratio: Optional[Ratio]
    reasons: Tuple[str, ...]


class Group(NamedTuple):
    """The rows of one machine: ranked ones first, fastest first, then the others; `reference` is a label."""

    machine: Machine
    reference: str
    rows: Tuple[Row, ...]


class Across(NamedTuple):
    """One variant on two machines: the ratio of the first row's latency to the second's, or why there is none."""

    variant: str
    first: Row
    second: Row
    ratio: Optional[Ratio]
    reasons: Tuple[str, ...]


class Compared(NamedTuple):
    """The result: rows by machine, the same network on several machines, and what others published about it."""

    groups: Tuple[Group, ...]
    across: Tuple[Across, ...]
    published: Tuple[published.PublishedFigure, ...]


def read_reports(paths: Sequence[str]) -> List[Tuple[str, LatencyReport]]:
    """Return pairs of file name and report; folders are in the names only where the files' own are not enough.

    Raises:
        UsageError: a file that is given twice.
        BadInputError: a file that is missing or no report.
    """
    files = [os.path.realpath(path) for path in paths]
    for path, file in zip(paths, files):
        if files.count(file) > 1:
            raise UsageError("{} is given twice".format(path), "give each report once")
    names = [os.path.basename(path) for path in paths]
    shown = names if len(set(names)) == len(names) else list(paths)
    return [(name, read(path)) for name, path in zip(shown, paths)]


def compare(reports: Sequence[Tuple[str, LatencyReport]], reference: Optional[str] = None) -> Compared:
    """Compare the rows of reports.

    Args:
        reports: pairs of file name and report.
        reference: name or label of the row that the others of its machine are compared with; by default each
            machine's first row with nothing against it.

    Raises:
        UsageError: no row has the name `reference`.
    """
    rows = [row for _, report in reports for row in report.records]
    sources = {id(row): (name, report) for name, report in reports for row in report.records}
    labels = {id(row): row.name if [other.name for other in rows].count(row.name) == 1 else
              "{} ({})".format(row.name, sources[id(row)][0]) for row in rows}
    if reference is not None and reference not in {row.name for row in rows} | set(labels.values()):
        raise UsageError("no row is named {!r}".format(reference), "choose one of: " + ", ".join(labels.values()))
    by_machine: Dict[Machine, List[LatencyRecord]] = {}
    for row in rows:
        by_machine.setdefault(machine_of(row), []).append(row)
    groups = []
    for machine, members in by_machine.items():
        first = _reference([row for row in members if reference in (row.name, labels[id(row)])], members)
        judged = [_judge(row, labels[id(row)], first, sources[id(row)], sources[id(first)][1]) for row in members]
        groups.append(Group(machine, labels[id(first)], _ranked(judged)))
    variants = list(dict.fromkeys(row.model.variant for row in rows if row.model is not None))
    return Compared(tuple(groups), tuple(_across(variants, groups)), published_speeds(variants))


def published_speeds(variants: Sequence[str]) -> Tuple[published.PublishedFigure, ...]:
    """Return what was published about the speed of variants, each measurement once."""
    return tuple(figure for variant in variants for quantity in _SPEEDS
                 for figure in published.figures(variant, quantity)
                 if quantity != "a100_throughput_batch256" or not published.figures(variant, "a100_latency"))


def ratio_between(row: LatencyRecord, reference: LatencyRecord, report: LatencyReport,
                  reference_report: LatencyReport) -> Ratio:
    """Return the ratio of two rows: the interleaved one where their run has it, else that of their p50s."""
    if report is not reference_report:
        return ratio_of_medians(row, reference)
    interleaved = reference.name in row.interleaved_with
    return _ratio_of_run(row, reference, report) or ratio_of_medians(row, reference)._replace(interleaved=interleaved)


def _ratio_of_run(row: LatencyRecord, reference: LatencyRecord, report: LatencyReport) -> Optional[Ratio]:
    """Return the paired ratio of two rows of one report; None if they were not interleaved."""
    for comparison in report.comparisons:
        if (comparison.slower, comparison.faster) == (row.name, reference.name):
            return _of_comparison(comparison)
        if (comparison.slower, comparison.faster) == (reference.name, row.name):
            return _of_comparison(comparison).inverse()
    return ratio_of_rounds(row, reference)


def _of_comparison(comparison: Comparison) -> Ratio:
    return Ratio(comparison.ratio, comparison.interval, True)


def _reference(named: Sequence[LatencyRecord], rows: Sequence[LatencyRecord]) -> LatencyRecord:
    sound = [row for row in rows if not defects(row)]
    return (list(named) or sound or list(rows))[0]


def _judge(row: LatencyRecord, label: str, first: LatencyRecord, source: Tuple[str, LatencyReport],
           first_report: LatencyReport) -> Row:
    name, report = source
    reasons = defects(row) + differences(row, first)
    if reasons:
        paired = row is not first and report is first_report and not (row.outputs and row.outputs.wrong)
        return Row(name, label, row, report, None, _ratio_of_run(row, first, report) if paired else None, reasons)
    ratio = Ratio(1.0, None, True) if row is first else ratio_between(row, first, report, first_report)
    return Row(name, label, row, report, None, ratio, ())


def _ranked(rows: Sequence[Row]) -> Tuple[Row, ...]:
    comparable = sorted((row for row in rows if not row.reasons), key=lambda row: row.record.latency.p50_ms)
    others = [row for row in rows if row.reasons]
    return tuple(row._replace(rank=rank) for rank, row in enumerate(comparable, start=1)) + tuple(others)


def _across(variants: Sequence[str], groups: Sequence[Group]) -> List[Across]:
    """Compare each machine's fastest sound row of a variant with that of the first machine."""
    found: List[Across] = []
    for variant in variants:
        fastest = [row for row in (_fastest(group, variant) for group in groups) if row is not None]
        for other in fastest[1:]:
            first = fastest[0]
            reasons = defects(other.record) + defects(first.record) + differences_across_machines(
                other.record, first.record)
            ratio = None if reasons else ratio_of_medians(first.record, other.record)
            found.append(Across(variant, first, other, ratio, reasons))
    return found


def _fastest(group: Group, variant: str) -> Optional[Row]:
    rows = [row for row in group.rows if row.record.model is not None and row.record.model.variant == variant]
    return min(rows, key=lambda row: (row.rank is None, row.record.latency.p50_ms)) if rows else None
