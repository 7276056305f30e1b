"""The classifier: a frame in, the most probable categories out."""
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Manifest, TensorSpec
from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.networks.base import OLD_ORDER, Labels, Network, require_finite, shown_outputs
from edgenext_deploy.runtime.open import EngineSource
from edgenext_deploy.runtime.options import RuntimeOptions, runtime_from_keywords

# The name of a graph's output that needs no activation any more.
PROBABILITIES = "probabilities"


class Prediction(NamedTuple):
    """One category.

    Attributes:
        index: index of the class.
        label: its name.
        probability: from 0 to 1.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    label: str
    probability: float


class Classifier(Network[List[Prediction]]):
    """An exported classifier, ready for photos and camera frames.

    ::

        with Classifier("xxs.onnx") as classify:
            for prediction in classify(frame):
                print(prediction.label, prediction.probability)

    A call returns the `top_k` most probable categories, the most probable first. The probabilities of all sum to 1;
    where the network was exported with ``activation="sigmoid"``, or has one class, each stands for itself.

    Args:
        engine: see `Network`, as for the arguments that are not listed here and for the errors.
        top_k: how many predictions a call returns (all, if there are fewer classes).
        threshold: the probability from which a class of a sigmoid counts as present; None takes the manifest's.

    Attributes:
        threshold: of a sigmoid; None of a softmax, whose classes exclude each other.
    """

    task = "classification"

    @old_call("labels", "top_k", *OLD_ORDER[1:], adapt=runtime_from_keywords("runtime"))
    def __init__(self, engine: EngineSource, *, labels: Labels = None,
                 runtime: RuntimeOptions = RuntimeOptions(), color: str = "bgr",  # noqa: B008 - immutable
                 top_k: int = 5, threshold: Optional[float] = None) -> None:
        if top_k < 1:
            raise UsageError("top_k must be at least 1, found {}".format(top_k))
        if threshold is not None and not 0.0 <= threshold <= 1.0:
            raise UsageError("threshold must be from 0 to 1, found {}".format(threshold))
        self._top_k = top_k
        super().__init__(engine, labels=labels, runtime=runtime, color=color)
        own = threshold_of(self.manifest, len(self.labels))
        if threshold is not None and own is None:
            self.close()
            raise UsageError("{} has a softmax, of which one class always wins: there is no threshold".format(
                self.file.path), "leave it out, or export with --activation sigmoid")
        self.threshold = own if threshold is None else threshold

    def _classes(self, path: str, outputs: Tuple[TensorSpec, ...]) -> int:
        if len(outputs) != 1 or len(outputs[0].shape) != 2:
            raise UsageError(
                "{} is not a classifier: one output [1, classes] expected, found {}".format(
                    path, shown_outputs(outputs)),
                "export with the classification head")
        activation_of(self.manifest, outputs[0].shape[1])
        return outputs[0].shape[1]

    def _answer(self, outputs: Tuple[np.ndarray, ...], size: Tuple[int, int]) -> List[Prediction]:
        values = outputs[0][0].astype(np.float32)
        require_finite(values)
        scores = self.manifest.scores
        probabilities = (values.astype(np.float64) if scores is not None and scores.in_graph else
                         ACTIVATIONS[activation_of(self.manifest, len(values))](values))
        count = min(self._top_k, len(probabilities))
        best = np.argpartition(-probabilities, count - 1)[:count]
        ordered = sorted(best.tolist(), key=lambda index: (-probabilities[index], index))
        return [Prediction(index, self.labels[index], float(probabilities[index])) for index in ordered]


def activation_of(manifest: Manifest, classes: int) -> str:
    """Return the name in `ACTIVATIONS` of what makes probabilities of the logits.

    The manifest says it, or it is the softmax. Of one class that would be 1 for every photo, so it is the sigmoid.

    Raises:
        BadInputError: the manifest names another, or contradicts the output's name.
    """
    scores = manifest.scores
    if scores is None:
        return "softmax" if classes > 1 else "sigmoid"
    in_graph = [spec.name for spec in manifest.outputs] == [PROBABILITIES]
    if scores.activation not in ACTIVATIONS or scores.in_graph != in_graph or (
            classes == 1 and scores.activation == "softmax"):
        raise BadInputError("its manifest's scores cannot be read: {} of {} classes".format(scores, classes),
                            "use the toolkit version that exported it, or export again")
    return scores.activation


def threshold_of(manifest: Manifest, classes: int) -> Optional[float]:
    """Return the probability from which a class counts as present; None of a softmax. Raises as `activation_of`."""
    if activation_of(manifest, classes) == "softmax":
        return None
    return 0.5 if manifest.scores is None else manifest.scores.threshold


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return `1 / (1 + exp(-x))` of each value as float64, without overflow."""
    small = np.exp(-np.abs(logits.astype(np.float64)))
    return np.where(logits < 0, small, 1.0) / (1.0 + small)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return `exp(x) / sum(exp(x))` of a vector `[classes]` as float64, without overflow."""
    exponentials: np.ndarray = np.exp(logits.astype(np.float64) - float(logits.max()))
    exponentials /= exponentials.sum()
    return exponentials


ACTIVATIONS: Dict[str, Callable[[np.ndarray], np.ndarray]] = {"softmax": softmax, "sigmoid": sigmoid}
