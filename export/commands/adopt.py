"""``edgenext-export adopt FILE.onnx``: a network from anywhere becomes an export like ours. Loads under Python 3.6."""
from typing import Any, Optional

import click

from edgenext_deploy.commands.entry import INPUT, common_options, require_libraries
from edgenext_deploy.commands.name_options import target_option
from edgenext_deploy.commands.options import Command, examples, json_options, write_result
from edgenext_deploy.export.commands.option_groups import graph_options, photo_options, place_options, precision_options
from edgenext_deploy.export.commands.serving import require_serving_options, serving_options, write_serving_files
from edgenext_deploy.export.limits import BOX_FORMATS, BOX_UNITS, TASKS
from edgenext_deploy.export.output_place import adopted_name, place_of, require_other_file
from edgenext_deploy.targets import get_target


@click.command("adopt", cls=Command, context_settings={"max_content_width": 110},
               short_help="Export a network of anybody's from an ONNX file.", epilog=examples(
                   "edgenext-export adopt mobilenet.onnx --fp16",
                   "edgenext-export adopt lite0.onnx --mean 0.498,0.498,0.498 --std 0.502,0.502,0.502 --drift --fp16",
                   "edgenext-export adopt seg.onnx --task segmentation"))
@click.argument("model", metavar="FILE.onnx", type=INPUT)
@click.option("--task", type=click.Choice(TASKS), default=TASKS[0], show_default=True, help="What the network does.")
@target_option("Where the engine will run: {names}.", default="nano", show_default=True)
@click.option("--input", metavar="[NAME=]1x3xHxW", help="Sizes of the image that the file leaves open.")
@click.option("--image-size", metavar="N|HxW", help="In place of --input: height and width alone.")
@click.option("--logits", metavar="NAME", help="The output to take, where the file has several.")
@click.option("--boxes", metavar="NAME", help="A detector's output with boxes [B,N,4].")
@click.option("--scores", metavar="NAME", help="A detector's output with probabilities [B,N,classes].")
@click.option("--box-format", type=click.Choice(BOX_FORMATS), default=BOX_FORMATS[0], show_default=True,
              help="Left, top, right, bottom; or centre, width and height.")
@click.option("--box-unit", type=click.Choice(BOX_UNITS), default=BOX_UNITS[0], show_default=True,
              help="Parts of the input's sides, 0..1; or pixels of the input.")
@click.option("--background", is_flag=True, help="A detector's first class is the background.")
@graph_options
@photo_options
@precision_options
@serving_options
@place_options("the file's, with the target's behind it")
@json_options
@common_options
def adopt_command(
    model: str, as_json: bool, json_file: Optional[str], deepstream: bool, serve: Optional[str],
    repository: Optional[str], max_batch: Optional[int], **options: Any
) -> None:
    """Export a network of anybody's from FILE.onnx: a graph that was checked for the target, and its manifest.

    The file stays as it is. Its graph is simplified with fixed shapes and written for the target's opset; what FP16
    cannot hold stays in FP32; and every step is compared with the file itself in ONNX Runtime. Then edgenext-run,
    edgenext-bench, edgenext-build and the others take it like a network of ours.
    """
    require_serving_options(serve, repository, max_batch)
    require_other_file(json_file, *place_of(
        options["output"], options["name"], adopted_name(model, get_target(options["target"]).name)))
    require_libraries("adopting a network", ("torch", "onnx", "onnxsim", "onnxruntime"))
    from rich.console import Console

    from edgenext_deploy.commands.screen import make_console
    from edgenext_deploy.export.adoption.api import adopt
    from edgenext_deploy.export.device_build import build_if_here

    with Console(stderr=True).status("starting") as status:
        result = adopt(model, progress=status.update, **options)
    from edgenext_deploy.export.commands.report import as_data, print_report

    plan = build_if_here(result.engine_path, get_target(result.manifest.target))
    further = write_serving_files(result.onnx_path, deepstream, serve, repository, max_batch, options["force"])
    write_result(as_data(result, plan, further), as_json, json_file,
                 lambda: print_report(result, make_console(), plan, further))
