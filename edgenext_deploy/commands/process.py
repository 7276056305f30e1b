"""What a command sets up for its own process: standard streams that exist, and an orderly end on SIGTERM."""
import contextlib
import os
import signal
import sys
import threading
from typing import Any, Iterator, Optional

import click

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


def signal_behind(error: Optional[BaseException]) -> Optional[int]:
    """Return the number of the signal that an exception stems from, None if it stems from none.

    A library that is interrupted while it is imported reports that as an error of its own: pybind11 as an ImportError,
    Python as a RuntimeError where a class is made.
    """
    found = None
    while error is not None:
        if isinstance(error, Terminated):
            return signal.SIGTERM
        if isinstance(error, (KeyboardInterrupt, click.Abort)):
            found = signal.SIGINT
        error = error.__cause__ or error.__context__
    return found


def _terminate(number: int, frame: Any) -> None:
    raise Terminated
