"""What has come of a download: a hidden file next to the one that it becomes, and a note where its bytes are from.

The note counts only bytes that are on the disk. So the next run goes on after a broken connection, and after a kill or
a power cut too.
"""
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from typing import IO

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import clear_left, flush_folder, write_files_atomically
from edgenext_deploy.folder_lock import locked_folder, try_lock

_MOST_NOTE_BYTES = 1 << 16
# Each note costs a flush of what came since the last one.
_KEEP_BYTES = 8 << 20


@contextlib.contextmanager
def cache_errors(path: str) -> Iterator[None]:
    """Say of an error that the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write to the cache {os.path.dirname(path)}: {error.strerror or error}",
            "free some space there, or set EDGENEXT_CACHE to a folder that can be written") from error


class PartialFile:
    """A file that is being downloaded; `partial_file` makes it.

    Attributes:
        path: its name until it is complete.
        stream: it, open for reading and writing.
    """

    def __init__(self, path: str, stream: IO[bytes], becomes: str, has_note: bool) -> None:
        self.path, self.stream, self._becomes = path, stream, becomes
        self._note = path + ".json" if has_note else None
        self._noted = 0

    def left_over(self, url: str) -> tuple[str, int]:
        """Return the tag and the number of the bytes that an earlier run left of an address; empty and 0 if none.

        Args:
            url: the address that they have to be from.
        """
        if self._note is None:
            return "", 0
        try:
            note = json_records.read_file(self._note, "note", "", _MOST_NOTE_BYTES)
            tag, there = note["tag"], note["bytes"]
            if note["url"] == url and isinstance(tag, str) and 0 < int(there) <= self.stream.seek(0, os.SEEK_END):
                return tag, int(there)
        except (BadInputError, KeyError, TypeError, ValueError):
            pass
        return "", 0

    def start(self, there: int) -> None:
        """Go on behind the first `there` bytes; the rest is dropped, and so is the note where nothing is there."""
        if there == 0:
            self._drop_note()
        self.stream.seek(there)
        self.stream.truncate()
        self._noted = there

    def keep(self, url: str, tag: str, at_once: bool = False) -> None:
        """Have what came on the disk, and note it, once that is worth its time.

        Args:
            url: where it is from.
            tag: by which the server recognises this version of the file.
            at_once: however few came since the last note.
        """
        received = self.stream.tell()
        if self._note is None or not (at_once or received - self._noted >= _KEEP_BYTES):
            return
        self._noted = received
        self.stream.flush()
        os.fsync(self.stream.fileno())
        note = json.dumps({"url": url, "tag": tag, "bytes": received})
        write_files_atomically({self._note: note.encode()})

    def finish(self) -> None:
        """Give the complete file its name."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self._drop_note()
        with locked_folder(os.path.dirname(self._becomes)):  # or `partial_file` could open it just before
            os.replace(self.path, self._becomes)
        flush_folder(os.path.dirname(self._becomes))

    def drop(self) -> None:
        """Remove it."""
        self._drop_note()
        os.unlink(self.path)

    def _drop_note(self) -> None:
        if self._note is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._note)


@contextlib.contextmanager
def partial_file(path: str) -> Iterator[PartialFile]:
    """Open what a download goes on in; a file of its own, which no later run goes on with, beside another process.

    Args:
        path: the name that it will have, in a folder that exists.
    """
    folder, name = os.path.dirname(path), os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.part")
    with cache_errors(path), locked_folder(folder):
        for left in (path, name + ".json"):
            clear_left(left)
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        mine = try_lock(handle)
        if not mine:
            os.close(handle)
            handle, name = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
            try_lock(handle)
    with open(name, "r+b", opener=lambda *_: handle) as stream:
        yield PartialFile(name, stream, path, mine)
