"""The same work on several boards at once: one that fails does not stop the others."""
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import click

from edgenext_deploy.artifacts.json_records import to_json
from edgenext_deploy.camera.address import without_password
from edgenext_deploy.commands.resources import out_of_resources
from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.foreign_text import one_line
from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.screen import Screen
from edgenext_deploy.remote.session import Session, Step, nobody_answers

_SCHEMA = 1
_POLL_S = 0.1
Work = Callable[[Session], Dict[str, Any]]


class Outcome(NamedTuple):
    """How the work ended on one board.

    Attributes:
        host: name of the board.
        exit_code: 0 for success; else that of the error.
        error: what went wrong.
        fix: the command that repairs it.
        seconds: wall time.
        sent_bytes: bytes sent, before ssh encrypted them.
        received_bytes: bytes received.
        steps: what was done.
        result: what the work returned.
    """

    host: str
    exit_code: int
    error: Optional[str]
    fix: Optional[str]
    seconds: float
    sent_bytes: int
    received_bytes: int
    steps: Tuple[Step, ...]
    result: Dict[str, Any]


def run_together(boards: Sequence[FleetBoard], work: Work, screen: Screen, wait: bool = True,
                 forwards: Sequence[str] = ()) -> List[Outcome]:
    """Do the work on all boards, side by side; return how each ended.

    Args:
        boards: the boards.
        work: is called for each, in a thread of its own where there are several.
        screen: who is told.
        wait: wait until a board is free, or else fail.
        forwards: what ``-L`` of ssh gets.

    Raises:
        KeyboardInterrupt: Ctrl-C while several boards were at work.
    """
    batch = nobody_answers(len(boards))
    sessions = [Session(board, screen.watcher(board.name), batch, wait, forwards) for board in boards]
    outcomes: Dict[str, Outcome] = {}

    def do(session: Session) -> None:
        outcomes[session.board.name] = _outcome(session, work, screen)

    try:
        if len(sessions) == 1:
            do(sessions[0])
        else:
            threads = [threading.Thread(target=do, args=(session,), daemon=True) for session in sessions]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        if len(sessions) > 1:
            # What is attached, as run is, ends with the connection: there is nothing to ask.
            lasting = [session for session in sessions if session.job is None or not session.job.attached]
            left = bool(lasting) and screen.leave("the jobs of {} boards".format(len(lasting)))
            screen.end("left running there; the same command goes on with them" if left else "ending them")
            for session in () if left else lasting:
                try:
                    session.stop_job()
                except EdgeNextError as error:  # the others are to end all the same
                    click.echo("{}: its job may go on: {}".format(session.board.name, one_line(error)), err=True)
        raise
    finally:
        for session in sessions:
            session.close()
    return [outcomes[board.name] for board in boards]


def worst_code(outcomes: Sequence[Outcome]) -> int:
    """Return the exit code of the command: the largest of the boards'."""
    return max(outcome.exit_code for outcome in outcomes)


def as_data(outcomes: Sequence[Outcome]) -> Dict[str, Any]:
    """Return the outcomes as what ``--json`` prints."""
    return {"schema": _SCHEMA, "exit_code": worst_code(outcomes), "hosts": [to_json(outcome) for outcome in outcomes]}


def _outcome(session: Session, work: Work, screen: Screen) -> Outcome:
    began = time.monotonic()
    code, error, fix = 0, None, None  # type: Tuple[int, Optional[str], Optional[str]]
    result: Dict[str, Any] = {}
    try:
        result = work(session)
    except EdgeNextError as failure:
        code, error, fix = failure.exit_code, failure.message, failure.fix
    except Exception as failure:
        known = out_of_resources(failure)
        if known is None and not isinstance(failure, OSError):
            # One board is a bug's command; among several it is that board's.
            code, error = 1, "this is a bug in edgenext-deploy: {}: {}".format(
                type(failure).__name__, one_line(failure))
        else:
            code, error = 2, one_line(known or failure)
    error = None if error is None else without_password(error)  # a camera's address may be among the words
    seconds = time.monotonic() - began
    screen.done(session.board.name, "done in {:.1f} s".format(seconds) if error is None else "failed: " + error)
    return Outcome(session.board.name, code, error, fix, seconds, session.sent_bytes, session.received_bytes,
                   tuple(session.steps), result)
