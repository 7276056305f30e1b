"""Folders for what a command needs only while it runs. What a killed one left behind, the next one clears."""
import contextlib
import os
import shutil
import stat
import tempfile
from typing import Iterator, Tuple

from edgenext_deploy.errors import UsageError
from edgenext_deploy.folder_lock import try_lock

_PREFIX = "edgenext-scratch-"
_LOCK = ".lock"
TMPDIR_FIX = "free some space there, or name another folder in TMPDIR"


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """Make a folder below TMPDIR that only this user can read, and remove it afterwards.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        _clear_left(tempfile.gettempdir())
        folder, lock = _make()
    except OSError as error:
        raise UsageError("cannot make a folder for temporary files: {}".format(error), TMPDIR_FIX) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make() -> Tuple[str, int]:
    """Return a new folder and its lock, an open file."""
    while True:
        folder = tempfile.mkdtemp(prefix=_PREFIX)
        path = os.path.join(folder, _LOCK)
        try:
            lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # another process took it for one that was left
            continue
        except OSError:
            os.rmdir(folder)
            raise
        if try_lock(lock) and os.path.exists(path):
            return folder, lock
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _clear_left(parent: str) -> None:
    """Remove the folders of this user whose process is gone: nothing holds their lock."""
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(_PREFIX):
                _clear(os.path.join(parent, name))


def _clear(folder: str) -> None:
    with contextlib.suppress(OSError):
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return
        try:
            lock = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            os.rmdir(folder)  # its process was killed before it made the lock; refused if anything is in it
            return
        try:
            if try_lock(lock):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
