"""What can be chosen for a measurement and for a build, wherever it runs: here or on a board.

``edgenext-bench`` and ``edgenext-build`` have these options, and ``edgenext-remote`` hands them on.
"""
import functools
from typing import Any, Callable, List, Sequence

import click
from click.core import ParameterSource

from edgenext_deploy.commands.options import FiniteRange
from edgenext_deploy.commands.runtime_options import runtime_options

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]

warmup_option = click.option(
    "--warmup", "warmup_s", type=FiniteRange(min=0.0), default=3.0, show_default=True, metavar="SECONDS",
    help="Longest warm-up of each engine; it ends when the latency is stable.")
duration_option = click.option(
    "--duration", "duration_s", type=FiniteRange(min=0.01), default=3.0, show_default=True, metavar="SECONDS",
    help="Time of measurement for each engine.")
budget_option = click.option(
    "--budget", "budget_min", type=FiniteRange(min=0.0, min_open=True), metavar="MINUTES",
    help="Time for a race; graphs that it is too short for are left out.  [default: as long as it takes]")
_MEASURING = (
    click.option("--reference", metavar="FILE", help="Engine whose outputs are right and to which the ratios refer; "
                 "every engine's outputs are checked against it."),
    click.option("--allow-mismatch", is_flag=True, help="Measure although this is another device; every row says so."),
    duration_option,
    warmup_option,
    click.option("--iterations", type=click.IntRange(min=1), metavar="N",
                 help="Number of inferences of each engine, in place of --duration."),
    click.option("--include-transfers/--exclude-transfers", "transfers", default=True, show_default=True,
                 help="Time what the caller waits, or only a plan's computation on the GPU, by CUDA events."),
    runtime_options(without=("preprocess_on",)),
    click.option("--samples/--no-samples", default=True, show_default=True,
                 help="Keep single inferences in the records, for histograms and time lines."))
_BUILDING = (
    click.option("--fp32", is_flag=True, help="Build in FP32."),
    click.option("--workspace-mib", type=click.IntRange(0, 1 << 20), metavar="N",
                 help="Most scratch memory of a kernel, in MiB.  [default: from the free memory]"),
    click.option("--optimization-level", type=click.IntRange(0, 5), metavar="0..5",
                 help="How hard to search, from TensorRT 8.6 on.  [default: TensorRT's]"),
    click.option("--best-of", type=click.IntRange(1, 20), default=1, metavar="N",
                 help="Build N times and keep the fastest plan; of a bundle, the graph that wins.  [default: 1]"),
    click.option("--no-cublas", is_flag=True,
                 help="Leave cuBLAS out: saves memory on small boards (up to TensorRT 10)."))


def measuring_options(function: Function) -> Function:
    """Add the options of a measurement; the command gets them by their names, those of the runtime as ``runtime``."""
    return _with(_MEASURING, function)


def building_options(function: Function) -> Function:
    """Add the options of a build that hold on any machine."""
    return _with(_BUILDING, function)


def handed_on(name: str, *options: Decorator) -> Decorator:
    """Return a decorator that adds options which another command takes: what was given of them becomes its words.

    Args:
        name: under which the command gets the words, a tuple.
        options: decorators that add options.
    """
    def decorate(function: Function) -> Function:
        def nothing() -> None:
            """Collect the options."""

        collected: Function = nothing
        for option in reversed(options):
            collected = option(collected)
        declared: List[click.Option] = vars(collected)["__click_params__"]

        @functools.wraps(function)
        def call(*arguments: Any, **values: Any) -> Any:
            context = click.get_current_context()
            words: List[str] = []
            for option in declared[::-1]:
                value = values.pop(str(option.name))
                if context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE:
                    words += _as_given(option, value)
            return function(*arguments, **dict(values, **{name: tuple(words)}))

        vars(call)["__click_params__"] = [*vars(function).get("__click_params__", ()), *declared]
        return call

    return decorate


def _as_given(option: click.Option, value: Any) -> List[str]:
    if option.is_flag:
        return [option.opts[0] if value else option.secondary_opts[0]]
    return [option.opts[0], str(value)]


def _with(options: Sequence[Decorator], function: Function) -> Function:
    for option in reversed(options):
        function = option(function)
    return function
