"""The classifier: a frame in, the most probable categories out."""
import os
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from edgenext_deploy import manifest as manifests
from edgenext_deploy.errors import BadInputError, UsageError, VerificationError
from edgenext_deploy.files import require_file
from edgenext_deploy.frames import FramePreparer, FrameTimings
from edgenext_deploy.labels import load_labels
from edgenext_deploy.pixels import check_color
from edgenext_deploy.runtime import load_session

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.camera.stream import StreamResult
    from edgenext_deploy.preprocess import Source

_Path = Union[str, "os.PathLike[str]"]


class Prediction(NamedTuple):
    """One category: class index, its name, and its probability (0..1)."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    label: str
    probability: float


class Classifier:
    """An exported network, ready for photos and camera frames.

    ::

        with Classifier("xxs.onnx") as classify:
            for prediction in classify(frame):
                print(prediction.label, prediction.probability)

    Attributes:
        manifest: the engine's sidecar.
        session: the open session.
        labels: one name for each class.
        frames: what prepares frames for the session.
        timings: of the last call, None before the first.

    Args:
        engine: path of an ONNX file or plan with its ``.json`` manifest beside it, exported with batch 1.
        labels: the names themselves, ``imagenet1k``, or the path of a text file with one name a line; by
            default those in the manifest, and "class N" where it has none.
        top_k: how many predictions a call returns (all, if there are fewer classes).
        threads: CPU threads of one inference; all available ones by default.
        color: of camera frames: ``bgr`` (OpenCV's), ``rgb`` or ``nv12``; see `pixels.frame_layout`.
        trust: accept a plan without a sidecar, which can run code.
        preprocess_on: where camera frames are prepared: ``auto``, ``cpu`` or ``gpu``; see `frames.FramePreparer`.

    Raises:
        BadInputError: engine, manifest or labels are missing, broken, or do not fit together.
        IncompatibleError: the installed runtime cannot run the engine, or the plan is for another machine.
        MissingRuntimeError: the runtime is not installed.
        UsageError: a bad argument, or an engine with another batch than 1.
    """

    def __init__(self, engine: _Path, labels: Union[_Path, Sequence[str], None] = None, top_k: int = 5,
                 threads: Optional[int] = None, color: str = "bgr", trust: bool = False,
                 preprocess_on: str = "auto") -> None:
        if top_k < 1:
            raise UsageError("top_k must be at least 1, found {}".format(top_k))
        check_color(color)
        path = os.fspath(engine)
        require_file(path, "engine", "export one with edgenext-export")
        self.manifest = manifests.read_for(path, trust)
        self.session = load_session(path, threads=threads, trust=trust)
        self.timings: Optional[FrameTimings] = None
        self._top_k = top_k
        try:
            classes = self._check_shapes(path)
            self.labels = self._choose_labels(labels, classes)
            self.frames = FramePreparer(self.manifest.preprocessing, self.session, color, preprocess_on)
        except Exception:
            self.session.close()
            raise

    @property
    def random_weights(self) -> bool:
        """True when the network was never trained, so that its predictions mean nothing."""
        return self.manifest.weights.random

    def __call__(self, frame: "Source", color: Optional[str] = None) -> List[Prediction]:
        """Classify a path, a PIL image or a camera frame; see `frames.FramePreparer`.

        Args:
            frame: see `preprocess.preprocess`.
            color: of this frame; by default what the classifier was made with.

        Returns:
            The `top_k` most probable categories, the most probable first.

        Raises:
            BadInputError: the photo cannot be read.
            UsageError: a frame of another shape or dtype, or a closed classifier.
            VerificationError: the network returned values that are not finite.
        """
        logits = self.frames.infer(frame, color)[0][0].astype(np.float32)
        self.timings = self.frames.timings
        return self._best(logits)

    def stream(self, camera: "Camera", stop: Optional[Callable[[], bool]] = None) -> "Iterator[StreamResult]":
        """Classify a camera's newest frame, again and again, until the source ends; see `camera.stream`.

        Args:
            camera: stays open afterwards. It says what its frames are, whatever `color` this classifier has.
            stop: ends the stream when it returns True; asked at least ten times a second.
        """
        from edgenext_deploy.camera.stream import stream

        return stream(self, camera, stop)

    def close(self) -> None:
        """Release the engine; closing twice does no harm."""
        self.frames.close()
        self.session.close()

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _best(self, logits: np.ndarray) -> List[Prediction]:
        if not np.isfinite(logits).all():
            raise VerificationError(
                "the network returned {} values that are not finite, out of {}".format(
                    int((~np.isfinite(logits)).sum()), logits.size),
                "check the engine's precision; export it again")
        probabilities = softmax(logits)
        count = min(self._top_k, len(probabilities))
        best = np.argpartition(-probabilities, count - 1)[:count]
        ordered = sorted(best.tolist(), key=lambda index: (-probabilities[index], index))
        return [Prediction(index, self.labels[index], float(probabilities[index])) for index in ordered]

    def _check_shapes(self, path: str) -> int:
        """Return the number of classes, once engine and manifest are known to agree."""
        taken, given = self.session.inputs[0], self.session.outputs
        size = self.manifest.preprocessing.height, self.manifest.preprocessing.width
        if taken.dtype not in ("float32", "float16") or len(taken.shape) != 4 or taken.shape[1:] != (3, *size):
            raise BadInputError(
                "{}: its manifest prepares float32 [1, 3, {}, {}], its graph takes {} {}".format(
                    path, size[0], size[1], taken.dtype, list(taken.shape)),
                "export again with edgenext-export")
        if taken.shape[0] != 1:
            raise UsageError(
                "{} takes {} images at a time; a classifier needs 1".format(path, taken.shape[0]),
                "export with --batch 1")
        if len(given) != 1 or len(given[0].shape) != 2:
            raise UsageError(
                "{} is not a classifier: one output [1, classes] expected, found {}".format(
                    path, ", ".join("{} {}".format(spec.name, list(spec.shape)) for spec in given)),
                "export with the classification head")
        return given[0].shape[1]

    def _choose_labels(self, labels: Union[_Path, Sequence[str], None], classes: int) -> Tuple[str, ...]:
        if isinstance(labels, (str, os.PathLike)):
            return load_labels(os.fspath(labels), classes)
        if labels is None and not self.manifest.labels:
            return tuple("class {}".format(index) for index in range(classes))
        names = tuple(self.manifest.labels if labels is None else labels)
        if len(names) != classes:
            raise BadInputError(
                "{} labels found in {}, {} expected, one for each class".format(
                    len(names), "the manifest" if labels is None else "the list passed", classes),
                "pass the labels that the engine was trained with")
        return names


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return `exp(x) / sum(exp(x))` of a vector `[classes]` as float64, without overflow."""
    exponentials: np.ndarray = np.exp(logits.astype(np.float64) - float(logits.max()))
    exponentials /= exponentials.sum()
    return exponentials
