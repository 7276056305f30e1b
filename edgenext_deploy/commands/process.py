"""What a command sets up for its own process: standard streams that exist, and an orderly end on a signal."""
import contextlib
import os
import signal
import sys
import threading
from typing import Any, Iterator, List, Optional

import click

from edgenext_deploy.commands.console import leave

_came: List[int] = []  # the SIGTERMs that this command got
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_streams() -> None:
    """Open what the caller closed of the standard streams.

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


def print_to_nowhere() -> None:
    """Discard what is printed from here on, and what waits to be: the reader of standard output has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt meanwhile as SIGINT does, so that what is open is cleaned up.

    Other handlers than Python's and `console.leave` stay.
    """
    before = {}
    del _came[:]
    try:
        for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, _terminate)):
            found = signal.getsignal(number)
            if threading.current_thread() is threading.main_thread() and found in (leave, signal.SIG_DFL):
                before[number] = found
                signal.signal(number, handler)
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)


def signal_behind(error: Optional[BaseException]) -> Optional[int]:
    """Return the number of the signal that an exception stems from, None if it stems from none.

    A library that is interrupted while it is imported reports that as an error of its own: pybind11 as an ImportError,
    Python as a RuntimeError where a class is made.
    """
    while error is not None:
        if isinstance(error, (KeyboardInterrupt, click.Abort)):
            return interrupted_code() - 128
        error = error.__cause__ or error.__context__
    return None


def interrupted_code() -> int:
    """Return the exit code of a command that ends early because KeyboardInterrupt was raised, as a shell gives it."""
    return 128 + (signal.SIGTERM if _came else signal.SIGINT)


def _terminate(number: int, frame: Any) -> None:
    _came.append(number)
    raise KeyboardInterrupt
