"""``push``, ``build`` and ``bench``: engines on a board."""
import functools
from typing import Any, Callable, Dict, List, Optional, Tuple

import click

from edgenext_deploy.commands.engine_argument import ENGINE
from edgenext_deploy.commands.entry import INPUT, common_options
from edgenext_deploy.commands.measuring_options import (
    budget_option,
    building_options,
    handed_on,
    measuring_options,
)
from edgenext_deploy.commands.name_options import device_option, target_option
from edgenext_deploy.commands.options import Command, examples, json_options
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.foreign_text import visible
from edgenext_deploy.remote.board_work import (
    OUTPUT,
    Wanted,
    bench_there,
    build_there,
    compare_reports,
    prepare_engine,
)
from edgenext_deploy.remote.commands.choice import current_choice, run_and_show
from edgenext_deploy.remote.pushing import bundle_of
from edgenext_deploy.remote.session import Session
from edgenext_deploy.remote.together import Outcome

Function = Callable[..., Any]
_BENCH_COLUMNS = {"runtime": "runtime", "p50": "p50", "report": "report"}
_output = click.option("--output", "-o", type=click.Path(), default=OUTPUT, show_default=True, metavar="DIR",
                       help="Folder here for what is fetched: report, sidecar, timing cache.")
_device = device_option("Refuse a board that is not one: {names}.  [default: that of boards.toml]")


def _wanted_options(function: Function) -> Function:
    """Add the engine, or the options of its export; the command gets ``wanted``."""
    @functools.wraps(function)
    def call(*arguments: Any, engine: Optional[str], variant: Optional[str], target: Optional[str], fp16: bool,
             weights: Optional[str], pretrained: bool, image_size: Optional[str], **options: Any) -> Any:
        words: List[str] = ["--fp16"] if fp16 else []
        words += ["--pretrained"] if pretrained else []
        for option, value in (("--weights", weights), ("--image-size", image_size)):
            words += [option, value] if value is not None else []
        if engine is not None and (variant is not None or words or target is not None):
            raise UsageError("{} is exported already".format(engine),
                             "leave out --variant, --fp16 and the other options of an export")
        if engine is None and variant is None:
            raise UsageError("no engine and no --variant is given", "edgenext-remote nano bench --variant xxs --fp16")
        return function(*arguments, wanted=Wanted(engine, variant, target, tuple(words)), **options)

    decorated: Function = call
    for option in reversed((
            click.argument("engine", required=False, type=ENGINE),
            click.option("--variant", metavar="NAME", help="Export this network of edgenext-models for the board."),
            target_option("Target of the export: {names}.  [default: the board's own]"),
            click.option("--fp16", is_flag=True, help="Export for an FP16 engine."),
            click.option("--weights", type=INPUT, metavar="FILE", help="Checkpoint for the export."),
            click.option("--pretrained", is_flag=True, help="Download the published weights for the export."),
            click.option("--image-size", metavar="N|HxW", help="Input size of the export, in pixels."))):
        decorated = option(decorated)
    return decorated


@click.command("push", cls=Command, epilog=examples(
    "edgenext-remote nano push xxs.onnx", "edgenext-remote --tag lab push xxs.onnx photo.jpg"))
@click.argument("files", nargs=-1, required=True, type=INPUT, metavar="FILE...")
@json_options
@common_options
def push_command(files: Tuple[str, ...], as_json: bool, json_file: Optional[str]) -> int:
    """Copy engines, photos or folders to the board, unless they are there; print where they lie.

    An engine takes its manifest along. A copy that was interrupted goes on where it was.
    """
    bundles = [bundle_of(path) for path in files]

    def work(session: Session) -> Dict[str, Any]:
        return {"there": [session.push(bundle) for bundle in bundles]}

    def show(outcomes: List[Outcome]) -> None:
        for outcome in outcomes:
            click.echo("\n".join("{}:{}".format(outcome.host, visible(path)) for path in outcome.result["there"]))

    return run_and_show(current_choice().boards(), work, current_choice().wait, as_json, json_file, show)


@click.command("build", cls=Command, epilog=examples(
    "edgenext-remote nano build xxs.onnx", "edgenext-remote nano build --variant xxs --fp16"))
@_wanted_options
@_device
@handed_on("build_words", building_options, budget_option)
@_output
@json_options
@common_options
def build_command(wanted: Wanted, device: Optional[str], output: str, as_json: bool,
                  json_file: Optional[str], build_words: Tuple[str, ...]) -> int:
    """Build a TensorRT plan on the board, prove its precision and test it there.

    The build goes on when the connection is lost, and the same command goes on with it. A plan that was built before
    is not built again.
    """
    def work(session: Session) -> Dict[str, Any]:
        session.require_ready()
        if not session.facts().has_tensorrt:
            raise MissingRuntimeError("{} cannot build plans: TensorRT, its GPU or pycuda is missing".format(
                session.board.name), "edgenext-remote {} doctor".format(session.board.name))
        _, built = build_there(session, prepare_engine(session, wanted), build_words, output)
        return dict(built._asdict())

    return run_and_show(current_choice().boards(device), work, current_choice().wait, as_json, json_file,
                        columns={"there": "plan there", "sidecar": "sidecar here"})


@click.command("bench", cls=Command, epilog=examples(
    "edgenext-remote nano bench --variant xxs --fp16", "edgenext-remote nano bench xxs.onnx --duration 10"))
@_wanted_options
@_device
@handed_on("words", measuring_options)
@handed_on("build_words", building_options)
@_output
@json_options
@common_options
def bench_command(wanted: Wanted, device: Optional[str], output: str, as_json: bool, json_file: Optional[str],
                  words: Tuple[str, ...], build_words: Tuple[str, ...]) -> int:
    """Measure a network on the board, the whole way from its name to a table of all boards.

    Sets the board up, exports for its own target, copies what is missing, builds and tests a plan where the board has
    TensorRT, measures it against the graph in ONNX Runtime, and fetches the report. Without TensorRT the graph itself
    is tested and measured. What was done before is skipped. With --runtime, no plan is built.
    """
    def work(session: Session) -> Dict[str, Any]:
        found = bench_there(session, wanted, words, build_words, output)
        return dict(found._asdict(), p50="{:.2f} ms".format(found.p50_ms),
                    built=None if found.built is None else dict(found.built._asdict()))

    def show(outcomes: List[Outcome]) -> None:
        click.echo(compare_reports([outcome.result["report"] for outcome in outcomes]), nl=False)

    return run_and_show(current_choice().boards(device), work, current_choice().wait, as_json, json_file, show,
                        _BENCH_COLUMNS)
