"""``edgenext-bench``: how fast engines are on this machine."""
import contextlib
import sys
from typing import TYPE_CHECKING, Callable, Iterator, List, Optional, Sequence, Tuple

import click
from click.core import ParameterSource

from edgenext_deploy.benchmarks.commands.compare import compare_command
from edgenext_deploy.benchmarks.commands.estimate import estimate_command
from edgenext_deploy.benchmarks.commands.outputs import (
    STDOUT,
    chosen_outputs,
    output_options,
    require_outputs,
    write_outputs,
)
from edgenext_deploy.benchmarks.commands.page import page_command
from edgenext_deploy.benchmarks.commands.paper_table import COMMANDS as TABLE_COMMANDS
from edgenext_deploy.benchmarks.commands.profile import profile_command
from edgenext_deploy.benchmarks.commands.progress import show_progress
from edgenext_deploy.benchmarks.commands.repeat import repeat_command
from edgenext_deploy.commands.entry import common_options, entry_point
from edgenext_deploy.commands.name_options import device_option
from edgenext_deploy.errors import EdgeNextError, UsageError

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.latency_report import LatencyReport
    from edgenext_deploy.benchmarks.profile.layer_times import Profile

# The shell's code for a process that Ctrl-C ended.
_INTERRUPTED = 130

_warmup_option = click.option(
    "--warmup", "warmup_s", type=click.FloatRange(min=0.0), default=3.0, show_default=True,
    help="Most seconds of warm-up for each engine; it ends when the latency is stable.")


@click.group(invoke_without_command=True)
@click.option("--engine", "engines", multiple=True, metavar="FILE",
              help="Plan or ONNX file to measure, or torch:VARIANT for the reference module in eager PyTorch. Repeat "
                   "the option to measure several in turns and compare each with the first.")
@click.option("--reference", metavar="FILE", help="Engine whose outputs are right and to which the ratios refer; every "
              "engine's outputs are checked against it.")
@device_option("Device the figures are for: {names}. The run is refused elsewhere.  [default: what is recognised]")
@click.option("--allow-mismatch", is_flag=True, help="Measure although this is another device; every row says so.")
@click.option("--duration", "duration_s", type=click.FloatRange(min=0.01), default=3.0, show_default=True,
              help="Seconds of measurement for each engine.")
@_warmup_option
@click.option("--iterations", type=click.IntRange(min=1), help="Measure so many inferences of each engine, "
              "whatever the duration.")
@click.option("--include-transfers/--exclude-transfers", "transfers", default=True, show_default=True,
              help="Time what the caller waits, or of plans the GPU's computing alone, by CUDA events.")
@click.option("--cuda-graph/--no-cuda-graph", default=None,
              help="Launch plans as a CUDA graph, or not.  [default: the session's choice]")
@click.option("--threads", type=click.IntRange(min=1),
              help="Threads of ONNX Runtime and torch.  [default: their choice]")
@click.option("--provider", metavar="NAME", help="ONNX Runtime's execution provider, such as CUDAExecutionProvider.  "
              "[default: CPUExecutionProvider]")
@click.option("--trust", is_flag=True, help="Accept plans without a sidecar; they can run code.")
@click.option("--samples/--no-samples", default=True, show_default=True,
              help="Keep single inferences in the records, for histograms and time lines.")
@click.option("--profile", "with_profiles", is_flag=True, help="Afterwards time the layers of each engine too, for the "
              "terminal and the page of --html; see the command profile.")
@output_options
@common_options
@click.pass_context
def bench_command(context: click.Context, engines: Tuple[str, ...], reference: Optional[str], device: Optional[str],
                  allow_mismatch: bool, duration_s: float, warmup_s: float, iterations: Optional[int], transfers: bool,
                  cuda_graph: Optional[bool], threads: Optional[int], provider: Optional[str], trust: bool,
                  samples: bool, with_profiles: bool) -> None:
    """Measure the latency of engines, batch by batch, as the caller waits for it.

    Several engines run in turns, so that drift of the machine hits all alike. docs/benchmarks.md says what each
    number means.
    """
    if context.invoked_subcommand is not None:
        for parameter in context.command.params:
            given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
            if given and parameter.expose_value:  # a report's files are handed on
                raise UsageError("{} does not go with the command {}".format(
                    parameter.opts[0], context.invoked_subcommand), "leave one of the two out, or give the option "
                    "after the command, if it has it")
        return
    if not engines:
        raise click.UsageError("Missing option '--engine'.", ctx=context)
    require_outputs(context)
    from edgenext_deploy.benchmarks.latency.engines import Options
    from edgenext_deploy.benchmarks.latency.interleave import Limits
    from edgenext_deploy.benchmarks.latency.run import Request, benchmark

    request = Request(
        engines, reference, device, allow_mismatch, exclude_transfers=not transfers,
        options=Options(threads, provider, cuda_graph, trust),
        limits=Limits(duration_s=duration_s, warmup_s=warmup_s, iterations=iterations), keep_samples=samples)
    with _keeping_rows(context), show_progress() as progress:
        report = benchmark(request, progress)
    paths = [path for path in (*engines, reference) if path is not None] if with_profiles else []
    _finish(context, report, lambda: _profiles(paths, threads, trust))


@bench_command.command("routes")
@click.option("--variant", "variants", multiple=True, default=("xxs", "s"), show_default=True,
              help="Variant to compare. Repeat the option for several.")
@click.option("--rounds", type=click.IntRange(min=1), default=60, show_default=True,
              help="Rounds in which the two files take turns.")
@_warmup_option
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="Threads of ONNX Runtime.")
@output_options
@common_options
@click.pass_context
def routes_command(context: click.Context, variants: Tuple[str, ...], rounds: int, warmup_s: float,
                   threads: int) -> None:
    """Compare edgenext-export with the plain route on ONNX Runtime.

    The plain route is the reference module through torch.onnx.export at its default opset and
    onnx-simplifier. Needs the libraries of the export.
    """
    require_outputs(context)
    from edgenext_deploy.benchmarks.latency.interleave import Limits
    from edgenext_deploy.benchmarks.latency.plain_route import compare_routes

    with _keeping_rows(context), show_progress() as progress:
        report = compare_routes(variants, Limits(rounds=rounds, warmup_s=warmup_s), threads, _say, progress)
    _finish(context, report)


def _profiles(paths: Sequence[str], threads: Optional[int], trust: bool) -> "List[Profile]":
    """Profile each engine file once; what cannot be profiled is said, and costs nobody the latencies."""
    from edgenext_deploy.benchmarks.latency.engines import TORCH
    from edgenext_deploy.benchmarks.profile.layer_times import profile_engine

    found = []
    for path in dict.fromkeys(paths):
        if path.startswith(TORCH):
            _say("{} has no profile: only engine files have".format(path))
            continue
        _say("profiling {}".format(path))
        try:
            found.append(profile_engine(path, threads=threads, trust=trust))
        except EdgeNextError as error:
            _say("no profile of {}: {}".format(path, error.message))
    return found


@contextlib.contextmanager
def _keeping_rows(context: click.Context) -> Iterator[None]:
    """Print and write the rows that were measured before an engine failed, and pass its error on."""
    from edgenext_deploy.benchmarks.latency.run import EngineFailedError

    try:
        yield
    except EngineFailedError as failed:
        if failed.report is not None:
            _finish(context, failed.report)
        raise


def _finish(context: click.Context, report: "LatencyReport",
            profile: "Callable[[], Sequence[Profile]]" = tuple) -> None:
    """Print the table and write the files; whichever of them fails, the others hold the rows."""
    from edgenext_deploy.benchmarks.report.terminal import print_report

    chosen = chosen_outputs(context)
    to_terminal = STDOUT not in chosen.values()
    unprinted = _unprinted(lambda: print_report(report, sys.stdout)) if to_terminal else None
    profiles: "Sequence[Profile]" = ()
    stopped = "the report holds what was measured until then" if report.interrupted else None
    try:
        profiles = () if report.interrupted else profile()
    except KeyboardInterrupt:
        stopped = "the report holds the latencies, and no profiles"
    if to_terminal and unprinted is None:
        unprinted = _unprinted(lambda: _print_profiles(profiles))
    write_outputs(report, chosen, profiles)
    if unprinted is not None:
        raise unprinted
    if stopped is not None:
        _say("interrupted: " + stopped)
        context.exit(_INTERRUPTED)


def _print_profiles(profiles: "Sequence[Profile]") -> None:
    from edgenext_deploy.benchmarks.profile.profile_text import print_profile

    for each in profiles:
        print_profile(each, sys.stdout)


def _unprinted(show: Callable[[], None]) -> Optional[OSError]:
    """Print; return why that failed (a full disk behind the pipe, a reader that has gone): the files come first."""
    try:
        show()
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def _say(line: str) -> None:
    click.echo(line, err=True)


for _command in (compare_command, estimate_command, page_command, profile_command, repeat_command,
                 *TABLE_COMMANDS):
    bench_command.add_command(_command)
main = entry_point(bench_command)
if __name__ == "__main__":
    main()
