"""Reports as self-contained HTML pages: one file, no script, nothing fetched."""
from typing import List, Sequence, Tuple

from edgenext_deploy.benchmarks import compare_report, estimate_report, html_sections, paper_table_report
from edgenext_deploy.benchmarks.compare import Compared
from edgenext_deploy.benchmarks.estimate import Estimate
from edgenext_deploy.benchmarks.html_page import bullets, page, paragraph, section, table
from edgenext_deploy.benchmarks.notes import relative_speed
from edgenext_deploy.benchmarks.paper_table import FilledTable
from edgenext_deploy.benchmarks.profile import Profile
from edgenext_deploy.benchmarks.record import LatencyReport
from edgenext_deploy.version import __version__

_Named = Sequence[Tuple[str, LatencyReport]]


def report_page(report: LatencyReport, profiles: Sequence[Profile] = ()) -> bytes:
    """Return the page of one run.

    Args:
        report: with at least one row.
        profiles: of its engines, if they were profiled.
    """
    first = report.records[0]
    lines = html_sections.warnings(report)
    tags = [(first.device_found, ""), ("batch {}".format(first.batch), ""),
            ("{} thing{} to know".format(len(lines), "" if len(lines) == 1 else "s"), "bad") if lines else
            ("no warnings", "good")]
    count = len(report.records)
    return page(
        "Latency of {}".format(first.name if count == 1 else "{} engines".format(count)),
        "Measured{} by edgenext-bench on {}{}".format(
            " in turns in one run" if count > 1 else "", first.device_found,
            "" if first.started_at is None else ", " + first.started_at),
        tags,
        [section("To know before you compare", bullets(lines, "notes")),
         section("Results", html_sections.results(report), bullets(_speeds(report))),
         *_measured([report]),
         *[section("Layers of {}".format(profile.engine.file), html_sections.profile(profile))
           for profile in profiles],
         section("Environment", html_sections.environment(report))],
        _foot())


def comparison_page(compared: Compared, reports: _Named) -> bytes:
    """Return the page of a comparison, with the distributions and environments of its reports."""
    flagged = sum(bool(row.reasons) for group in compared.groups for row in group.rows)
    parts: List[str] = []
    for group in compared.groups:
        has_reasons = any(row.reasons for row in group.rows)
        shown = len(compare_report.HEADINGS) - (0 if has_reasons else 1)
        cells = [compare_report.row_cells(row)[:shown] for row in group.rows]
        # The engine names the row; its rank stands behind it.
        rows = [[line[1], line[0], *line[2:]] for line in cells]
        headings = [compare_report.HEADINGS[1], compare_report.HEADINGS[0], *compare_report.HEADINGS[2:shown]]
        parts.append(section(group.machine.title, table(
            "Milliseconds per inference; the reference is {}".format(group.reference), headings, rows, (2, 3, 8),
            row_classes=["flagged" if row.reasons else "" for row in group.rows]),
            bullets(compare_report.sentences(group))))
    parts.append(section("The same network on several machines", bullets(compare_report.across_sentences(compared))))
    return page(
        "Comparison of {} report{}".format(len(reports), "" if len(reports) == 1 else "s"),
        "Rows of one machine that were measured alike are ranked; the others are shown with the reason why not.",
        [("{} row{} not ranked".format(flagged, "" if flagged == 1 else "s"), "bad")] if flagged else
        [("all rows alike", "good")],
        [*parts, *_measured([report for _, report in reports]), *_environments(reports)], _foot())


def table_page(filled: FilledTable, reports: _Named) -> bytes:
    """Return the page of a table of the paper beside measurements."""
    names = paper_table_report.headings(filled)
    count = len(paper_table_report.published_names(filled))
    return page(
        "{}: published and measured".format(filled.title), "{}, {}".format(filled.name, filled.source),
        [("shaded: published", ""), ("not shaded: measured with this toolkit", "")],
        [section("Table", table(paper_table_report.caption(filled), names,
                                [paper_table_report.row_cells(filled, row) for row in filled.rows],
                                published=range(1, count + 1)),
                 bullets(paper_table_report.notes(filled), "quiet small")),
         *_measured([report for _, report in reports], with_published=False), *_environments(reports)], _foot())


def estimate_page(found: Estimate) -> bytes:
    """Return the page of an estimate, which says in every place that it is one."""
    lines = estimate_report.summary(found)
    points = estimate_report.point_cells(found)
    return page(
        estimate_report.title(found), "Nothing on this page was measured.", [("estimate", "bad")],
        [section("Estimate", *[paragraph(line, "estimate") for line in lines[:2]], bullets(lines[2:], "small")),
         section("Estimate by part of the network", table(
             "Estimate, not measured; milliseconds in the last four columns", estimate_report.STAGE_HEADINGS,
             map(estimate_report.stage_cells, (*found.stages, found.total)),
             row_classes=[""] * len(found.stages) + ["total"])),
         section("Error of the estimate", table(
             "Estimates of published points, in ms", estimate_report.POINT_HEADINGS, points)) if points else ""],
        _foot())


def _measured(reports: Sequence[LatencyReport], with_published: bool = True) -> List[str]:
    variants = list(dict.fromkeys(row.model.variant for report in reports for row in report.records
                                  if row.model is not None))
    return [
        section("Accuracy against latency", html_sections.accuracy(reports)),
        section("Where the time goes", *map(html_sections.stages, reports)),
        section("Distribution and course of the latency", *map(html_sections.distributions, reports)),
        section("Published figures", html_sections.published_figures(variants)) if with_published else ""]


def _environments(reports: _Named) -> List[str]:
    return [section("Environment of {}".format(name), html_sections.environment(report)) for name, report in reports]


def _speeds(report: LatencyReport) -> List[str]:
    rows = {row.name: row for row in report.records}
    return [relative_speed(comparison, rows) for comparison in report.comparisons]


def _foot() -> str:
    return "edgenext-deploy {}".format(__version__)
