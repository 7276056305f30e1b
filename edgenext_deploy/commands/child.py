"""Another command of this toolkit in a child process: how stages use each other against the direction of imports."""
import signal
import subprocess
from typing import Optional, Sequence, Tuple

from edgenext_deploy.child_process import KILLED, python_command
from edgenext_deploy.errors import BY_EXIT_CODE, IncompatibleError, VerificationError


class KilledError(IncompatibleError):
    """The system killed a child, most likely because memory ran out."""


def run_module(module: str, arguments: Sequence[str], timeout_s: Optional[float] = None) -> str:
    """Run a command of this toolkit and return what it printed.

    Args:
        module: the command's, such as ``edgenext_deploy.export.commands.cli``.
        arguments: as on a command line.
        timeout_s: wall time after which the child is killed.

    Raises:
        EdgeNextError: the child failed with one; its class, message and fix are the child's.
        VerificationError: the time was up.
        KilledError: the system killed it.
        RuntimeError: the child ended in another way, such as a crash.
    """
    shown = " ".join([module, *arguments])
    try:
        child = subprocess.run(python_command(module, arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise VerificationError("{} took more than {:g} s".format(shown, timeout_s or 0)) from error
    if child.returncode == 0:
        return child.stdout.decode("utf-8", "replace")
    if child.returncode == -signal.SIGKILL:
        raise KilledError("{} {}".format(shown, KILLED), "close other programs, or give the machine swap space")
    message, fix = error_said(child.stderr.decode("utf-8", "replace").splitlines())
    kind = BY_EXIT_CODE.get(child.returncode)
    if kind is None:
        raise RuntimeError("{} ended with code {}: {}".format(shown, child.returncode, message))
    raise kind(message, fix)


def error_said(printed: Sequence[str]) -> Tuple[str, Optional[str]]:
    """Return message and fix from the lines that a command of this toolkit printed (see `commands.entry`)."""
    lines = [line.strip() for line in printed if line.strip()] or ["nothing was printed"]
    fixes = [line[len("fix: "):] for line in lines if line.startswith("fix: ")]
    errors = [line.partition(": ")[2] for line in lines if line.lower().startswith("error: ")]
    return (errors or lines)[-1], fixes[-1] if fixes else None
