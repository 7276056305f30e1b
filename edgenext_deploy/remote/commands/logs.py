"""``logs``: what was done on a board, and what is being done."""
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


@click.command("logs", cls=Command, epilog=examples("edgenext-remote nano logs", "edgenext-remote nano logs JOB"))
@click.argument("job", required=False)
@json_options
@common_options
def logs_command(job: Optional[str], as_json: bool, json_file: Optional[str]) -> int:
    """List the jobs of a board, and show the log of JOB, or of the last one."""
    def work(session: Session) -> Dict[str, Any]:
        connection = session.connect()
        found = [_row(row) for row in field(connection.ask("jobs"), "jobs", list)]
        names = [row["id"] for row in found]
        if job is not None and job not in names:
            raise BadInputError("{}: no job {}".format(session.board.name, shown(job)),
                                "edgenext-remote {} logs".format(session.board.name))
        chosen = job or (names[-1] if names else None)
        text = ""
        if chosen is not None:
            text = "".join(connection.get("jobs/{}/{}".format(chosen, stream), _MOST_BYTES).decode("utf-8", "replace")
                           for stream in ("log", "output"))
        return {"jobs": found, "job": chosen, "log": text}

    return run_and_show(current_choice().boards(), work, current_choice().wait, as_json, json_file, _show)


def _row(job: Dict[str, Any]) -> Dict[str, Any]:
    started = job.get("started")
    age = "" if not isinstance(started, (int, float)) else "{:.0f} min ago".format(max(time.time() - started, 0) / 60)
    return dict({key: shown(str(job.get(key, ""))) for key in ("id", "title", "who", "state", "code")}, age=age)


def _show(outcomes: List[Outcome]) -> None:
    for outcome in outcomes:
        if len(outcomes) > 1:
            click.echo(outcome.host)
        if not outcome.result["jobs"]:
            click.echo("no jobs")
            continue
        click.echo("\n".join(table_lines(outcome.result["jobs"], _JOBS)))
        click.echo("\nlog of {}:".format(outcome.result["job"]))
        click.echo(visible_lines(outcome.result["log"]), nl=False)
