"""``edgenext-bench compare``: rows of several reports in one table."""
import sys
from typing import Callable, Dict, Optional, Tuple

import click

from edgenext_deploy.commands.entry import common_options


@click.command("compare")
@click.argument("reports", nargs=-1, required=True, metavar="REPORT.json...")
@click.option("--reference", metavar="ROW", help="Row that the others are held against.  [default: the first]")
@click.option("--json", "json_file", metavar="[FILE]", is_flag=False, flag_value="-", type=str,
              help="Write the comparison as JSON to FILE as well; without FILE (or with -) to standard output, in "
                   "place of the tables.")
@click.option("--html", "html_file", metavar="FILE", help="Write a page with the comparison and all reports.")
@common_options
def compare_command(reports: Tuple[str, ...], reference: Optional[str], json_file: Optional[str],
                    html_file: Optional[str]) -> None:
    """Compare the rows of reports that edgenext-bench --json wrote.

    Rows of one machine that were measured alike are ranked. Others are shown with the reason: another power
    mode or clock, copies counted or not, a CUDA graph or not, another batch, input, precision or number of
    threads, unstable, interrupted.
    """
    from edgenext_deploy.benchmarks.commands.written import write_or_print
    from edgenext_deploy.benchmarks.compare.compare_text import dump_compared, print_compared
    from edgenext_deploy.benchmarks.compare.reports import compare, read_reports

    found = read_reports(reports)
    compared = compare(found, reference)
    others: Dict[str, Callable[[], bytes]] = {}
    if html_file is not None:
        from edgenext_deploy.benchmarks.report.html.pages import comparison_page

        others[html_file] = lambda: comparison_page(compared, found)
    write_or_print(dump_compared(compared), json_file, lambda: print_compared(compared, sys.stdout), others)
