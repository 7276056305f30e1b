"""A video file and a window that show the frames of a live run with the answers drawn in."""
import os
import sys
import tempfile
from typing import Any, Optional

import numpy as np

from edgenext_deploy.camera.opencv.library import load_cv2
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.files import plain_mode
from edgenext_deploy.run.encoders import ENDINGS, open_writer

_DEFAULT_FPS = 30.0
# After a gap without frames, the video repeats the last one for at most this long.
_LONGEST_STILL_S = 2.0
_ESCAPE = 27


class VideoFile:
    """A video that lasts as long as what it shows.

    Its rate is constant while frames are classified as they come, so a frame is repeated until the next one is due,
    and left out where two fall on one moment. It is written under a temporary name and renamed by `close`.

    Args:
        path: ends in one of .mp4, .m4v, .mov (H.264 where there is an encoder, else MPEG-4 part 2) or .avi (Motion
            JPEG).
        fps: of the video; 30 if None.

    Attributes:
        codec: that the video has, in words; empty before the first frame.

    Raises:
        MissingRuntimeError: no OpenCV.
        UsageError: another ending, or a folder that cannot be written.
    """

    def __init__(self, path: str, fps: Optional[float] = None) -> None:
        self._cv2 = load_cv2()
        self._suffix = os.path.splitext(path)[1].lower()
        if self._suffix not in ENDINGS:
            raise UsageError("cannot save {}: a name ending in one of {} expected".format(path, ", ".join(ENDINGS)),
                             "for example out.mp4")
        folder = os.path.dirname(os.path.abspath(path))
        if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            raise UsageError("cannot write {}: {}".format(
                path, "there is a folder of that name" if os.path.isdir(path)
                else "its folder does not exist or cannot be written"), "choose another path with --save")
        self.path = path
        self.frames = 0
        self.codec = ""
        self._fps = fps or _DEFAULT_FPS
        self._folder = folder
        self._temporary = ""
        self._writer: Any = None
        self._size = (0, 0)
        self._start: Optional[float] = None

    def write(self, image: np.ndarray, moment: Optional[float]) -> None:
        """Add a frame, uint8 BGR `[H, W, 3]`, scaled to the size of the first one.

        Args:
            image: the frame.
            moment: of the frame in seconds from any fixed moment; None writes it once, whenever it came.
        """
        if self._writer is None:
            self._open(int(image.shape[1]), int(image.shape[0]))
        if (image.shape[1], image.shape[0]) != self._size:
            image = self._cv2.resize(image, self._size, interpolation=self._cv2.INTER_AREA)
        for _ in range(self._repetitions(moment)):
            self._writer.write(image)
            self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name; twice does no harm.

        Raises:
            UsageError: the video is incomplete because the disk is full.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.release()
        check = self._cv2.VideoCapture(self._temporary, self._cv2.CAP_ANY)
        complete = check.isOpened() and check.read()[0]
        # A video that was cut off cannot be opened, but for .avi. OpenCV finds a lone frame only once.
        cut_off = complete and self._suffix == ".avi" and self.frames > 1 and check.set(
            self._cv2.CAP_PROP_POS_FRAMES, self.frames - 1) and not check.read()[0]
        check.release()
        if not complete:
            os.unlink(self._temporary)
            raise UsageError("{} could not be completed".format(self.path), "free some space on its disk")
        os.chmod(self._temporary, plain_mode())
        os.replace(self._temporary, self.path)
        if cut_off:
            raise UsageError("{} is cut off: its last frames could not be written".format(self.path),
                             "free some space on its disk")

    def _open(self, width: int, height: int) -> None:
        handle, self._temporary = tempfile.mkstemp("." + os.path.basename(self.path)[:-len(self._suffix)]
                                                   + self._suffix, ".", self._folder)
        os.close(handle)
        # MPEG-4 has no odd sizes.
        self._size = width - width % 2, height - height % 2
        self._writer, self.codec = open_writer(self._cv2, self._temporary, self._fps, self._size)
        if self._writer is None:
            os.unlink(self._temporary)
            raise MissingRuntimeError("this OpenCV cannot write {} videos".format(self._suffix),
                                      "--save a name ending in .avi")

    def _repetitions(self, moment: Optional[float]) -> int:
        if moment is None:
            return 1
        if self._start is None:
            self._start = moment
        due = round((moment - self._start) * self._fps) + 1 - self.frames
        longest = max(1, int(_LONGEST_STILL_S * self._fps))
        if due > longest:
            self._start += (due - longest) / self._fps
            due = longest
        return max(0, due)


class Window:
    """A window that shows frames; Q, Escape or closing it sets `closed`."""

    def __init__(self, title: str) -> None:
        self._cv2 = load_cv2()
        self._title = title
        self.closed = False
        # Some of OpenCV's toolkits end the process when there is no display.
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise MissingRuntimeError("there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set",
                                      "leave out --display, or run on the desktop; --save keeps a video")
        self._call(lambda: self._cv2.namedWindow(title, self._cv2.WINDOW_NORMAL))

    def show(self, image: np.ndarray) -> None:
        """Show a frame, uint8 BGR `[H, W, 3]`."""
        self._call(lambda: self._cv2.imshow(self._title, image))
        key = self._call(lambda: self._cv2.waitKey(1)) & 0xFF
        self.closed = key in (_ESCAPE, ord("q")) or not self._is_open()

    def close(self) -> None:
        """Close the window."""
        self._call(self._cv2.destroyAllWindows)

    def _is_open(self) -> bool:
        visible = self._property(self._cv2.WND_PROP_VISIBLE)
        if visible >= 0.0:
            return visible >= 1.0
        # GTK, which JetPack's OpenCV uses, does not know that one and says -1 of any window (opencv/opencv#25346); but
        # it answers this one as long as the window is there. Qt only hides a closed window and would go on answering.
        return self._property(self._cv2.WND_PROP_AUTOSIZE) >= 0.0

    def _property(self, number: int) -> float:
        return float(self._call(lambda: self._cv2.getWindowProperty(self._title, number)))

    def _call(self, function: Any) -> Any:
        try:
            return function()
        except self._cv2.error as error:
            raise MissingRuntimeError(
                "this OpenCV cannot open a window: {}".format(str(error).strip().splitlines()[0]),
                "leave out --display; or, in place of opencv-python-headless, pip install opencv-python") from error
