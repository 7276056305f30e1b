"""What several commands share: ``--json``, ``--json-file``, files that a command writes, examples in the help."""
import functools
import json
import math
import os
import shlex
from typing import Any, Callable, List, Optional, Sequence, Tuple

import click

from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import require_writable, write_files_atomically
from edgenext_deploy.preprocess.photo_files import is_photo
from edgenext_deploy.runtime.table import engine_endings, is_engine_name

Function = Callable[..., Any]
# Given as a file's name, it means standard output, in place of the table.
STDOUT = "-"
_GUARDED_BYTES = 32 << 20
_GIVEN = "edgenext.given_words"


class OutputFile(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.0
    """The path of a data file that a command writes: never an engine, its manifest or sidecar, or a photo."""

    name = "FILE"

    def convert(self, value: Any, parameter: Optional[click.Parameter], context: Optional[click.Context]) -> str:
        """Return the path; raise UsageError if something that took work to make would be overwritten."""
        path: str = os.path.expanduser(os.fspath(value))
        kind = kind_of_input(path)
        if kind is not None:
            option = parameter.opts[0] if parameter is not None else "the option"
            raise UsageError("{} would write over {}: {}".format(option, kind, path),
                             other_file(option))
        return path


class JsonFile(OutputFile):
    """The path of a JSON file that a command writes: not over a file that is something else."""

    def convert(self, value: Any, parameter: Optional[click.Parameter], context: Optional[click.Context]) -> str:
        """Return the path; raise UsageError if a file there does not begin as JSON does."""
        path = super().convert(value, parameter, context)
        if os.path.isfile(path) and os.path.getsize(path) and not _begins_as_json(path):
            raise UsageError("--json-file would write over a file that is not JSON: {}".format(path),
                             other_file("--json-file"))
        return path


class FiniteRange(click.FloatRange):
    """A number between bounds: click takes NaN for one, and infinity where the upper bound is missing."""

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Any:
        """Return the number; fail as click does."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail("{!r} is not a finite number".format(value), param, ctx)
        return found


def kind_of_input(path: str) -> Optional[str]:
    """Return what a path is if a command only ever reads such files, else None.

    Engines and photos are told by their names, whether they exist or not; a manifest also by its content.
    """
    stem, suffix = os.path.splitext(path)
    if is_engine_name(path):
        return "an engine"
    if is_photo(path):
        return "a photo"
    if suffix.lower() != ".json":
        return None
    if is_engine_name(stem):
        return "the sidecar of a plan"
    beside = any(os.path.exists(stem + engine) for engine in engine_endings())
    return "the manifest of an engine" if beside or _is_manifest(path) else None


def json_options(function: Function) -> Function:
    """Add ``--json``, which prints the result as JSON, and ``--json-file FILE``, which writes it.

    The command gets ``as_json`` and ``json_file``. Until 0.1.0 some commands took a file's name behind ``--json``;
    give the command ``cls=Command`` (a group ``Group``), which still reads that.
    """
    @functools.wraps(function)
    def call(*arguments: Any, as_json: bool, json_file: Optional[str], **options: Any) -> Any:
        if json_file == STDOUT:
            as_json, json_file = True, None
        return function(*arguments, as_json=as_json, json_file=json_file, **options)

    call = click.option("--json-file", type=JsonFile(), metavar="FILE",
                        help="Write the result as JSON to FILE; - is --json.")(call)
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(call)


def check_outputs(chosen: Sequence[Tuple[str, Optional[str]]], inputs: Sequence[str] = ()) -> None:
    """Refuse, before any work, files that could not or should not be written after it.

    Args:
        chosen: pairs of an option and its file; without a file the option was not given.
        inputs: files that the command reads.

    Raises:
        UsageError: two outputs go to one place, an output is also an input, or a file cannot be written.
    """
    read = {os.path.realpath(path): path for path in inputs}
    taken = set()
    for option, path in chosen:
        if path is None:
            continue
        place = path if path == STDOUT else os.path.realpath(path)
        if place in taken:
            raise UsageError("two outputs go to {}".format("standard output" if path == STDOUT else path),
                             "give each a file of its own")
        taken.add(place)
        if place in read:
            raise UsageError("{} would write over a file that is read: {}".format(option, path), other_file(option))
        if path != STDOUT:
            require_writable(path, other_file(option))


def other_file(option: str) -> str:
    """Return what to do about a file that cannot or should not be written."""
    return "give another file with {}".format(option)


def write_result(data: Any, as_json: bool, json_file: Optional[str], show: Callable[[], None],
                 ensure_ascii: bool = True) -> None:
    """Hand over a command's result as `json_options` asks for it.

    Args:
        data: the result as JSON data.
        as_json: print JSON in place of the text.
        json_file: write the JSON there too.
        show: prints the text.
        ensure_ascii: escape every letter beyond ASCII, as in file names of another encoding.

    Raises:
        UsageError: the file cannot be written, or the command itself has written an engine's file there.
    """
    text = json.dumps(data, indent=2, ensure_ascii=ensure_ascii)
    if json_file is not None:
        # `OutputFile` has looked before the command began.
        kind = kind_of_input(json_file)
        if kind is not None:
            raise UsageError("--json-file would write over {}: {}".format(kind, json_file),
                             "the command is done; give another file with --json-file")
        write_files_atomically({json_file: (text + "\n").encode("utf-8", "backslashreplace")})
    if as_json:
        click.echo(text)
    else:
        show()


def without_old_json(arguments: List[str]) -> List[str]:
    """Return the arguments with ``--json NAME.json`` read as ``--json-file NAME.json``, and say so.

    Any other word after ``--json`` is an argument of its own; ``--json -`` is ``--json``.
    """
    found: List[str] = []
    index = 0
    while index < len(arguments):
        word = arguments[index]
        if word == "--":
            return found + arguments[index:]
        value = word[len("--json="):] if word.startswith("--json=") else None
        following = arguments[index + 1] if word == "--json" and index + 1 < len(arguments) else ""
        if value is None and (following == "-" or following.lower().endswith(".json")):
            value, index = following, index + 1
        if value is None:
            found.append(word)
        elif value == "-":
            found.append("--json")
        else:
            click.echo("note: --json takes no file any more; read as --json-file {}".format(
                shlex.quote(value)), err=True)
            found += ["--json-file", value]
        index += 1
    return found


def examples(*lines: str) -> str:
    """Return the end of a command's help: command lines to copy. Give it to click as ``epilog``.

    Two or three of them, the commonest first, each a whole line such as ``edgenext-models --json``.
    """
    # click keeps the lines of a paragraph that starts with a backspace.
    return "\b\nExamples:\n" + "\n".join("  " + line for line in lines)


class Command(click.Command):
    """A command with `json_options`; `given_words` returns what it was called with."""

    def parse_args(self, context: click.Context, args: List[str]) -> List[str]:
        """Parse the arguments, in the spelling of earlier versions too."""
        context.meta[_GIVEN] = tuple(args)
        rest: List[str] = super().parse_args(context, without_old_json(args))
        return rest


def given_words() -> Tuple[str, ...]:
    """Return the words behind the name of the command that runs, as they were given."""
    found: Tuple[str, ...] = click.get_current_context().meta[_GIVEN]
    return found


def _begins_as_json(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(256).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    except OSError:
        return True  # whether it can be written is found later, in better words


def _is_manifest(path: str) -> bool:
    try:
        if os.path.getsize(path) > _GUARDED_BYTES:
            return False
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"schema", "graph", "preprocessing"} <= set(content)
