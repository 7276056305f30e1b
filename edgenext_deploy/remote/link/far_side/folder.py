"""The folder on the board, its lock, and files that are complete or not there.

::

    lock                       held by the running job, with who started it
    packages/KEY/              virtual environments with other people's packages; ready.json is written last
    venvs/KEY-CODE/            those with our code, which see packages/KEY; launch/ has the commands, ready.json is last
    bin                        link to the newest launch/
    wheels/SHA256/NAME.whl     pushed files, each in a folder of its digest
    files/KEY/...              engines and inputs, each in a folder of its content's digest
    incoming/SHA256            files that are not complete yet
    jobs/ID/                   job.json, state.json, output, log, alive (locked while it runs), out/
    cache/                     timing caches
"""
import contextlib
import fcntl
import json
import os
import time
from typing import List, Optional

from edgenext_deploy.remote.link.far_side.wire import Json, RefusedError


class Folder:
    """The folder on the board, and its lock."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))

    def at(self, *parts: str) -> str:
        """Return a path below the folder."""
        path = os.path.normpath(os.path.join(self.path, *parts))
        if path != self.path and not path.startswith(self.path + os.sep):
            raise RefusedError("usage", "not below {}: {}".format(self.path, path))
        return path

    def make(self, *parts: str) -> str:
        """Return a folder below it, made if it is not there; nobody else may look into it."""
        path = self.at(*parts)
        try:
            os.makedirs(path, 0o700, exist_ok=True)
        except OSError as error:
            raise RefusedError("usage", "cannot write {}: {}".format(path, error.strerror)) from error
        return path

    def ready(self, kind: str) -> List[str]:
        """Return which of the environments in ``packages`` or ``venvs`` are complete, the oldest first."""
        found = {}
        there = self.at(kind)
        for name in names_in(there):
            with contextlib.suppress(OSError):
                found[name] = os.lstat(os.path.join(there, name, "ready.json")).st_mtime
        return sorted(found, key=found.__getitem__)

    def take_lock(self, who: Json) -> Optional[int]:
        """Return the locked file, or None where a job holds it."""
        self.make()
        handle = os.open(self.at("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not lock(handle):
            os.close(handle)
            return None
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(who).encode("ascii"), 0)
        except OSError:
            os.close(handle)
            raise
        return handle

    def holder(self) -> Json:
        """Return what the lock's holder says about itself."""
        return read_json(self.at("lock")) or {}


def names_in(path: str) -> List[str]:
    """Return what is in a folder; nothing where it is missing, or another user's: who writes there is told."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def lock(handle: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file; return False where somebody has it."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def read_json(path: str) -> Optional[Json]:
    """Return the content of a JSON file; None where it is missing or broken."""
    try:
        with open(path, encoding="utf-8") as stream:
            found: Json = json.load(stream)
            return found
    except (OSError, ValueError):
        return None


def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Write a file so that it is complete or not there."""
    temporary = path + ".new"
    with open(temporary, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(temporary, mode)
    os.replace(temporary, path)


def write_json(path: str, value: Json) -> None:
    """Write a JSON file so that it is complete or not there."""
    write_file(path, json.dumps(value).encode("ascii"))


def describe(holder: Json) -> str:
    """Return who has the lock, in words."""
    return "{} is busy with: {} (for {:.0f} s)".format(
        holder.get("who", "somebody"), holder.get("title", "something"), time.time() - holder.get("since", time.time()))
