"""``edgenext-bench repeat``: whether two runs of the same engines agree."""
import sys
from typing import TYPE_CHECKING, Optional, TextIO

import click

from edgenext_deploy.benchmarks.commands.outputs import hand_over
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.options import Command, FiniteRange, check_outputs, examples, json_options
from edgenext_deploy.errors import VerificationError

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.compare.repeat import Repetition

# Pairs that are printed; the JSON has them all.
_SHOWN = 5


@click.command("repeat", cls=Command, epilog=examples(
    "edgenext-bench repeat first.json second.json",
    "edgenext-bench repeat first.json second.json --within 5"))
@click.argument("first", metavar="FIRST.json")
@click.argument("second", metavar="SECOND.json")
@click.option("--within", "within_percent", type=FiniteRange(min=0.0), default=10.0, show_default=True,
              help="Percent by which the ratio of two engines may change.")
@json_options
@common_options
def repeat_command(first: str, second: str, within_percent: float, as_json: bool,
                   json_file: Optional[str]) -> None:
    """Check that a second run agrees with the first.

    Both are reports of the same engines, interleaved. The milliseconds may differ; the ratio of two engines may
    change by at most --within, or the exit code is 5.
    """
    check_outputs([("--json-file", json_file)], (first, second))
    from edgenext_deploy.artifacts import json_records
    from edgenext_deploy.benchmarks import latency_report
    from edgenext_deploy.benchmarks.compare.repeat import repetition

    found = repetition(latency_report.read(first), latency_report.read(second))
    beyond = found.beyond(within_percent / 100.0)
    document = {"kind": "repetition", "schema": 1, "within": within_percent / 100.0, "agree": not beyond,
                **found._asdict()}
    hand_over(lambda: json_records.dump(document), as_json, json_file, lambda: _print(found, sys.stdout))
    if beyond:
        raise VerificationError(
            "{} of {} ratios of engines changed by more than {:g} %, {} to {} by {:.1f} %".format(
                len(beyond), len(found.pairs), within_percent, beyond[0].name, beyond[0].other,
                100.0 * beyond[0].change),
            "stop other load, lock the clocks, measure longer (--duration), and run both again")


def _print(found: "Repetition", stream: TextIO) -> None:
    from edgenext_deploy.benchmarks.report.printing import Table, console_for, milliseconds, print_line, print_table

    console = console_for(stream)
    print_table(console, Table("p50, ms per inference", ("engine", "first run", "second run", "change"), [
        (engine.name, milliseconds(engine.first_ms), milliseconds(engine.second_ms),
         "{:+.1f} %".format(100.0 * (engine.second_ms / engine.first_ms - 1.0))) for engine in found.engines]))
    by = "" if all(pair.paired for pair in found.pairs) else ", by the p50s of whole runs"
    print_table(console, Table(
        "The ratios that changed most, of {}{}".format(len(found.pairs), by),
        ("engine", "to", "first run", "second run", "change"), [
        (pair.name, pair.other, "{:.3f} ×".format(pair.first), "{:.3f} ×".format(pair.second),
         "{:.1f} %".format(100.0 * pair.change)) for pair in found.pairs[:_SHOWN]], (0, 1)))
    for item in found.left_out:
        print_line(console, "not compared: {}: {}".format(item.name, item.reason))
