"""The segmenter: a frame in, a class for each pixel out."""
from typing import List, NamedTuple, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import BadInputError, VerificationError
from edgenext_deploy.networks.base import Network, shown_outputs

_MOST_CLASSES = 256


class ClassShare(NamedTuple):
    """How much of a frame is of one class.

    Attributes:
        index: index of the class.
        label: its name.
        share: of the pixels, from 0 to 1.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    label: str
    share: float


class Segmentation(NamedTuple):
    """The class of each pixel.

    Attributes:
        classes: uint8 `[h, w]`, the whole frame at the size that it has in the network's input, without any border.
        labels: the name of each class.
        width: of the frame, in pixels.
        height: of the frame, in pixels.
    """

    classes: np.ndarray
    labels: Tuple[str, ...]
    width: int
    height: int

    def resized(self) -> np.ndarray:
        """Return the classes at the frame's own size, uint8 `[height, width]`: each pixel's nearest."""
        rows, columns = (
            (np.arange(wanted) * 2 + 1) * present // (2 * wanted)
            for wanted, present in zip((self.height, self.width), self.classes.shape))
        return np.asarray(self.classes[rows[:, np.newaxis], columns])

    def shares(self) -> List[ClassShare]:
        """Return the classes that occur, the largest first."""
        counts = np.bincount(self.classes.ravel(), minlength=len(self.labels))
        order = sorted(np.flatnonzero(counts).tolist(), key=lambda index: (-counts[index], index))
        return [ClassShare(index, self.labels[index], float(counts[index]) / self.classes.size) for index in order]


class Segmenter(Network[Segmentation]):
    """An exported segmentation network, ready for photos and camera frames.

    ::

        with Segmenter("s_deeplabv3.onnx") as segment:
            person = segment(frame).resized() == segment.labels.index("person")

    A call returns a `Segmentation`. Arguments: see `Network`, also for what they raise.
    """

    task = "segmentation"

    def _classes(self, path: str, outputs: Tuple[TensorSpec, ...]) -> int:
        if self.manifest.preprocessing.fit == "crop":
            raise BadInputError("{}: its manifest crops frames, and what is cut off would have no class".format(path),
                                "export again with --fit stretch or --fit letterbox")
        size = self.manifest.preprocessing.height, self.manifest.preprocessing.width
        if len(outputs) != 1 or outputs[0].shape[1:] != size or not outputs[0].dtype.startswith("int"):
            raise BadInputError("{} is not a segmenter: one output classes int32 [1, {}, {}] expected, found {}".format(
                path, size[0], size[1], shown_outputs(outputs)), "export again with edgenext-export")
        # The graph has taken the argmax, so its shapes no longer tell how many classes there are.
        classes = len(self.manifest.labels) or _MOST_CLASSES
        if classes > _MOST_CLASSES:
            raise BadInputError("{}: {} labels found, at most {} expected".format(path, classes, _MOST_CLASSES),
                                "export again with edgenext-export")
        return classes

    def _answer(self, outputs: Tuple[np.ndarray, ...], size: Tuple[int, int]) -> Segmentation:
        classes = outputs[0][0]
        lowest, highest = int(classes.min()), int(classes.max())
        if lowest < 0 or highest >= len(self.labels):
            raise VerificationError("the network returned classes from {} to {}, 0 to {} expected".format(
                lowest, highest, len(self.labels) - 1), "export it again")
        placed = self._placed(size)
        return Segmentation(classes[placed.rows, placed.columns].astype(np.uint8), self.labels, size[0], size[1])
