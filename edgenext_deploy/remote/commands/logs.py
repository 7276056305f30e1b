"""``logs``: what was done on a board, and what is being done."""
import functools
import time
from typing import Any, Dict, List, Optional

import click

from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.options import Command, examples, json_options
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import visible_lines
from edgenext_deploy.remote.commands.choice import current_choice, run_and_show
from edgenext_deploy.remote.link.connection import field
from edgenext_deploy.remote.screen import table_lines
from edgenext_deploy.remote.session import Session
from edgenext_deploy.remote.together import Outcome

_MOST_BYTES = 4 << 20
_JOBS = {"id": "job", "title": "what", "who": "who", "state": "state", "code": "exit code", "age": "began"}


@click.command("logs", cls=Command, epilog=examples("edgenext-remote nano logs", "edgenext-remote nano logs --follow"))
@click.argument("job", required=False)
@click.option("--follow", "-f", is_flag=True, help="Show what the job writes until it ends; Ctrl-C leaves it running.")
@json_options
@common_options
def logs_command(job: Optional[str], follow: bool, as_json: bool, json_file: Optional[str]) -> int:
    """List the jobs of a board, and show the log of JOB, or of the last one."""
    boards = current_choice().boards()

    def work(session: Session) -> Dict[str, Any]:
        there = time.time() + session.connect().clock_skew_s
        found = [_row(row, there) for row in field(session.connect().ask("jobs"), "jobs", list)]
        names = [row["id"] for row in found]
        if job is not None and job not in names:
            raise BadInputError("{}: no job {}".format(session.board.name, shown(job)),
                                "edgenext-remote {} logs".format(session.board.name))
        chosen = job or (names[-1] if names else None)
        text = ""
        if chosen is not None and follow:
            ended = session.follow(chosen, None if as_json else functools.partial(
                _print_line, session.board.name if len(boards) > 1 else None))
            found = [dict(row, state=shown(str(ended.get("state"))), code=shown(str(ended.get("code"))))
                     if row["id"] == chosen else row for row in found]
            if not as_json:
                return {"jobs": found, "job": chosen, "log": ""}
        if chosen is not None:
            text = "".join(session.connect().get("jobs/{}/{}".format(chosen, stream), _MOST_BYTES, tail=True).decode(
                "utf-8", "replace") for stream in ("log", "output"))
        return {"jobs": found, "job": chosen, "log": text}

    return run_and_show(boards, work, current_choice().wait, as_json, json_file, _show)


def _print_line(host: Optional[str], line: str) -> None:
    click.echo(line if host is None else "{}  {}".format(host, line))


def _row(job: Dict[str, Any], now: float) -> Dict[str, Any]:
    """Return a job as a row of the table; `now` is by the clock there."""
    started = job.get("started")
    age = "" if not isinstance(started, (int, float)) else "{:.0f} min ago".format(max(now - started, 0) / 60)
    return dict({key: shown(str(job.get(key, ""))) for key in ("id", "title", "who", "state", "code")}, age=age)


def _show(outcomes: List[Outcome]) -> None:
    for outcome in outcomes:
        if len(outcomes) > 1:
            click.echo(outcome.host)
        if not outcome.result["jobs"]:
            click.echo("no jobs")
            continue
        click.echo("\n".join(table_lines(outcome.result["jobs"], _JOBS)))
        if outcome.result["log"]:
            click.echo("\nlog of {}:".format(outcome.result["job"]))
            click.echo(visible_lines(outcome.result["log"]), nl=False)
