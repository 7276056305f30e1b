"""Labelled images for classifiers: a folder for each class, or a flat folder with a file of truths."""
import collections
import os
from typing import Dict, List, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.accuracy.data import Data, Item, finish, listdir, read_lines, require_unique
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess.photo_files import photos_in

_SHOWN = 3


def read_folder(folder: str, labels_file: Optional[str], labels: Sequence[str], limit: Optional[int]) -> Data:
    """Return the images of a folder with the class index of each.

    Args:
        folder: has a folder for each class; or, with `labels_file`, the photos themselves.
        labels_file: a line for each photo: its name, a space or tab, its class.
        labels: names of the engine's classes.
        limit: see `finish`.

    Raises:
        BadInputError: no such folder, no photo, or classes that do not fit the engine's.
    """
    if labels_file is not None:
        return _flat(folder, labels_file, labels, limit)
    classes = [name for name in listdir(folder) if os.path.isdir(os.path.join(folder, name))]
    if not classes:
        raise BadInputError(
            "{} has no folders, one for each class expected".format(folder),
            "give a file with a line 'name class' for each photo with --labels")
    indices, how = map_classes(classes, labels)
    items = []
    for name in classes:
        for path in photos_in(os.path.join(folder, name)):
            items.append(Item(name + "/" + os.path.basename(path), path, indices[name]))
    return finish(items, "{} class folders, {}".format(len(classes), how), limit)


def map_classes(names: Sequence[str], labels: Sequence[str]) -> Tuple[Dict[str, int], str]:
    """Return the class index of every name, and which rule gave it.

    The first rule that fits all names: they are labels of the engine; they are class indices; sorted, they are as
    many as the engine's classes, and stand for these in order, as torchvision's ImageFolder does it. The synsets of
    ImageNet-1k are of the third kind: sorted by id they are in the usual order of its classes.

    Raises:
        BadInputError: none fits.
    """
    names = sorted(set(names))
    # A label that comes twice names no class.
    counts = collections.Counter(labels)
    by_label = {label: index for index, label in enumerate(labels) if counts[label] == 1}
    if all(name in by_label for name in names):
        return {name: by_label[name] for name in names}, "named by the engine's labels"
    if all(name.isdigit() and len(name) < 10 and int(name) < len(labels) for name in names):
        return {name: int(name) for name in names}, "named by class index"
    if len(names) == len(labels):
        return ({name: index for index, name in enumerate(names)},
                "sorted by name, in the order of the engine's classes ({} is {!r})".format(names[0], labels[0]))
    strangers = [name for name in names if name not in by_label]
    raise BadInputError(
        "{} classes found ({}{}), and the engine has {}; they are not its labels either: {!r} is none of them".format(
            len(names), ", ".join(names[:_SHOWN]), ", …" if len(names) > _SHOWN else "", len(labels), strangers[0]),
        "name the classes as the engine's labels ({!r}, …) or by their index".format(labels[0]))


def _flat(folder: str, labels_file: str, labels: Sequence[str], limit: Optional[int]) -> Data:
    truths: List[Tuple[str, str]] = []
    for number, line in enumerate(read_lines(labels_file), 1):
        # A tab, where there is one, so that names of files can have spaces.
        parts = line.split("\t", 1) if "\t" in line else line.split(None, 1)
        if len(parts) != 2:
            raise BadInputError("{}: line {} is {!r}, a photo's name and its class expected".format(
                labels_file, number, line[:60]), "write 'name class' on every line")
        truths.append((parts[0].strip(), parts[1].strip()))
    require_unique((name for name, _ in truths), labels_file)
    indices, how = map_classes([label for _, label in truths], labels)
    items = [Item(name, os.path.join(folder, name), indices[label]) for name, label in truths]
    return finish(items, "{} photos of {}, classes {}".format(len(items), os.path.basename(labels_file), how), limit)
