"""Files that a report can be written to: one option each, and what turns a report into the file's content."""
import os
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import click

from edgenext_deploy.benchmarks.commands.written import write_file
from edgenext_deploy.errors import EdgeNextError, UsageError
from edgenext_deploy.files import require_writable

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.latency_report import LatencyReport
    from edgenext_deploy.benchmarks.profile.layer_times import Profile

# Given as a file's name, it means standard output, in place of the table.
STDOUT = "-"


class Output(NamedTuple):
    """A kind of file.

    Attributes:
        name: of the option, without its dashes.
        help: what the option's help says.
        write: from a report, and the profiles of its engines, to the file's content; libraries are imported inside it.
        require: raises MissingRuntimeError where a library that it needs is not here.
    """

    name: str
    help: str
    write: "Callable[[LatencyReport, Sequence[Profile]], bytes]"
    require: Optional[Callable[[], None]] = None


def _json(report: "LatencyReport", _: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks import latency_report

    return latency_report.dump(report)


def _csv(report: "LatencyReport", _: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks.report.csv_table import to_csv

    return to_csv(report)


def _markdown(report: "LatencyReport", _: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks.report.markdown import to_markdown

    return to_markdown(report)


def _html(report: "LatencyReport", profiles: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks.report.html.pages import report_page

    return report_page(report, profiles)


def _plot(report: "LatencyReport", _: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks.charts.plot_files import latency_png

    return latency_png(report)


def _require_matplotlib() -> None:
    from edgenext_deploy.benchmarks.charts.plot_files import require_matplotlib

    require_matplotlib()


OUTPUTS: Tuple[Output, ...] = (
    Output("json", "Write all records as JSON.", _json),
    Output("csv", "Write one line for each row.", _csv),
    Output("markdown", "Write tables for a page or an issue.", _markdown),
    Output("html", "Write a page with tables and charts.", _html),
    Output("plot", "Draw the latencies as PNG; needs matplotlib.", _plot, _require_matplotlib),
)


def output_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the option of every output; the command gets ``outputs``, the file's name by the output's."""
    for output in reversed(OUTPUTS):
        function = click.option(
            "--" + output.name, expose_value=False, metavar="[FILE]", is_flag=False, flag_value=STDOUT, type=str,
            callback=_remember, help=output.help + " Without FILE (or with -) to standard output, in place of the "
            "table.")(function)
    return function


def chosen_outputs(context: click.Context) -> Dict[str, str]:
    """Return the files that were asked for, by name of the output.

    Raises:
        UsageError: two of them want the standard output, or the same file.
    """
    chosen: Dict[str, str] = context.meta.get(__name__, {})
    places = [os.path.realpath(file) if file != STDOUT else STDOUT for file in chosen.values()]
    twice = [file for file, place in zip(chosen.values(), places) if places.count(place) > 1]
    if twice:
        raise UsageError("two outputs go to {}".format("standard output" if twice[0] == STDOUT else twice[0]),
                         "give each a file of its own")
    return chosen


def require_outputs(context: click.Context) -> None:
    """Refuse, before minutes of measuring, what could not be written after them.

    Raises:
        UsageError: see `chosen_outputs`; or a file that cannot be written.
        MissingRuntimeError: a library that an output needs is not here.
    """
    chosen = chosen_outputs(context)
    for output in OUTPUTS:
        path = chosen.get(output.name)
        if path is None:
            continue
        if path != STDOUT:
            require_writable(path, _fix(output.name))
        if output.require is not None:
            output.require()


def write_outputs(report: "LatencyReport", chosen: Dict[str, str], profiles: "Sequence[Profile]" = ()) -> None:
    """Write the files, each whatever becomes of the others, and say so of every one.

    Args:
        report: with at least one row.
        chosen: as `chosen_outputs` returns them.
        profiles: of its engines; the page shows them.

    Raises:
        UsageError: one or more could not be written.
        MissingRuntimeError: the library that one of them needs is not here.
        OSError: the standard output could not be written.
    """
    failed: List[Union[EdgeNextError, OSError]] = []
    for output in OUTPUTS:
        path = chosen.get(output.name)
        if path is None:
            continue
        try:
            content = output.write(report, profiles)
            if path == STDOUT:
                click.echo(content, nl=False)
            else:
                write_file(path, content, _fix(output.name))
        except (EdgeNextError, OSError) as error:
            failed.append(error)
    for failure in failed[:-1]:
        click.echo("error: {}".format(failure), err=True)
    if failed:
        raise failed[-1]


def _fix(name: str) -> str:
    return "give another file with --{}".format(name)


def _remember(context: click.Context, parameter: click.Parameter, value: Optional[str]) -> None:
    if value is not None:
        context.meta.setdefault(__name__, {})[parameter.name] = value
