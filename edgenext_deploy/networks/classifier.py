"""The classifier: a frame in, the most probable categories out."""
from typing import List, NamedTuple, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import UsageError
from edgenext_deploy.networks.base import OLD_ORDER, Labels, Network, require_finite, shown_outputs
from edgenext_deploy.runtime.open import EngineSource
from edgenext_deploy.runtime.options import RuntimeOptions, runtime_from_keywords


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

    A call returns the `top_k` most probable categories, the most probable first.

    Args:
        engine: see `Network`, as for the arguments that are not listed here and for the errors.
        top_k: how many predictions a call returns (all, if there are fewer classes).
    """

    task = "classification"

    @old_call("labels", "top_k", *OLD_ORDER[1:], adapt=runtime_from_keywords("runtime"))
    def __init__(self, engine: EngineSource, *, labels: Labels = None,
                 runtime: RuntimeOptions = RuntimeOptions(), color: str = "bgr",  # noqa: B008 - immutable
                 top_k: int = 5) -> None:
        if top_k < 1:
            raise UsageError("top_k must be at least 1, found {}".format(top_k))
        self._top_k = top_k
        super().__init__(engine, labels=labels, runtime=runtime, color=color)

    def _classes(self, path: str, outputs: Tuple[TensorSpec, ...]) -> int:
        if len(outputs) != 1 or len(outputs[0].shape) != 2:
            raise UsageError(
                "{} is not a classifier: one output [1, classes] expected, found {}".format(
                    path, shown_outputs(outputs)),
                "export with the classification head")
        return outputs[0].shape[1]

    def _answer(self, outputs: Tuple[np.ndarray, ...], size: Tuple[int, int]) -> List[Prediction]:
        logits = outputs[0][0].astype(np.float32)
        require_finite(logits)
        probabilities = softmax(logits)
        count = min(self._top_k, len(probabilities))
        best = np.argpartition(-probabilities, count - 1)[:count]
        ordered = sorted(best.tolist(), key=lambda index: (-probabilities[index], index))
        return [Prediction(index, self.labels[index], float(probabilities[index])) for index in ordered]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return `exp(x) / sum(exp(x))` of a vector `[classes]` as float64, without overflow."""
    exponentials: np.ndarray = np.exp(logits.astype(np.float64) - float(logits.max()))
    exponentials /= exponentials.sum()
    return exponentials
