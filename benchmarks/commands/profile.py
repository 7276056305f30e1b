"""``edgenext-bench profile``: where the time of an inference goes."""
import sys
from typing import Dict, Optional, Tuple

import click

from edgenext_deploy.benchmarks.commands.options import engine_arguments, only_engine, shape_option
from edgenext_deploy.benchmarks.commands.outputs import PlotFile, hand_over
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.options import Command, check_outputs, examples, json_options
from edgenext_deploy.commands.runtime_options import runtime_options, say_what_is_unused
from edgenext_deploy.runtime.options import RuntimeOptions


@click.command("profile", cls=Command, epilog=examples(
    "edgenext-bench profile s.onnx --threads 1",
    "edgenext-bench profile s.plan --json-file s_profile.json --plot s_profile.svg"))
@engine_arguments()
@shape_option
@click.option("--runs", type=click.IntRange(min=1), default=20, show_default=True,
              help="Number of inferences to take the median of.")
@runtime_options(without=("preprocess_on",))
@json_options
@click.option("--plot", "plot_file", type=PlotFile(), metavar="FILE.svg", help="Draw the profile as horizontal bars.")
@common_options
def profile_command(engines: Tuple[str, ...], shapes: Dict[str, Tuple[int, ...]], runs: int, runtime: RuntimeOptions,
                    as_json: bool, json_file: Optional[str], plot_file: Optional[str]) -> None:
    """Time every layer of an engine, and sum them by kind, stage and block.

    ENGINE is a plan or an ONNX file. ONNX Runtime's profiler or TensorRT's does the timing; it slows the inference,
    so take latencies from edgenext-bench ENGINE.
    """
    engine = only_engine(engines, "profile")
    say_what_is_unused(runtime, [engine])
    check_outputs([("--json-file", json_file), ("--plot", plot_file)], engines)
    from edgenext_deploy.artifacts import json_records
    from edgenext_deploy.benchmarks.charts.plots import profile_plot
    from edgenext_deploy.benchmarks.profile.layer_times import profile_engine
    from edgenext_deploy.benchmarks.profile.profile_text import print_profile

    profile = profile_engine(engine, runs, runtime, shapes)
    hand_over(lambda: json_records.dump(profile), as_json, json_file, lambda: print_profile(profile, sys.stdout),
              [("--plot", plot_file, lambda: profile_plot(profile))])
