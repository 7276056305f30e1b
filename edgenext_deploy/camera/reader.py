"""The camera: a thread that reads a source and keeps one frame, the newest."""
import atexit
import logging
import threading
from typing import Any, List, NamedTuple, Optional, Union

import numpy as np

from edgenext_deploy.camera.open import make_source
from edgenext_deploy.camera.source import BadFrameError, FrameSource, SourceLostError, SourceRefusedError
from edgenext_deploy.camera.timing import Backoff, Clock
from edgenext_deploy.camera.watch import SourceWatch
from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import EdgeNextError, UsageError

_LOG = logging.getLogger(__name__)
# A driver that hangs in its read keeps its thread; the thread is a daemon, so the process still ends.
_JOIN_S = 5.0
_LONGEST_LIMIT_S = 3600.0
# How long a file that is played may stand still between two frames.
_LONGEST_STILL_S = 10.0


class Frame(NamedTuple):
    """One picture.

    Attributes:
        image: uint8 BGR `[H, W, 3]`, the consumer's own; BGRx `[H, W, 4]` or NV12 `[H * 3 / 2, W]` only where that was
            asked for, see `Camera.color`.
        number: of the frame among those captured, from 0; a gap means that frames were dropped.
        captured_at: `Clock.now` in seconds, when the source had handed the frame over.
        position_s: of the frame in its video file, in seconds, or by the camera's clock; None where it is not known.
        file: name of the photo, for a folder.
    """

    image: np.ndarray
    number: int
    captured_at: float
    position_s: Optional[float] = None
    file: Optional[str] = None


class BrokenFrame(NamedTuple):
    """A frame that could not be read: name of its file, and why."""

    file: Optional[str]
    error: str


class Counters(NamedTuple):
    """Frames so far. Always ``captured == processed + dropped + waiting``, and `waiting` is 0 or 1."""

    captured: int
    processed: int
    dropped: int
    waiting: int
    reconnects: int


class Camera:
    """The newest frame of a camera, network stream, video file, folder of photos or test pattern.

    The source is opened at once, and a thread reads it from then on. A frame that nobody took before the next one
    came is dropped and counted: nothing queues, so what `read` returns is never older than one frame. A file is
    played at its own rate, as if it were a camera.

    A live source that fails is closed and opened again after 0.5 s, 1 s, 2 s, … up to 30 s, until a frame comes.

    Args:
        source: an address, see `parse_address`, or a `FrameSource` of your own.
        width: of the frames, in pixels; by default the source's own.
        height: of the frames, in pixels; by default the source's own.
        fps: frames per second that a camera is asked for, or at which a file or folder is played.
        every_frame: drop nothing and wait for the consumer instead. Not for live sources. By default only a folder
            without `fps` is read like that.
        pixel_format: what the consumer takes: ``bgr``; ``bgrx``, which spares a Jetson's CPU the last conversion; or
            ``nv12``, which is what its cameras give. Sources that do not go through GStreamer, and releases of OpenCV
            that cannot take it from there, give BGR all the same.
        wait: where a live source cannot be opened yet, keep trying, as after a failure, in place of raising. `color`
            and `fps` are those of the source once it is open. A wrong password still raises.
        open_limit_s: seconds after which an opening is given up.
        silence_limit_s: seconds without a frame after which a live source counts as lost.
        backoff: how long to wait before opening a failed source again.
        clock: the time.

    Raises:
        BadInputError: the source is not there, or gives no frames.
        MissingRuntimeError: it needs OpenCV, or an OpenCV with GStreamer.
        UsageError: not an address, or arguments that do not go together.
    """

    @old_call("width", "height", "fps", "every_frame", "backoff", "clock", "pixel_format")
    def __init__(self, source: Union[str, FrameSource], *, width: Optional[int] = None, height: Optional[int] = None,
                 fps: Optional[float] = None, every_frame: Optional[bool] = None,
                 backoff: Optional[Backoff] = None, clock: Optional[Clock] = None, pixel_format: str = "bgr",
                 wait: bool = False, open_limit_s: Optional[float] = None,
                 silence_limit_s: Optional[float] = None) -> None:
        self._source = (source if isinstance(source, FrameSource)
                        else make_source(source, width=width, height=height, fps=fps, pixel_format=pixel_format))
        if every_frame and self._source.live:
            raise UsageError("{} is live: it does not wait, so not every frame can be had".format(self._source.name),
                             "leave out every_frame (--every-frame)")
        self._clock, self._backoff = clock or Clock(), backoff or Backoff()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._waiting: Optional[Frame] = None
        self._captured = self._processed = self._dropped = self._reconnects = 0
        self._ended = False
        self._error: Optional[BaseException] = None
        self._due: Optional[float] = None
        self._position_s = 0.0
        self._broken: List[BrokenFrame] = []
        self._source.open_limit_s = _limit("open_limit_s", open_limit_s, self._source.open_limit_s)
        self._source.silence_limit_s = _limit("silence_limit_s", silence_limit_s, self._source.silence_limit_s)
        self._source.every_frame = bool(every_frame)
        self._missing: Optional[EdgeNextError] = None
        try:
            self._source.open()
        except SourceRefusedError:
            raise
        except SourceLostError as error:
            if not self._source.live:
                raise
            if not wait:
                error.fix = "{}wait=True (--wait) waits for it".format(error.fix + "; " if error.fix else "")
                raise
            self._missing = error
        self._every_frame = self._source.fps is None and not self._source.live if every_frame is None else every_frame
        self._thread = threading.Thread(target=self._work, name="camera " + self._source.name, daemon=True)
        # A thread inside a video library while the interpreter is taken down may crash the process.
        atexit.register(self.close)
        self._thread.start()

    @property
    def name(self) -> str:
        """The source's address, without a password."""
        return self._source.name

    @property
    def fps(self) -> Optional[float]:
        """Frames a second as far as the source knows them."""
        return self._source.fps

    @property
    def color(self) -> str:
        """What the frames are, as `pixels.frame_layout` takes it: ``bgr`` (BGRx too) or ``nv12``."""
        return self._source.color

    @property
    def live(self) -> bool:
        """Whether it is a camera or network stream, which does not wait and is opened again after a failure."""
        return self._source.live

    @property
    def every_frame(self) -> bool:
        """Whether the source waits for the consumer."""
        return self._every_frame

    @property
    def ended(self) -> bool:
        """True when no frame will come any more; one may still be waiting."""
        return self._ended

    @property
    def counters(self) -> Counters:
        """The counters, all of the same moment."""
        with self._changed:
            return Counters(self._captured, self._processed, self._dropped, int(self._waiting is not None),
                            self._reconnects)

    @property
    def broken(self) -> List[BrokenFrame]:
        """The photos of a folder that could not be read so far; the others go on."""
        return list(self._broken)

    def now(self) -> float:
        """Return the time on the clock of `Frame.captured_at`, in seconds."""
        return self._clock.now()

    def read(self, timeout: Optional[float] = None) -> Optional[Frame]:
        """Return the newest frame that was not read yet, waiting for one if there is none.

        Args:
            timeout: seconds to wait at most; for ever by default.

        Returns:
            None after `timeout`, at the end of the source (then `ended` is true), and when the camera is closed.

        Raises:
            BadInputError: the source cannot be read on, and is not live.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._ended, timeout)
            frame, self._waiting = self._waiting, None
            if frame is not None:
                self._processed += 1
                self._changed.notify_all()
            elif self._error is not None:
                raise self._error
            return frame

    def close(self) -> None:
        """Stop reading and release the source. Twice does no harm; a frame that waits counts as dropped."""
        self._stop.set()
        self._source.interrupt()
        with self._changed:
            self._discard()
            self._ended = True
            self._changed.notify_all()
        self._thread.join(_JOIN_S)
        atexit.unregister(self.close)

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _work(self) -> None:
        """Read until the end; what goes wrong is kept for the consumer's next `read`."""
        try:
            if self._missing is not None:
                self._open_again(self._missing)
            watch = SourceWatch(self._source)
            while self._ready():
                try:
                    image = self._source.read()
                    watch.check(self._clock.now())
                except BadFrameError as error:
                    _LOG.error("%s", error.message)
                    self._broken.append(BrokenFrame(self._source.file, error.message))
                    continue
                except SourceLostError as error:
                    if self._stop.is_set():
                        break
                    if not self._source.live:
                        raise
                    self._reconnect(error)
                    watch = SourceWatch(self._source)
                    continue
                if image is None:
                    break
                self._backoff.reset()
                if self._paced():
                    self._publish(image)
        except Exception as error:
            self._error = error
        finally:
            self._close_source()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _close_source(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # of a library's, or of somebody's own source
            # What is gone cannot always be closed, and a consumer must not wait for ever because of that.
            _LOG.warning("%s cannot be closed: %s", self._source.name, error)

    def _ready(self) -> bool:
        """Wait until the consumer has the last frame, if it is to have all; return False once the camera is closed."""
        if self._every_frame:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is None or self._stop.is_set())
        return not self._stop.is_set()

    def _paced(self) -> bool:
        """Wait until a frame of a source that is played is due; return False once the camera is closed."""
        if not (self._every_frame or self._source.live or self._source.paced) and self._source.fps:
            now, period = self._clock.now(), 1.0 / self._source.fps
            position_s = self._source.position_s
            if position_s is not None:
                passed, self._position_s = position_s - self._position_s, position_s
                # Not where recordings were joined, or a time is damaged: that may be hours.
                period = passed if 0.0 <= passed <= _LONGEST_STILL_S else period
            due = now if self._due is None else self._due + period
            # After a pause, frames are not made up for by a burst.
            self._due = now if due < now - period else due
            if self._due > now:
                self._clock.wait(self._stop, self._due - now)
        return not self._stop.is_set()

    def _publish(self, image: np.ndarray) -> None:
        captured_at = self._clock.now()
        with self._changed:
            if self._stop.is_set():
                return
            self._discard()
            self._waiting = Frame(image, self._captured, captured_at, self._source.position_s, self._source.file)
            self._captured += 1
            self._changed.notify_all()

    def _discard(self) -> None:
        if self._waiting is not None:
            self._waiting = None
            self._dropped += 1

    def _reconnect(self, error: EdgeNextError) -> None:
        """Close the source, and open it again. Whether it works, only the next frame tells."""
        with self._changed:
            # By the time that the source is back, this frame would be stale.
            self._discard()
        self._close_source()
        if self._open_again(error):
            with self._changed:
                self._reconnects += 1

    def _open_again(self, error: EdgeNextError) -> bool:
        """Open the source with growing pauses; return False if the camera was closed meanwhile."""
        while True:
            delay = self._backoff.next_s()
            _LOG.warning("%s; trying again in %.1f s", error.message, delay)
            if self._clock.wait(self._stop, delay):
                return False
            try:
                self._source.open()
            except EdgeNextError as failure:
                error = failure
                continue
            return True


def _limit(name: str, value: Optional[float], default: float) -> float:
    if value is not None and not 0.0 < value <= _LONGEST_LIMIT_S:
        raise UsageError("{} must be above 0 and at most {:g}, found {:g}".format(name, _LONGEST_LIMIT_S, value))
    return default if value is None else value
