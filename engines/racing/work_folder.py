"""A race's work folder: its state after every step, and the engines that are still in it.

A race that was killed goes on from there. The folder lies next to the race's output, and is gone when the race is over.
"""
import contextlib
import os
import shutil
from typing import Iterator, Optional

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.engines.racing.records import SCHEMA, RaceState
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import write_files_atomically
from edgenext_deploy.folder_lock import try_lock

SUFFIX = ".racing"
_STATE, _LOCK = "state.json", "lock"
_MOST_BYTES = 16 << 20


class WorkFolder:
    """An open work folder; `work_folder` makes it.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self, identity: str) -> Optional[RaceState]:
        """Return the state of a race that was interrupted; None if there is none, or it was another race."""
        try:
            data = json_records.read_file(self.file(_STATE), "state of a race", "", _MOST_BYTES)
            state = json_records.from_json(RaceState, data, _STATE)
        except BadInputError:
            return None
        return state if (state.schema, state.identity) == (SCHEMA, identity) else None

    def save(self, state: RaceState) -> None:
        """Keep a state; after a power cut this one or the one before is there."""
        write_files_atomically({self.file(_STATE): json_records.dump(state)})

    def file(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return os.path.join(self.path, name)

    def drop(self, stem: str) -> None:
        """Remove the files of an entrant that is out of the race: the disk of a board is small."""
        for name in os.listdir(self.path):
            if name.partition(".")[0] == stem:
                with contextlib.suppress(OSError):
                    os.unlink(self.file(name))

    def empty(self) -> None:
        """Remove what an earlier race left."""
        for name in os.listdir(self.path):
            if name != _LOCK:
                with contextlib.suppress(OSError):
                    os.unlink(self.file(name))

    def remove(self) -> None:
        """Remove the folder: the race is over, and its winner is in its place."""
        with contextlib.suppress(OSError):
            os.unlink(self.file(_STATE))  # first: without it the rest is nothing
        shutil.rmtree(self.path, ignore_errors=True)


@contextlib.contextmanager
def work_folder(output: str) -> Iterator[WorkFolder]:
    """Open the work folder of the race for an output, made if need be, and hold it against other races.

    Args:
        output: where the winner will go.

    Raises:
        UsageError: the folder cannot be made, or another race for this output is under way.
    """
    path = output + SUFFIX
    try:
        os.makedirs(path, exist_ok=True)
        lock = os.open(os.path.join(path, _LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError("cannot make the race's folder {}: {}".format(path, error.strerror or error),
                         "choose another folder with --output") from error
    try:
        if not try_lock(lock):
            raise UsageError("another race for {} is under way".format(output),
                             "wait for it, or choose another --output")
        yield WorkFolder(path)
    finally:
        os.close(lock)
