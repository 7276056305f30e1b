"""Drawn photos are written to one file or into a folder."""
import io
import os
from typing import TYPE_CHECKING, List, Set

from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import write_files_atomically

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}
_OTHER_FORMAT = ".png"
_QUALITY = 92


class PictureFiles:
    """Writes pictures to one file, if there is one photo and a name like a picture's, else into a folder.

    In a folder a picture has its photo's name; one that is there already from an earlier run is replaced, and a
    second photo of the same name gets a number.

    Args:
        path: the file or folder; a folder is made when the first picture comes.
        photos: all paths of photos that there will be.

    Raises:
        UsageError: one file for several photos, a photo would be overwritten, or not the name of a picture.
    """

    def __init__(self, path: str, photos: List[str]) -> None:
        suffix = os.path.splitext(path)[1].lower()
        self._single = suffix in _FORMATS and not os.path.isdir(path)
        self._path = path
        self._taken: Set[str] = set()
        if self._single and len(photos) > 1:
            raise UsageError("{} photos cannot go into the one file {}".format(len(photos), path),
                             "give a folder with --save")
        if not self._single and suffix and not os.path.isdir(path):
            raise UsageError("cannot save to {}: a folder, or a name ending in one of {} expected".format(
                path, " ".join(_FORMATS)), "for example --save out.jpg")
        if not self._single and os.path.exists(path) and not os.path.isdir(path):
            raise UsageError("cannot save to {}: it is a file".format(path), "choose another folder with --save")
        folders = {os.path.realpath(os.path.dirname(photo) or ".") for photo in photos}
        if (not self._single and os.path.realpath(path) in folders) or (
                self._single and os.path.realpath(path) in {os.path.realpath(photo) for photo in photos}):
            raise UsageError("saving to {} would overwrite a photo".format(path), "choose another place with --save")

    def write(self, photo: str, picture: "Image.Image") -> str:
        """Write the picture of a photo; return the path of the file.

        Raises:
            UsageError: it cannot be written, or the disk is full.
        """
        path = self._path if self._single else os.path.join(self._path, self._name(photo))
        data = io.BytesIO()
        picture.save(data, _FORMATS[os.path.splitext(path)[1].lower()], quality=_QUALITY)
        try:
            write_files_atomically({path: data.getvalue()})
        except UsageError as error:
            raise UsageError(error.message, "choose another place with --save, or free some space") from error
        return path

    def _name(self, photo: str) -> str:
        stem, suffix = os.path.splitext(os.path.basename(photo))
        if suffix.lower() not in _FORMATS:
            suffix = _OTHER_FORMAT
        number, name = 1, stem + suffix
        while name in self._taken:
            number += 1
            name = "{}-{}{}".format(stem, number, suffix)
        self._taken.add(name)
        return name
