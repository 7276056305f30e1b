"""``edgenext-bench page``: the page of a run that was measured before."""
from typing import Tuple

import click

from edgenext_deploy.benchmarks.commands.outputs import write_file
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.options import OutputFile, check_outputs, examples


@click.command("page", epilog=examples(
    "edgenext-bench page run.json --html run.html",
    "edgenext-bench page run.json --profile s_profile.json --html run.html"))
@click.argument("report", metavar="REPORT.json")
@click.option("--profile", "profiles", multiple=True, metavar="FILE.json",
              help="A profile of one of its engines, to show with it. Repeat the option for several.")
@click.option("--html", "html_file", required=True, type=OutputFile(), metavar="FILE", help="The page to write.")
@common_options
def page_command(report: str, profiles: Tuple[str, ...], html_file: str) -> None:
    """Write the page of a report that edgenext-bench --json-file wrote, with profiles of its engines."""
    check_outputs([("--html", html_file)], (report, *profiles))
    from edgenext_deploy.benchmarks import latency_report
    from edgenext_deploy.benchmarks.profile import layer_times
    from edgenext_deploy.benchmarks.report.html.pages import report_page

    page = report_page(latency_report.read(report), [layer_times.read(path) for path in profiles])
    write_file(html_file, page, "--html")
