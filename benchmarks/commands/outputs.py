"""The data files that commands write after their work; `check_outputs` refuses before it what cannot be written."""
import os
from typing import Any, Callable, Optional, Sequence, Tuple

import click

from edgenext_deploy.commands.options import STDOUT, OutputFile, other_file
from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import write_files_atomically

html_option = click.option("--html", "html_file", type=OutputFile(), metavar="FILE", help="Write a page to FILE.")


class PlotFile(OutputFile):
    """The path of a drawing: SVG, which every browser shows."""

    def convert(self, value: Any, parameter: Optional[click.Parameter], context: Optional[click.Context]) -> str:
        """Return the path; raise UsageError if its name asks for another format."""
        path = os.path.expanduser(os.fspath(value))
        if path != STDOUT and not path.lower().endswith(".svg"):
            raise UsageError("cannot draw {}: a name ending in .svg expected".format(path),
                             "give such a name; rsvg-convert or Inkscape turn an SVG file into a PNG")
        return super().convert(value, parameter, context)


def hand_over(content: Callable[[], bytes], as_json: bool, json_file: Optional[str], show: Callable[[], None],
              files: Sequence[Tuple[str, Optional[str], Callable[[], bytes]]] = ()) -> None:
    """Print a result, and write the files that were asked for, even if nobody can read what is printed any more.

    Args:
        content: makes the JSON.
        as_json: print the JSON in place of the tables.
        json_file: write the JSON there too.
        show: prints the tables.
        files: option, path (None: not asked for) and content of further files, which are made only now: a full
            disk, or a missing library, does not take what was printed with it.

    Raises:
        UsageError: a file cannot be written.
    """
    try:
        if as_json:
            click.echo(content(), nl=False)
        else:
            show()
    finally:
        for option, path, make in (("--json-file", json_file, content), *files):
            if path is not None:
                write_file(path, make(), option)


def write_file(path: str, content: bytes, option: str) -> None:
    """Write a file, and say so.

    Args:
        path: path of the file.
        content: content of the file.
        option: the option that named it; the error says to change it.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_files_atomically({path: content})
    except UsageError as error:
        raise UsageError(error.message, other_file(option)) from error
    say("wrote {}".format(path))


def say(line: str) -> None:
    """Print a line to standard error."""
    click.echo(line, err=True)
