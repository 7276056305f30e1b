"""``edgenext-bench profile``: where the time of an inference goes."""
import sys
from typing import Callable, Dict, Optional

import click

from edgenext_deploy.commands.entry import common_options


@click.command("profile")
@click.option("--engine", required=True, metavar="FILE", help="Engine file to profile.")
@click.option("--runs", type=click.IntRange(min=1), default=20, show_default=True,
              help="Inferences to take the median of.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of ONNX Runtime.  [default: its choice]")
@click.option("--trust", is_flag=True, help="Accept plans without a sidecar; they can run code.")
@click.option("--json", "json_file", metavar="[FILE]", is_flag=False, flag_value="-", type=str,
              help="Write the profile as JSON to FILE as well; without FILE (or with -) to standard output, in "
                   "place of the tables.")
@click.option("--plot", "plot_file", metavar="FILE", help="Draw the profile as horizontal bars, in "
              "an .svg file or, with matplotlib, a .png file.")
@common_options
def profile_command(engine: str, runs: int, threads: Optional[int], trust: bool, json_file: Optional[str],
                    plot_file: Optional[str]) -> None:
    """Time every layer of an engine, and sum them by kind, stage and block.

    ONNX Runtime's profiler or TensorRT's does the timing; it slows the inference, so take latencies from
    edgenext-bench --engine.
    """
    from edgenext_deploy.artifacts import json_records
    from edgenext_deploy.benchmarks.charts.plot_files import profile_plot
    from edgenext_deploy.benchmarks.commands.written import write_or_print
    from edgenext_deploy.benchmarks.profile.layer_times import profile_engine
    from edgenext_deploy.benchmarks.profile.profile_text import print_profile

    profile = profile_engine(engine, runs, threads, trust)
    others: Dict[str, Callable[[], bytes]] = {}
    if plot_file is not None:
        from edgenext_deploy.benchmarks.charts.plot_files import profile_plot

        others[plot_file] = lambda: profile_plot(profile, str(plot_file))
    write_or_print(json_records.dump(profile), json_file, lambda: print_profile(profile, sys.stdout), others)
