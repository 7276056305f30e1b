"""Which encoder writes a video: H.264 where there is one, because browsers and phones play it."""
import logging
import os
from typing import Any, Iterator, Tuple

from edgenext_deploy.camera.opencv.elements import missing_elements
from edgenext_deploy.camera.opencv.library import has_gstreamer
from edgenext_deploy.camera.opencv.pipelines import can_be_quoted

_LOG = logging.getLogger(__name__)
ENDINGS = (".mp4", ".m4v", ".mov", ".avi")
_MPEG4 = "MPEG-4 part 2, which browsers do not play (this OpenCV has no H.264 encoder)"
# Jetson's encoder, and x264 for an OpenCV whose FFmpeg has none. Four million bits a second are plenty for 720p.
_PIPELINES = {
    "nvv4l2h264enc": "appsrc ! videoconvert ! video/x-raw,format=BGRx ! nvvidconv "
                     "! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc bitrate=4000000 "
                     "! h264parse ! {mux} ! filesink location=\"{path}\"",
    "x264enc": "appsrc ! videoconvert ! video/x-raw,format=I420 ! x264enc bitrate=4000 speed-preset=veryfast "
               "! h264parse ! {mux} ! filesink location=\"{path}\"",
}


def open_writer(cv2: Any, path: str, fps: float, size: Tuple[int, int]) -> Tuple[Any, str]:
    """Return an open ``cv2.VideoWriter`` and its codec in words; (None, "") if none can be opened.

    Args:
        cv2: OpenCV.
        path: ends in one of `ENDINGS`.
        fps: frames per second.
        size: width and height in pixels, both even.
    """
    for words, argument, backend, letters in _candidates(cv2, path):
        _LOG.debug("writing with %s", argument)
        try:
            writer = cv2.VideoWriter(argument, backend, cv2.VideoWriter_fourcc(*letters) if letters else 0, fps, size)
        except cv2.error as error:
            _LOG.debug("%s", error)
            continue
        if writer.isOpened():
            return writer, words
        writer.release()
    return None, ""


def _candidates(cv2: Any, path: str) -> Iterator[Tuple[str, str, int, str]]:
    """Yield (codec in words, argument, backend, four letters), the preferred one first."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".avi":
        yield "Motion JPEG", path, cv2.CAP_ANY, "MJPG"
        return
    lines = {}
    if has_gstreamer(cv2) and can_be_quoted(path):
        lines = {name: line.format(mux="qtmux" if suffix == ".mov" else "mp4mux", path=path)
                 for name, line in _PIPELINES.items()}
    available = {name: line for name, line in lines.items() if not missing_elements(line)}
    if "nvv4l2h264enc" in available:
        yield "H.264 by nvv4l2h264enc", available["nvv4l2h264enc"], cv2.CAP_GSTREAMER, ""
    yield "H.264", path, cv2.CAP_FFMPEG, "avc1"
    if "x264enc" in available:
        yield "H.264 by x264enc", available["x264enc"], cv2.CAP_GSTREAMER, ""
    yield _MPEG4, path, cv2.CAP_ANY, "mp4v"
