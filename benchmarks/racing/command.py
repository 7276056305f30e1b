"""``edgenext-bench race BUNDLE``: the fastest graph, runtime and options on this processor."""
from typing import Optional, Tuple

import click

from edgenext_deploy.commands.entry import INPUT, common_options
from edgenext_deploy.commands.measuring_options import budget_option
from edgenext_deploy.commands.options import Command, examples, json_options, write_result
from edgenext_deploy.runtime.options import OPTIMIZATIONS


@click.command("race", cls=Command, short_help="Find the fastest graph of a bundle, on this processor.",
               epilog=examples("edgenext-bench race xxs.race", "edgenext-bench race xxs.race --budget 5 --threads 4",
                               "edgenext-bench race xxs.race --runtime openvino -o fast.onnx"))
@click.argument("bundle", type=INPUT, metavar="BUNDLE.race")
@click.option("--output", "-o", type=click.Path(), metavar="F.onnx",
              help="Path of the fastest graph.  [default: next to the bundle]")
@click.option("--runtime", "runtimes", multiple=True, metavar="NAME",
              help="Runtime to try; repeat the option for several.  [default: all that are installed]")
@click.option("--threads", multiple=True, type=click.IntRange(min=1), metavar="N",
              help="Number of threads to try; repeat the option for several.  [default: all, and half of them]")
@click.option("--optimization", "optimizations", multiple=True, type=click.Choice(OPTIMIZATIONS),
              help="Level of ONNX Runtime to try; repeat the option for several.  [default: all and extended]")
@budget_option
@click.option("--force", is_flag=True, help="Replace a file that is none of the bundle's graphs.")
@json_options
@common_options
def race_command(bundle: str, output: Optional[str], runtimes: Tuple[str, ...], threads: Tuple[int, ...],
                 optimizations: Tuple[str, ...], budget_min: Optional[float], force: bool, as_json: bool,
                 json_file: Optional[str]) -> None:
    """Race the graphs of BUNDLE.race on this processor, and write the fastest with its manifest.

    Every graph is checked with its golden input and measured in turns with the others: in ONNX Runtime, and in
    OpenVINO where it is installed. The slower half drops out after each heat. The table says why each lost; it also
    lies next to the graph. The same command goes on with a race that was interrupted. On a board with TensorRT it is
    edgenext-build BUNDLE.race.
    """
    from edgenext_deploy.benchmarks.racing.processors import race
    from edgenext_deploy.engines.racing.table_text import table_lines

    found = race(bundle, output, runtimes=runtimes, threads=threads, optimizations=optimizations,
                 budget_min=budget_min, force=force, progress=lambda text: click.echo(text, err=True))
    write_result(found.to_json(), as_json, json_file, lambda: click.echo("\n".join([
        *table_lines(found.table), "use   {}".format(found.arguments), "table {}".format(found.table_path),
        "next: edgenext-run {} PHOTO.jpg".format(found.arguments)])))
