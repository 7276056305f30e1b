"""``edgenext-bench estimate``: what the latency may be on hardware that is not here."""
import sys
from typing import Optional, Tuple

import click

from edgenext_deploy.benchmarks.commands.options import engine_arguments, only_engine
from edgenext_deploy.benchmarks.commands.outputs import hand_over, html_option
from edgenext_deploy.benchmarks.estimate.peaks import devices_with_peak
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.name_options import device_option
from edgenext_deploy.commands.options import Command, check_outputs, examples, json_options
from edgenext_deploy.errors import UsageError


@click.command("estimate", cls=Command, epilog=examples(
    "edgenext-bench estimate --variant s",
    "edgenext-bench estimate s.onnx --device a100 --html estimate.html"))
@engine_arguments(required=False)
@click.option("--variant", metavar="NAME", help="Variant to estimate, in place of ENGINE; it is exported first, in a "
              "child process.")
@device_option("Device whose peak rates are used: {names}.", devices_with_peak, default="nano", show_default=True)
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True,
              help="Of the engine.")
@json_options
@html_option
@common_options
def estimate_command(engines: Tuple[str, ...], variant: Optional[str], device: str, precision: str, as_json: bool,
                     json_file: Optional[str], html_file: Optional[str]) -> None:
    """Estimate a latency from the graph; nothing is measured.

    ENGINE is an exported ONNX file. The estimate is a lower bound by the device's peak rates, and, where
    latencies were published for it, an expected figure with its error on published points that it was not fitted to.
    """
    if (variant is None) == (not engines):
        raise UsageError("estimate needs either ENGINE or --variant", "edgenext-bench estimate --variant s")
    check_outputs([("--json-file", json_file), ("--html", html_file)], engines)
    from edgenext_deploy.artifacts import json_records
    from edgenext_deploy.benchmarks.estimate.estimate_text import print_estimate
    from edgenext_deploy.benchmarks.estimate.estimates import estimate_file, estimate_variant
    from edgenext_deploy.benchmarks.report.html.pages import estimate_page

    if variant is not None:
        found = estimate_variant(variant, device, precision)
    else:
        found = estimate_file(only_engine(engines, "estimate"), device, precision)
    hand_over(lambda: json_records.dump(found), as_json, json_file, lambda: print_estimate(found, sys.stdout),
              [("--html", html_file, lambda: estimate_page(found))])
