"""Cameras, network streams and video files through OpenCV: by GStreamer if it has that, else by its own means."""
import functools
import logging
import socket
import time
from typing import Any, List, Optional

import numpy as np

from edgenext_deploy.camera.address import Address, without_password
from edgenext_deploy.camera.opencv.capture import CallLimitError, Capture, CaptureClosedError
from edgenext_deploy.camera.opencv.library import load_cv2
from edgenext_deploy.camera.opencv.orientation import turn_of
from edgenext_deploy.camera.opencv.pictures import scaled, turned
from edgenext_deploy.camera.opencv.pipelines import Wanted
from edgenext_deploy.camera.opencv.presence import cannot_open, check_there
from edgenext_deploy.camera.opencv.rtsp import describe
from edgenext_deploy.camera.opencv.ways import Way, ways
from edgenext_deploy.camera.source import FrameSource, SourceLostError
from edgenext_deploy.errors import BadInputError

_LOG = logging.getLogger(__name__)
_FILE_FPS = 30.0
# A server that says nothing for this long is mute.
_ANSWER_S = 5.0
# Of a slow source, this many frames may be missing before it counts as silent.
_SILENT_FRAMES = 4.0
# A stream begins with a key frame. Cameras that save bandwidth send one in ten seconds, or fewer.
_FIRST_FRAME_S = 20.0
_FILE_READ_S = 30.0
# Calls of earlier openings that hang at one time. Each keeps a thread and what the library holds.
_MOST_HUNG = 8


class OpenCvSource(FrameSource):
    """A CSI, V4L2, RTSP or file address, opened with OpenCV.

    Once it was open, it is opened again in the same way only: a stream that the hardware decoded does not come back on
    the CPU.

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
        self._wanted = Wanted(width, height, fps, pixel_format=pixel_format)
        self._capture: Optional[Capture] = None
        self._interrupted = False
        self._connection: Optional[socket.socket] = None
        self._hung: List[Capture] = []
        self._cv2: Any = None
        self._way: Optional[Way] = None
        self._frames = 0
        self._step_s = 0.0

    def open(self) -> None:
        """Open the first of GStreamer and OpenCV's own backend that works, within `open_limit_s`."""
        self._cv2 = load_cv2()
        check_there(self._address)
        self._require_few_hung()
        deadline = time.monotonic() + self.open_limit_s
        try:
            capture = self._new_capture()
            for number, way in enumerate(capture.call(self._ways, self.open_limit_s)):
                if number:
                    capture = self._new_capture()
                if self._is_open(capture, way, deadline):
                    if number:
                        _LOG.warning("%s cannot be opened with GStreamer; reading it with %s", self.name, way.what)
                    self._take(capture, way)
                    return
                capture.close()
        except CallLimitError as error:
            self._leave()
            raise cannot_open(self._address, self.name, self.open_limit_s) from error
        except CaptureClosedError as error:
            raise SourceLostError("{} was closed while it was opened".format(self.name)) from error
        except BaseException:
            self.close()
            raise
        finally:
            if self._connection is not None:
                self._connection.close()
        raise cannot_open(self._address, self.name)

    def read(self) -> Optional[np.ndarray]:
        """Wait for the next frame; at most so long that a source which gives none is known to be lost."""
        limit_s = self._read_limit_s()
        try:
            given, image, position_ms = self._required().read(limit_s, self._position())
        except CallLimitError as error:
            self._leave()
            text = "{} has given no frame for {:g} s".format(self.name, limit_s)
            raise SourceLostError(text) if self.live else BadInputError(text, "pass a video that plays") from error
        except CaptureClosedError as error:
            raise SourceLostError("{} was closed".format(self.name)) from error
        except self._cv2.error as error:
            raise SourceLostError("{}: {}".format(self.name, without_password(str(error)))) from error
        if not given or image is None:
            if self.live:
                raise SourceLostError("{} gives no frame".format(self.name))
            if not self._frames:
                raise BadInputError("no frame of {} can be decoded".format(self.name), "pass a video that plays")
            return None
        self._frames += 1
        self.position_s = self._position_s(position_ms)
        return self._finished(image)

    def close(self) -> None:
        """Release the device or file."""
        capture, self._capture, self._interrupted = self._capture, None, False
        if capture is not None:
            capture.close()
            if capture.alive:
                self._hung.append(capture)

    def interrupt(self) -> None:
        """End an `open` or `read` that waits; from any thread."""
        self._interrupted = True
        capture = self._capture
        if capture is not None:
            capture.interrupt()

    def _new_capture(self) -> Capture:
        capture = self._capture = Capture("capture " + self.name)
        if self._interrupted:
            capture.interrupt()
        return capture

    def _leave(self) -> None:
        """Leave a capture whose call hangs to itself: its thread releases it when the call comes back."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.interrupt()
            self._hung.append(capture)

    def _required(self) -> Capture:
        if self._capture is None:
            raise CaptureClosedError
        return self._capture

    def _require_few_hung(self) -> None:
        self._hung = [capture for capture in self._hung if capture.alive]
        if len(self._hung) >= _MOST_HUNG:
            raise SourceLostError("{}: {} earlier openings still hang in its driver or library".format(
                self.name, len(self._hung)), "start this program again; if that does not help, the machine")

    def _ways(self) -> List[Way]:
        """Return what to try; for the capture's thread, as a server and GStreamer are asked."""
        address, wanted = self._address, self._wanted
        if address.kind == "rtsp":
            described = describe(self.name, address.target, min(_ANSWER_S, self.open_limit_s))
            self._connection = described.connection
            wanted = wanted._replace(codec=described.encoding)
        elif address.kind == "file":
            played = not self.every_frame and wanted.fps is None
            wanted = wanted._replace(turn=turn_of(address.target), played=played)
        self._wanted = wanted
        return ways(self._cv2, address, wanted, "" if self._way is None else self._way.what)

    def _is_open(self, capture: Capture, way: Way, deadline: float) -> bool:
        _LOG.debug("opening %s with %s: %s", self.name, way.what, without_password(way.argument))
        try:
            return capture.open(functools.partial(way.open, self._cv2), max(0.0, deadline - time.monotonic()))
        except (self._cv2.error, UnicodeError) as error:
            _LOG.debug("%s: %s", way.what, without_password(str(error)))
            return False

    def _take(self, capture: Capture, way: Way) -> None:
        if way.what == "V4L2":
            self._ask(capture)
        elif way.what == "FFmpeg" and hasattr(self._cv2, "CAP_PROP_ORIENTATION_AUTO"):
            capture.set(self._cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._way, self._frames, self.position_s = way, 0, None
        self.paced = self._wanted.played and way.what == "GStreamer"
        if way.pixel_format == "nv12":
            self._require_even(capture)
        self.color = "nv12" if way.pixel_format == "nv12" else "bgr"
        self.fps = self._wanted.fps or self._rate_of(capture)

    def _ask(self, capture: Capture) -> None:
        """Ask a V4L2 device for format, size and rate; it answers with the nearest that it has."""
        cv2, wanted = self._cv2, self._wanted
        if self._address.options.get("format") == "mjpeg":
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))
        for setting, value in ((cv2.CAP_PROP_FRAME_WIDTH, wanted.width), (cv2.CAP_PROP_FRAME_HEIGHT, wanted.height),
                               (cv2.CAP_PROP_FPS, wanted.fps), (cv2.CAP_PROP_BUFFERSIZE, 1)):
            if value:
                capture.set(setting, value)

    def _require_even(self, capture: Capture) -> None:
        cv2 = self._cv2
        size = [int(capture.get(number)) for number in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        if size[0] % 4 or size[1] % 2:
            raise BadInputError("{} has frames of {}x{}; NV12 needs a width that 4 divides and an even height".format(
                self.name, *size), "leave out the pixel format, or give width and height")

    def _rate_of(self, capture: Capture) -> Optional[float]:
        rate = capture.get(self._cv2.CAP_PROP_FPS)
        if 0.1 <= rate <= 1000.0:
            return rate
        return None if self.live else _FILE_FPS

    def _read_limit_s(self) -> float:
        if not self.live:
            return _FILE_READ_S
        if not self._frames:
            return max(_FIRST_FRAME_S, self.silence_limit_s)
        return max(self.silence_limit_s, _SILENT_FRAMES / self.fps if self.fps else 0.0)

    def _position(self) -> int:
        """Return the property that has a frame's time, below 0 for none.

        GStreamer's is that of a frame beside it: enough to see a stream fall behind, too little for the frames of a
        file.
        """
        ffmpeg = self._way is not None and self._way.what == "FFmpeg"
        known = self._address.kind == "rtsp" or (ffmpeg and self._address.kind == "file" and self._wanted.fps is None)
        return int(self._cv2.CAP_PROP_POS_MSEC) if known else -1

    def _position_s(self, found_ms: Optional[float]) -> Optional[float]:
        if found_ms is None:
            return None
        found, last = found_ms / 1e3, self.position_s
        if self.live or last is None:
            return found
        if found > last:
            self._step_s = found - last
            return found
        # OpenCV 4.6 has 0 for a file's last frames.
        return last + self._step_s

    def _finished(self, image: np.ndarray) -> np.ndarray:
        wanted = self._wanted
        if self._way is not None and self._way.what == "FFmpeg":
            image = turned(self._cv2, image, wanted.turn)
        if self._address.kind in ("csi", "v4l2"):
            return image
        return scaled(self._cv2, image, self.color, wanted.width, wanted.height)
