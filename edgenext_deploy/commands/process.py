"""What a command sets up for its own process: standard streams that exist, and an orderly end on SIGTERM."""
import contextlib
import os
import signal
import sys
import threading
from typing import Any, Iterator

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class Terminated(KeyboardInterrupt):
    """SIGTERM came: whatever cleans up on Ctrl-C does so."""


@contextlib.contextmanager
def orderly_process() -> Iterator[None]:
    """Open what the caller closed of the standard streams, and have SIGTERM raise `Terminated` meanwhile.

    The next file that is opened would get the number of a closed stream, and messages would end up in it.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one; children get it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for the process's life
    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(
        signal.SIGTERM) is signal.SIG_DFL
    if mine:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated
