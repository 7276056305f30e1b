"""``edgenext-bench estimate``: what the latency may be on hardware that is not here."""
import sys
from typing import Callable, Dict, Optional

import click

from edgenext_deploy.benchmarks.estimate.peaks import devices_with_peak
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.name_options import device_option
from edgenext_deploy.errors import UsageError


@click.command("estimate")
@click.option("--variant", metavar="NAME", help="Variant to estimate; it is exported first, in a child process.")
@click.option("--engine", metavar="FILE.onnx", help="Exported graph to estimate, in place of --variant.")
@device_option("Device whose peak rates are used: {names}.", devices_with_peak, default="nano", show_default=True)
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True,
              help="Of the engine.")
@click.option("--json", "json_file", metavar="[FILE]", is_flag=False, flag_value="-", type=str,
              help="Write the estimate as JSON to FILE as well; without FILE (or with -) to standard output, in "
                   "place of the tables.")
@click.option("--html", "html_file", metavar="FILE", help="Write a page with the estimate.")
@common_options
def estimate_command(variant: Optional[str], engine: Optional[str], device: str, precision: str,
                     json_file: Optional[str], html_file: Optional[str]) -> None:
    """Estimate a latency from the graph; nothing is measured.

    A lower bound by the device's peak rates, and, where latencies were published for it, an expected figure
    with its error on published points that it was not fitted to.
    """
    if (variant is None) == (engine is None):
        raise UsageError("estimate needs either --variant or --engine", "edgenext-bench estimate --variant s")
    from edgenext_deploy.artifacts import json_records
    from edgenext_deploy.benchmarks.commands.written import write_or_print
    from edgenext_deploy.benchmarks.estimate.estimate_text import print_estimate
    from edgenext_deploy.benchmarks.estimate.estimates import estimate_file, estimate_variant

    found = estimate_file(engine, device, precision) if engine is not None else estimate_variant(
        str(variant), device, precision)
    others: Dict[str, Callable[[], bytes]] = {}
    if html_file is not None:
        from edgenext_deploy.benchmarks.report.html.pages import estimate_page

        others[html_file] = lambda: estimate_page(found)
    write_or_print(json_records.dump(found), json_file, lambda: print_estimate(found, sys.stdout), others)
