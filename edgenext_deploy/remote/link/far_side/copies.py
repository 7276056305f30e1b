"""Files to and from the board."""
import contextlib
import errno
import hashlib
import os
import shutil
import stat
import time
from typing import List, Optional, Tuple

from edgenext_deploy.remote.link.far_side.folder import Folder, lock, names_in
from edgenext_deploy.remote.link.far_side.wire import RefusedError, Wire

ROOM_BYTES = 32 << 20  # left free on the disk
KEPT_COPIES_S = 7 * 86400


def missing(wire: Wire, folder: Folder, files: List[Tuple[str, str]]) -> List[str]:
    """Return which of the files are not there with that digest."""
    return [name for name, digest in files if digest_of(folder.at(name), wire) != digest]


def put(wire: Wire, folder: Folder, path: str, size: int, sha256: str) -> None:
    """Take a file; what an interrupted copy left is kept and not sent again."""
    target = folder.at(path)
    folder.make(os.path.dirname(path))
    part = os.path.join(folder.make("incoming"), sha256)
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not lock(handle):  # somebody else copies the same file
        os.close(handle)
        part += "." + str(os.getpid())
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "r+b") as stream:
        there = os.fstat(handle).st_size
        if there > size:
            stream.truncate(0)
            there = 0
        free = shutil.disk_usage(folder.path).free
        if size - there + ROOM_BYTES > free:
            os.unlink(part)
            raise RefusedError("space", "{} MB are free in {}, {} MB needed".format(
                free >> 20, folder.path, (size - there + ROOM_BYTES) >> 20))
        found = hashlib.sha256()
        left = there
        while left:
            data = stream.read(min(left, 1 << 20))
            found.update(data)
            left -= len(data)
            wire.alive()
        wire.send(offset=there)
        trouble: Optional[OSError] = None
        for data in wire.chunks(size - there):
            found.update(data)
            try:
                if trouble is None:
                    stream.write(data)
                    stream.flush()
            except OSError as error:  # the rest is read all the same, so that the next request is found
                trouble = error
        if trouble is None and found.hexdigest() == sha256:
            os.fsync(handle)
            os.replace(part, target)
            return
        os.unlink(part)
        if trouble is not None:
            raise RefusedError("space" if trouble.errno == errno.ENOSPC else "usage",
                          "cannot write {}: {}".format(target, trouble.strerror))
    raise RefusedError("input", "{} arrived with another digest".format(path))


def forget_old_copies(folder: Folder) -> None:
    there = folder.at("incoming")
    for name in names_in(there):
        path = os.path.join(there, name)
        with contextlib.suppress(OSError):
            if os.lstat(path).st_mtime < time.time() - KEPT_COPIES_S:
                os.unlink(path)


def get(wire: Wire, folder: Folder, path: str, most: int, tail: bool = False) -> None:
    """Send a regular file of at most `most` bytes, or the last of them if `tail`."""
    try:
        handle = os.open(folder.at(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RefusedError("input", "{}: {}".format(path, error.strerror)) from error
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(handle)
        if tail and stat.S_ISREG(found.st_mode):
            stream.seek(max(found.st_size - most, 0))
        elif not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise RefusedError("input", "{}: {} bytes are too many for it, at most {} expected".format(
                path, found.st_size, most))
        data = stream.read(most)
    wire.send(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    wire.send_bytes(data)


def digest_of(path: str, wire: Wire) -> Optional[str]:
    """Return the SHA-256 of a file; None where it is not there."""
    found = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for part in iter(lambda: stream.read(1 << 20), b""):
                found.update(part)
                wire.alive()
    except OSError:
        return None
    return found.hexdigest()
