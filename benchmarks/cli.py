"""``edgenext-bench``: how fast engines are on this machine."""
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Iterator, Optional, Tuple

import click

from edgenext_deploy.benchmarks.compare_cli import compare_command
from edgenext_deploy.benchmarks.estimate_cli import estimate_command
from edgenext_deploy.benchmarks.paper_table_cli import COMMANDS as TABLE_COMMANDS
from edgenext_deploy.benchmarks.profile_cli import profile_command
from edgenext_deploy.command import common_options, entry_point
from edgenext_deploy.errors import UsageError

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.measure import Progress
    from edgenext_deploy.benchmarks.record import LatencyReport

_REDRAW_S = 0.25
# The shell's code for a process that Ctrl-C ended.
_INTERRUPTED = 130

_json_option = click.option(
    "--json", "json_file", metavar="[FILE]", is_flag=False, flag_value="-", type=str,
    help="Write the records as JSON to FILE as well; without FILE (or with -) to standard output, "
         "in place of the table.")
_warmup_option = click.option(
    "--warmup", "warmup_s", type=click.FloatRange(min=0.0), default=3.0, show_default=True,
    help="Most seconds of warm-up for each engine; it ends when the latency is stable.")


@click.group(invoke_without_command=True)
@click.option("--engine", "engines", multiple=True, metavar="FILE",
              help="Engine file to measure. Repeat the option to measure several in turns and compare each "
                   "with the first.")
@click.option("--device", default="cpu", show_default=True, metavar="NAME",
              help="Device the figures are for: cpu or a target's name. The run is refused elsewhere.")
@click.option("--duration", "duration_s", type=click.FloatRange(min=0.01), default=3.0, show_default=True,
              help="Seconds of measurement for each engine.")
@_warmup_option
@click.option("--iterations", type=click.IntRange(min=1), help="Measure so many inferences of each engine, "
              "whatever the duration.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of ONNX Runtime.  [default: its choice]")
@click.option("--trust", is_flag=True, help="Accept plans without a sidecar; they can run code.")
@_json_option
@common_options
@click.pass_context
def bench_command(context: click.Context, engines: Tuple[str, ...], device: str, duration_s: float,
                  warmup_s: float, iterations: Optional[int], threads: Optional[int],
                  trust: bool, json_file: Optional[str]) -> None:
    """Measure the latency of engines, batch by batch, as the caller waits for it.

    Several engines run in turns, so that drift of the machine hits all alike.
    """
    if context.invoked_subcommand is not None:
        if engines:
            raise UsageError("--engine does not go with the command {}".format(context.invoked_subcommand),
                             "leave one of the two out")
        return
    if not engines:
        raise click.UsageError("Missing option '--engine'.", ctx=context)
    from edgenext_deploy.benchmarks.bench import benchmark
    from edgenext_deploy.benchmarks.measure import Limits

    limits = Limits(duration_s=duration_s, warmup_s=warmup_s, iterations=iterations)
    with _progress() as progress:
        report = benchmark(engines, device, threads, limits, progress, trust)
    _finish(context, report, json_file)


@bench_command.command("routes")
@click.option("--variant", "variants", multiple=True, default=("xxs", "s"), show_default=True,
              help="Variant to compare. Repeat the option for several.")
@click.option("--rounds", type=click.IntRange(min=1), default=60, show_default=True,
              help="Rounds in which the two files take turns.")
@_warmup_option
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="Threads of ONNX Runtime.")
@_json_option
@common_options
@click.pass_context
def routes_command(context: click.Context, variants: Tuple[str, ...], rounds: int, warmup_s: float,
                   threads: int, json_file: Optional[str]) -> None:
    """Compare edgenext-export with the plain route on ONNX Runtime.

    The plain route is the reference module through torch.onnx.export at its default opset and
    onnx-simplifier. Needs the libraries of the export.
    """
    from edgenext_deploy.benchmarks.measure import Limits
    from edgenext_deploy.benchmarks.routes import compare_routes

    with _progress() as progress:
        report = compare_routes(variants, Limits(rounds=rounds, warmup_s=warmup_s), threads, _say, progress)
    _finish(context, report, json_file)


def _finish(context: click.Context, report: "LatencyReport", json_file: Optional[str]) -> None:
    from edgenext_deploy.benchmarks import record
    from edgenext_deploy.benchmarks.report import print_report
    from edgenext_deploy.files import write_files_atomically

    content = record.dump(report)
    if json_file == "-":
        click.echo(content, nl=False)
    else:
        print_report(report, sys.stdout)
        if json_file is not None:
            # After the table: a full disk does not take the rows with it.
            try:
                write_files_atomically({json_file: content})
            except UsageError as error:
                raise UsageError(error.message, "give another file with --json") from error
            _say("wrote {}".format(json_file))
    if report.interrupted:
        _say("interrupted: the report holds what was measured until then")
        context.exit(_INTERRUPTED)


@contextlib.contextmanager
def _progress() -> Iterator[Optional["Progress"]]:
    """Show a bar on standard error when that is a terminal.

    It is drawn only when the measurement calls, between blocks: a thread that redraws it would be timed too.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    bar = Bar(console=Console(stderr=True), auto_refresh=False, transient=True)
    task = bar.add_task("starting", total=1.0)
    drawn_at = -_REDRAW_S

    def show(fraction: float, what: str) -> None:
        nonlocal drawn_at
        bar.update(task, completed=fraction, description=what)
        if time.perf_counter() - drawn_at >= _REDRAW_S:
            bar.start()
            bar.refresh()
            drawn_at = time.perf_counter()

    try:
        yield show
    finally:
        bar.stop()


def _say(line: str) -> None:
    click.echo(line, err=True)


for _command in (compare_command, estimate_command, profile_command, *TABLE_COMMANDS):
    bench_command.add_command(_command)
main = entry_point(bench_command)
if __name__ == "__main__":
    main()
