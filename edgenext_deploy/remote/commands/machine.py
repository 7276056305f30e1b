"""``setup`` and ``doctor``: what a board has."""
from typing import Any, Dict, List, Optional

import click

from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.options import Command, examples, json_options
from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.remote.commands.choice import current_choice, run_and_show
from edgenext_deploy.remote.screen import table_lines
from edgenext_deploy.remote.session import Session, who_am_i
from edgenext_deploy.remote.together import Outcome

_CHECKS = {"status": "status", "name": "check", "found": "found", "fix": "fix"}


@click.command("setup", cls=Command, epilog=examples(
    "edgenext-remote nano setup", "edgenext-remote nano setup --offline", "edgenext-remote nano setup --remove"))
@click.option("--offline", is_flag=True, help="Copy every wheel from here; the board needs no internet.")
@click.option("--remove", is_flag=True, help="Remove the folder on the board, with all that was copied and built.")
@json_options
@common_options
def setup_command(offline: bool, remove: bool, as_json: bool, json_file: Optional[str]) -> int:
    """Make a virtual environment on the board, with this version of the toolkit and ONNX Runtime in it.

    Everything lies in one folder there. No root is needed; what needs root is printed, for you to do. The command may
    be repeated: what is there already is skipped. Other commands do the same where it is needed.
    """
    def work(session: Session) -> Dict[str, Any]:
        if remove:
            with session.timed("remove"):
                session.connect().ask("remove", who={"who": who_am_i(), "title": "remove"})
            return {}
        session.setup(offline)
        return session.doctor()

    return run_and_show(current_choice().boards(), work, current_choice().wait, as_json, json_file,
                        None if remove else show_doctor)


@click.command("doctor", cls=Command, epilog=examples(
    "edgenext-remote nano doctor", "edgenext-remote --tag lab doctor --json"))
@json_options
@common_options
def doctor_command(as_json: bool, json_file: Optional[str]) -> int:
    """Show what edgenext-doctor finds on the board. The exit code is 6 if no network can run there."""
    def work(session: Session) -> Dict[str, Any]:
        session.require_ready()
        found = session.doctor()
        if not found["inference_possible"]:
            raise MissingRuntimeError("{}: no network can run there: {}".format(session.board.name, "; ".join(
                "{}: {}".format(check["name"], check["found"]) for check in found["checks"]
                if check["status"] == "problem")))
        return found

    return run_and_show(current_choice().boards(), work, current_choice().wait, as_json, json_file, show_doctor)


def show_doctor(outcomes: List[Outcome]) -> None:
    """Print what the doctor found on each board."""
    for outcome in outcomes:
        if len(outcomes) > 1:
            click.echo(outcome.host)
        click.echo("\n".join(table_lines(outcome.result["checks"], _CHECKS)))
        click.echo("inference is {}possible".format("" if outcome.result["inference_possible"] else "not "))
