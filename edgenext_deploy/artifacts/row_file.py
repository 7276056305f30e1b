"""Rows of a long run in a file that only grows, one JSON object a line, so that the run can be taken up again.

The first line says what the rows depend on. A line that was not finished, because the process was killed or the disk
was full, is dropped when the file is opened again.
"""
import json
import os
import stat
from typing import IO, Any, Dict, Iterator, Optional, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import closed_on_error, open_at_once, shown

_SCHEMA = 1
# A row of a detector with all its objects has some 20 kB, a segmenter's or an embedding's no more.
_LONGEST_LINE = 16 << 20
_ANOTHER = "give another file with --resume"
OTHER_FILE = _ANOTHER + ", or remove this one"
Row = Dict[str, Any]


class RowFile:
    """The file, locked for this process; use it as a context manager. `read` it once before the first `add`.

    Args:
        path: of the file; it is made if it does not exist.
        header: what the rows depend on. A file with another header is refused.
        command: that writes it, such as ``edgenext-run``, for messages.
        run: what one run of the command is called in messages.
        sort_keys: write the keys of a row in the order of the alphabet.
        most_bytes: largest file that is read; None for any.

    Raises:
        BadInputError: a file that is too large.
        UsageError: no regular file, another process writes it, or it cannot be written.
    """

    def __init__(self, path: str, header: Dict[str, Any], *, command: str, run: str, sort_keys: bool = False,
                 most_bytes: Optional[int] = None) -> None:
        self._path, self._command, self._run, self._sort_keys = path, command, run, sort_keys
        # As JSON has it, so that it can be compared with what was read.
        self._header: Dict[str, Any] = json.loads(json.dumps(dict(header, schema=_SCHEMA)))
        try:
            self._stream: Optional[IO[bytes]] = open(path, "a+b", opener=open_at_once)  # noqa: SIM115  # see `close`
        except OSError as error:
            raise UsageError("cannot write {}: {}".format(path, error.strerror or error), _ANOTHER) from error
        try:
            self._require_file(most_bytes)
            self._lock()
        except Exception:
            self.close()
            raise

    def read(self) -> Iterator[Tuple[int, Row]]:
        """Yield each row that is there, with the number of its line; then drop a half line at the end.

        Raises:
            BadInputError: the file is none of this command, or damaged other than at its end. It is left as it is.
            UsageError: it is of another run, or cannot be written.
        """
        assert self._stream is not None
        self._stream.seek(0)
        number = whole = 0
        for line in iter(lambda: self._open().readline(_LONGEST_LINE), b""):
            if not line.endswith(b"\n"):
                break
            number, whole = number + 1, whole + len(line)
            row = self._parsed(number, line)
            if number == 1:
                self._require_header(row)
            else:
                yield number, row
        else:
            line = b""
        if len(line) >= _LONGEST_LINE or (number == 0 and not self._encoded(self._header).startswith(line)):
            raise BadInputError("{} is not a results file of {}".format(self._path, self._command), OTHER_FILE)
        # Only now is it known to be ours to change.
        self._open().truncate(whole)
        if number == 0:
            self.add(self._header)

    def add(self, row: Row) -> None:
        """Write a row; once this returns, a killed process does not lose it.

        Raises:
            UsageError: the disk is full.
        """
        try:
            with closed_on_error(self._open()):
                self._open().write(self._encoded(row))
                self._open().flush()
        except OSError as error:
            raise UsageError("cannot write {}: {}".format(self._path, error.strerror or error),
                             "free some space and run the same command again: it goes on from here") from error

    def close(self) -> None:
        """Close the file; twice does no harm."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _open(self) -> IO[bytes]:
        assert self._stream is not None
        return self._stream

    def _require_file(self, most_bytes: Optional[int]) -> None:
        status = os.fstat(self._open().fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UsageError("{} is not a file that results can be kept in".format(self._path), _ANOTHER)
        if most_bytes is not None and status.st_size > most_bytes:
            raise BadInputError("{} has {} bytes, at most {} are read of a results file".format(
                self._path, status.st_size, most_bytes), OTHER_FILE)

    def _lock(self) -> None:
        import fcntl

        try:
            fcntl.flock(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError("another process is writing {}".format(self._path),
                             "wait for it, or give another file") from error
        except OSError:  # no locks in this file system
            pass

    def _require_header(self, found: Row) -> None:
        for name, expected in self._header.items():
            if found.get(name) != expected:
                raise UsageError("{} is of another {}: {} is {}, here it is {}".format(
                    self._path, self._run, name, _brief(found.get(name)), _brief(expected)), OTHER_FILE)

    def _encoded(self, row: Row) -> bytes:
        return json.dumps(row, sort_keys=self._sort_keys, allow_nan=False).encode("ascii") + b"\n"

    def _parsed(self, number: int, line: bytes) -> Row:
        try:
            row = json_records.parse(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise BadInputError("{}: line {} is damaged".format(self._path, number), OTHER_FILE)
        return row


def _brief(value: Any) -> str:
    text = shown(json.dumps(value, sort_keys=True))
    return text if len(text) <= 160 else text[:157] + "…"
