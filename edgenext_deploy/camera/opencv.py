"""Cameras, network streams and video files through OpenCV: by GStreamer if it has that, else by its own means."""
import logging
import os
import re
import shlex
import socket
from typing import Any, Iterator, Optional, Tuple
from urllib.parse import urlsplit

import numpy as np

from edgenext_deploy.camera.address import Address, without_password
from edgenext_deploy.camera.pipelines import can_be_quoted, pipeline, size_of
from edgenext_deploy.camera.source import FrameSource, SourceLostError
from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.files import require_file
from edgenext_deploy.machine.facts import is_jetson
from edgenext_deploy.machine.tree import Tree

_LOG = logging.getLogger(__name__)
_JETPACK_FIX = ("install JetPack's own: sudo apt-get install nvidia-opencv; in a virtual environment, one made with "
                "--system-site-packages")
_FILE_FPS = 30.0
_RTSP_PORTS = {"rtsp": 554, "rtsps": 322}
_CONNECT_S = 5.0


def load_cv2() -> Any:
    """Import OpenCV.

    Raises:
        MissingRuntimeError: it is not there, or one of its libraries is not.
    """
    try:
        import cv2
    except ImportError as error:
        missing = getattr(error, "name", None) == "cv2"
        raise MissingRuntimeError(
            "cameras and videos need OpenCV, which is not installed" if missing
            else "OpenCV cannot be loaded: {}".format(error), _fix_of(str(error))) from error
    return cv2


def _fix_of(text: str) -> str:
    # OpenCV comes last, behind TensorRT and CUDA, which on a Jetson may leave too little of what the loader keeps for
    # the thread-local data of libraries (opencv/opencv#14884). What is loaded first finds room.
    late = re.search(r"(/\S+): cannot allocate memory in static TLS block", text)
    if late:
        return "export LD_PRELOAD={}, and start again".format(shlex.quote(late.group(1)))
    return _JETPACK_FIX if on_jetson() else "pip install opencv-python-headless"


def on_jetson() -> bool:
    """Return whether this machine is a Jetson, whose hardware converts and decodes."""
    return is_jetson(Tree())


def has_gstreamer(cv2: Any) -> bool:
    """Return whether this OpenCV was built with GStreamer; those of PyPI are not."""
    return any("GStreamer" in line and "YES" in line for line in cv2.getBuildInformation().splitlines())


class OpenCvSource(FrameSource):
    """A CSI, V4L2, RTSP or file address, opened with OpenCV.

    Args:
        address: from `parse_address`.
        width: of the frames in pixels; a camera is asked for it, a file or network stream is scaled.
        height: of the frames in pixels, as for `width`.
        fps: that a camera is asked for, and at which a file is played.
        pixel_format: ``bgr``, ``bgrx`` or ``nv12``; see `Camera`.
    """

    def __init__(self, address: Address, width: Optional[int] = None, height: Optional[int] = None,
                 fps: Optional[float] = None, pixel_format: str = "bgr") -> None:
        self.name = without_password(address.target if address.kind != "csi" else "csi://" + address.target)
        self.live = address.kind != "file"
        self.fps = fps
        self._address = address
        self._pixel_format = pixel_format
        self._width, self._height, self._asked_fps = width, height, fps
        self._capture: Any = None
        self._cv2: Any = None
        self._frames = 0

    def open(self) -> None:
        """Open the first of GStreamer and OpenCV's own backend that works."""
        cv2 = self._cv2 = load_cv2()
        self._check_there()
        for what, argument, backend, pixel_format in self._ways(cv2):
            _LOG.debug("opening %s with %s: %s", self.name, what, without_password(argument))
            try:
                capture = cv2.VideoCapture(argument, backend)
            except (cv2.error, UnicodeError) as error:
                _LOG.debug("%s: %s", what, error)
                continue
            if capture.isOpened():
                if backend != cv2.CAP_GSTREAMER and self._address.kind == "v4l2":
                    self._ask(capture)
                self._capture, self._frames = capture, 0
                self.color = "nv12" if pixel_format == "nv12" else "bgr"
                self.fps = self._asked_fps or self._rate_of(capture)
                return
            capture.release()
        self._complain()

    def read(self) -> Optional[np.ndarray]:
        """Wait for the next frame."""
        try:
            given, image = self._capture.read()
        except self._cv2.error as error:
            raise SourceLostError("{}: {}".format(self.name, error)) from error
        if not given or image is None:
            if self.live:
                raise SourceLostError("{} gives no frame".format(self.name))
            if not self._frames:
                raise BadInputError("no frame of {} can be decoded".format(self.name), "pass a video that plays")
            return None
        self._frames += 1
        return self._scaled(image)

    def close(self) -> None:
        """Release the device or file."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _ways(self, cv2: Any) -> Iterator[Tuple[str, str, int, str]]:
        """Yield (what it is, argument, backend, pixel format), the preferred one first."""
        address = self._address
        target = os.path.abspath(address.target) if address.kind == "file" else address.target
        if has_gstreamer(cv2) and can_be_quoted(target):
            # Not every release of OpenCV takes BGRx or NV12 from a pipeline; all take BGR.
            for pixel_format in sorted({self._pixel_format, "bgr"}, reverse=True):
                yield "GStreamer", pipeline(address._replace(target=target), self._width, self._height,
                                            self._asked_fps, on_jetson(), pixel_format), cv2.CAP_GSTREAMER, pixel_format
        if address.kind == "v4l2":
            yield "V4L2", target, cv2.CAP_V4L2, "bgr"
        elif address.kind in ("file", "rtsp"):
            # Named, because CAP_ANY may give GStreamer a text that is not a file, as a pipeline.
            yield "FFmpeg", target, cv2.CAP_FFMPEG, "bgr"

    def _check_there(self) -> None:
        """Raise for what can be told without opening it, in better words than OpenCV has."""
        kind, target = self._address.kind, self._address.target
        if kind == "file":
            require_file(target, "video", "pass a video file, or a camera such as /dev/video0 or csi://0")
        elif kind == "v4l2" and not os.path.exists(target):
            there = sorted(name for name in os.listdir("/dev") if name.startswith("video"))
            raise SourceLostError(
                "no camera at {}; found {}".format(target, ", ".join("/dev/" + name for name in there) or "none"),
                "plug it in, or pass another one")
        elif kind == "v4l2" and not os.access(target, os.R_OK | os.W_OK):
            raise SourceLostError("{} cannot be opened (permission denied)".format(target),
                             "sudo usermod -aG video $USER, then log in again")
        elif kind == "rtsp":
            _check_server(self.name, target)
        elif kind == "csi" and not has_gstreamer(self._cv2):
            raise MissingRuntimeError(
                "{} needs an OpenCV with GStreamer; the one installed ({}) has none".format(
                    self.name, self._cv2.__version__),
                _JETPACK_FIX if on_jetson() else "CSI cameras are read on a Jetson; pass another source here")

    def _complain(self) -> None:
        kind = self._address.kind
        if kind == "file":
            raise BadInputError("{} is not a video that can be read".format(self.name),
                                "pass one that plays, for example in ffplay; --debug shows what was tried")
        fix = {"csi": "check the ribbon cable and that nvargus-daemon runs: sudo systemctl restart nvargus-daemon",
               "v4l2": "see what it offers: v4l2-ctl --device {} --list-formats-ext".format(
                   shlex.quote(self._address.target)),
               "rtsp": "check address, user and password, and that the camera is reachable from here"}[kind]
        raise SourceLostError("cannot open {}".format(self.name), fix)

    def _ask(self, capture: Any) -> None:
        """Ask a V4L2 device for format, size and rate; it answers with the nearest that it has."""
        cv2 = self._cv2
        if self._address.options.get("format") == "mjpeg":
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))
        for setting, value in ((cv2.CAP_PROP_FRAME_WIDTH, self._width), (cv2.CAP_PROP_FRAME_HEIGHT, self._height),
                               (cv2.CAP_PROP_FPS, self._asked_fps), (cv2.CAP_PROP_BUFFERSIZE, 1)):
            if value:
                capture.set(setting, value)

    def _rate_of(self, capture: Any) -> Optional[float]:
        rate = float(capture.get(self._cv2.CAP_PROP_FPS))
        if 0.1 <= rate <= 1000.0:
            return rate
        return None if self.live else _FILE_FPS

    def _scaled(self, image: np.ndarray) -> np.ndarray:
        height, width = int(image.shape[0]), int(image.shape[1])
        fits = (self._width or width, self._height or height) == (width, height)
        # A pipeline has scaled NV12 already, and its array is not the picture's size.
        if self._address.kind in ("csi", "v4l2") or fits or self.color == "nv12":
            return image
        size = size_of(self._width, self._height, (width, height))
        scaled: np.ndarray = self._cv2.resize(image, size, interpolation=self._cv2.INTER_AREA)
        return scaled


def _check_server(name: str, url: str) -> None:
    """Raise unless something answers: OpenCV may wait without end for a pipeline whose server is not there."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _RTSP_PORTS[parts.scheme]
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except (OSError, UnicodeError) as error:
        raise SourceLostError("{}: nothing answers at {}:{} ({})".format(name, host, port, error),
                              "check the address, and that the camera is on and reachable from here") from error
