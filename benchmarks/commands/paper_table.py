"""``edgenext-bench table NAME`` and its aliases: a table of the paper, filled with measurements."""
import functools
import os
import shlex
import sys
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import click
from click.core import ParameterSource

from edgenext_deploy.benchmarks.commands.outputs import hand_over, html_option, say
from edgenext_deploy.benchmarks.paper.suites import SUITES, SuiteRow, find_row, get_suite
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.measuring_options import duration_option, warmup_option
from edgenext_deploy.commands.options import Command, OutputFile, check_outputs, examples, json_options
from edgenext_deploy.commands.process import interrupted_code
from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import shown

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.latency.run import EngineFailedError
    from edgenext_deploy.benchmarks.latency_report import LatencyReport
    from edgenext_deploy.benchmarks.paper.suites import Suite


class RunOptions(NamedTuple):
    """What goes with ``--run``."""

    also: Tuple[str, ...]
    folder: Optional[str]
    duration_s: float
    rounds: Optional[int]
    warmup_s: float
    threads: int


@click.command("table", cls=Command, epilog=examples(
    "edgenext-bench table table3 nano.json a100.json",
    "edgenext-bench table table3 --run --folder exports --html table3.html",
    "edgenext-bench table table4 --run --row ConvNeXt-T=convnext_tiny_onnxruntime.onnx"))
@click.argument("name", metavar="NAME")
@click.argument("reports", nargs=-1, metavar="[REPORT.json]...")
@click.option("--run", "run", is_flag=True, help="Export the table's variants and measure them here on ONNX Runtime, "
              "interleaved. Needs the libraries of the export.")
@click.option("--also", "also", multiple=True, metavar="VARIANT", help="With --run, measure this variant too.")
@click.option("--row", "row_files", multiple=True, metavar="NAME=FILE", help="The engine file of a row, by the row's "
              "name: measured with --run, found in the reports without. Repeat the option for several.")
@click.option("--folder", metavar="DIR", help="With --run, where exported graphs are kept and found again.")
@duration_option
@click.option("--rounds", type=click.IntRange(min=2), metavar="N", help="With --run, number of rounds in which the "
              "variants are interleaved, in place of --duration.")
@warmup_option
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="With --run, threads of ONNX Runtime.")
@click.option("--report", "report_file", type=OutputFile(), metavar="FILE", help="With --run, write the measured rows, "
              "for edgenext-bench compare.")
@json_options
@html_option
@common_options
def table_command(name: str, reports: Tuple[str, ...], run: bool, report_file: Optional[str], as_json: bool,
                  json_file: Optional[str], html_file: Optional[str], also: Tuple[str, ...], folder: Optional[str],
                  duration_s: float, rounds: Optional[int], warmup_s: float, threads: int,
                  row_files: Tuple[str, ...]) -> None:
    """Fill a table of the paper, NAME, with the rows of reports.

    NAME is table2 to table10 or fig3. Published columns are shown as printed and marked; what was not measured stays
    empty. Rows of other networks are measured from a file of yours, best one of edgenext-export adopt.
    """
    suite = get_suite(name)
    if not run:
        _refuse_options_of_run(click.get_current_context())
    named = _named_files(suite, row_files)
    check_outputs([("--report", report_file), ("--json-file", json_file), ("--html", html_file)],
                  (*reports, *named.values()))
    from edgenext_deploy.benchmarks import latency_report
    from edgenext_deploy.benchmarks.compare.reports import read_reports
    from edgenext_deploy.benchmarks.paper.table import fill
    from edgenext_deploy.benchmarks.paper.table_text import dump_filled, print_filled
    from edgenext_deploy.benchmarks.report.html.pages import table_page

    found = read_reports(reports)
    measured: "Optional[LatencyReport]" = None
    error: "Optional[EngineFailedError]" = None
    if run:
        measured, error = _measured(suite, named, RunOptions(also, folder, duration_s, rounds, warmup_s, threads))
        found.append((report_file or "this run", measured))
    else:
        _require_measured(named, {row.engine.file for _, report in found for row in report.records})
    table = fill(suite, found, {os.path.basename(path): key for key, path in named.items()})
    hand_over(lambda: dump_filled(table), as_json, json_file, lambda: print_filled(table, sys.stdout),
              [("--report", report_file, lambda: latency_report.dump(found[-1][1])),
               ("--html", html_file, lambda: table_page(table, found))])
    if error is not None:
        raise error
    if measured is not None and measured.interrupted:
        click.get_current_context().exit(interrupted_code())


def _named_files(suite: "Suite", words: Sequence[str]) -> Dict[str, str]:
    """Return the engine files of ``--row NAME=FILE`` by `SuiteRow.key`."""
    found: Dict[str, str] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not path:
            raise UsageError("--row {}: a row's name and an engine file expected".format(shown(word)),
                             "such as --row {}=FILE.onnx".format(shlex.quote(suite.rows[0].label)))
        key = find_row(suite, name).key
        if key in found or os.path.basename(path) in map(os.path.basename, found.values()):
            raise UsageError("--row {}: a row has one file, and a file's name one row".format(shown(word)),
                             "leave one of them out, or rename the file")
        found[key] = os.path.expanduser(path)
    return found


def _require_measured(named: Dict[str, str], measured: Set[str]) -> None:
    """Raise UsageError for a file that was given for a row, and of which no report has a measurement."""
    missing = sorted(path for path in named.values() if os.path.basename(path) not in measured)
    if missing:
        raise UsageError("--row: no report has a measurement of {}; measured: {}".format(
            ", ".join(map(shown, missing)), ", ".join(map(shown, sorted(measured))) or "nothing"),
            "add --run, or give the report of edgenext-bench {} --json-file REPORT.json".format(
                shlex.quote(missing[0])))


def _refuse_options_of_run(context: click.Context) -> None:
    """Raise UsageError for an option that says how ``--run`` measures."""
    for parameter in context.command.params:
        if parameter.name in (*RunOptions._fields, "report_file") and context.get_parameter_source(
                parameter.name) is ParameterSource.COMMANDLINE:
            raise UsageError("{} goes with --run, which is missing".format(parameter.opts[0]),
                             "add --run, or leave {} out".format(parameter.opts[0]))


def _measured(suite: "Suite", named: Dict[str, str],
              options: RunOptions) -> "Tuple[LatencyReport, Optional[EngineFailedError]]":
    """Measure the table's variants; an engine that fails does not cost the rows that were measured before."""
    from edgenext_deploy.benchmarks.latency.interleave import Limits
    from edgenext_deploy.benchmarks.latency.run import EngineFailedError
    from edgenext_deploy.benchmarks.paper.suite_run import measure_rows
    from edgenext_deploy.commands.progress import show_progress

    limits = Limits(duration_s=options.duration_s, warmup_s=options.warmup_s, rounds=options.rounds)
    rows = [row for row in suite.rows if row.native] + [SuiteRow(variant, variant) for variant in options.also]
    by_key = {row.key: row for row in rows if row.key not in named}
    try:
        with show_progress() as progress:
            return measure_rows(list(by_key.values()), limits, options.threads, options.folder, say, progress,
                                list(named.values())), None
    except EngineFailedError as failed:
        if failed.report is None:
            raise
        return failed.report, failed


def _alias(name: str) -> click.Command:
    """Return ``edgenext-bench NAME``, an older spelling of ``edgenext-bench table NAME``."""
    fill = table_command.callback
    assert fill is not None
    return Command(name, callback=functools.partial(fill, name=name), hidden=True,
                   params=[parameter for parameter in table_command.params if parameter.name != "name"],
                   help="The same as: table {}.".format(name), epilog=table_command.epilog)


COMMANDS: List[click.Command] = [table_command, *map(_alias, SUITES)]
