"""The fleet file ``boards.toml``, and which boards a command line means.

::

    [[board]]
    name = "nano1"
    host = "jetson@192.168.1.20"
    device = "nano"
    tags = ["lab"]
"""
import importlib
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.errors import BadInputError, MissingRuntimeError, UsageError, suggestion
from edgenext_deploy.files import read_file, shown
from edgenext_deploy.remote.link.ssh import Route, require_route

_MOST_BYTES = 1 << 20
_FIX = "a board has name and host, and may have device, tags, folder and python"
FILE = "boards.toml"


class FleetBoard(NamedTuple):
    """A board of the fleet.

    Attributes:
        name: what command lines and tables call it.
        route: how it is reached.
        device: what it has to be, a name in `targets.BOARDS`; None for any.
        tags: what ``--tag`` takes.
    """

    name: str
    route: Route
    device: Optional[str] = None
    tags: Tuple[str, ...] = ()


def find_fleet_file() -> Optional[str]:
    """Return the fleet file of this folder, or else the user's; None where there is none."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    paths = (FILE, os.path.join(base, "edgenext-deploy", FILE))
    return next((path for path in paths if os.path.isfile(path)), None)


def read_fleet(path: str) -> List[FleetBoard]:
    """Read a fleet file.

    Raises:
        BadInputError: it is missing or broken, or names a board twice.
        UsageError: a host that ssh would not take for one.
        MissingRuntimeError: this Python cannot read TOML.
    """
    try:
        toml: Any = importlib.import_module("tomllib")
    except ImportError:
        try:
            toml = importlib.import_module("tomli")
        except ImportError as error:
            raise MissingRuntimeError("{} cannot be read: Python before 3.11 needs tomli for TOML".format(path),
                                      "pip install tomli") from error
    data = read_file(path, "fleet file", _FIX, _MOST_BYTES)
    try:
        content = toml.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInputError("{} is not TOML: {}".format(path, shown(str(error))), _FIX) from error
    rows = content.get("board")
    if not isinstance(rows, list) or set(content) != {"board"}:
        raise BadInputError("{}: tables [[board]] expected, and nothing else".format(path), _FIX)
    boards = [_board(row, "{}: board {}".format(path, number)) for number, row in enumerate(rows, start=1)]
    names = [board.name for board in boards]
    for name in names:
        if names.count(name) > 1:
            raise BadInputError("{} names {} twice".format(path, shown(name)), "give each board a name of its own")
    return boards


def choose_boards(hosts: Sequence[str], tags: Sequence[str], fleet: Sequence[FleetBoard],
                  changes: Dict[str, str]) -> List[FleetBoard]:
    """Return the boards that a command line means.

    Args:
        hosts: names in the fleet, or destinations of ssh.
        tags: boards with one of them are taken too.
        fleet: the boards of the fleet file.
        changes: fields of `Route` that the command line gives.

    Raises:
        UsageError: none, or a tag that no board has.
    """
    known = {board.name: board for board in fleet}
    found = [known.get(host) or FleetBoard(host, Route(host)) for host in hosts]
    all_tags = sorted({tag for board in fleet for tag in board.tags})
    for tag in tags:
        tagged = [board for board in fleet if tag in board.tags]
        if not tagged:
            raise UsageError("no board has the tag {!r}{}".format(shown(tag), suggestion(tag, all_tags)),
                             "tags are in {}: {}".format(FILE, ", ".join(all_tags) or "none"))
        found += tagged
    chosen = {board.name: board._replace(route=board.route._replace(**changes)) for board in found}
    if not chosen:
        raise UsageError("no host is given", "edgenext-remote nano doctor; or --tag NAME, with a file {}".format(FILE))
    for board in chosen.values():
        require_route(board.route)
    return list(chosen.values())


def _board(row: Any, where: str) -> FleetBoard:
    if not isinstance(row, dict):
        raise BadInputError("{} is no table".format(where), _FIX)
    tags = row.pop("tags", [])
    for key, value in row.items():
        if key not in ("name", "host", "device", "folder", "python"):
            raise BadInputError("{} has an unknown key {!r}".format(where, shown(key)), _FIX)
        if not isinstance(value, str) or not value:
            raise BadInputError("{}: {} is {}, a text expected".format(where, key, shown(repr(value))), _FIX)
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadInputError("{}: tags is {}, a list of texts expected".format(where, shown(repr(tags))), _FIX)
    if not {"name", "host"} <= set(row):
        raise BadInputError("{} lacks name or host".format(where), _FIX)
    route = Route(row["host"], **{key: row[key] for key in ("python", "folder") if key in row})
    require_route(route)
    return FleetBoard(row["name"], route, row.get("device"), tuple(tags))
