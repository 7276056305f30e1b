"""A command of ours that runs on boards: ``edgenext-remote HOST run``, and ``--on HOST`` of the commands themselves."""
import functools
from typing import Any, Callable, Dict, List, Sequence, Tuple

import click

from edgenext_deploy.commands.options import given_words
from edgenext_deploy.errors import UsageError
from edgenext_deploy.remote.commands.choice import Choice, report_failures
from edgenext_deploy.remote.elsewhere import run_there, serve_port
from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.screen import Screen
from edgenext_deploy.remote.session import Session
from edgenext_deploy.remote.together import run_together

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
            return run_on_boards(Choice(hosts).boards(), command, _without_on(given_words()))

        return click.option("--on", "hosts", multiple=True, metavar="HOST", help="Run on this board over SSH: "
                            "[USER@]HOST, or a name in boards.toml; see edgenext-remote.")(call)

    return decorate


def run_on_boards(boards: Sequence[FleetBoard], command: str, words: Sequence[str], wait: bool = True) -> int:
    """Run a command line on boards; print what it prints, and return the worst exit code.

    Args:
        boards: the boards.
        command: such as ``edgenext-run``.
        words: its arguments as here.
        wait: wait while somebody else uses a board.

    Raises:
        UsageError: a page of several boards, or an output of theirs.
        EdgeNextError: the one board cannot be reached or set up.
    """
    port = serve_port(words)
    several = len(boards) > 1
    if port is not None and several:
        raise UsageError("--serve shows one board at a time, {} given".format(len(boards)), "start a command for each")
    forwards = [] if port is None else ["127.0.0.1:{0}:127.0.0.1:{0}".format(port)]
    codes: Dict[str, int] = {}

    def work(session: Session) -> Dict[str, Any]:
        session.require_ready()
        name = session.board.name
        codes[name] = run_there(session, command, words, lambda line: click.echo(
            "{}  {}".format(name, line) if several else line))
        return {}

    with Screen([board.name for board in boards]) as screen:
        outcomes = run_together(boards, work, screen, wait, forwards)
    report_failures(outcomes)
    return max([*codes.values(), *[outcome.exit_code for outcome in outcomes]])


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
