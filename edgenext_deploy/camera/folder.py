"""A folder of photos as a source of frames."""
import os
from typing import List, Optional

import numpy as np

from edgenext_deploy.camera.address import Address
from edgenext_deploy.camera.source import BadFrameError, FrameSource
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.preprocess.photo_files import photos_in


def make_folder(address: Address, *, width: Optional[int], height: Optional[int], fps: Optional[float],
                pixel_format: str) -> FrameSource:
    """Return the source of a folder's address; see `camera.open.make_source`."""
    if width or height:
        raise UsageError("photos in a folder keep their own size", "leave out width and height")
    return FolderSource(address.target, fps)


class FolderSource(FrameSource):
    """The photos in a folder, sorted by name. Hidden ones and other files are left out."""

    def __init__(self, folder: str, fps: Optional[float] = None) -> None:
        self.name = folder
        self.fps = fps
        self._paths: List[str] = []

    def open(self) -> None:
        """List the photos; raises BadInputError when there is none."""
        self._paths = photos_in(self.name)[::-1]

    def read(self) -> Optional[np.ndarray]:
        """Decode the next photo."""
        from edgenext_deploy.preprocess.photo import load_photo

        if not self._paths:
            return None
        path = self._paths.pop()
        self.file = os.path.basename(path)
        try:
            photo = load_photo(path)
        except BadInputError as error:
            raise BadFrameError(error.message, error.fix) from error
        return np.ascontiguousarray(np.asarray(photo)[:, :, ::-1])

    def close(self) -> None:
        """Forget the photos that are left."""
        self._paths = []
