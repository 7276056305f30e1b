"""``edgenext-bench page``: the page of a run that was measured before."""
from typing import Tuple

import click

from edgenext_deploy.commands.entry import common_options


@click.command("page")
@click.argument("report", metavar="REPORT.json")
@click.option("--profile", "profiles", multiple=True, metavar="FILE.json",
              help="A profile of one of its engines, to show with it. Repeat the option for several.")
@click.option("--html", "html_file", required=True, metavar="FILE", help="The page to write.")
@common_options
def page_command(report: str, profiles: Tuple[str, ...], html_file: str) -> None:
    """Write the page of a report that edgenext-bench --json wrote, with profiles of its engines."""
    from edgenext_deploy.benchmarks import profile, record
    from edgenext_deploy.benchmarks.html import report_page
    from edgenext_deploy.benchmarks.written import write_file

    page = report_page(record.read(report), [profile.read(path) for path in profiles])
    write_file(html_file, page)
