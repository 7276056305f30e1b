"""The JSON of a run on photos, kept in a temporary file as the results come: memory does not grow with their number."""
import functools
import json
import tempfile
from typing import IO, TYPE_CHECKING, Any, Dict, Iterator, Optional, cast

import click

from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import write_files_atomically
from edgenext_deploy.scratch import TMPDIR_FIX

if TYPE_CHECKING:
    from edgenext_deploy.artifacts.row_file import RowFile

# What the document around the results says where they go. Within a string, its quotes would be escaped.
_NO_IMAGES = '"images": []'
_INDENT = "\n    "
_KEPT_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16


class PhotoDocument:
    """Collects the results of a run; use it as a context manager.

    Args:
        as_json: `finish` prints the document.
        json_file: `finish` writes it there; None for no file.
        rows: where the results are kept already; None for a temporary file of this object.
    """

    def __init__(self, as_json: bool, json_file: Optional[str], rows: "Optional[RowFile]" = None) -> None:
        self._as_json, self._json_file, self._rows = as_json, json_file, rows
        self._results: Optional[IO[bytes]] = None
        if rows is None and (as_json or json_file is not None):
            self._results = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_KEPT_BYTES))  # noqa: SIM115  # closed at exit

    def add(self, result: Dict[str, Any]) -> None:
        """Keep the result of a photo.

        Raises:
            UsageError: the disk is full.
        """
        if self._results is None:
            return
        try:
            self._results.write(_element(result, self._results.tell() == 0))
        except OSError as error:
            raise UsageError("cannot keep the results of the photos: {}".format(error), TMPDIR_FIX) from error

    def finish(self, head: Dict[str, Any]) -> None:
        """Hand the document over.

        Args:
            head: the document, with no result in its list ``images``.

        Raises:
            UsageError: the file cannot be written.
        """
        if self._json_file is not None:
            write_files_atomically({self._json_file: self._chunks(head)})
        if self._as_json:
            for chunk in self._chunks(head):
                click.echo(chunk.decode("ascii"), nl=False)

    def __enter__(self) -> "PhotoDocument":
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._results is not None:
            self._results.close()

    def _chunks(self, head: Dict[str, Any]) -> Iterator[bytes]:
        before, after = json.dumps(head, indent=2).split(_NO_IMAGES)
        yield (before + _NO_IMAGES[:-1]).encode("ascii")
        if self._rows is not None:
            for index, (_, row) in enumerate(self._rows.read()):
                yield _element(row, index == 0)
        elif self._results is not None:
            self._results.seek(0)
            yield from iter(functools.partial(self._results.read, _CHUNK_BYTES), b"")
        yield ("\n  ]" + after + "\n").encode("ascii")


def _element(result: Dict[str, Any], first: bool) -> bytes:
    """Return a result as an element of the list."""
    text = json.dumps(result, indent=2).replace("\n", _INDENT)
    return ("," * (not first) + _INDENT + text).encode("ascii")
