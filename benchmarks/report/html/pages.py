"""Reports as self-contained HTML pages: one file, no script, nothing fetched."""
from typing import List, Sequence, Tuple

from edgenext_deploy.benchmarks.compare import compare_text
from edgenext_deploy.benchmarks.compare.reports import Compared
from edgenext_deploy.benchmarks.estimate import estimate_text
from edgenext_deploy.benchmarks.estimate.estimates import Estimate
from edgenext_deploy.benchmarks.latency_report import LatencyReport
from edgenext_deploy.benchmarks.paper import table_text
from edgenext_deploy.benchmarks.paper.table import FilledTable
from edgenext_deploy.benchmarks.profile.layer_times import Profile
from edgenext_deploy.benchmarks.report.html import sections
from edgenext_deploy.benchmarks.report.html.page import bullets, page, paragraph, section, table
from edgenext_deploy.benchmarks.report.sentences import relative_speed
from edgenext_deploy.version import __version__

_Named = Sequence[Tuple[str, LatencyReport]]


def report_page(report: LatencyReport, profiles: Sequence[Profile] = ()) -> bytes:
    """Return the page of one run.

    Args:
        report: a report with at least one row.
        profiles: profiles of its engines, if there are any.
    """
    first = report.records[0]
    lines = sections.warnings(report)
    tags = [(first.device_found, ""), ("batch {}".format(first.batch), ""),
            ("{} thing{} to know".format(len(lines), "" if len(lines) == 1 else "s"), "bad") if lines else
            ("no warnings", "good")]
    count = len(report.records)
    return page(
        "Latency of {}".format(first.name if count == 1 else "{} engines".format(count)),
        "Measured{} by edgenext-bench on {}{}".format(
            ", interleaved in one run," if count > 1 else "", first.device_found,
            "" if first.started_at is None else ", " + first.started_at),
        tags,
        [section("To know before you compare", bullets(lines, "notes")),
         section("Results", sections.results(report), bullets(_speeds(report))),
         *_measured([report]),
         *[section("Layers of {}".format(profile.engine.file), sections.profile(profile))
           for profile in profiles],
         section("Environment", sections.environment(report))],
        _foot())


def comparison_page(compared: Compared, reports: _Named) -> bytes:
    """Return the page of a comparison, with the distributions and environments of its reports."""
    flagged = sum(bool(row.reasons) for group in compared.groups for row in group.rows)
    parts: List[str] = []
    for group in compared.groups:
        found = compare_text.group_table(group)
        parts.append(section(group.machine.title, table(
            found.title, found.headings, found.rows, found.text_columns,
            row_classes=["flagged" if row.reasons else "" for row in group.rows]),
            bullets(compare_text.sentences(group))))
    parts.append(section("The same network on several machines", bullets(compare_text.across_sentences(compared))))
    return page(
        "Comparison of {} report{}".format(len(reports), "" if len(reports) == 1 else "s"),
        "Comparable rows of one machine are ranked; the others are shown with the reason why not.",
        [("{} row{} not ranked".format(flagged, "" if flagged == 1 else "s"), "bad")] if flagged else
        [("all rows comparable", "good")],
        [*parts, *_measured([report for _, report in reports]), *_environments(reports)], _foot())


def table_page(filled: FilledTable, reports: _Named) -> bytes:
    """Return the page of a table of the paper, with measurements."""
    names = table_text.headings(filled)
    count = len(table_text.published_names(filled))
    return page(
        "{}: published and measured".format(filled.title), "{}, {}".format(filled.name, filled.source),
        [("shaded: published", ""), ("not shaded: measured with this toolkit", "")],
        [section("Table", table(table_text.caption(filled), names,
                                [table_text.row_cells(filled, row) for row in filled.rows],
                                published=range(1, count + 1)),
                 bullets(table_text.notes(filled), "quiet small")),
         *_measured([report for _, report in reports], with_published=False), *_environments(reports)], _foot())


def estimate_page(found: Estimate) -> bytes:
    """Return the page of an estimate, which says in every place that it is one."""
    lines = estimate_text.summary(found)
    points = estimate_text.point_cells(found)
    return page(
        estimate_text.title(found), "Nothing on this page was measured.", [("estimate", "bad")],
        [section("Estimate", *[paragraph(line, "estimate") for line in lines[:2]], bullets(lines[2:], "small")),
         section("Estimate by part of the network", table(
             "Estimate, not measured; milliseconds in the last four columns", estimate_text.STAGE_HEADINGS,
             map(estimate_text.stage_cells, (*found.stages, found.total)),
             row_classes=[""] * len(found.stages) + ["total"])),
         section("Error of the estimate", table(
             "Estimates of published points, in ms", estimate_text.POINT_HEADINGS, points)) if points else ""],
        _foot())


def _measured(reports: Sequence[LatencyReport], with_published: bool = True) -> List[str]:
    variants = list(dict.fromkeys(row.model.variant for report in reports for row in report.records
                                  if row.model is not None))
    return [
        section("Accuracy against latency", sections.accuracy(reports)),
        section("Where the time goes", *map(sections.stages, reports)),
        section("Distribution and course of the latency", *map(sections.distributions, reports)),
        section("Published figures", sections.published_figures(variants)) if with_published else ""]


def _environments(reports: _Named) -> List[str]:
    return [section("Environment of {}".format(name), sections.environment(report)) for name, report in reports]


def _speeds(report: LatencyReport) -> List[str]:
    rows = {row.name: row for row in report.records}
    return [relative_speed(comparison, rows) for comparison in report.comparisons]


def _foot() -> str:
    return "edgenext-deploy {}".format(__version__)
