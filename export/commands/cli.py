"""The command ``edgenext-export``.

Like every command module it also loads under Python 3.6, to say there what is missing; so no `X | None`.
"""
import shlex
from typing import Any, Dict, List, Optional

import click

from edgenext_deploy.commands.entry import INPUT, common_options, entry_point, require_libraries
from edgenext_deploy.commands.name_options import target_option
from edgenext_deploy.commands.options import examples, json_options, without_old_json, write_result
from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.commands.adopt import adopt_command
from edgenext_deploy.export.commands.formulations import formulations_command
from edgenext_deploy.export.commands.option_groups import graph_options, photo_options, place_options, precision_options
from edgenext_deploy.export.commands.serving import require_serving_options, serving_options, write_serving_files
from edgenext_deploy.export.commands.wanted_options import answer_file, answer_wanted
from edgenext_deploy.export.limits import CHOICES, WHOLE_NUMBERS
from edgenext_deploy.export.output_place import place_of, require_other_file
from edgenext_deploy.export.verdict.cli import check_command


class _Group(click.Group):
    """A group whose own options include `json_options`, and whose first word may be a variant."""

    def parse_args(self, context: click.Context, args: List[str]) -> List[str]:
        """Parse the arguments, in the spelling of earlier versions too."""
        # A subcommand reads its own.
        own = next((index for index, word in enumerate(args) if word in self.commands), len(args))
        answer_wanted(args[:own])
        words = without_old_json(args[:own])
        rest: List[str] = super().parse_args(
            context, (words if own < len(args) else self._with_variant(context, words)) + args[own:])
        return rest

    def format_usage(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both ways to call the group."""
        formatter.write_usage(context.command_path, "VARIANT [OPTIONS]")
        formatter.write_usage(context.command_path, "COMMAND [ARGS]...", prefix="       ")

    def _with_variant(self, context: click.Context, args: List[str]) -> List[str]:
        """Return the arguments with ``--variant`` before a variant's name that stands alone."""
        alone = self._alone(context, args)
        if not alone:
            return args
        if len(alone) > 1:
            raise UsageError("one variant at a time expected, found {}".format(" ".join(alone)),
                             "edgenext-export {}".format(shlex.quote(alone[0])))
        index = next(index for index, word in enumerate(args)
                     if word == alone[0] and not self._alone(context, args[:index] + args[index + 1:]))
        return ["--variant", alone[0], *args[:index], *args[index + 1:]]

    def _alone(self, context: click.Context, args: List[str]) -> List[str]:
        """Return the arguments that are neither options nor their values."""
        parser = self.make_parser(context)
        parser.allow_interspersed_args = True
        return list(parser.parse_args(args=list(args))[1])


@click.group(cls=_Group, invoke_without_command=True, context_settings={"max_content_width": 110}, epilog=examples(
    "edgenext-export xxs --fp16",
    "edgenext-export xxs --fp16 --race",
    "edgenext-export check model.onnx --target nano"))
@click.option("--variant", metavar="NAME", help="The same as the argument VARIANT: a network of edgenext-models.")
@target_option("Where the engine will run: {names}.", default="nano", show_default=True)
@click.option("--weights", type=INPUT, metavar="FILE",
              help="Checkpoint, official, timm or one's own, .pth or .safetensors. "
              " [default: those that ship with the variant, or random weights]")
@click.option("--state", metavar="NAME",
              help="Which set of parameters to take from a FILE with several, such as model or model_ema.")
@click.option("--pretrained", is_flag=True, help="Download the published weights (or take them from the cache).")
@click.option("--image-size", metavar="N|HxW", help="Input size in pixels.  [default: the variant's]")
@click.option("--batch", type=click.IntRange(*WHOLE_NUMBERS["batch"]), default=1, show_default=True,
              help="Images of one inference, fixed (there is no dynamic batch); edgenext-run and edgenext-eval fill up "
                   "the last one.")
@click.option("--num-classes", type=click.IntRange(*WHOLE_NUMBERS["num_classes"]),
              help="Number of classes.  [default: the checkpoint's, or the variant's]")
@graph_options
@photo_options
@click.option("--outputs", type=click.Choice(CHOICES["outputs"]),
              help="What a classifier's graph gives: logits; probabilities, with the --activation in the graph; or "
                   "features, the embedding in front of the classifier.  [default: logits]")
@click.option("--input", type=click.Choice(CHOICES["input"]), default="float", show_default=True,
              help="What the graph takes: prepared numbers [B,3,H,W]; or pixels as bytes, [B,3,H,W] or [B,H,W,3], "
                   "which it normalises itself.")
@click.option("--formulation", metavar="NAME",
              help="Form in which the network is written, such as nchw-scaled-scores; edgenext-export formulations "
                   "lists them.  [default: the target's]")
@click.option("--layout", type=click.Choice(CHOICES["layout"]),
              help="In place of --formulation, the target's with another layout: maps, or tokens.")
@click.option("--padding", type=click.Choice(CHOICES["padding"]),
              help="In place of --formulation, the target's with another padding of the 9x9 convolutions: by a Pad "
                   "node, or by themselves.")
@click.option("--race", is_flag=True,
              help="Write NAME.race, a bundle of several formulations; edgenext-build and edgenext-bench race find the "
                   "fastest.")
@click.option("--fold-normalization", is_flag=True,
              help="Fold mean and std into the first convolution: the engine takes pixels 0..255.")
@click.option("--seed", type=click.IntRange(*WHOLE_NUMBERS["seed"]), default=0, show_default=True,
              help="Seed of the random weights.")
@click.option("--nms", type=click.Choice(CHOICES["nms"]), default="host", show_default=True,
              help="Where overlapping boxes of a detector are suppressed; plugin also writes NAME.nms.onnx, which only "
                   "TensorRT runs.")
@precision_options
@serving_options
@place_options("the variant's")
@json_options
@common_options
def export_command(
    variant: Optional[str], race: bool, as_json: bool, json_file: Optional[str], deepstream: bool,
    serve: Optional[str], repository: Optional[str], max_batch: Optional[int], **options: Any
) -> None:
    """Export a variant to an ONNX file that was checked for the target.

    Writes NAME.onnx and its manifest NAME.json, which says how to feed the network and what was checked. The device
    needs both. NAME is the variant's, unless --name or --output FILE.onnx gives another. Without --weights or
    --pretrained the weights are random, good for timing only, unless some ship with the variant, as with icons.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    if variant is None:
        raise UsageError("no variant given", "edgenext-export xxs --fp16; edgenext-models lists them all")
    answer_file(variant)
    if race and (deepstream or serve):
        raise UsageError("--deepstream and --serve are for one graph, and --race writes several", "leave --race out")
    if options["nms"] == "plugin" and (deepstream or serve):
        raise UsageError("--deepstream and --serve are for the graph that gives all boxes, and --nms plugin has "
                         "another one built", "leave --nms out")
    require_serving_options(serve, repository, max_batch, options["batch"])
    require_other_file(json_file, *place_of(options["output"], options["name"], variant))
    require_libraries("exporting", ("torch", "onnx", "onnxsim", "onnxruntime", "safetensors"))
    if race:
        _export_race(variant, as_json, json_file, options)
        return
    from rich.console import Console

    from edgenext_deploy.commands.screen import make_console
    from edgenext_deploy.export.api import export_onnx
    from edgenext_deploy.export.device_build import build_if_here
    from edgenext_deploy.targets import get_target

    with Console(stderr=True).status("starting") as status:
        result = export_onnx(variant, progress=status.update, **options)
    # Only now: it imports torch, and export_onnx does that without the garbage collector.
    from edgenext_deploy.export.commands.report import as_data, print_report

    plan = build_if_here(result.engine_path, get_target(result.manifest.target))
    further = write_serving_files(result.onnx_path, deepstream, serve, repository, max_batch, options["force"])
    write_result(as_data(result, plan, further), as_json, json_file,
                 lambda: print_report(result, make_console(), plan, further))


def _export_race(variant: str, as_json: bool, json_file: Optional[str], options: Dict[str, Any]) -> None:
    from rich.console import Console

    from edgenext_deploy.export.api import export_race
    from edgenext_deploy.export.commands.race_report import race_lines

    with Console(stderr=True).status("starting") as status:
        written = export_race(variant, progress=status.update, **options)
    write_result(written.to_json(), as_json, json_file, lambda: click.echo("\n".join(race_lines(written))))


export_command.add_command(check_command)
export_command.add_command(adopt_command)
export_command.add_command(formulations_command)

main = entry_point(export_command)
if __name__ == "__main__":
    main()
