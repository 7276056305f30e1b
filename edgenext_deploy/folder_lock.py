"""Locks between processes that write into one folder. A lock ends with the process that holds it, however that ends."""
import contextlib
import fcntl
import os
import time
from typing import Iterator

# Whoever may read a folder may lock it: no one waits for longer.
_PATIENCE_S = 5.0
_POLL_S = 0.01


@contextlib.contextmanager
def locked_folder(folder: str) -> Iterator[None]:
    """Hold back every other `locked_folder` of the folder, in other processes and in other threads.

    After 5 s it goes on without the lock, and so it does where the file system has none: files that vouch for each
    other carry digests, so two writers at once cost an error, and never a wrong answer.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it may be entered and written, but not read
        yield
        return
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_S)
        except OSError:  # no locks in this file system
            return
        else:
            return


def try_lock(handle: int) -> bool:
    """Lock an open file until it is closed; return False where it is locked already, or cannot be locked."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
