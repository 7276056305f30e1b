"""Another command of this toolkit in a child process: how stages use each other against the direction of imports."""
import subprocess
from typing import Dict, Optional, Sequence, Tuple, Type

from edgenext_deploy.child_process import python_command
from edgenext_deploy.errors import (
    BadInputError,
    EdgeNextError,
    IncompatibleError,
    MissingRuntimeError,
    UsageError,
    VerificationError,
)

_ERRORS: Dict[int, Type[EdgeNextError]] = {kind.exit_code: kind for kind in (
    UsageError, BadInputError, IncompatibleError, VerificationError, MissingRuntimeError)}


def run_module(module: str, arguments: Sequence[str], timeout_s: Optional[float] = None) -> str:
    """Run a command of this toolkit and return what it printed.

    Args:
        module: the command's, such as ``edgenext_deploy.export.commands.cli``.
        arguments: as on a command line.
        timeout_s: wall time after which the child is killed.

    Raises:
        EdgeNextError: the child failed with one; its class, message and fix are the child's.
        VerificationError: the time was up.
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
    message, fix = _error_of(child.stderr.decode("utf-8", "replace"))
    kind = _ERRORS.get(child.returncode)
    if kind is None:
        raise RuntimeError("{} ended with code {}: {}".format(shown, child.returncode, message))
    raise kind(message, fix)


def _error_of(stderr: str) -> Tuple[str, Optional[str]]:
    """Return message and fix from what a command of this toolkit printed (see `edgenext_deploy.commands.entry`)."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["nothing was printed"]
    fixes = [line[len("fix: "):] for line in lines if line.startswith("fix: ")]
    errors = [line.partition(": ")[2] for line in lines if line.lower().startswith("error: ")]
    return (errors or lines)[-1], fixes[-1] if fixes else None
