"""Drawn photos are written to one file or into a folder."""
import io
import os
from typing import TYPE_CHECKING, Dict, Sequence

from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import write_files_atomically

if TYPE_CHECKING:
    from PIL import Image

# Those that can carry EXIF.
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_OTHER_FORMAT = ".png"
_QUALITY = 92
# EXIF's tag for the software that wrote a picture: what does not carry our name is somebody's photo.
_SOFTWARE_TAG, _SOFTWARE = 0x0131, "edgenext-run"


class PictureFiles:
    """Writes pictures to one file, if there is one photo and a name like a picture's, else into a folder.

    In a folder a picture has its photo's name. A picture of an earlier run is replaced; any other picture is left
    alone. A second photo of the same name gets a number; which one it gets is known from the start, so that a run that
    is taken up again gives it the same.

    Args:
        path: the file or folder; a folder is made when the first picture comes.
        photos: all paths of photos that there will be.

    Raises:
        UsageError: one file for several photos, a photo would be overwritten, or not the name of a picture.
    """

    def __init__(self, path: str, photos: Sequence[str]) -> None:
        suffix = os.path.splitext(path)[1].lower()
        self._single = suffix in _FORMATS and not os.path.isdir(path)
        self._path = path
        if self._single and len(photos) > 1:
            raise UsageError("{} photos cannot go into the one file {}".format(len(photos), path),
                             "give a folder with --save")
        if not self._single and suffix and not os.path.isdir(path):
            raise UsageError("cannot save to {}: a folder, or a name ending in one of {} expected".format(
                path, " ".join(_FORMATS)), "for example --save out.jpg")
        if not self._single and os.path.exists(path) and not os.path.isdir(path):
            raise UsageError("cannot save to {}: it is a file".format(path), "choose another folder with --save")
        # Of each folder once: it takes a look at every folder on the way.
        folders = set(map(os.path.realpath, {os.path.dirname(photo) or "." for photo in photos}))
        if (not self._single and os.path.realpath(path) in folders) or (
                self._single and os.path.realpath(path) in {os.path.realpath(photo) for photo in photos}):
            raise UsageError("saving to {} would overwrite a photo".format(path), "choose another place with --save")
        if self._single:
            _require_ours(path)
        self._names: Dict[str, str] = {}
        taken: Dict[str, int] = {}
        for photo in photos:
            if photo not in self._names:
                self._names[photo] = _free_name(photo, taken)

    def write(self, photo: str, picture: "Image.Image") -> str:
        """Write the picture of a photo; return the path of the file.

        Raises:
            UsageError: it cannot be written, the disk is full, or another picture has its name.
        """
        from PIL import Image

        path = self._path if self._single else os.path.join(self._path, self._names[photo])
        _require_ours(path)
        data, exif = io.BytesIO(), Image.Exif()
        exif[_SOFTWARE_TAG] = _SOFTWARE
        picture.save(data, _FORMATS[os.path.splitext(path)[1].lower()], quality=_QUALITY, exif=exif.tobytes())
        try:
            write_files_atomically({path: data.getvalue()})
        except UsageError as error:
            raise UsageError(error.message, "choose another place with --save, or free some space") from error
        return path


def _free_name(photo: str, taken: Dict[str, int]) -> str:
    """Return the name of a photo's picture; `taken` has the names that were given, with their last number."""
    stem, suffix = os.path.splitext(os.path.basename(photo))
    if suffix.lower() not in _FORMATS:
        suffix = _OTHER_FORMAT
    first = name = stem + suffix
    while name in taken:
        taken[first] += 1
        name = "{}-{}{}".format(stem, taken[first], suffix)
    taken[name] = 1
    return name


def _require_ours(path: str) -> None:
    """Raise UsageError if a picture is there that edgenext-run did not save."""
    from PIL import Image

    if not os.path.exists(path):
        return
    try:
        with Image.open(path) as picture:
            ours = picture.getexif().get(_SOFTWARE_TAG) == _SOFTWARE
    except Exception:  # Pillow's own, of many kinds, for what is no picture
        ours = False
    if not ours:
        raise UsageError("saving to {} would overwrite a picture that edgenext-run did not save".format(path),
                         "choose another place with --save")
