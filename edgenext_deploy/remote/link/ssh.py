"""The system's own ssh: its command line, and what its failures mean.

No option of the user's is changed. ``BatchMode=yes`` is added only where nobody could answer a question.
"""
import os
import re
import shlex
from typing import List, NamedTuple, Optional, Sequence

from edgenext_deploy.errors import (
    BadInputError,
    EdgeNextError,
    IncompatibleError,
    MissingRuntimeError,
    UsageError,
    VerificationError,
)
from edgenext_deploy.files import shown
from edgenext_deploy.remote.link.sources import BOOT

SSH_VARIABLE = "EDGENEXT_SSH"
# ssh itself would take a word that begins with a dash for an option, and %h of a ProxyCommand goes through a shell.
_DESTINATION = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9_.+-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[?[0-9A-Fa-f:]+(?:%\w+)?\]?)\Z")
_PYTHON = re.compile(r"[A-Za-z0-9_/~][A-Za-z0-9_./~-]*\Z")
# What ssh itself writes, and what it means here. The first that is found counts.
_MEANINGS = (
    ("Could not resolve hostname", "the host is not known", "check the name, or add it to ~/.ssh/config"),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "the host's key is not the one in known_hosts",
     "if the board was flashed again: ssh-keygen -R {host}"),
    ("Host key verification failed", "the host's key is not known yet", "look at it once: ssh {host}"),
    ("Permission denied", "the key was refused", "ssh-copy-id {host}"),
    ("Too many authentication failures", "the key was refused", "name the key in ~/.ssh/config: IdentityFile"),
    ("Connection refused", "no SSH server answers", "check the board's address and port, and that sshd runs there"),
    ("Connection timed out", "the host does not answer", "check that the board is on, and in this network"),
    ("No route to host", "the host cannot be reached", "check that the board is on, and in this network"),
    ("Network is unreachable", "the host cannot be reached", "check the network"),
    ("cannot listen to port", "the port is used here by another program", "give another one with --serve"),
)
# Exit codes of ssh, and of a shell for a file that is no program or may not be started.
_SSH_FAILED, _CANNOT_START = 255, 126


class Route(NamedTuple):
    """How a host is reached.

    Attributes:
        destination: what ssh gets, ``[USER@]HOST``.
        python: the Python there, 3.6 or newer, as its shell finds it.
        folder: the folder there that everything lies in.
    """

    destination: str
    python: str = "python3"
    folder: str = "~/.local/share/edgenext-deploy"


class LostConnectionError(MissingRuntimeError):
    """The connection could not be made, or has ended; what was copied and what runs there stays."""


def require_route(route: Route) -> None:
    """Raise UsageError unless ssh would take the destination for one, and any shell the Python for a word."""
    if len(route.destination) > 255 or not _DESTINATION.match(route.destination):
        raise UsageError("not a destination of ssh: {}".format(shown(repr(route.destination))),
                         "give HOST or USER@HOST; a port, a key or a jump host goes into ~/.ssh/config")
    if not _PYTHON.match(route.python):
        raise UsageError("not the name of a Python: {}".format(shown(repr(route.python))), "such as --python python3.8")
    # pip puts the path between double quotes of a shell, in the scripts that it installs.
    if not route.folder or any(character in route.folder for character in '\0\n"$`\\'):
        raise UsageError("not a folder: {}".format(shown(repr(route.folder))),
                         "give one without double quotes, $, ` and backslashes")


def ssh_words() -> List[str]:
    """Return the words that start ssh: ``$EDGENEXT_SSH``, such as ``ssh -F FILE``, or ``ssh``."""
    given = os.environ.get(SSH_VARIABLE, "")
    try:
        return shlex.split(given) or ["ssh"]
    except ValueError as error:
        raise UsageError("{} is no command line: {} ({})".format(SSH_VARIABLE, shown(given), error),
                         "such as \"ssh -F FILE\"; a word with spaces stands in quotes") from error


def command_line(route: Route, batch: bool, forwards: Sequence[str] = ()) -> List[str]:
    """Return the command that starts the far side.

    Args:
        route: to the host.
        batch: nobody can answer a question.
        forwards: what ``-L`` gets.
    """
    options = ["-o", "BatchMode=yes"] if batch else []
    for forward in forwards:
        options += ["-o", "ExitOnForwardFailure=yes", "-L", forward]
    return [*ssh_words(), "-T", *options, "--", route.destination, '{} -I -c "{}"'.format(route.python, BOOT)]


def explain(route: Route, said: str, code: Optional[int]) -> EdgeNextError:
    """Return the error for a connection on which the far side never answered.

    Args:
        route: to the host.
        said: what ssh and the shell there wrote to standard error.
        code: ssh's exit code; None if it did not end.
    """
    host, last = route.destination, shown(_last_line(said))
    for text, meaning, fix in _MEANINGS:
        # What the shell or the Python there says may have the same words; the exit code is then another.
        if text in said and code in (None, _SSH_FAILED):
            return LostConnectionError("{}: {} ({})".format(host, meaning, last), fix.format(host=host))
    if "No space left on device" in said:
        return LostConnectionError("{}: the disk there is full ({})".format(host, last), "free some space there")
    if code == _CANNOT_START:
        return MissingRuntimeError("{} cannot start {} ({})".format(host, route.python, last),
                                   "name its Python with --python")
    if code == 127 or "not found" in said:
        return MissingRuntimeError("{} has no {} ({})".format(host, route.python, last),
                                   "name its Python with --python, or on the board: sudo apt-get install python3")
    if "SyntaxError" in said or "Unknown option: -I" in said:
        return IncompatibleError("{} on {} is too old, 3.6 or newer expected ({})".format(route.python, host, last),
                                 "name another with --python")
    return LostConnectionError("{}: no answer over ssh{}".format(host, " ({})".format(last) if last else ""),
                               "try it alone: ssh {} {} --version".format(host, route.python))


def refusal(route: Route, kind: str, text: str) -> EdgeNextError:
    """Return the error for what the far side refused; `kind` is a `RefusedError`'s there."""
    message = "{}: {}".format(route.destination, shown(text, 600))
    if kind == "busy":
        return MissingRuntimeError(message, "wait for it, or look at it: edgenext-remote {} logs".format(
            route.destination))
    if kind == "space":
        return UsageError(message, "free some space on the board, or choose another disk with --folder")
    if kind == "input":
        return BadInputError(message)
    if kind == "bug":
        return VerificationError("{}: the far side failed: {}".format(route.destination, shown(text, 600)),
                                 "please report it")
    return UsageError(message)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
