"""``edgenext-bench ENGINE...``: how fast engines are on this machine."""
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Tuple

import click

from edgenext_deploy.benchmarks.commands.options import engine_arguments, require_no_command, shape_option
from edgenext_deploy.benchmarks.commands.outputs import say
from edgenext_deploy.benchmarks.commands.report_outputs import ReportOutputs, report_options
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.measuring_options import measuring_options
from edgenext_deploy.commands.name_options import device_option
from edgenext_deploy.commands.options import Command, examples
from edgenext_deploy.commands.progress import show_progress
from edgenext_deploy.commands.runtime_options import say_what_is_unused
from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.remote.commands.on_option import on_option
from edgenext_deploy.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.profile.layer_times import Profile


@click.command("measure", cls=Command, epilog=examples(
    "edgenext-bench xxs.onnx",
    "edgenext-bench xxs.plan --reference xxs.onnx --device nano --json-file nano.json",
    "edgenext-bench s.onnx xs.onnx xxs.onnx --threads 1 --html run.html"))
@engine_arguments()
@device_option("Device the figures are for: {names}. The run is refused elsewhere.  [default: the one found]")
@shape_option
@measuring_options
@click.option("--profile", "with_profiles", is_flag=True, help="Afterwards time the layers of each engine too, for the "
              "terminal and the page of --html; see the command profile.")
@report_options
@on_option("edgenext-bench")
@common_options
@click.pass_context
def latency_command(context: click.Context, engines: Tuple[str, ...], reference: Optional[str], device: Optional[str],
                    allow_mismatch: bool, shapes: Dict[str, Tuple[int, ...]], duration_s: float, warmup_s: float,
                    iterations: Optional[int], transfers: bool, runtime: RuntimeOptions, samples: bool,
                    with_profiles: bool, outputs_for: Callable[[Sequence[str]], ReportOutputs]) -> None:
    """Measure the latency of engines, one inference after another, as the caller waits for it.

    ENGINE is a plan, an ONNX file, or torch:VARIANT for the reference module in PyTorch. Several engines are
    interleaved, so that drift of the machine hits all of them, and each is compared with the first. An ONNX file
    from anywhere is measured too, with made-up values in each of its inputs.
    docs/benchmarks.md says what each number means.
    """
    require_no_command(engines, context)
    paths = [path for path in (*engines, reference) if path is not None]
    outputs = outputs_for(paths)
    say_what_is_unused(runtime, paths)
    from edgenext_deploy.benchmarks.latency.engines import is_same_engine
    from edgenext_deploy.benchmarks.latency.interleave import Limits
    from edgenext_deploy.benchmarks.latency.run import Request, benchmark

    for path in engines:
        if is_same_engine(path, reference):
            say("{} is the reference itself: it is measured once, and not checked".format(path))
    request = Request(
        engines, reference, device, allow_mismatch, exclude_transfers=not transfers,
        runtime=runtime, limits=Limits(duration_s=duration_s, warmup_s=warmup_s, iterations=iterations),
        keep_samples=samples, shapes=shapes)
    with outputs.keeping_rows(), show_progress() as progress:
        report = benchmark(request, progress)
    outputs.finish(report, lambda: _profiles(paths, runtime, shapes) if with_profiles else ())


def _profiles(paths: Sequence[str], runtime: RuntimeOptions, shapes: Dict[str, Tuple[int, ...]]) -> "List[Profile]":
    """Profile each engine file once; a failure is printed, and the latencies are kept."""
    from edgenext_deploy.benchmarks.latency.devices import TORCH
    from edgenext_deploy.benchmarks.profile.layer_times import profile_engine

    found = []
    for path in dict.fromkeys(paths):
        if path.startswith(TORCH):
            say("{} has no profile: only engine files have".format(path))
            continue
        say("profiling {}".format(path))
        try:
            found.append(profile_engine(path, runtime=runtime, shapes=shapes, all_shapes_used=False))
        except EdgeNextError as error:
            say("no profile of {}: {}".format(path, error.message))
    return found
