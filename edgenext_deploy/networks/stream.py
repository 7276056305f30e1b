"""A network's answers to a camera's frames, one after the other, always the newest."""
from typing import TYPE_CHECKING, Any, Callable, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from edgenext_deploy.deprecated import warn_old_call

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera, Frame

# How long a stop may go unnoticed while no frame comes.
POLL_S = 0.1


class CallTimings(NamedTuple):
    """Milliseconds of one call of a network.

    Attributes:
        preprocess_ms: resizing, cropping, normalising; see `prepare.FrameTimings`.
        inference_ms: the session, transfers included.
        postprocess_ms: from the session's outputs to the answer: softmax, or the suppression of boxes.
    """

    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float


class StreamTimings(NamedTuple):
    """Milliseconds of one frame.

    Attributes:
        queue_ms: the finished frame waited for the network.
        preprocess_ms: resizing, cropping, normalising.
        inference_ms: the session, transfers included.
        postprocess_ms: from the session's outputs to the answer: softmax, or the suppression of boxes.
        latency_ms: from `Frame.captured_at` to the answer, which is all of the above and what lies between.
            Exposure, transfer from the sensor and decoding happened before `captured_at` and are not in it.
    """

    queue_ms: float
    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float
    latency_ms: float


class StreamResult(NamedTuple):
    """A frame and what the network's call returned for it.

    Attributes:
        frame: the frame.
        answer: a Classifier's list of `Prediction`, a Detector's list of `DetectedObject`, or a `Segmentation`.
        timings: milliseconds of this frame.
    """

    frame: "Frame"
    answer: Any
    timings: StreamTimings

    @property
    def predictions(self) -> Any:
        """The `answer` under its old name, which is deprecated."""
        warn_old_call("result.answer")
        return self.answer


# From an image and its color to the answer.
Answering = Callable[[np.ndarray, str], Tuple[Any, CallTimings]]


def stream(answer: Answering, camera: "Camera", stop: Optional[Callable[[], bool]] = None) -> Iterator[StreamResult]:
    """Yield a result for the newest frame each time, until the source ends or `stop` says so.

    Args:
        answer: a network's call.
        camera: stays open afterwards.
        stop: asked before each frame, and ten times a second while none comes.
    """
    while not (stop is not None and stop()):
        # Looked at first: the end may come during `read`, and a last frame or an error just before it.
        ended = camera.ended
        frame = camera.read(POLL_S)
        if frame is None:
            if ended:
                return
            continue
        taken_at = camera.now()
        found, timings = answer(frame.image, camera.color)
        yield result_of(camera, frame, taken_at, found, timings)


def result_of(camera: "Camera", frame: "Frame", taken_at: float, answer: Any, timings: CallTimings) -> StreamResult:
    """Return the result of a frame whose answer is there now.

    Args:
        camera: that gave the frame.
        frame: the frame.
        taken_at: when the network took it, on the camera's clock.
        answer: the network's.
        timings: of its call.
    """
    return StreamResult(frame, answer, StreamTimings(
        (taken_at - frame.captured_at) * 1e3, *timings, (camera.now() - frame.captured_at) * 1e3))
