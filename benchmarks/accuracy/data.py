"""What an evaluation runs on: images with their truth, in a fixed order, and a digest of them."""
import hashlib
import json
import os
import stat
from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import read_file

_MAX_BYTES = 1 << 28


class Item(NamedTuple):
    """One image.

    Attributes:
        key: names it in results: its path below the data folder.
        path: path of the photo.
        truth: class index (classification), image id (detection), or path of the mask (segmentation).
    """

    key: str
    path: str
    truth: Any

    def files(self) -> List[str]:
        """Return the paths of the photo and of its mask, if it has one."""
        return [self.path, self.truth] if isinstance(self.truth, str) else [self.path]


class Data(NamedTuple):
    """The images of one evaluation.

    Attributes:
        items: the images, in the order in which they are evaluated.
        total: number of images without ``--limit``.
        description: how the truth was read, for a person.
        sha256: SHA-256 over every item's name, size and truth (for a mask: its name and size) and over the annotation
            file; the pixels are not in it.
        annotations: path of the COCO file; empty for the other tasks.
        categories: detection: the annotation file's category id of each of the engine's classes.
        folders: those in which there were images or masks at the start.
    """

    items: Tuple[Item, ...]
    total: int
    description: str
    sha256: str
    annotations: str = ""
    categories: Tuple[int, ...] = ()
    folders: FrozenSet[str] = frozenset()


def finish(items: Sequence[Item], description: str, limit: Optional[int], annotations: str = "",
           categories: Tuple[int, ...] = ()) -> Data:
    """Return the data of these items, at most `limit` of them, spread evenly over all.

    Raises:
        BadInputError: there are none.
    """
    if not items:
        raise BadInputError("no image to evaluate: " + description, "see docs/evaluation.md for the layout of --data")
    count = len(items) if limit is None else min(limit, len(items))
    chosen = tuple(items[index * len(items) // count] for index in range(count))
    sizes = {path: _size(path) for item in chosen for path in item.files()}
    folders = frozenset(os.path.dirname(path) for path, size in sizes.items() if size >= 0)
    return Data(chosen, len(items), description, _digest(chosen, sizes, annotations), annotations, categories, folders)


def listdir(folder: str) -> List[str]:
    """Return the names in a folder, sorted, without the hidden ones.

    Raises:
        BadInputError: no such folder, or one that cannot be read.
    """
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise BadInputError("cannot read the folder {}: {}".format(folder, error.strerror or error),
                            "give an existing folder with --data") from error


def read_lines(path: str) -> List[str]:
    """Return the lines of a text file, without blank ends and empty lines.

    Raises:
        BadInputError: it cannot be read, or is no text.
    """
    fix = "give a text file with --labels"
    try:
        lines = [line.strip() for line in
                 read_file(path, "list of truths", fix, _MAX_BYTES).decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise BadInputError("cannot read {}: {}".format(path, error), fix) from error
    return [line for line in lines if line]


def require_unique(names: Iterable[str], what: str) -> None:
    """Raise BadInputError if one of `names` comes twice."""
    seen = set()
    for name in names:
        if name in seen:
            raise BadInputError("{} comes twice in {}".format(name, what), "remove one of the two")
        seen.add(name)


def require_none(labels: Optional[str], task: str) -> None:
    """Raise UsageError if a labels file was given where none is used."""
    if labels is not None:
        raise UsageError("--labels does not go with {}".format(task), "leave it out")


def _digest(items: Sequence[Item], sizes: Dict[str, int], annotations: str) -> str:
    digest = hashlib.sha256()
    for item in items:
        truth = item.truth
        if isinstance(truth, str):
            truth = [os.path.basename(truth), sizes[truth]]
        digest.update(json.dumps([item.key, sizes[item.path], truth]).encode("ascii"))
    if annotations:
        digest.update(read_file(annotations, "COCO file", "give another one with --labels", 1 << 29))
    return digest.hexdigest()


def _size(path: str) -> int:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
