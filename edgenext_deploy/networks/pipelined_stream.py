"""A stream whose next frame is prepared while the network is busy with the last one."""
import collections
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Deque, Iterator, NamedTuple, Optional

import numpy as np

from edgenext_deploy.networks.stream import POLL_S, CallTimings, StreamResult, result_of
from edgenext_deploy.preprocess.pixel_formats import frame_layout

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera, Frame

# How long an end waits for the preparation of a frame, which cannot be interrupted.
_JOIN_S = 0.5


class _Prepared(NamedTuple):
    frame: "Frame"
    taken_at: float
    image: np.ndarray
    preprocess_ms: float


def pipelined_stream(network: Any, camera: "Camera",
                     stop: Optional[Callable[[], bool]] = None) -> Iterator[StreamResult]:
    """Yield what `stream.stream` yields; a thread prepares the next frame during an inference.

    A frame waits for the inference before its own to end: it is older by at most that time. Where the source waits for
    the network (`Camera.every_frame`), an answer is also made and used while the next inference runs.

    Args:
        network: a `Network` that prepares frames on the processor. Its module imports this one.
        camera: stays open afterwards.
        stop: asked before each frame, and ten times a second while none comes.
    """
    started: Deque[_Prepared] = collections.deque()
    ahead = int(camera.every_frame)
    coming = _Coming(network, camera)
    try:
        while not (stop is not None and stop()):
            prepared = coming.take()
            if prepared is not None:
                network.start([prepared.image])
                started.append(prepared)
            if len(started) > (0 if prepared is None else ahead):
                yield _finish(network, camera, started.popleft())
            elif coming.ended:
                break
        coming.raise_error()
    finally:
        coming.close()
        network.abandon(len(started))


def _finish(network: Any, camera: "Camera", prepared: _Prepared) -> StreamResult:
    layout = frame_layout(prepared.frame.image, camera.color)
    (answer,), timings = network.finish([(layout.width, layout.height)])
    return result_of(camera, prepared.frame, prepared.taken_at, answer,
                     CallTimings(prepared.preprocess_ms, timings.inference_ms, timings.postprocess_ms))


class _Coming:
    """Takes a camera's newest frame and prepares it, in a thread; one that is ready waits, and no other is taken.

    Attributes:
        ended: True when no frame will come any more.
    """

    def __init__(self, network: Any, camera: "Camera") -> None:
        self.ended = False
        self._network, self._camera = network, camera
        self._changed = threading.Condition()
        self._ready: Optional[_Prepared] = None
        self._closed = False
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._work, name="prepares frames", daemon=True)
        self._thread.start()

    def take(self) -> Optional[_Prepared]:
        """Return the next frame, waiting a little; None if none came."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready is not None or self.ended, POLL_S)
            ready, self._ready = self._ready, None
            self._changed.notify_all()
            return ready

    def raise_error(self) -> None:
        """Raise what ended the camera or the preparation, if it was an error."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Take no more frames."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_JOIN_S)

    def _work(self) -> None:
        try:
            while not self._closed:
                ended = self._camera.ended
                frame = self._camera.read(POLL_S)
                if frame is None:
                    if ended:
                        break
                    continue
                self._offer(frame)
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _offer(self, frame: "Frame") -> None:
        taken_at, start = self._camera.now(), time.perf_counter()
        image = self._network.frames.prepare(frame.image, self._camera.color)
        prepared = _Prepared(frame, taken_at, image, (time.perf_counter() - start) * 1e3)
        with self._changed:
            self._ready = prepared
            self._changed.notify_all()
            # Until it is taken: a frame that came later is then the newest.
            self._changed.wait_for(lambda: self._ready is None or self._closed)
