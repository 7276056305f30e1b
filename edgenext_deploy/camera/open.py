"""The choice of a frame source by its address."""
from typing import Optional, Tuple

from edgenext_deploy.camera.address import Address, parse_address
from edgenext_deploy.camera.source import FrameSource
from edgenext_deploy.errors import UsageError

_SIDES = (32, 8192)
_RATES = (0.1, 1000.0)
PIXEL_FORMATS = ("bgr", "bgrx", "nv12")


def make_source(text: str, width: Optional[int] = None, height: Optional[int] = None,
                fps: Optional[float] = None, pixel_format: str = "bgr") -> FrameSource:
    """Return the source of an address, not yet open.

    Args:
        text: see `parse_address`.
        width: of the frames, in pixels; by default the source's own.
        height: of the frames, in pixels; by default the source's own.
        fps: frames per second that a camera is asked for, or at which a file or folder is played.
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
        from edgenext_deploy.camera.folder import FolderSource

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
