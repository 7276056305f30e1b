"""Category names: a shipped list, or a file of names; `label_formats` has the formats."""
import os
from typing import Optional, Sequence, Tuple

from edgenext_deploy.data import path_of
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import read_file, shown

IMAGENET1K = "imagenet1k"
COCO80 = "coco80"
VOC21 = "voc21"
ICONS32 = "icons32"
SHIPPED = (IMAGENET1K, COCO80, VOC21, ICONS32)
# The longest known label lists are a few hundred kB; this stops a wrong file before it is read.
_MAX_BYTES = 16 << 20


def load_labels(name_or_path: str, classes: Optional[int] = None) -> Tuple[str, ...]:
    """Return the category names, in the order of the classes.

    Args:
        name_or_path: ``imagenet1k``, ``coco80`` (no background), ``voc21`` (the background first), ``icons32``, or
            the path of a UTF-8 text file: a name a line, numbered lines, a JSON list or map, or simple YAML.
        classes: how many names there must be; None takes any number.

    Raises:
        BadInputError: no such file, not text, an empty name, a format that is not read, or another number of names
            than `classes`.
    """
    from edgenext_deploy.networks.label_formats import LabelsError, parse_labels

    path = path_of(name_or_path + ".txt") if name_or_path in SHIPPED else os.fspath(name_or_path)
    fix = "pass a text file with one label a line, or one of " + ", ".join(SHIPPED)
    try:
        text = read_file(path, "labels file", fix, _MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError("labels file {} is not UTF-8 text: {}".format(path, error),
                            "save it as UTF-8, or convert it: iconv -f UTF-16 (or LATIN1) -t UTF-8") from error
    try:
        labels = parse_labels(text)
    except LabelsError as error:
        raise BadInputError("labels file {}: {}".format(path, shown(str(error), 600)), fix) from error
    require_count(labels, classes, "labels file {}".format(path))
    return labels


def require_count(labels: Sequence[str], classes: Optional[int], where: str) -> None:
    """Raise BadInputError unless there are `classes` labels; None takes any number."""
    if classes is not None and len(labels) != classes:
        raise BadInputError("{}: {} labels found, {} expected, one for each class".format(where, len(labels), classes),
                            "pass the labels that the engine was trained with")
