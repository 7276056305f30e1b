"""``--on HOST`` of commands that run here or on a board. What it takes is imported only where it is given."""
import functools
from typing import Any, Callable, List, Sequence, Tuple

import click

from edgenext_deploy.commands.options import given_words

Function = Callable[..., Any]


def on_option(command: str) -> Callable[[Function], Function]:
    """Return a decorator that adds ``--on HOST``: the command line runs on that board in place of this machine.

    Args:
        command: name of the command there, such as ``edgenext-bench``. It needs ``cls=Command``.
    """
    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*arguments: Any, hosts: Tuple[str, ...], **options: Any) -> Any:
            if not hosts:
                return function(*arguments, **options)
            from edgenext_deploy.remote.commands.choice import Choice
            from edgenext_deploy.remote.commands.run_on_boards import run_on_boards

            return run_on_boards(Choice(hosts).boards(), command, _without_on(given_words()))

        return click.option("--on", "hosts", multiple=True, metavar="HOST", help="Run on this board over SSH: "
                            "[USER@]HOST, or a name in boards.toml; see edgenext-remote.")(call)

    return decorate


def _without_on(words: Sequence[str]) -> List[str]:
    kept: List[str] = []
    value = False
    for word in words:
        if value:
            value = False
        elif word == "--on":
            value = True
        elif not word.startswith("--on="):
            kept.append(word)
    return kept
