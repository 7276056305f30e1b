"""Python child processes: every one is started with `python_command`.

A child never imports from the current folder, nor from the folder of its own script: a file ``json.py`` that lies
where a command is run must not become code. Python puts one of the two first on `sys.path`. Its option ``-P`` against
that needs 3.11, and ``-I`` also drops PYTHONPATH and the user's site-packages, where a Jetson's packages often are. So
the child itself removes the entry before it imports anything.

A child dies with the process that started it, also if that one is killed. Ctrl-C ends it without a traceback; a
command that runs as a child cleans up first (`commands.process`).
"""
import os
import runpy
import signal
import sys
from typing import List, Optional, Sequence

from edgenext_deploy.telemetry import disable_telemetry

_PACKAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__init__.py")
# `sys` is built in, and '' is what `-c` puts first. The package is the parent's, from wherever that one imported it;
# nothing else is imported from the folder around it.
_BOOT = """import sys
if sys.path[:1] == ['']: del sys.path[0]
import signal
if signal.getsignal(signal.SIGINT) is signal.default_int_handler: signal.signal(signal.SIGINT, signal.SIG_DFL)
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location('edgenext_deploy', sys.argv[1])
sys.modules['edgenext_deploy'] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from edgenext_deploy.child_process import run_target
run_target(int(sys.argv[2]), sys.argv[3], sys.argv[4:])"""
_PR_SET_PDEATHSIG = 1
# What is said of a child that ended with SIGKILL.
KILLED = "was killed by the system, most likely because it was out of memory (SIGKILL, exit 137)"


def python_command(target: str, arguments: Sequence[str] = (), executable: Optional[str] = None) -> List[str]:
    """Return the command line that runs a module or a script in a child process of this process.

    The system kills the child when the *thread* that started it ends. Start it from a thread that waits for it.

    Args:
        target: name of a module of this package, or path of a script that ends in ``.py``.
        arguments: what it finds in ``sys.argv[1:]``.
        executable: the Python; by default the one that runs this.
    """
    # As isolated as this process is.
    flags = [flag for flag, on in (("-E", sys.flags.ignore_environment), ("-s", sys.flags.no_user_site)) if on]
    return [executable or sys.executable, *flags, "-c", _BOOT, _PACKAGE, str(os.getpid()), target, *arguments]


def run_target(parent: int, target: str, arguments: Sequence[str]) -> None:
    """Run, in the child, what `python_command` was given.

    Args:
        parent: process id of the parent.
        target: as for `python_command`.
        arguments: as for `python_command`.
    """
    _die_with(parent)
    disable_telemetry()
    sys.argv[:] = [target, *arguments]
    if target.endswith(".py"):
        runpy.run_path(target, run_name="__main__")
    else:
        runpy.run_module(target, run_name="__main__", alter_sys=True)


def _die_with(parent: int) -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (ImportError, OSError, AttributeError):  # not Linux: the child lives on until it is done
        return
    if os.getppid() != parent:  # it died before prctl
        os._exit(128 + signal.SIGKILL)
