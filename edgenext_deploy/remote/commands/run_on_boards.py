"""A command of ours that runs on boards: ``edgenext-remote HOST run``, and ``--on HOST`` of the commands themselves."""
import secrets
from typing import Any, Dict, List, Sequence

import click

from edgenext_deploy.errors import UsageError
from edgenext_deploy.remote.board_work import words_with_plans
from edgenext_deploy.remote.commands.choice import report_failures
from edgenext_deploy.remote.elsewhere import run_there, serve_port, with_port
from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.screen import Screen
from edgenext_deploy.remote.session import Session
from edgenext_deploy.remote.together import run_together

_FIRST_PORT, _PORTS = 20000, 10000


def run_on_boards(boards: Sequence[FleetBoard], command: str, words: Sequence[str], wait: bool = True,
                  plans: bool = False) -> int:
    """Run a command line on boards; print what it prints, and return the worst exit code.

    Args:
        boards: the boards.
        command: such as ``edgenext-run``.
        words: its arguments as here.
        wait: wait while somebody else uses a board.
        plans: where a board has TensorRT, the plan of a graph runs in its place, and is built if it is not there.

    Raises:
        UsageError: a page of several boards, or an output of theirs.
        EdgeNextError: the one board cannot be reached or set up.
    """
    port = serve_port(words)
    several = len(boards) > 1
    if port is not None and several:
        raise UsageError("--serve shows one board at a time, {} given".format(len(boards)), "start a command for each")
    forwards: List[str] = []
    if port is not None:
        # Not the same one: the board may use it.
        far_port = _FIRST_PORT + secrets.randbelow(_PORTS)
        forwards, words = ["127.0.0.1:{}:127.0.0.1:{}".format(port, far_port)], with_port(words, far_port)
    codes: Dict[str, int] = {}

    def work(session: Session) -> Dict[str, Any]:
        session.require_ready()
        if port is not None:
            session.shown = lambda line: line.replace("127.0.0.1:{}".format(far_port), "127.0.0.1:{}".format(port))
        name = session.board.name
        carried = words_with_plans(session, words) if plans else words
        codes[name] = run_there(session, command, carried, lambda line: click.echo(
            "{}  {}".format(name, line) if several else line))
        return {}

    # Standard output is the command's; lines that change would stand in the middle of it.
    with Screen([board.name for board in boards], live=False) as screen:
        outcomes = run_together(boards, work, screen, wait, forwards)
    report_failures(outcomes)
    return max([*codes.values(), *[outcome.exit_code for outcome in outcomes]])
