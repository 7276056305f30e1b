"""The installed commands: what runs before a command's own modules are imported.

That import takes 0.1 s to 1 s, and there is nothing to clean up meanwhile. A signal then ends the process with one
word, as it does later. So this module, and the packages around it, import only what Python has loaded or what is small.
"""
import contextlib
import importlib
import os
import signal
import sys

TYPE_CHECKING = False  # of `typing`, whose import takes as long as everything here
if TYPE_CHECKING:
    from typing import Any, Callable

MODULES = {
    "edgenext-bench": "edgenext_deploy.benchmarks.commands.cli",
    "edgenext-build": "edgenext_deploy.engines.cli",
    "edgenext-doctor": "edgenext_deploy.doctor.cli",
    "edgenext-eval": "edgenext_deploy.benchmarks.accuracy.cli",
    "edgenext-export": "edgenext_deploy.export.commands.cli",
    "edgenext-models": "edgenext_deploy.models.cli",
    "edgenext-remote": "edgenext_deploy.remote.commands.cli",
    "edgenext-run": "edgenext_deploy.run.cli",
}
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def leave(number: int, frame: "Any") -> None:
    """End the process at once; a signal handler for when nothing is to be cleaned up."""
    with contextlib.suppress(OSError):  # standard error is closed, or its disk full
        os.write(2, "{}\n".format(WORDS[signal.Signals(number)]).encode())
    os._exit(128 + number)


def _end_quietly() -> None:
    # A shell starts background jobs with SIGINT ignored, and that holds.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, leave)


def _script(name: str) -> "Callable[[], None]":
    module = MODULES[name]

    def main() -> None:
        _end_quietly()
        importlib.import_module(module).main()

    return main


bench = _script("edgenext-bench")
build = _script("edgenext-build")
doctor = _script("edgenext-doctor")
evaluate = _script("edgenext-eval")
export = _script("edgenext-export")
models = _script("edgenext-models")
remote = _script("edgenext-remote")
run = _script("edgenext-run")

# What a console script does before it calls its function takes as long as this module. Whoever else imports this
# module keeps the handlers.
if os.path.basename(sys.argv[0]) in MODULES:
    _end_quietly()
