"""``edgenext-bench photos``: how many photos a second edgenext-run and edgenext-eval answer."""
import json
import sys
from typing import TYPE_CHECKING, Any, Dict, Optional, TextIO

import click

from edgenext_deploy.benchmarks.commands.outputs import hand_over
from edgenext_deploy.commands.engine_argument import ENGINE
from edgenext_deploy.commands.entry import INPUT, common_options
from edgenext_deploy.commands.options import Command, check_outputs, examples, json_options
from edgenext_deploy.commands.progress import show_progress
from edgenext_deploy.commands.runtime_options import runtime_options, say_what_is_unused
from edgenext_deploy.runtime.options import RuntimeOptions, for_many_photos

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.latency.photo_rates import PhotoRates


@click.command("photos", cls=Command, epilog=examples(
    "edgenext-bench photos xxs.onnx photos/",
    "edgenext-bench photos xxs.plan photos/ --rounds 10 --json-file rates.json"))
@click.argument("engine", type=ENGINE)
@click.argument("folder", type=INPUT)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True,
              help="Number of times that each way runs over all photos.")
@click.option("--readers", type=click.IntRange(min=1), metavar="N",
              help="Number of threads that read photos.  [default: the processor's]")
@click.option("--fast-decode", is_flag=True, help="As edgenext-run --fast-decode.")
@runtime_options(without=("preprocess_on",))
@json_options
@common_options
def photos_command(engine: str, folder: str, rounds: int, readers: Optional[int], fast_decode: bool,
                   runtime: RuntimeOptions, as_json: bool, json_file: Optional[str]) -> None:
    """Measure how many photos a second an engine answers.

    Reading overlaps with inference in edgenext-run and edgenext-eval. This measures what that gains: the photos of
    FOLDER one stage after the other, pipelined, only read and prepared, and only inferred, interleaved.
    """
    say_what_is_unused(runtime, [engine])
    check_outputs([("--json-file", json_file)], [engine])
    from edgenext_deploy.benchmarks.latency.photo_rates import photo_rates
    from edgenext_deploy.networks.open import open_network
    from edgenext_deploy.preprocess.photo_files import photos_in

    with open_network(engine, runtime=for_many_photos(runtime)) as network, open_network(
            engine, runtime=runtime) as alone, show_progress() as show:
        rates = photo_rates(network, alone, photos_in(folder), rounds=rounds, threads=readers, fast_decode=fast_decode,
                            progress=show)
    hand_over(lambda: (json.dumps(_document(engine, rates), indent=2) + "\n").encode("ascii"), as_json, json_file,
              lambda: _print(rates, sys.stdout))


def _document(engine: str, rates: "PhotoRates") -> Dict[str, Any]:
    slowest = rates.slowest()
    return dict(rates._asdict(), engine=engine, slowest=slowest,
                medians={way: rates.median(way) for way in rates.rates},
                against_in_turns=rates.ratios("in_turns"), against_slowest=rates.ratios(slowest))


def _print(rates: "PhotoRates", stream: TextIO) -> None:
    from edgenext_deploy.benchmarks.latency.photo_rates import TITLES
    from edgenext_deploy.benchmarks.report.printing import Table, console_for, print_line, print_table

    console = console_for(stream)
    print_line(console, "{} photos in each of {} rounds, {} threads read, {} {}".format(
        rates.photos, rates.rounds, rates.threads, rates.session["runtime"], rates.session["version"]))
    print_table(console, Table("Photos a second", ["way", "median", "95 %"], [
        [TITLES[way], "{:.1f}".format(rates.median(way)), _interval(values, "{:.1f}")]
        for way, values in rates.rates.items()]))
    for other, what in (("in_turns", "one stage after the other"), (rates.slowest(), "the slowest stage alone")):
        print_line(console, "pipelined: {:.2f} times {} (95 %: {})".format(
            rates.ratio(other), what, _interval(rates.ratios(other), "{:.2f}")))


def _interval(values: Any, form: str) -> str:
    from edgenext_deploy.benchmarks.latency.photo_rates import interval_of

    found = interval_of(values)
    return "–" if found is None else "{} – {}".format(form.format(found.low), form.format(found.high))
