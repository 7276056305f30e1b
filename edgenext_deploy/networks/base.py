"""What Classifier, Detector and the other networks share: an open engine, its manifest, labels, prepared frames."""
import abc
import contextlib
import os
import time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Generic,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
    overload,
)

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import BadInputError, EdgeNextError, UsageError, VerificationError
from edgenext_deploy.networks.labels import load_labels, require_count
from edgenext_deploy.networks.stream import CallTimings, StreamResult, stream
from edgenext_deploy.preprocess.input_form import image_shape, is_channels_last
from edgenext_deploy.preprocess.photo import to_image
from edgenext_deploy.preprocess.pixel_formats import check_color, frame_layout
from edgenext_deploy.preprocess.placement import Placement, place
from edgenext_deploy.preprocess.prepare import FramePreparer
from edgenext_deploy.runtime.open import EngineSource, open_session, read_engine
from edgenext_deploy.runtime.options import RuntimeOptions, runtime_from_keywords

if TYPE_CHECKING:
    from PIL import Image

    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.preprocess.photo import Source

Labels = Union[str, "os.PathLike[str]", Sequence[str], None]
Answer = TypeVar("Answer")

# The arguments after `engine`, in the order in which they were positional.
OLD_ORDER = ("labels", "threads", "color", "trust", "preprocess_on", "zero_copy", "cuda_graph")
# The kind of network for each task, in words.
TASKS = {"classification": "a classifier", "detection": "a detector", "segmentation": "a segmenter",
         "features": "a feature extractor"}


class Network(abc.ABC, Generic[Answer]):
    """An engine of one task, open and ready for frames; use it as a context manager, or call `close`.

    Attributes:
        task: the manifest's task that the class is for.
        file: the engine file, with its digest.
        manifest: of the engine.
        session: the open session.
        frames: what prepares frames for the session.
        labels: one name for each class.
        timings: of the last call, None before the first.

    Args:
        engine: path of an ONNX file or plan with its ``.json`` manifest next to it; or what `open_engine_file` made
            of it.
        labels: the names themselves, the name of a shipped list, or the path of a file, see
            `load_labels`; by default those in the manifest, and "class N" where it has none.
        runtime: how the engine is run.
        color: of camera frames: ``bgr`` (OpenCV's), ``rgb`` or ``nv12``; see `pixel_formats.frame_layout`.

    Raises:
        BadInputError: engine, manifest or labels are missing, broken, or do not fit together.
        IncompatibleError: the installed runtime cannot run the engine, or the plan is for another machine.
        MissingRuntimeError: the runtime is not installed.
        UsageError: a bad argument, or an engine of another task.
    """

    task = ""

    @old_call(*OLD_ORDER, adapt=runtime_from_keywords("runtime"))
    def __init__(self, engine: EngineSource, *, labels: Labels = None,
                 runtime: RuntimeOptions = RuntimeOptions(), color: str = "bgr") -> None:  # noqa: B008 - immutable
        check_color(color)
        labels_from = "the manifest" if labels is None else "the list passed"
        if isinstance(labels, (str, os.PathLike)):
            labels_from = "labels file " + os.fspath(labels)
            names: Optional[Sequence[str]] = load_labels(os.fspath(labels))
        else:
            names = labels
        self.file = read_engine(engine, runtime)
        self.manifest = self.file.manifest()
        path = self.file.path
        self._check_task(path)
        if names is not None:  # before seconds go into opening the engine
            require_count(names, self._classes(path, self.manifest.outputs), labels_from)
        self.session = open_session(self.file, options=runtime)
        self.timings: Optional[CallTimings] = None
        self._color = color
        try:
            self._check_input(path)
            self.labels = self._choose_labels(
                names, labels_from, self._classes(path, self.session.outputs))
            self.frames = FramePreparer(self.manifest.preprocessing, self.session, color, runtime.preprocess_on)
        except Exception:
            self.session.close()
            raise

    @property
    def random_weights(self) -> bool:
        """True when the network was never trained, so that its answers mean nothing."""
        return self.manifest.weights.random

    @property
    def batch(self) -> int:
        """Number of images of one inference, as exported."""
        return self.session.inputs[0].shape[0]

    @overload
    def __call__(self, frame: "Source", color: Optional[str] = None) -> Answer: ...

    @overload
    def __call__(self, frame: "Union[List[Any], Tuple[Any, ...]]", color: Optional[str] = None) -> List[Answer]: ...

    def __call__(self, frame: Any, color: Optional[str] = None) -> Any:
        """Answer for a path, a PIL image or a camera frame, or for a list of them; see `frames.FramePreparer`.

        A list takes one inference for each `batch` images, of which the last may be filled up. What is too few for the
        batch, such as one image, takes as long as a whole one.

        Args:
            frame: see `preprocess.preprocess`; or a list or tuple of such.
            color: of the frames; by default what the network was opened with.

        Returns:
            The answer; for a list, the list of its images' answers.

        Raises:
            BadInputError: the photo cannot be read.
            UsageError: a frame of another shape or dtype, or a closed network.
            VerificationError: the network returned what no network of this task can.
        """
        several = isinstance(frame, (list, tuple))
        frames: Sequence[Source] = frame if several else [frame]
        answers: List[Answer] = []
        spent = [0.0, 0.0, 0.0]
        for first in range(0, len(frames), self.batch):
            found, timings = self._answers(frames[first:first + self.batch], color)
            answers += found
            spent = [sum(pair) for pair in zip(spent, timings)]
        self.timings = CallTimings(*spent)
        return answers if several else answers[0]

    def require_single(self) -> None:
        """Raise UsageError for an engine that takes several images at a time, where images come one by one."""
        if self.batch > 1:
            raise UsageError(
                "{} takes {} images at a time, and a camera's frames come one by one: each would wait for an inference "
                "of {}".format(self.file.path, self.batch, self.batch), "export with --batch 1 for a stream")

    def _answers(self, frames: "Sequence[Source]", color: Optional[str]) -> Tuple[List[Answer], CallTimings]:
        """Answer for the images of one inference."""
        start = time.perf_counter()
        sources = [frame if isinstance(frame, np.ndarray) else to_image(frame) for frame in frames]
        decoded_ms = (time.perf_counter() - start) * 1e3
        outputs = self.frames.infer(sources, color)
        taken = self.frames.timings
        assert taken is not None
        answers, postprocess_ms = self._answers_of(
            outputs, [size_of(source, color or self._color) for source in sources])
        return answers, CallTimings(decoded_ms + taken.preprocess_ms, taken.inference_ms, postprocess_ms)

    def start(self, images: Sequence[np.ndarray]) -> None:
        """Start the inference of prepared images; see `Session.submit`. `finish` gives the answers, in this order.

        Args:
            images: one to as many as the batch, each as `frames.prepare` makes it: `[1, 3, H, W]` of the session's
                dtype, such as float32.

        Raises:
            UsageError: more inferences are under way than the session takes, or a closed session.
        """
        self.session.submit(self.frames.filled(images))

    def finish(self, sizes: Sequence[Tuple[int, int]]) -> Tuple[List[Answer], CallTimings]:
        """Wait for the oldest inference that was started, and return its answers.

        Args:
            sizes: (width, height) of the photo or frame of each image.

        Returns:
            The answers, and milliseconds; the preparation, which was the caller's, has none. Inference is as long as
            the session says that it took.

        Raises:
            UsageError: nothing was started, or a closed session.
            VerificationError: the network returned what no network of this task can.
        """
        outputs = self.session.collect()
        answers, postprocess_ms = self._answers_of(outputs, sizes)
        taken = self.session.timings
        return answers, CallTimings(0.0, 0.0 if taken is None else taken.spent_ms(), postprocess_ms)

    def abandon(self, count: int) -> None:
        """Wait for inferences that were started, and drop what they answer; the session keeps it otherwise.

        Args:
            count: number of these inferences.
        """
        with contextlib.suppress(EdgeNextError):
            for _ in range(count):
                self.session.collect()

    def _answers_of(self, outputs: Tuple[np.ndarray, ...], sizes: Sequence[Tuple[int, int]]
                    ) -> Tuple[List[Answer], float]:
        """Return the answers, and the milliseconds that making them took."""
        start = time.perf_counter()
        answers = [self._answer(tuple(output[index:index + 1] for output in outputs), size)
                   for index, size in enumerate(sizes)]
        return answers, (time.perf_counter() - start) * 1e3

    def stream(self, camera: "Camera", stop: Optional[Callable[[], bool]] = None, *,
               pipeline: int = 0) -> "Iterator[StreamResult]":
        """Answer for a camera's newest frame, again and again, until the source ends; see `stream.stream`.

        Args:
            camera: stays open afterwards. It says what its frames are, whatever `color` this network has.
            stop: ends the stream when it returns True; asked at least ten times a second.
            pipeline: 1 prepares the next frame while the network is busy with the last one. There are more answers
                a second, and an answer is older by up to the time of one inference; see `pipelined_stream`. It changes
                nothing where frames are prepared on the GPU.

        Raises:
            UsageError: the engine takes several images at a time, or another `pipeline` than 0 and 1.
        """
        self.require_single()
        if pipeline not in (0, 1):
            raise UsageError("pipeline must be 0 or 1, found {!r}".format(pipeline))
        if not hasattr(camera, "ended"):
            raise UsageError("a stream is of a Camera, found {}".format(type(camera).__name__),
                             "pass Camera(ADDRESS), such as Camera('/dev/video0'); one frame goes to the call itself")
        if pipeline and not self.frames.on_gpu():
            from edgenext_deploy.networks.pipelined_stream import pipelined_stream

            return pipelined_stream(self, camera, stop)

        def answer(image: np.ndarray, color: str) -> Tuple[Answer, CallTimings]:
            result = self(image, color)
            assert self.timings is not None
            return result, self.timings

        return stream(answer, camera, stop)

    def close(self) -> None:
        """Release the engine; closing twice does no harm."""
        self.frames.close()
        self.session.close()

    def __enter__(self: "Self") -> "Self":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    @abc.abstractmethod
    def _classes(self, path: str, outputs: Tuple[TensorSpec, ...]) -> int:
        """Return the number of classes, once the engine's outputs are known to be those of the task."""

    @abc.abstractmethod
    def _answer(self, outputs: Tuple[np.ndarray, ...], size: Tuple[int, int]) -> Answer:
        """Turn the outputs of one frame of `size` (width, height) pixels, `[1, …]` each, into the answer."""

    def _placed(self, size: Tuple[int, int]) -> Placement:
        """Return where a frame of `size` (width, height) pixels lies in the network's input."""
        return place(size[0], size[1], self.manifest.preprocessing)

    def _check_task(self, path: str) -> None:
        found = self.manifest.task
        if found != self.task:
            raise UsageError("{} is not {}: its manifest says {!r}".format(path, TASKS[self.task], found),
                             "open it with edgenext_deploy.open_network, which takes any task")

    def _check_input(self, path: str) -> None:
        taken = self.session.inputs[0]
        size = self.manifest.preprocessing.height, self.manifest.preprocessing.width
        pixels = self.manifest.preprocessing.folded
        possible = pixels if taken.dtype == "uint8" else (
            taken.dtype in ("float32", "float16") and not is_channels_last(taken))
        if not possible or len(taken.shape) != 4 or image_shape(taken)[1:] != (3, *size):
            raise BadInputError(
                "{}: its manifest prepares {} [1, 3, {}, {}], its graph takes {} {}".format(
                    path, "pixels" if pixels else "float32", size[0], size[1], taken.dtype, list(taken.shape)),
                "export again with edgenext-export")
        batches = {spec.shape[:1] for spec in (taken, *self.session.outputs)}
        if len(batches) != 1 or taken.shape[0] < 1:
            raise BadInputError("{} takes {} images at a time, and gives {}".format(
                path, taken.shape[0], shown_outputs(self.session.outputs)), "export again with edgenext-export")

    def _choose_labels(self, labels: Optional[Sequence[str]], labels_from: str, classes: int) -> Tuple[str, ...]:
        if labels is None and not self.manifest.labels:
            return tuple("class {}".format(index) for index in range(classes))
        names = tuple(self.manifest.labels if labels is None else labels)
        require_count(names, classes, labels_from)
        return names


Self = TypeVar("Self", bound=Network[Any])


def shown_outputs(outputs: Sequence[TensorSpec]) -> str:
    """Return names, dtypes and shapes for an error."""
    return ", ".join("{} {} {}".format(spec.name, spec.dtype, list(spec.shape)) for spec in outputs)


def require_finite(values: np.ndarray) -> None:
    """Raise VerificationError if a network returned values that are not finite."""
    if not np.isfinite(values).all():
        raise VerificationError(
            "the network returned {} values that are not finite, out of {}".format(
                int((~np.isfinite(values)).sum()), values.size),
            "check the engine's precision; export it again")


def size_of(source: "Union[Image.Image, np.ndarray]", color: str) -> Tuple[int, int]:
    """Return width and height of what was prepared."""
    if isinstance(source, np.ndarray):
        layout = frame_layout(source, color)
        return layout.width, layout.height
    return source.width, source.height
