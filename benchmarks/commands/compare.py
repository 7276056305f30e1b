"""``edgenext-bench compare``: rows of several reports in one table."""
import sys
from typing import Optional, Tuple

import click

from edgenext_deploy.benchmarks.commands.outputs import hand_over, html_option
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.options import Command, check_outputs, examples, json_options


@click.command("compare", cls=Command, epilog=examples(
    "edgenext-bench compare nano.json laptop.json",
    "edgenext-bench compare nano.json laptop.json --html compare.html"))
@click.argument("reports", nargs=-1, required=True, metavar="REPORT.json...")
@click.option("--reference", metavar="ROW", help="Row that the others are compared with.  [default: the first]")
@json_options
@html_option
@common_options
def compare_command(reports: Tuple[str, ...], reference: Optional[str], as_json: bool, json_file: Optional[str],
                    html_file: Optional[str]) -> None:
    """Compare the rows of reports that edgenext-bench --json-file wrote.

    Rows of one machine are ranked if they are comparable. Others are shown with the reason: another power
    mode or clock, copies counted or not, a CUDA graph or not, another batch, input, precision or number of
    threads, unstable, interrupted.
    """
    check_outputs([("--json-file", json_file), ("--html", html_file)], reports)
    from edgenext_deploy.benchmarks.compare.compare_text import dump_compared, print_compared
    from edgenext_deploy.benchmarks.compare.reports import compare, read_reports
    from edgenext_deploy.benchmarks.report.html.pages import comparison_page

    found = read_reports(reports)
    compared = compare(found, reference)
    hand_over(lambda: dump_compared(compared), as_json, json_file, lambda: print_compared(compared, sys.stdout),
              [("--html", html_file, lambda: comparison_page(compared, found))])
