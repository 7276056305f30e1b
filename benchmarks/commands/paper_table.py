"""``edgenext-bench table NAME`` and its aliases: a table of the paper, filled with measurements."""
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

import click

from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.errors import UsageError

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.latency.interleave import Limits
    from edgenext_deploy.benchmarks.latency_report import LatencyReport

_NAMES = ("table3", "table7", "table8", "table9", "table10", "fig3")


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((
        click.argument("reports", nargs=-1, metavar="[REPORT.json]..."),
        click.option("--run", "run", is_flag=True, help="Export the table's variants and measure them on ONNX Runtime "
                     "here, in turns. Needs the libraries of the export."),
        click.option("--also", "also", multiple=True, metavar="VARIANT", help="With --run, measure this variant too."),
        click.option("--folder", metavar="DIR", help="With --run, where exported graphs are kept and found again."),
        click.option("--duration", "duration_s", type=click.FloatRange(min=0.01), default=3.0, show_default=True,
                     help="With --run, seconds of measurement for each variant."),
        click.option("--rounds", type=click.IntRange(min=2), help="With --run, so many rounds in which the variants "
                     "take turns, whatever the duration."),
        click.option("--warmup", "warmup_s", type=click.FloatRange(min=0.0), default=3.0, show_default=True,
                     help="With --run, most seconds of warm-up for each variant."),
        click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
                     help="With --run, threads of ONNX Runtime."),
        click.option("--report", "report_file", metavar="FILE", help="With --run, write the measured rows, for "
                     "edgenext-bench compare."),
        click.option("--json", "json_file", metavar="[FILE]", is_flag=False, flag_value="-", type=str,
                     help="Write the table as JSON to FILE as well; without FILE (or with -) to standard output, in "
                          "place of the table."),
        click.option("--html", "html_file", metavar="FILE", help="Write a page with the table and all reports."),
    )):
        function = option(function)
    return common_options(function)


@click.command("table")
@click.argument("name", metavar="NAME")
@_options
def table_command(name: str, **options: Any) -> None:
    """Fill a table of the paper, NAME, with the rows of reports.

    NAME is table3, table7, table8, table9, table10 or fig3. Published columns are shown as printed and marked;
    what was not measured stays empty.
    """
    _table(name, **options)


def _alias(name: str) -> click.Command:
    @click.command(name, help="The same as: table {}.".format(name), short_help="Same as: table {}.".format(name))
    @_options
    def command(**options: Any) -> None:
        _table(name, **options)

    return command


COMMANDS: List[click.Command] = [table_command, *map(_alias, _NAMES)]


def _table(name: str, reports: Tuple[str, ...], run: bool, also: Tuple[str, ...], folder: Optional[str],
           duration_s: float, rounds: Optional[int], warmup_s: float, threads: int, report_file: Optional[str],
           json_file: Optional[str], html_file: Optional[str]) -> None:
    from edgenext_deploy.benchmarks import latency_report
    from edgenext_deploy.benchmarks.commands.written import write_or_print
    from edgenext_deploy.benchmarks.compare.reports import read_reports
    from edgenext_deploy.benchmarks.latency.interleave import Limits
    from edgenext_deploy.benchmarks.latency.run import EngineFailedError
    from edgenext_deploy.benchmarks.paper.suites import get_suite
    from edgenext_deploy.benchmarks.paper.table import fill
    from edgenext_deploy.benchmarks.paper.table_text import dump_filled, print_filled

    suite = get_suite(name)
    found = read_reports(reports)
    others: Dict[str, Callable[[], bytes]] = {}
    error: Optional[EngineFailedError] = None
    if run:
        try:
            report = _measured([*dict.fromkeys([row.variant for row in suite.rows] + list(also))], folder,
                               Limits(duration_s=duration_s, warmup_s=warmup_s, rounds=rounds), threads)
        except EngineFailedError as failed:
            if failed.report is None:
                raise
            report, error = failed.report, failed
        found.append((report_file or "this run", report))
        if report_file is not None:
            others[report_file] = lambda: latency_report.dump(report)
    elif also or folder or report_file:
        raise UsageError("--also, --folder and --report go with --run", "add --run, or leave them out")
    table = fill(suite, found)
    if html_file is not None:
        from edgenext_deploy.benchmarks.report.html.pages import table_page

        others[html_file] = lambda: table_page(table, found)
    write_or_print(dump_filled(table), json_file, lambda: print_filled(table, sys.stdout), others)
    if error is not None:
        raise error
    if any(report.interrupted for _, report in found[-1:] if run):
        click.get_current_context().exit(130)


def _measured(variants: List[str], folder: Optional[str], limits: "Limits", threads: int) -> "LatencyReport":
    from edgenext_deploy.benchmarks.commands.progress import show_progress
    from edgenext_deploy.benchmarks.paper.suite_run import measure_variants

    with show_progress() as progress:
        return measure_variants(variants, limits, threads, folder, lambda line: click.echo(line, err=True), progress)
