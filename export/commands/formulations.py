"""``edgenext-export formulations``: the forms in which a network can be written. Loads under Python 3.6 too."""
from typing import Any, Optional, Tuple

import click

from edgenext_deploy.commands.entry import INPUT, common_options, require_libraries
from edgenext_deploy.commands.name_options import target_option
from edgenext_deploy.commands.options import Command, FiniteRange, examples, json_options, write_result
from edgenext_deploy.export.limits import FORMULATION_TOLERANCE, FRACTIONS, WHOLE_NUMBERS


@click.command(
    "formulations", cls=Command, context_settings={"max_content_width": 110},
    short_help="List the forms in which a network can be written.", epilog=examples(
        "edgenext-export formulations --variant xxs",
        "edgenext-export formulations --variant s --target orin --json",
        "edgenext-export formulations --variant xxs --image-size 64 --formulation nchw --formulation nchw-scaled"))
@click.option("--variant", metavar="NAME", required=True, help="A network of edgenext-models.")
@target_option("Where the engine will run: {names}.", default="nano", show_default=True)
@click.option("--formulation", "names", metavar="NAME", multiple=True,
              help="A formulation to list. May be given more than once.  [default: those worth comparing there]")
@click.option("--fp16/--fp32", default=None, help="Precision of the engine.  [default: FP16 where the target has it]")
@click.option("--weights", type=INPUT, metavar="FILE", help="Checkpoint.  [default: as in an export]")
@click.option("--state", metavar="NAME", help="Which set of parameters to take from a FILE with several.")
@click.option("--pretrained", is_flag=True, help="Download the published weights (or take them from the cache).")
@click.option("--image-size", metavar="N|HxW", help="Input size in pixels.  [default: the variant's]")
@click.option("--batch", type=click.IntRange(*WHOLE_NUMBERS["batch"]), default=1, show_default=True,
              help="Images of one inference.")
@click.option("--seed", type=click.IntRange(*WHOLE_NUMBERS["seed"]), default=0, show_default=True,
              help="Seed of the random weights.")
@click.option("--samples", type=INPUT, metavar="DIR", help="Folder with photos for the drift.  [default: bundled ones]")
@click.option("--tolerance", type=FiniteRange(*FRACTIONS["tolerance"]), default=FORMULATION_TOLERANCE,
              show_default=True,
              help="Error of the largest value of an output from which a formulation is out in FP16.")
@json_options
@common_options
def formulations_command(
    variant: str, names: Tuple[str, ...], as_json: bool, json_file: Optional[str], **options: Any
) -> None:
    """List the formulations of a network: what each costs, and which the target may run.

    All of them compute the same. Nothing is written and nothing measured: kernels and bytes are counted in the graph,
    the error of FP16 is emulated, and TensorRT-RTX is asked where it is installed. This takes seconds for each.
    """
    require_libraries("writing a network", ("torch", "onnx", "onnxsim", "onnxruntime", "safetensors"))
    from rich.console import Console

    from edgenext_deploy.commands.screen import make_console
    from edgenext_deploy.export.survey.api import list_formulations
    from edgenext_deploy.export.survey.survey_text import print_formulations

    with Console(stderr=True).status("starting") as status:
        report = list_formulations(variant, names=names or None, progress=status.update, **options)
    write_result(report.to_json(), as_json, json_file, lambda: print_formulations(report, make_console()))
