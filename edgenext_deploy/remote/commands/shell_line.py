"""``shell-line``: the ssh commands, for those who want to type them."""
import os
import shlex
from typing import Any, Dict, List, Tuple

import click

from edgenext_deploy.camera.address import without_password
from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.options import examples
from edgenext_deploy.commands.word_files import READ_WORDS
from edgenext_deploy.errors import UsageError
from edgenext_deploy.remote.commands.choice import current_choice
from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.link.connection import Connection
from edgenext_deploy.remote.link.ssh import ssh_words
from edgenext_deploy.remote.pushing import bundle_of
from edgenext_deploy.remote.session import nobody_answers
from edgenext_deploy.remote.setting_up.environment import environment_for, setup_job

_ON_THE_BOARD = {"bench": "edgenext-bench", "build": "edgenext-build", "doctor": "edgenext-doctor",
                 "run": "edgenext-run"}
_BY_HAND = "by-hand"


@click.command("shell-line", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
               epilog=examples("edgenext-remote nano shell-line bench xxs.onnx",
                               "edgenext-remote nano shell-line setup --offline"))
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED,
                metavar="setup|doctor|build|run|bench [ARGS]...")
@common_options
def shell_line_command(words: Tuple[str, ...]) -> None:
    """Print the commands of ssh and scp that do the same, and run none of them on the board.

    For setup the board is asked for its Python, and the wheels are fetched to this machine.
    """
    for board in current_choice().boards():
        if words[0] == "setup":
            lines = _setup_lines(board, "--offline" in words)
        elif words[0] in _ON_THE_BOARD:
            lines = _command_lines(board, _ON_THE_BOARD[words[0]], words[1:])
        else:
            raise UsageError("shell-line knows no {}".format(words[0]),
                             "choose one of: setup, " + ", ".join(_ON_THE_BOARD))
        hidden = [without_password(line) for line in lines]
        click.echo("\n".join(hidden))
        if hidden != lines:
            click.echo("note: *** stands for a password; words in a file show it to nobody: {} < FILE".format(
                _ssh(board, "{}/bin/{} {}".format(_from_home(board), _ON_THE_BOARD[words[0]], READ_WORDS), reads=True)),
                err=True)


def _setup_lines(board: FleetBoard, offline: bool) -> List[str]:
    with Connection(board.route, nobody_answers(1)) as connection:
        hello = connection.hello
    environment = environment_for(hello, offline)
    folder = hello["folder"]
    lines = []
    for there, here, _ in environment.files:
        place = os.path.join(folder, os.path.dirname(there))
        lines += [_ssh(board, "mkdir -p {}".format(shlex.quote(place))), _scp(board, [here], place)]
    for step in setup_job(hello, environment, False).steps:
        lines += _step_lines(board, folder, step)
    return lines


def _step_lines(board: FleetBoard, folder: str, step: Dict[str, Any]) -> List[str]:
    """Return what does a step of a job by hand, in the order of the far side; old environments stay."""
    def there(path: str) -> str:
        return shlex.quote(os.path.join(folder, path))

    lines = []
    for name, text in step.get("write", {}).items():
        command = "mkdir -p {} && cat > {file} && chmod {:o} {file}".format(
            there(os.path.dirname(name)), step.get("mode", 0o600), file=there(name))
        lines.append("printf %s {} | {}".format(shlex.quote(text), _ssh(board, command, reads=True)))
    commands = ["ln -sfn {} {}".format(shlex.quote(target), there(name))
                for name, target in step.get("link", {}).items()]
    commands += ["rm -rf {}".format(there(name)) for name in step.get("remove", ())]
    if "run" in step:
        variables = ["{}={}".format(*item) for item in sorted(step.get("env", {}).items())]
        commands.append(" ".join(map(shlex.quote, [*(["env", *variables] if variables else []), *step["run"]])))
    return [*lines, *([_ssh(board, " && ".join(commands))] if commands else [])]


def _command_lines(board: FleetBoard, command: str, words: Tuple[str, ...]) -> List[str]:
    folder = _from_home(board)
    place = "{}/{}".format(folder, _BY_HAND)
    files: List[str] = []
    carried = []
    for word in words:
        if not word.startswith("-") and os.path.isfile(word):
            bundle = bundle_of(word)
            files += [path for _, path, _ in bundle.files]
            word = "{}/{}".format(place, bundle.name)
        carried.append(word)
    lines = [_ssh(board, "mkdir -p {}".format(shlex.quote(place))), _scp(board, files, place)] if files else []
    return [*lines, _ssh(board, " ".join(map(shlex.quote, ["{}/bin/{}".format(folder, command), *carried])))]


def _from_home(board: FleetBoard) -> str:
    """Return the folder there; a relative path begins in the home folder, for scp as for the shell."""
    folder = board.route.folder
    return folder[2:] if folder.startswith("~/") else folder


def _ssh(board: FleetBoard, command: str, reads: bool = False) -> str:
    # Else ssh would take the lines behind it, of a script or as they are pasted, for its own input.
    return " ".join(map(shlex.quote, [*ssh_words(), *([] if reads else ["-n"]), board.route.destination, command]))


def _scp(board: FleetBoard, files: List[str], place: str) -> str:
    # What $EDGENEXT_SSH gives to ssh, scp takes as well: -F, -i, -o.
    target = "{}:{}/".format(board.route.destination, place)
    return " ".join(map(shlex.quote, ["scp", *ssh_words()[1:], *files, target]))
