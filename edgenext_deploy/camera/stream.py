"""Classification of a camera's frames, one after the other, always the newest."""
from typing import TYPE_CHECKING, Callable, Iterator, List, NamedTuple, Optional

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera, Frame
    from edgenext_deploy.classifier import Classifier, Prediction

# How long a stop may go unnoticed while no frame comes.
_POLL_S = 0.1


class StreamTimings(NamedTuple):
    """Milliseconds of one frame.

    Attributes:
        queue_ms: the finished frame waited for the classifier.
        preprocess_ms: resizing, cropping, normalising.
        inference_ms: the session, transfers included.
        latency_ms: from `Frame.captured_at` to the predictions, which is all of the above and what lies between.
            Exposure, transfer from the sensor and decoding happened before `captured_at` and are not in it.
    """

    queue_ms: float
    preprocess_ms: float
    inference_ms: float
    latency_ms: float


class StreamResult(NamedTuple):
    """A frame and what is in it, the most probable category first."""

    frame: "Frame"
    predictions: "List[Prediction]"
    timings: StreamTimings


def stream(classify: "Classifier", camera: "Camera", stop: Optional[Callable[[], bool]] = None
           ) -> Iterator[StreamResult]:
    """Yield a result for the newest frame each time, until the source ends or `stop` says so.

    Args:
        classify: takes frames of any color.
        camera: stays open afterwards.
        stop: asked before each frame, and ten times a second while none comes.
    """
    while not (stop is not None and stop()):
        # Looked at first: the end may come during `read`, and a last frame or an error just before it.
        ended = camera.ended
        frame = camera.read(_POLL_S)
        if frame is None:
            if ended:
                return
            continue
        taken_at = camera.now()
        predictions = classify(frame.image, camera.color)
        latency_ms = (camera.now() - frame.captured_at) * 1e3
        timings = classify.timings
        assert timings is not None
        yield StreamResult(frame, predictions, StreamTimings(
            (taken_at - frame.captured_at) * 1e3, timings.preprocess_ms, timings.inference_ms, latency_ms))
