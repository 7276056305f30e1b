"""Results of an evaluation, image by image, in a file that only grows, so that a run can be taken up again.

Its first line says what was evaluated on what; every other line is one image. See `edgenext_deploy.artifacts.row_file`.
"""
from typing import Any, Callable, Dict, List, Optional, Set

from edgenext_deploy.artifacts.row_file import OTHER_FILE, Row, RowFile
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

# ImageNet's 50,000 images have 20 MB, COCO's 5,000 with 100 objects each 60 MB.
_MAX_BYTES = 1 << 29


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
        self._file: Optional[RowFile] = None
        if path is not None:
            self._file = RowFile(path, header, command="edgenext-eval", run="evaluation", sort_keys=True,
                                 most_bytes=_MAX_BYTES)
            try:
                self._read(path, self._file, set(keys), is_row)
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
        if self._file is not None:
            self._file.add(dict({"image": key}, **row))

    def close(self) -> None:
        """Close the file; twice does no harm."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __enter__(self) -> "Results":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _read(self, path: str, file: RowFile, keys: Set[str], is_row: Callable[[Row], bool]) -> None:
        for number, row in file.read():
            key = row.pop("image", None)
            known = isinstance(key, str) and key in keys
            if not known or key in self.rows:
                raise BadInputError("{}: line {} is of {}, which is {}".format(
                    path, number, shown(repr(key)), "there already" if known else "no image of this evaluation"),
                    OTHER_FILE)
            if not is_row(row):
                raise BadInputError("{}: line {} is no result of these engines".format(path, number), OTHER_FILE)
            self.rows[key] = row
