"""What every command shares: exit codes instead of tracebacks, ``--debug``, ``--version``."""
import codecs
import contextlib
import functools
import gc
import importlib.util
import io
import os
import signal
import sys
import traceback
from typing import Any, Callable, Iterator, List, NoReturn, Optional, Sequence

import click

from edgenext_deploy.camera.address import without_password
from edgenext_deploy.commands.console import WORDS
from edgenext_deploy.commands.process import (
    open_standard_streams,
    print_to_nowhere,
    signal_behind,
    signals_as_exceptions,
)
from edgenext_deploy.commands.resources import out_of_resources, require_address_space, require_resources
from edgenext_deploy.commands.word_files import with_words_of_files
from edgenext_deploy.errors import EdgeNextError, MissingRuntimeError
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import VisibleStream
from edgenext_deploy.install import install_command
from edgenext_deploy.telemetry import disable_telemetry
from edgenext_deploy.version import __version__

Function = Callable[..., Any]
_LONGEST_LINE = 3000
# Characters beyond ASCII in tables and sentences.
_LETTERS = "×–→…°·µ─"
# With less it aborts in native code: an export of xxs at 64x64 fails with 600 MiB and works with 1500.
_TORCH_BYTES = 1 << 30


class _Input(click.Path):
    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Any:
        """Return the path; a shell leaves the ``~`` of ``--engine=~/xxs.onnx`` as it is."""
        return os.path.expanduser(super().convert(value, param, ctx))


# The type of a path that is read. Left to itself, click refuses what may not be read as an error of usage, and one
# such photo among many would end the command.
INPUT = _Input(readable=False)


def common_options(function: Function) -> Function:
    """Add ``--debug`` and ``--version``; the command's function never sees them."""
    decorated = click.option(
        "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error, and camera pipelines.",
    )(function)
    return click.version_option(__version__, prog_name="edgenext-deploy")(decorated)


def run_command(command: click.Command, arguments: Optional[List[str]] = None) -> None:
    """Run a click command and leave the process with the exit code of `errors`.

    Any other exception is a bug of ours: exit code 1, one line, and the advice to use ``--debug``.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in given
    disable_telemetry()
    open_standard_streams()
    _print_in_any_locale()
    with _only_visible_text():
        _run(command, given, debug)


def _run(command: click.Command, given: List[str], debug: bool) -> None:
    try:
        with signals_as_exceptions():
            require_resources()
            # Not command.main: it turns a closed pipe into exit code 1, and click 8.0 (Python 3.6) refuses to
            # run in the C locale, which is that of a Jetson's cron jobs and services.
            with command.make_context(os.path.basename(sys.argv[0]), with_words_of_files(given)) as context:
                code = command.invoke(context)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        _write(said.getvalue().rstrip("\n"))
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        _exit_if_signalled(error)
    except EdgeNextError as error:
        _exit_if_signalled(error)
        _fail(error, debug)
    except BrokenPipeError:
        # The reader (head, a closed pager) has gone; there is no one left to tell.
        print_to_nowhere()
        sys.exit(0)
    except SystemExit as stop:
        # rich ends the process itself when its reader has gone, and calls that a failure.
        sys.exit(0 if isinstance(stop.__context__, BrokenPipeError) else stop.code)
    except Exception as error:
        _exit_if_signalled(error)
        known = out_of_resources(error)
        if known is not None:
            _fail(known, debug)
        if debug:
            _say_traceback()
        _say("error: this is a bug in edgenext-deploy: {}: {}".format(type(error).__name__, error))
        _say("  fix: run the same command with --debug and report what it prints")
        sys.exit(1)


def _exit_if_signalled(error: BaseException) -> None:
    number = signal_behind(error)
    if number is not None:
        _say(WORDS[signal.Signals(number)])
        sys.exit(128 + number)


def _fail(error: EdgeNextError, debug: bool) -> NoReturn:
    if debug:
        _say_traceback()
    _say("error: " + error.message)
    if error.fix:
        _say("  fix: " + error.fix)
    sys.exit(error.exit_code)


def entry_point(command: click.Command) -> Callable[[], None]:
    """Return the function that a console script calls."""

    @functools.wraps(run_command)
    def main() -> None:
        try:
            run_command(command)
        finally:
            if hasattr(gc, "freeze"):  # not in Python 3.6
                gc.freeze()  # Python looks for garbage once more at its exit: 0.3 s where torch was imported

    return main


def require_libraries(purpose: str, names: Sequence[str]) -> None:
    """Raise MissingRuntimeError unless a workstation's libraries are there; nothing is imported.

    Args:
        purpose: what needs them, as the subject of a sentence.
        names: importable names; none if only the Python matters.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if sys.version_info < (3, 10) or missing:
        raise MissingRuntimeError(
            "{} needs Python 3.10 or newer{}; found Python {}.{}{}".format(
                purpose, " with " + ", ".join(names) if names else "", sys.version_info[0], sys.version_info[1],
                " without " + ", ".join(missing) if missing else ""),
            install_command("export"))
    if "torch" in names:
        require_address_space(purpose, _TORCH_BYTES)


def _print_in_any_locale() -> None:
    """Have the standard output take every letter: one that it cannot show must not cost the lines after it.

    In the C locale, that of a Jetson's services and of a shell without ``LANG``, Python 3.6 writes ASCII and raises;
    later releases write UTF-8 there, as click does, and so does this. Other encodings show ``?``.
    """
    stream = sys.stdout
    encoding = getattr(stream, "encoding", None)  # none where it is closed, or a string collects it
    if encoding is None:
        return
    try:
        _LETTERS.encode(encoding)
    except UnicodeEncodeError:
        stream.flush()
        encoding = "utf-8" if codecs.lookup(encoding).name == "ascii" else encoding
        sys.stdout = io.TextIOWrapper(stream.buffer, encoding, "replace", line_buffering=stream.isatty())


@contextlib.contextmanager
def _only_visible_text() -> Iterator[None]:
    """Let nothing that a file or a name brings along steer the terminal, whatever prints it."""
    before = sys.stdout, sys.stderr
    after = [stream if stream is None else VisibleStream(stream) for stream in before]
    sys.stdout, sys.stderr = after  # type: ignore[assignment]
    try:
        yield
    finally:
        # Unless somebody replaced them meanwhile.
        if sys.stdout is after[0]:
            sys.stdout = before[0]
        if sys.stderr is after[1]:
            sys.stderr = before[1]


def _say(line: str) -> None:
    _write(shown(line, _LONGEST_LINE))


def _say_traceback() -> None:
    _write(traceback.format_exc())


def _write(text: str) -> None:
    """Write to standard error; any argument that a message repeats may be a camera's address."""
    with contextlib.suppress(OSError):  # a full disk behind standard error
        click.echo(without_password(text), err=True)
