"""How the commands of this stage hand over data: printed for people, written as files where asked for."""
from typing import Callable, Dict, Optional

import click

from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import write_files_atomically


def write_or_print(content: bytes, json_file: Optional[str], show: Callable[[], None],
                   others: Optional[Dict[str, Callable[[], bytes]]] = None) -> None:
    """Print a result, and write it where it was asked for.

    Args:
        content: the result as JSON.
        json_file: ``-`` prints it in place of the tables; a path writes it; None does neither.
        show: prints the tables.
        others: further files by path, made only now: a full disk, or a library that is missing, does not take
            what was printed with it.

    Raises:
        UsageError: a file cannot be written.
    """
    if json_file == "-":
        click.echo(content, nl=False)
    else:
        show()
    files: Dict[str, Callable[[], bytes]] = dict(others or {})
    if json_file not in (None, "-"):
        files[str(json_file)] = lambda: content
    for path, make in files.items():
        write_file(path, make())


def write_file(path: str, content: bytes, fix: str = "give another file") -> None:
    """Write a file, and say so.

    Args:
        path: of the file.
        content: for it.
        fix: what the error says to do.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_files_atomically({path: content})
    except UsageError as error:
        raise UsageError(error.message, fix) from error
    click.echo("wrote {}".format(path), err=True)
