"""``edgenext-bench routes``: the toolkit's export compared with the plain one."""
from typing import Callable, Sequence, Tuple

import click

from edgenext_deploy.benchmarks.commands.outputs import say
from edgenext_deploy.benchmarks.commands.report_outputs import ReportOutputs, report_options
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.measuring_options import warmup_option
from edgenext_deploy.commands.options import Command, examples
from edgenext_deploy.commands.progress import show_progress
from edgenext_deploy.commands.runtime_options import RuntimeName
from edgenext_deploy.runtime.options import AUTO


@click.command("routes", cls=Command, epilog=examples(
    "edgenext-bench routes",
    "edgenext-bench routes --formulation tokens-attribute-instance --opset 13 --opset 17 --opset 20 --limit",
    "edgenext-bench routes --variant s --formulation nchw-attribute-onepass-scores --runtime openvino"))
@click.option("--variant", "variants", multiple=True, default=("xxs", "s"), show_default=True,
              help="Variant to compare. Repeat the option for several.")
@click.option("--rounds", type=click.IntRange(min=1), default=60, show_default=True,
              help="Number of rounds in which the two files are interleaved.")
@warmup_option
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="CPU threads of one inference.")
@click.option("--runtime", type=RuntimeName(), default=AUTO, help="Runtime of all files.  [default: onnxruntime]")
@click.option("--formulation", "formulations", multiple=True, metavar="NAME",
              help="Form in which edgenext-export writes the network. Repeat the option for several; ratios refer to "
                   "the first.  [default: that of the target onnxruntime]")
@click.option("--opset", "opsets", multiple=True, type=click.IntRange(min=1), metavar="N",
              help="Opset of the plain file. Repeat the option for several.  [default: the exporter's]")
@click.option("--limit", is_flag=True,
              help="Also say how long the multiply-adds alone take at the peak that is measured here, in ONNX Runtime.")
@report_options
@common_options
def routes_command(variants: Tuple[str, ...], rounds: int, warmup_s: float, threads: int, runtime: str,
                   formulations: Tuple[str, ...], opsets: Tuple[int, ...], limit: bool,
                   outputs_for: Callable[[Sequence[str]], ReportOutputs]) -> None:
    """Compare edgenext-export with the plain route, on ONNX Runtime or another runtime.

    The plain route is the reference module through torch.onnx.export and onnx-simplifier. All files of a variant are
    measured in one interleaved run. Needs the libraries of the export.
    """
    outputs = outputs_for(())
    from edgenext_deploy.benchmarks.latency.interleave import Limits
    from edgenext_deploy.benchmarks.latency.plain_route import compare_routes

    with outputs.keeping_rows(), show_progress() as progress:
        report = compare_routes(variants, Limits(rounds=rounds, warmup_s=warmup_s), threads, say, progress,
                                formulations, opsets, limit, runtime)
    outputs.finish(report)
