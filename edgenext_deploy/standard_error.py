"""The process's standard error, where some libraries write lines of their own: kept from them for a moment."""
import contextlib
import os
import threading
from typing import Iterator

_STDERR = 2
# Held while what is written there goes nowhere: another thread's line waits (`foreign_text.VisibleStream`).
muting = threading.RLock()


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Let nothing that is written to the process's standard error meanwhile reach it."""
    with muting:
        kept, nowhere = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, _STDERR)
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            os.close(nowhere)
