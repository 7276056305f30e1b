"""Labelled images for classifiers: a folder for each class, or a flat folder with a file of truths."""
import os
from typing import Dict, List, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.accuracy.class_names import map_classes, map_presence
from edgenext_deploy.benchmarks.accuracy.data import Data, Item, finish, listdir, read_lines, require_unique
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess.photo_files import photos_in


def read_folder(folder: str, labels_file: Optional[str], labels: Sequence[str], limit: Optional[int],
                class_order: Optional[str] = None) -> Data:
    """Return the images of a folder with the class index of each.

    Args:
        folder: has a folder for each class; or, with `labels_file`, the photos themselves. For an engine of one class
            the index is 1 where the photo shows it, else 0, see `class_names.map_presence`.
        labels_file: a line for each photo: its name, a space or tab, its class.
        labels: names of the engine's classes.
        limit: see `finish`.
        class_order: see `map_classes`.

    Raises:
        BadInputError: no such folder, no photo, or classes that do not fit the engine's.
    """
    if labels_file is not None:
        return _flat(folder, labels_file, labels, limit, class_order)
    classes = [name for name in listdir(folder) if os.path.isdir(os.path.join(folder, name))]
    if not classes:
        raise BadInputError(
            "{} has no folders, one for each class expected".format(folder),
            "give a file with a line 'name class' for each photo with --labels")
    indices, how = _mapped(classes, labels, class_order)
    items = []
    for name in classes:
        for path in photos_in(os.path.join(folder, name)):
            items.append(Item(name + "/" + os.path.basename(path), path, indices[name]))
    return finish(items, "{} class folders, {}".format(len(classes), how), limit)


def _mapped(names: Sequence[str], labels: Sequence[str], class_order: Optional[str]) -> Tuple[Dict[str, int], str]:
    if len(labels) == 1:
        return map_presence(names, labels[0], class_order)
    return map_classes(names, labels, class_order)


def _flat(folder: str, labels_file: str, labels: Sequence[str], limit: Optional[int],
          class_order: Optional[str]) -> Data:
    truths: List[Tuple[str, str]] = []
    for number, line in enumerate(read_lines(labels_file), 1):
        # A tab, where there is one, so that names of files can have spaces.
        parts = line.split("\t", 1) if "\t" in line else line.split(None, 1)
        if len(parts) != 2:
            raise BadInputError("{}: line {} is {!r}, a photo's name and its class expected".format(
                labels_file, number, line[:60]), "write 'name class' on every line")
        truths.append((parts[0].strip(), parts[1].strip()))
    require_unique((name for name, _ in truths), labels_file)
    indices, how = _mapped([label for _, label in truths], labels, class_order)
    items = [Item(name, os.path.join(folder, name), indices[label]) for name, label in truths]
    return finish(items, "{} photos of {}, classes {}".format(len(items), os.path.basename(labels_file), how), limit)
