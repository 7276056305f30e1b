"""The ways in which OpenCV can open an address, the preferred one first."""
import logging
import os
from typing import Any, Dict, List, NamedTuple, Tuple

from edgenext_deploy.camera.address import Address
from edgenext_deploy.camera.opencv.elements import missing_elements
from edgenext_deploy.camera.opencv.library import JETPACK_FIX, has_gstreamer, on_jetson
from edgenext_deploy.camera.opencv.pipelines import Wanted, can_be_quoted, pipeline
from edgenext_deploy.errors import MissingRuntimeError

_LOG = logging.getLogger(__name__)
# Milliseconds after which FFmpeg gives up a server by itself, so that a thread that was given up ends too.
_FFMPEG_MS = 10000
_CSI_ELSEWHERE = "CSI cameras are read on a Jetson; pass another source here"
_FORMAT_TEST = "videotestsrc num-buffers=1 ! video/x-raw,format={},width=32,height=32 ! appsink sync=false"


class Way(NamedTuple):
    """What to pass to ``cv2.VideoCapture``.

    Attributes:
        what: ``GStreamer``, ``V4L2`` or ``FFmpeg``.
        argument: pipeline, device, address or path.
        backend: OpenCV's number of it.
        pixel_format: that it gives.
        settings: numbers and values for a third argument; empty for none.
    """

    what: str
    argument: str
    backend: int
    pixel_format: str
    settings: Tuple[int, ...] = ()

    def open(self, cv2: Any) -> Any:
        """Return the ``cv2.VideoCapture``, which may not be open."""
        if self.settings:
            return cv2.VideoCapture(self.argument, self.backend, list(self.settings))
        return cv2.VideoCapture(self.argument, self.backend)


def ways(cv2: Any, address: Address, wanted: Wanted, only: str = "") -> List[Way]:
    """Return the ways to open an address. It may ask GStreamer, which takes a moment.

    Args:
        cv2: OpenCV.
        address: from `parse_address`.
        wanted: what the frames are to be.
        only: the way, see `Way.what`, that is of interest; by default all.

    Raises:
        MissingRuntimeError: a CSI camera, and no GStreamer, or not with its elements.
    """
    found = []
    target = os.path.abspath(address.target) if address.kind == "file" else address.target
    if address.kind == "csi" and not has_gstreamer(cv2):
        raise MissingRuntimeError(
            "csi://{} needs an OpenCV with GStreamer; the one installed ({}) has none".format(
                address.target, cv2.__version__),
            JETPACK_FIX if on_jetson() else _CSI_ELSEWHERE)
    if only in ("", "GStreamer") and has_gstreamer(cv2) and _goes_into_a_pipeline(address, target):
        wanted = wanted._replace(jetson=on_jetson(), pixel_format=_accepted(cv2, wanted.pixel_format))
        line = pipeline(address._replace(target=target), wanted)
        missing = missing_elements(line)
        if not missing:
            found.append(Way("GStreamer", line, cv2.CAP_GSTREAMER, wanted.pixel_format))
        elif address.kind == "csi":
            raise MissingRuntimeError(
                "csi://{} needs GStreamer's {}: not here, or cannot be loaded".format(
                    address.target, " and ".join(missing)),
                "gst-inspect-1.0 {} says why; a container needs --runtime nvidia and JetPack's plugins".format(
                    missing[0]) if on_jetson() else _CSI_ELSEWHERE)
        else:
            _LOG.warning("GStreamer lacks %s; reading without it", " and ".join(missing))
    if only == "GStreamer":
        return found
    if address.kind == "v4l2":
        found.append(Way("V4L2", target, cv2.CAP_V4L2, "bgr"))
    elif address.kind in ("file", "rtsp"):
        # Named, because CAP_ANY may give GStreamer a text that is not a file, as a pipeline.
        found.append(Way("FFmpeg", target, cv2.CAP_FFMPEG, "bgr",
                         _ffmpeg_limits(cv2) if address.kind == "rtsp" else ()))
    return found


def _goes_into_a_pipeline(address: Address, target: str) -> bool:
    """Return False for what GStreamer must not have: a name that could leave its quotes, or a GIF.

    OpenCV never sees the end of a GIF through GStreamer.
    """
    if address.kind == "file" and can_be_quoted(target):
        try:
            with open(target, "rb") as file:
                return file.read(4) != b"GIF8"
        except OSError:
            return False
    return can_be_quoted(target)


def _ffmpeg_limits(cv2: Any) -> Tuple[int, ...]:
    if hasattr(cv2, "CAP_PROP_READ_TIMEOUT_MSEC"):
        return cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _FFMPEG_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _FFMPEG_MS
    # JetPack 4 has OpenCV 4.1 over FFmpeg 3.4, whose name for it this is. The first option is OpenCV's own default,
    # which the variable replaces.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|stimeout;{}".format(_FFMPEG_MS * 1000))
    return ()


_answers: Dict[str, bool] = {}


def _accepted(cv2: Any, pixel_format: str) -> str:
    """Return the format if this OpenCV takes it from a pipeline, else ``bgr``, which all do.

    OpenCV 4.1.1 takes no BGRx. It is asked with a test picture, because a camera that cannot be opened must not be
    opened once more for each format.
    """
    if pixel_format == "bgr":
        return "bgr"
    line = _FORMAT_TEST.format({"bgrx": "BGRx", "nv12": "NV12"}[pixel_format])
    if line not in _answers:
        capture = None if missing_elements(line) else cv2.VideoCapture(line, cv2.CAP_GSTREAMER)
        _answers[line] = capture is not None and bool(capture.isOpened())
        if capture is not None:
            capture.release()
    return pixel_format if _answers[line] else "bgr"
