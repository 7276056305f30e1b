"""``edgenext-build``: a TensorRT plan from an exported ONNX file, on the machine that will run it."""
import shlex
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import click

from edgenext_deploy.commands.entry import INPUT, common_options, entry_point
from edgenext_deploy.commands.measuring_options import budget_option, building_options
from edgenext_deploy.commands.name_options import target_option
from edgenext_deploy.commands.options import Command, examples, json_options, write_result
from edgenext_deploy.engines.inspect_command import inspect_command
from edgenext_deploy.engines.selftest.command import test_command
from edgenext_deploy.errors import UsageError
from edgenext_deploy.targets import targets_with_plans

if TYPE_CHECKING:
    from edgenext_deploy.engines.onnx_to_plan import BuiltPlan

_LISTED_LAYERS = 5


class _NamelessContext(click.Context):
    """The context of the nameless command, without the space that click puts in front of its name."""

    @property
    def command_path(self) -> str:
        return super().command_path.rstrip()


class _Nameless(Command):
    context_class = _NamelessContext


class _ModelOrCommand(click.Group):
    """A group whose first word is a command's name, or else belongs to the nameless command that builds."""

    def __init__(self, build: click.Command, **options: Any) -> None:
        super().__init__(**options)
        self._build = build

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        words = [word for word in args if word != "--debug"]
        if words[:1] in (["--help"], ["--version"]) or (words and words[0] in self.commands):
            # run_command has looked for --debug already; the commands take it too.
            return super().parse_args(ctx, words)
        return super().parse_args(ctx, ["", *args])

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        return self._build if cmd_name == "" else super().get_command(ctx, cmd_name)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "MODEL.onnx|BUNDLE.race [OPTIONS]")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self._build.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.command("", cls=_Nameless, help="Build MODEL.onnx, or race the graphs of BUNDLE.race.")
@click.argument("onnx", metavar="MODEL.onnx|BUNDLE.race", type=INPUT)
@click.option("--output", "-o", type=click.Path(), metavar="F.plan",
              help="Path of the plan.  [default: next to the model]")
@target_option("Where the plan will run: {names}.  [default: the manifest's]", targets_with_plans)
@click.option("--fp16", is_flag=True, help="Build in FP16, or fail.  [default: as exported]")
@building_options
@click.option("--timing-cache", type=click.Path(), metavar="F",
              help="File of measured kernel times.  [default: one per TensorRT and GPU in the user's cache]")
@budget_option
@click.option("--force", is_flag=True, help="Replace a plan that is another build.")
@json_options
@common_options
def build_command(onnx: str, fp16: bool, fp32: bool, as_json: bool, json_file: Optional[str], **options: Any) -> None:
    """Build one plan; see the group's help. What is left in `options` goes to `build_plan` as it is."""
    from edgenext_deploy.engines.onnx_to_plan import build_plan

    if fp16 and fp32:
        raise UsageError("--fp16 and --fp32 exclude each other", "leave one of the two out")
    made = build_plan(onnx, precision="fp16" if fp16 else "fp32" if fp32 else None,
                      progress=lambda text: click.echo(text, err=True), **options)
    for warning in made.warnings:
        click.echo("warning: " + warning, err=True)
    write_result(made.to_json(), as_json, json_file, lambda: _show(made))


def _show(made: "BuiltPlan") -> None:
    from edgenext_deploy.engines.racing.table_text import table_lines

    if made.race is not None:
        click.echo("\n".join([*table_lines(made.race), ""]))
    click.echo("\n".join("{:<13} {}".format(title, text) for title, text in _screen(made).items()))


def _screen(made: "BuiltPlan") -> Dict[str, str]:
    from edgenext_deploy.artifacts.plan_header import RUNTIME_NAMES
    from edgenext_deploy.engines.selftest.engine_test import describe

    report, record = made.report, made.record
    cache = {"none": "none", "new": "begun", "extended": "extended", "reused": "hit"}[report.timing_cache_use]
    if report.timing_cache is not None:
        cache += ", " + report.timing_cache
    return {
        "built with": "{} {} for compute capability {}, mode {}".format(
            RUNTIME_NAMES[report.runtime], report.version,
            " ".join(record.compute_capabilities), report.mode),
        "precision": _precision_line(made),
        "proof": "{}: {} layers, {} reformats".format(
            report.proof.source, report.proof.layers, report.proof.reformats),
        "self-test": "not run: " + made.untested if made.self_test is None else describe(made.self_test),
        "time": "{:.1f} s".format(report.build_s),
        "workspace": "{} MiB".format(report.workspace_bytes >> 20),
        "timing cache": cache,
        "plan": "{}, {:.1f} MB".format(made.path, report.plan_bytes / 1e6),
        "sidecar": made.sidecar,
        "next": "edgenext-build inspect {}".format(shlex.quote(made.path)),
    }


def _precision_line(made: "BuiltPlan") -> str:
    proof = made.report.proof
    text = "FP16 in {:.0%} of layers ({} FP16, {} mixed, {} FP32)".format(
        proof.fp16_layer_share, proof.fp16_layers, proof.mixed_layers, proof.fp32_layers)
    if proof.fp16_compute_share is not None:
        text += ", in {:.0%} of {}".format(proof.fp16_compute_share, proof.compute_basis)
    else:
        text += "; " + proof.compute_basis
    if made.report.precision == "fp16" and proof.fp32:
        chosen = [layer.name for layer in proof.fp32 if not layer.pinned]
        text += "; FP32: {} pinned".format(len(proof.fp32) - len(chosen))
        if chosen:
            text += ", {} by TensorRT's choice: {}{}".format(
                len(chosen), ", ".join(chosen[:_LISTED_LAYERS]), ", …" if len(chosen) > _LISTED_LAYERS else "")
    return text


@click.group("edgenext-build", cls=_ModelOrCommand, build=build_command,
             commands={"inspect": inspect_command, "test": test_command}, epilog=examples(
                 "edgenext-build xxs.onnx", "edgenext-build xxs.race --budget 60",
                 "edgenext-build inspect xxs.plan"))
@common_options
def command() -> None:
    """Build a TensorRT plan from MODEL.onnx for the GPU of this machine.

    A plan is the network as TensorRT compiled it for one GPU. MODEL.json, the manifest that edgenext-export wrote,
    must lie next to MODEL.onnx. The plan F.plan gets a sidecar F.plan.json, which says what it was built from, with
    which TensorRT, and in which precision; the engine's own layers prove that. Needs neither torch nor onnx.

    BUNDLE.race holds several graphs that compute the same (edgenext-export --race). Each is built and tested, all are
    measured in turns, and the fastest plan is kept. The same command goes on with a race that was interrupted.
    """


main = entry_point(command)

if __name__ == "__main__":
    main()
