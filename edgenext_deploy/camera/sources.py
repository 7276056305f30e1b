"""Where frames come from: the protocol, the folder of photos, and the choice by address."""
import abc
from typing import List, Optional, Tuple

import numpy as np

from edgenext_deploy.camera.address import Address, parse_address
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.photos import photos_in

_SIDES = (32, 8192)
_RATES = (0.1, 1000.0)
PIXEL_FORMATS = ("bgr", "bgrx", "nv12")


class SourceLostError(BadInputError):
    """A live source gives no frame any more, or cannot be opened just now."""


class FrameSource(abc.ABC):
    """Something that gives frames one by one; used by one thread at a time.

    Attributes:
        name: for messages, without passwords.
        live: whether it is opened again after a failure. What is not live ends.
        fps: frames a second; None if unknown or meaningless.
        color: of the frames that `read` gives, ``bgr`` or ``nv12``; see `pixels.frame_layout`.
    """

    name: str = "source"
    live: bool = False
    fps: Optional[float] = None
    color: str = "bgr"

    @abc.abstractmethod
    def open(self) -> None:
        """Open it; also used again after `close`.

        Raises:
            BadInputError: it is not there, or gives no frames.
            MissingRuntimeError: what it needs is not installed.
        """

    @abc.abstractmethod
    def read(self) -> Optional[np.ndarray]:
        """Wait for the next frame, uint8 of `color`, that belongs to the caller, or return None at the end.

        Raises:
            SourceLostError: it is live, and failed.
            BadInputError: a file that cannot be read.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Release it; twice does no harm."""


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
        from edgenext_deploy.preprocess import load_photo

        if not self._paths:
            return None
        return np.ascontiguousarray(np.asarray(load_photo(self._paths.pop()))[:, :, ::-1])

    def close(self) -> None:
        """Forget the photos that are left."""
        self._paths = []


def make_source(text: str, width: Optional[int] = None, height: Optional[int] = None,
                fps: Optional[float] = None, pixel_format: str = "bgr") -> FrameSource:
    """Return the source of an address, not yet open.

    Args:
        text: see `parse_address`.
        width: of the frames in pixels; by default the source's own.
        height: likewise.
        fps: that a camera is asked for, and at which a file or folder is played.
        pixel_format: see `Camera`.

    Raises:
        UsageError: not an address, a size or rate that cannot be, or an unknown pixel format.
    """
    address = parse_address(text)
    _check("width", width, _SIDES)
    _check("height", height, _SIDES)
    _check("fps", fps, _RATES)
    if pixel_format not in PIXEL_FORMATS:
        raise UsageError("pixel_format must be one of {}, found {!r}".format(", ".join(PIXEL_FORMATS), pixel_format))
    if address.kind == "synthetic":
        return _synthetic(address, width, height, fps)
    if address.kind == "folder":
        if width or height:
            raise UsageError("photos in a folder keep their own size", "leave out width and height")
        return FolderSource(address.target, fps)
    from edgenext_deploy.camera.opencv import OpenCvSource

    return OpenCvSource(address, width, height, fps, pixel_format)


def _synthetic(address: Address, width: Optional[int], height: Optional[int], fps: Optional[float]) -> FrameSource:
    from edgenext_deploy.camera.synthetic import SyntheticSource

    size, frames = address.size or (640, 480), address.options.get("frames")
    width, height, fps = width or size[0], height or size[1], fps or (30.0 if address.fps is None else address.fps)
    _check("width", width, _SIDES)
    _check("height", height, _SIDES)
    _check("fps", fps, _RATES)
    return SyntheticSource(width, height, fps, int(frames) if frames else None, address.options.get("color", "cycle"))


def _check(name: str, value: Optional[float], limits: Tuple[float, float]) -> None:
    if value is not None and not limits[0] <= value <= limits[1]:
        raise UsageError("{} must be from {:g} to {:g}, found {:g}".format(name, limits[0], limits[1], value))
