"""Results of an evaluation, image by image, in a file that only grows, so that a run can be taken up again.

Its first line says what was evaluated on what; every other line is one image. A line that was not finished, because
the process was killed or the disk was full, is dropped when the file is opened again.
"""
import json
import os
import stat
from typing import IO, Any, Callable, Dict, List, Optional

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import open_at_once, shown

_SCHEMA = 1
# ImageNet's 50,000 images have 20 MB, COCO's 5,000 with 100 objects each 60 MB.
_MAX_BYTES = 1 << 29
_OTHER_FILE = "give another file with --resume, or remove this one"
Row = Dict[str, Any]


class Results:
    """Rows by image, kept in memory, and in a file as well if a path is given; use it as a context manager.

    Args:
        path: the file; continued if it exists.
        header: what the rows depend on: engines, data, runtime. A file with another header is refused.
        keys: keys of the images, in order.
        is_row: says whether a row that was read is one that is written.

    Attributes:
        rows: row of each image, by key.
        resumed: number of rows read from the file.

    Raises:
        BadInputError: the file is no such file, or is damaged other than at its end.
        UsageError: it is of another evaluation, another process writes it, or it cannot be written.
    """

    def __init__(self, path: Optional[str], header: Dict[str, Any], keys: List[str],
                 is_row: Callable[[Row], bool]) -> None:
        self.rows: Dict[str, Row] = {}
        self._path = path
        # As JSON has it, so that it can be compared with what was read.
        self._header: Dict[str, Any] = json.loads(json.dumps(dict(header, schema=_SCHEMA)))
        self._keys = set(keys)
        self._is_row = is_row
        self._stream: Optional[IO[bytes]] = None
        if path is not None:
            try:
                self._stream = open(path, "a+b", opener=open_at_once)  # noqa: SIM115  # closed by `close`
            except OSError as error:
                raise UsageError("cannot write {}: {}".format(path, error.strerror or error), _OTHER_FILE) from error
            try:
                self._require_file(path)
                self._lock(path)
                self._read(path)
            except Exception:
                self.close()
                raise
        self.resumed = len(self.rows)

    def add(self, key: str, row: Row) -> None:
        """Keep the row of an image; once this returns, a killed process does not lose it.

        Raises:
            UsageError: the disk is full.
        """
        self.rows[key] = row
        self._write(dict({"image": key}, **row))

    def close(self) -> None:
        """Close the file; twice does no harm."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def __enter__(self) -> "Results":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _require_file(self, path: str) -> None:
        assert self._stream is not None
        status = os.fstat(self._stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UsageError("{} is not a file that results can be kept in".format(path), _OTHER_FILE)
        if status.st_size > _MAX_BYTES:
            raise BadInputError("{} has {} bytes, at most {} are read of a results file".format(
                path, status.st_size, _MAX_BYTES), _OTHER_FILE)

    def _lock(self, path: str) -> None:
        import fcntl

        assert self._stream is not None
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError("another process is writing {}".format(path),
                             "wait for it, or give another file") from error

    def _read(self, path: str) -> None:
        assert self._stream is not None
        self._stream.seek(0)
        content = self._stream.read()
        whole = content[:content.rfind(b"\n") + 1]
        lines = whole.decode("utf-8", "replace").splitlines()
        if lines:
            self._require_header(path, _parsed(path, 1, lines[0]))
        elif not _encoded(self._header).startswith(content):
            raise BadInputError("{} is not a results file of edgenext-eval".format(path), _OTHER_FILE)
        for number, line in enumerate(lines[1:], 2):
            row = _parsed(path, number, line)
            key = row.pop("image", None)
            known = isinstance(key, str) and key in self._keys
            if not known or key in self.rows:
                raise BadInputError("{}: line {} is of {}, which is {}".format(
                    path, number, shown(repr(key)), "there already" if known else "no image of this evaluation"),
                    _OTHER_FILE)
            if not self._is_row(row):
                raise BadInputError("{}: line {} is no result of these engines".format(path, number), _OTHER_FILE)
            self.rows[key] = row
        # Only now is it known to be ours to change.
        self._stream.truncate(len(whole))
        if not lines:
            self._write(self._header)

    def _require_header(self, path: str, found: Dict[str, Any]) -> None:
        for name, expected in self._header.items():
            if found.get(name) != expected:
                raise UsageError("{} is of another evaluation: {} is {}, here it is {}".format(
                    path, name, _brief(found.get(name)), _brief(expected)), _OTHER_FILE)

    def _write(self, row: Dict[str, Any]) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(_encoded(row))
            self._stream.flush()
        except OSError as error:
            raise UsageError("cannot write {}: {}".format(self._path, error.strerror or error),
                             "free some space and run the same command again: it goes on from here") from error


def _encoded(row: Dict[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, allow_nan=False).encode("ascii") + b"\n"


def _parsed(path: str, number: int, line: str) -> Dict[str, Any]:
    try:
        row = json_records.parse(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise BadInputError("{}: line {} is damaged".format(path, number), _OTHER_FILE)
    return row


def _brief(value: Any) -> str:
    text = shown(json.dumps(value, sort_keys=True))
    return text if len(text) <= 160 else text[:157] + "…"
