"""The outputs of a report: JSON, CSV, Markdown, a page, a plot, each an option of the commands that measure."""
import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import click

from edgenext_deploy.benchmarks.commands.outputs import PlotFile, say, write_file
from edgenext_deploy.commands.options import STDOUT, OutputFile, check_outputs, json_options
from edgenext_deploy.commands.process import interrupted_code
from edgenext_deploy.errors import EdgeNextError

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.latency_report import LatencyReport
    from edgenext_deploy.benchmarks.profile.layer_times import Profile

Function = Callable[..., Any]


class Output(NamedTuple):
    """A kind of file.

    Attributes:
        name: name of the option, without its dashes.
        help: help text of the option.
        write: returns the content for a report and the profiles of its engines; imports libraries inside.
        type: type of the file's name.
    """

    name: str
    help: str
    write: "Callable[[LatencyReport, Sequence[Profile]], bytes]"
    type: OutputFile = OutputFile()


def _json(report: "LatencyReport", profiles: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks import latency_report

    return latency_report.dump(report)


def _csv(report: "LatencyReport", profiles: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks.report.csv_table import to_csv

    return to_csv(report)


def _markdown(report: "LatencyReport", profiles: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks.report.markdown import to_markdown

    return to_markdown(report)


def _html(report: "LatencyReport", profiles: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks.report.html.pages import report_page

    return report_page(report, profiles)


def _plot(report: "LatencyReport", profiles: "Sequence[Profile]") -> bytes:
    from edgenext_deploy.benchmarks.charts.plots import latency_plot

    return latency_plot(report)


OUTPUTS: Tuple[Output, ...] = (
    Output("json", "Write all records as JSON.", _json),
    Output("csv", "Write one line for each row.", _csv),
    Output("markdown", "Write tables for a page or an issue.", _markdown),
    Output("html", "Write a page with tables and charts.", _html),
    Output("plot", "Draw the latencies as SVG.", _plot, PlotFile()),
)


class ReportOutputs:
    """The outputs of a report that were asked for.

    Args:
        chosen: pairs of an output and its file, or `STDOUT`.
        inputs: files that the command reads.

    Raises:
        UsageError: see `check_outputs`.
    """

    def __init__(self, chosen: Sequence[Tuple[Output, str]], inputs: Sequence[str]) -> None:
        self._chosen = tuple(chosen)
        check_outputs([(_option(output, path), path) for output, path in chosen], inputs)

    def finish(self, report: "LatencyReport", profile: "Callable[[], Sequence[Profile]]" = tuple) -> None:
        """Print the table and write the files; whichever of them fails, the others hold the rows.

        Args:
            report: a report with at least one row.
            profile: profiles its engines; called after the table is printed, for that takes a while.

        Raises:
            click.exceptions.Exit: the run, or the profiling, was interrupted.
            EdgeNextError: a file could not be written.
            OSError: the standard output could not be written.
        """
        from edgenext_deploy.benchmarks.report.terminal import print_report

        to_terminal = all(path != STDOUT for _, path in self._chosen)
        unprinted = _unprinted(lambda: print_report(report, sys.stdout)) if to_terminal else None
        profiles: "Sequence[Profile]" = ()
        stopped = "the report holds what was measured until then" if report.interrupted else None
        try:
            profiles = () if report.interrupted else profile()
        except KeyboardInterrupt:
            stopped = "the report holds the latencies, and no profiles"
        if to_terminal and unprinted is None:
            unprinted = _unprinted(lambda: _print_profiles(profiles))
        self._write(report, profiles)
        if unprinted is not None:
            raise unprinted
        if stopped is not None:
            say("interrupted: " + stopped)
            raise click.exceptions.Exit(interrupted_code())

    @contextlib.contextmanager
    def keeping_rows(self) -> Iterator[None]:
        """Print and write the rows that were measured before an engine failed, and pass its error on."""
        from edgenext_deploy.benchmarks.latency.run import EngineFailedError

        try:
            yield
        except EngineFailedError as failed:
            if failed.report is not None:
                self.finish(failed.report)
            raise

    def _write(self, report: "LatencyReport", profiles: "Sequence[Profile]") -> None:
        """Write each file, whatever becomes of the others."""
        failed: List[Union[EdgeNextError, OSError]] = []
        for output, path in self._chosen:
            try:
                content = output.write(report, profiles)
                if path == STDOUT:
                    click.echo(content, nl=False)
                else:
                    write_file(path, content, _option(output, path))
            except (EdgeNextError, OSError) as error:
                failed.append(error)
        for failure in failed[:-1]:
            say("error: {}".format(failure))
        if failed:
            raise failed[-1]


def report_options(function: Function) -> Function:
    """Add the options of every output of a report; the command gets ``outputs_for``.

    That makes the `ReportOutputs`, from the names of the files that the command reads.
    """
    @functools.wraps(function)
    def with_outputs(*arguments: Any, as_json: bool, json_file: Optional[str], **options: Any) -> Any:
        files = [("json", STDOUT if as_json else None), ("json", json_file)]
        files += [(output.name, options.pop(output.name + "_file")) for output in OUTPUTS[1:]]
        by_name = {output.name: output for output in OUTPUTS}
        chosen = [(by_name[name], path) for name, path in files if path is not None]
        return function(*arguments, outputs_for=functools.partial(ReportOutputs, chosen), **options)

    made: Function = with_outputs
    for output in reversed(OUTPUTS[1:]):
        made = click.option(
            "--" + output.name, output.name + "_file", metavar="[FILE]", is_flag=False, flag_value=STDOUT,
            type=output.type, help=output.help + " Without FILE (or with -) to standard output, in place of the "
            "table.")(made)
    return json_options(made)


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


def _option(output: Output, path: str) -> str:
    return "--json-file" if output.name == "json" and path != STDOUT else "--" + output.name
