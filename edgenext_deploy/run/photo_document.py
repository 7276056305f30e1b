"""The JSON of a run on photos, kept in a temporary file as the results come: memory does not grow with their number."""
import json
import tempfile
from typing import IO, Any, Dict, Iterator, Optional, cast

import click

from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import write_files_atomically
from edgenext_deploy.scratch import TMPDIR_FIX

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
    """

    def __init__(self, as_json: bool, json_file: Optional[str]) -> None:
        self._as_json, self._json_file = as_json, json_file
        self._results: Optional[IO[bytes]] = None
        if as_json or json_file is not None:
            self._results = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_KEPT_BYTES))  # noqa: SIM115  # closed at exit

    def add(self, result: Dict[str, Any]) -> None:
        """Keep the result of a photo.

        Raises:
            UsageError: the disk is full.
        """
        if self._results is None:
            return
        text = json.dumps(result, indent=2).replace("\n", _INDENT)
        try:
            self._results.write(("," * bool(self._results.tell()) + _INDENT + text).encode("ascii"))
        except OSError as error:
            raise UsageError("cannot keep the results of the photos: {}".format(error), TMPDIR_FIX) from error

    def finish(self, head: Dict[str, Any]) -> None:
        """Hand the document over.

        Args:
            head: the document, with no result in its list ``images``.

        Raises:
            UsageError: the file cannot be written.
        """
        if self._results is None:
            return
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
        assert self._results is not None
        before, after = json.dumps(head, indent=2).split(_NO_IMAGES)
        yield (before + _NO_IMAGES[:-1]).encode("ascii")
        self._results.seek(0)
        while True:
            chunk = self._results.read(_CHUNK_BYTES)
            if not chunk:
                break
            yield chunk
        yield ("\n  ]" + after + "\n").encode("ascii")
