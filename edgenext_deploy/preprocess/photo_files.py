"""Folders of photos."""
import os
from typing import Container, List

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def is_photo(name: str) -> bool:
    """Return whether a file's name is that of a photo; hidden ones do not count."""
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")


def photos_in(folder: str) -> List[str]:
    """Return the paths of the photos in a folder, sorted by name; hidden ones and other files are left out.

    Raises:
        BadInputError: the folder cannot be read, or has no photo.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise BadInputError("cannot read the folder {}: {}".format(folder, error.strerror)) from error
    photos = [name for name in names if is_photo(name)]
    if not photos:
        raise BadInputError("no photo in the folder {}: no name ends in one of {}".format(
            folder, " ".join(_SUFFIXES)))
    return [os.path.join(folder, name) for name in photos]


def require_folder_of(path: str, folders: Container[str]) -> None:
    """Raise BadInputError if the folder of a photo that cannot be read cannot be read any more.

    Its drive is gone then, and the thousands of photos behind it would all be taken for broken ones.

    Args:
        path: of the photo, or of what belongs to it.
        folders: those that had files at the start.
    """
    folder = os.path.dirname(path)
    if folder not in folders:
        return
    try:
        with os.scandir(folder or ".") as entries:
            reason = None if next(entries, None) is not None else "it is empty"
    except OSError as error:
        reason = str(error.strerror or error)
    if reason is not None:
        raise BadInputError("the folder of {} cannot be read any more: {}".format(shown(path), reason),
                            "look at its drive; with --resume, the same command goes on from here")
