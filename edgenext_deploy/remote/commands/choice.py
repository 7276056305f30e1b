"""What all commands share: which boards are meant, and what is printed at the end."""
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import click

from edgenext_deploy.commands.options import check_outputs, write_result
from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.remote.fleet import FleetBoard, choose_boards, find_fleet_file, read_fleet
from edgenext_deploy.remote.screen import Screen, table_lines
from edgenext_deploy.remote.together import Outcome, Work, as_data, run_together, worst_code

_TITLES = {"host": "board", "state": "state", "time": "time", "sent": "sent", "received": "received"}


class Choice(NamedTuple):
    """The boards that a command line means, and how they are reached.

    Attributes:
        hosts: names in the fleet file, or destinations of ssh.
        tags: of the fleet file.
        fleet_file: path of the fleet file, None for the usual ones.
        folder: on the board, None for the default.
        python: on the board, None for the default.
        wait: wait while somebody else uses a board.
    """

    hosts: Tuple[str, ...] = ()
    tags: Tuple[str, ...] = ()
    fleet_file: Optional[str] = None
    folder: Optional[str] = None
    python: Optional[str] = None
    wait: bool = True

    def boards(self, device: Optional[str] = None) -> List[FleetBoard]:
        """Return the boards; see `choose_boards` for what is raised."""
        path = self.fleet_file or find_fleet_file()
        changes = {name: value for name, value in (("folder", self.folder), ("python", self.python)) if value}
        found = choose_boards(self.hosts, self.tags, read_fleet(path) if path else [], changes)
        return found if device is None else [board._replace(device=device) for board in found]


def current_choice() -> Choice:
    """Return the choice of the command line that runs."""
    found: Choice = click.get_current_context().obj
    return found


def run_and_show(boards: Sequence[FleetBoard], work: Work, wait: bool, as_json: bool, json_file: Optional[str],
                 show: Optional[Callable[[List[Outcome]], Any]] = None, columns: Optional[Dict[str, str]] = None,
                 forwards: Sequence[str] = ()) -> int:
    """Do the work on all boards, print what came of it, and return the exit code.

    Args:
        boards: the boards.
        work: see `run_together`.
        wait: see `run_together`.
        as_json: print JSON in place of a table.
        json_file: write the JSON there too.
        show: prints what comes after the table.
        columns: keys of the results that the table shows, with their titles.
        forwards: see `run_together`.

    Raises:
        EdgeNextError: the one board's, where there is one.
    """
    check_outputs([("--json-file", json_file)])
    with Screen([board.name for board in boards], quiet=as_json) as screen:
        outcomes = run_together(boards, work, screen, wait, forwards)
    write_result(as_data(outcomes), as_json, json_file, lambda: _show(outcomes, show, columns or {}))
    if not as_json:
        report_failures(outcomes)
    return worst_code(outcomes)


def report_failures(outcomes: Sequence[Outcome]) -> None:
    """Print what went wrong on which board.

    Raises:
        EdgeNextError: the one board's, where there is one.
    """
    for outcome in outcomes:
        if outcome.error is None:
            continue
        if len(outcomes) == 1:
            error = EdgeNextError(outcome.error, outcome.fix)
            error.exit_code = outcome.exit_code
            raise error
        click.echo("{}: error: {}".format(outcome.host, outcome.error), err=True)
        if outcome.fix:
            click.echo("{}:   fix: {}".format(outcome.host, outcome.fix), err=True)


def _show(outcomes: List[Outcome], show: Optional[Callable[[List[Outcome]], Any]], columns: Dict[str, str]) -> None:
    rows = [dict(outcome.result, host=outcome.host, time="{:.1f} s".format(outcome.seconds),
                 state="ok" if outcome.error is None else "failed ({})".format(outcome.exit_code),
                 sent=_megabytes(outcome.sent_bytes), received=_megabytes(outcome.received_bytes))
            for outcome in outcomes]
    click.echo("\n".join(table_lines(rows, dict(_TITLES, **columns))))
    good = [outcome for outcome in outcomes if outcome.error is None]
    if show is not None and good:
        click.echo()
        show(good)


def _megabytes(count: int) -> str:
    return "{:.1f} MB".format(count / 1e6) if count >= 100000 else "{:.1f} kB".format(count / 1e3)
