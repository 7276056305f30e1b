"""How edgenext-run shows an answer, for each task: as JSON, as a table, in a line, in a picture."""
import abc
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from edgenext_deploy.artifacts.engine_file import EngineFile
from edgenext_deploy.errors import UsageError
from edgenext_deploy.networks.open import open_network
from edgenext_deploy.run import drawing
from edgenext_deploy.run.lettering import OWN
from edgenext_deploy.run.tally import LabelShare, Seen
from edgenext_deploy.runtime.open import read_engine
from edgenext_deploy.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from PIL import Image

    from edgenext_deploy.networks.base import Network
    from edgenext_deploy.networks.classifier import Prediction
    from edgenext_deploy.networks.detector import DetectedObject
    from edgenext_deploy.networks.segmenter import Segmentation

RANDOM = "random weights: the network is untrained, its answers mean nothing"
# The manifest's threshold is for evaluations; at 0.01 a picture would be full of boxes.
DEFAULT_THRESHOLD = 0.3
DEFAULT_TOP_K = 5
_NAMED = 3
_SUMMED = 5
# All of them: which ones are present is seen only then.
_MOST_CLASSES = 1 << 20

Row = Tuple[str, ...]


class View(abc.ABC):
    """An open network, and how its answers are shown.

    Attributes:
        network: the network.
        columns: headings of the table; those of numbers begin with a space, which is not shown.
        drawable: whether an answer can be drawn into a picture.
        lettering: the letters that names are drawn with.
        score_name: what the numbers of `seen` are.
    """

    columns: Row
    drawable = True
    score_name = "score"

    def __init__(self, network: "Network[Any]") -> None:
        self.network = network
        self.lettering = OWN

    @property
    def mark(self) -> str:
        """What is put behind the answers of an untrained network; empty for a trained one."""
        return " (random weights)" if self.network.random_weights else ""

    @abc.abstractmethod
    def document(self, answer: Any) -> Dict[str, Any]:
        """Return the answer as fields of a JSON object."""

    @abc.abstractmethod
    def rows(self, answer: Any) -> List[Row]:
        """Return the rows of the table."""

    @abc.abstractmethod
    def headline(self, answer: Any) -> str:
        """Return the answer in a few words."""

    @abc.abstractmethod
    def draw(self, image: "Image.Image", answer: Any) -> "Image.Image":
        """Return a copy of the RGB picture with the answer drawn into it."""

    def seen(self, answer: Any) -> List[Seen]:
        """Return the labels that an answer gives to a frame, for the end of a stream."""
        return []

    def ranked(self, answer: Any) -> List[Seen]:
        """Return the labels of an answer with their values, as a live page shows them, the largest first."""
        return self.seen(answer)

    def summary(self, shares: List[LabelShare]) -> List[str]:
        """Return what a stream showed, in lines."""
        lines = ["{} in {:.1%} of the frames, mean {} there {:.1%}{}".format(
            item.label, item.share, self.score_name, item.mean, self.mark) for item in shares[:_SUMMED]]
        if len(shares) > _SUMMED:
            lines.append("{} other classes; --json has them all".format(len(shares) - _SUMMED))
        return lines or ["nothing found in any frame"]

    def picture(self, image: "Image.Image", answer: Any) -> "Image.Image":
        """Return what `draw` returns, marked if the network is untrained."""
        drawn = self.draw(image, answer)
        return drawing.draw_note(drawn, "random weights") if self.network.random_weights else drawn

    def live_picture(self, image: "Image.Image", answer: Any) -> "Image.Image":
        """Return what a live page shows next to `ranked`."""
        return self.picture(image, answer)

    def draw_frame(self, frame: np.ndarray, answer: Any) -> None:
        """Draw into a camera's frame, uint8 BGR `[H, W, 3]`, in place."""
        from edgenext_deploy.preprocess.photo import to_image

        drawing.draw_into(frame, self.picture(to_image(frame), answer))


class ClassificationView(View):
    """The most probable categories."""

    columns: Row = (" rank", "label", " probability")
    score_name = "probability"

    def document(self, answer: "List[Prediction]") -> Dict[str, Any]:
        """Return `predictions`."""
        return {"predictions": [prediction._asdict() for prediction in answer]}

    def rows(self, answer: "List[Prediction]") -> List[Row]:
        """Return rank, label and probability."""
        return [(str(rank), prediction.label, "{:.2%}".format(prediction.probability))
                for rank, prediction in enumerate(answer, 1)]

    def headline(self, answer: "List[Prediction]") -> str:
        """Return the best one."""
        return _line(answer[0])

    def seen(self, answer: "List[Prediction]") -> List[Seen]:
        """Return the best one."""
        return [Seen(*answer[0])]

    def ranked(self, answer: "List[Prediction]") -> List[Seen]:
        """Return all that the classifier names."""
        return [Seen(*prediction) for prediction in answer]

    def draw(self, image: "Image.Image", answer: "List[Prediction]") -> "Image.Image":
        """Write the categories at the top left."""
        return drawing.draw_lines(image, [((0, 0, 0), _line(prediction)) for prediction in answer], self.lettering)

    def live_picture(self, image: "Image.Image", answer: "List[Prediction]") -> "Image.Image":
        """Write the best one at the top left: the page has the others in a list."""
        return self.picture(image, answer[:1])

    def draw_frame(self, frame: np.ndarray, answer: "List[Prediction]") -> None:
        """Write the best one at the bottom left: a line costs less than a picture."""
        drawing.draw_label(frame, self.headline(answer) + self.mark, self.lettering)


class PresenceView(ClassificationView):
    """Classes that do not exclude each other, or one class: which of them are there.

    Args:
        network: a classifier whose activation is the sigmoid.
        shown: number of classes to show at least; more where more are present.
    """

    columns = (" rank", "label", " probability", "present")

    def __init__(self, network: "Network[Any]", shown: int) -> None:
        super().__init__(network)
        self._shown = shown
        self._threshold: float = network.threshold  # type: ignore[attr-defined]

    def document(self, answer: "List[Prediction]") -> Dict[str, Any]:
        """Return `predictions`, each with whether the class is `present`, and the `threshold` that it has to reach."""
        return {"threshold": self._threshold, "predictions": [
            dict(prediction._asdict(), present=self._present(prediction)) for prediction in self._trimmed(answer)]}

    def rows(self, answer: "List[Prediction]") -> List[Row]:
        """Return rank, label, probability and whether the class is present."""
        trimmed = self._trimmed(answer)
        return [(*row, "yes" if self._present(prediction) else "")
                for row, prediction in zip(super().rows(trimmed), trimmed)]

    def headline(self, answer: "List[Prediction]") -> str:
        """Return the classes that are present, or that none is."""
        present = [prediction for prediction in answer if self._present(prediction)]
        if not present:
            return "nothing from {:.0%} (best: {})".format(self._threshold, _line(answer[0]))
        named = ", ".join(map(_line, present[:_NAMED]))
        return named if len(present) <= _NAMED else "{}, {} classes".format(named, len(present))

    def draw(self, image: "Image.Image", answer: "List[Prediction]") -> "Image.Image":
        """Write the classes that are present at the top left, or that none is."""
        present = [prediction for prediction in answer if self._present(prediction)]
        return super().draw(image, present) if present else drawing.draw_lines(
            image, [((0, 0, 0), self.headline(answer))], self.lettering)

    def seen(self, answer: "List[Prediction]") -> List[Seen]:
        """Return the classes that are present."""
        return [Seen(*prediction) for prediction in answer if self._present(prediction)]

    def live_picture(self, image: "Image.Image", answer: "List[Prediction]") -> "Image.Image":
        """Write the classes that are present."""
        return self.picture(image, answer)

    def ranked(self, answer: "List[Prediction]") -> List[Seen]:
        """Return those that the table has."""
        return super().ranked(self._trimmed(answer))

    def _present(self, prediction: "Prediction") -> bool:
        return prediction.probability >= self._threshold

    def _trimmed(self, answer: "List[Prediction]") -> "List[Prediction]":
        return [prediction for rank, prediction in enumerate(answer)
                if rank < self._shown or self._present(prediction)]


def _line(prediction: "Prediction") -> str:
    return "{} {:.1%}".format(prediction.label, prediction.probability)


class DetectionView(View):
    """Objects and their boxes."""

    columns = (" score", "label", " left", " top", " right", " bottom")

    def document(self, answer: "List[DetectedObject]") -> Dict[str, Any]:
        """Return `objects`, with boxes in pixels."""
        return {"objects": [found._asdict() for found in answer]}

    def rows(self, answer: "List[DetectedObject]") -> List[Row]:
        """Return score, label and box."""
        return [("{:.1%}".format(found.score), found.label, *("{:.0f}".format(edge) for edge in found[3:]))
                for found in answer]

    def headline(self, answer: "List[DetectedObject]") -> str:
        """Return the best ones, and how many there are in all."""
        if not answer:
            return "nothing found"
        named = ", ".join("{} {:.0%}".format(found.label, found.score) for found in answer[:_NAMED])
        return named if len(answer) <= _NAMED else "{}, {} objects".format(named, len(answer))

    def seen(self, answer: "List[DetectedObject]") -> List[Seen]:
        """Return the classes of the objects."""
        return [Seen(*found[:3]) for found in answer]

    def draw(self, image: "Image.Image", answer: "List[DetectedObject]") -> "Image.Image":
        """Draw the boxes."""
        return drawing.draw_objects(image, answer, self.lettering)


class SegmentationView(View):
    """Classes and their shares of the picture.

    Args:
        network: a segmenter.
        top: number of classes to name; None for all that occur.
    """

    columns = ("label", " share")
    score_name = "share of the pixels"

    def __init__(self, network: "Network[Any]", top: Optional[int] = None) -> None:
        super().__init__(network)
        self._top = top

    def document(self, answer: "Segmentation") -> Dict[str, Any]:
        """Return `classes`, the largest first, with their shares of the pixels."""
        return {"classes": [share._asdict() for share in answer.shares()[:self._top]]}

    def rows(self, answer: "Segmentation") -> List[Row]:
        """Return label and share."""
        return [(share.label, "{:.2%}".format(share.share)) for share in answer.shares()[:self._top]]

    def headline(self, answer: "Segmentation") -> str:
        """Return the largest classes."""
        return ", ".join("{} {:.0%}".format(share.label, share.share) for share in answer.shares()[:_NAMED])

    def draw(self, image: "Image.Image", answer: "Segmentation") -> "Image.Image":
        """Lay the colours of the classes over the picture."""
        return drawing.draw_classes(image, answer, self.lettering, self._top)

    def seen(self, answer: "Segmentation") -> List[Seen]:
        """Return the classes with their shares of the frame."""
        return [Seen(*share) for share in answer.shares()]


class FeaturesView(View):
    """An embedding: what it measures, and in JSON all of it."""

    drawable = False
    columns = ("dtype", " features", " norm", " smallest", " largest")

    def document(self, answer: np.ndarray) -> Dict[str, Any]:
        """Return `features`, with their type and Euclidean norm."""
        return {"features": [float(value) for value in answer], "dtype": answer.dtype.name, "norm": _norm(answer)}

    def rows(self, answer: np.ndarray) -> List[Row]:
        """Return type, number, norm and range."""
        return [(answer.dtype.name, str(len(answer)), *("{:.4g}".format(value) for value in (
            _norm(answer), float(answer.min()), float(answer.max()))))]

    def headline(self, answer: np.ndarray) -> str:
        """Return number and norm."""
        return "{} features, norm {:.4g}".format(len(answer), _norm(answer))

    def summary(self, shares: List[LabelShare]) -> List[str]:
        """Return none: an embedding names nothing."""
        return []

    def draw(self, image: "Image.Image", answer: np.ndarray) -> "Image.Image":
        """Return a copy."""
        return image.copy()


def _norm(features: np.ndarray) -> float:
    return float(np.linalg.norm(features.astype(np.float64)))


class UntrainedView(View):
    """A network with random weights: JSON holds its answers, people see none, as they mean nothing."""

    columns = ()

    def __init__(self, view: View) -> None:
        super().__init__(view.network)
        self._view, self.drawable = view, view.drawable

    def document(self, answer: Any) -> Dict[str, Any]:
        """Return the answer as the network's own view does."""
        return self._view.document(answer)

    def rows(self, answer: Any) -> List[Row]:
        """Return none."""
        return []

    def headline(self, answer: Any) -> str:
        """Say why nothing is shown."""
        return "answered; not shown, as the network is untrained (--anyway shows it)"

    def seen(self, answer: Any) -> List[Seen]:
        """Return what the network's own view does, for JSON."""
        return self._view.seen(answer)

    def ranked(self, answer: Any) -> List[Seen]:
        """Return none."""
        return []

    def summary(self, shares: List[LabelShare]) -> List[str]:
        """Say why nothing is shown."""
        return [self.headline(None)]

    def draw(self, image: "Image.Image", answer: Any) -> "Image.Image":
        """Return a copy."""
        return image.copy()


_VIEWS: Dict[str, Callable[["Network[Any]"], View]] = {
    "classification": ClassificationView, "detection": DetectionView, "features": FeaturesView}


def open_view(engine: str, *, labels: Optional[str] = None, top: Optional[int] = None,
              threshold: Optional[float] = None, anyway: bool = False,
              runtime: RuntimeOptions = RuntimeOptions()) -> View:  # noqa: B008 - immutable
    """Open an engine of any task.

    Args:
        engine: see `open_network`, also for what is raised.
        labels: see `open_network`.
        top: number of a classifier's predictions, None for 5; of a detector's objects, None for the manifest's limit;
            or of a segmenter's classes, None for all.
        threshold: score that an object has to exceed, None for 0.3; or the probability from which a class of a sigmoid
            is present, None for the manifest's.
        anyway: show the answers of random weights too.
        runtime: how the engine is run.

    Raises:
        UsageError: an option of another task.
    """
    from edgenext_deploy.networks.base import TASKS
    from edgenext_deploy.networks.open import task_of

    file = read_engine(engine, runtime)
    task = task_of(file)
    if task == "features" and labels is not None:
        raise UsageError("--labels names classes; {} gives features, which have none".format(engine),
                         "leave --labels out")
    options: Dict[str, Any] = {}
    presence = task == "classification" and _has_threshold(file)
    for value, mine, key, default in (
            (top, task == "classification", "top_k", DEFAULT_TOP_K),
            (threshold, task == "detection", "score_threshold", DEFAULT_THRESHOLD),
            (threshold, presence, "threshold", None)):
        if mine:
            options[key] = default if value is None else value
    for name, value, known, owners in (
            ("--top", top, task != "features", "classifiers, detectors and segmenters"),
            ("--threshold", threshold, {"threshold", "score_threshold"} & set(options),
             "detectors, and for classes that do not exclude each other")):
        if value is not None and not known:
            raise UsageError("{} is for {}; {} is {}".format(name, owners, engine, TASKS[task]),
                             "leave {} out".format(name))
    if task == "detection" and top is not None:
        options["keep"] = top
    shown = options.get("top_k", 0)
    if presence:
        options["top_k"] = max(shown, _MOST_CLASSES)
    network = open_network(file, labels=labels, runtime=runtime, **options)
    return view_of(network, shown=shown, top=top, anyway=anyway)


def view_of(network: "Network[Any]", *, shown: int = DEFAULT_TOP_K, top: Optional[int] = None,
            anyway: bool = False) -> View:
    """Return how the answers of an open network are shown.

    Args:
        network: of any task.
        shown: number of classes to show at least, where they do not exclude each other.
        top: number of a segmenter's classes to name, None for all.
        anyway: show the answers of random weights too.
    """
    if network.task == "classification" and network.threshold is not None:  # type: ignore[attr-defined]
        view: View = PresenceView(network, shown)
    elif network.task == "segmentation":
        view = SegmentationView(network, top)
    else:
        view = _VIEWS[network.task](network)
    return UntrainedView(view) if network.random_weights and not anyway else view


def _has_threshold(file: EngineFile) -> bool:
    from edgenext_deploy.networks.classifier import threshold_of

    shapes = [spec.shape for spec in file.manifest().outputs]
    return len(shapes) == 1 and len(shapes[0]) == 2 and threshold_of(file.manifest(), shapes[0][1]) is not None
