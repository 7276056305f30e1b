"""Class-wise non-maximum suppression (NMS) on the host, in numpy.

The same answer as suppressing within each class and then keeping the best of all classes. Here the candidates of
all classes are gone through together, the best first, so that the work ends with the last box that is kept: its cost
does not grow with the number of candidates that would have been suppressed or cut off anyway.
"""
from typing import Dict, NamedTuple, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Detection
from edgenext_deploy.errors import UsageError
from edgenext_deploy.networks.base import require_finite


class Kept(NamedTuple):
    """What the suppression leaves, the highest score first; all of one length.

    Attributes:
        boxes: float32 `[n, 4]` left, top, right, bottom, as they came.
        classes: int64 `[n]`.
        scores: float32 `[n]`.
        anchors: int64 `[n]`, the row that each box came from.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    anchors: np.ndarray


def suppress(boxes: np.ndarray, scores: np.ndarray, settings: Detection) -> Kept:
    """Return the boxes that class-wise NMS keeps.

    For each class: the anchors that score more than ``settings.score_threshold``, of these the
    ``settings.candidates`` best, and of these every box that overlaps no better box kept in its class by more than
    ``settings.iou_threshold`` (intersection over union). Of all classes together the ``settings.keep`` best stay.
    Equal scores go in the order of class and then of anchor. A box without area (right <= left or bottom <= top)
    overlaps nothing.

    Args:
        boxes: float32 `[anchors, 4]` left, top, right, bottom.
        scores: float32 `[anchors, classes]`.
        settings: the manifest's.

    Raises:
        UsageError: shapes that do not fit together.
        VerificationError: a box or score that is not finite.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.ndim != 2 or len(scores) != len(boxes):
        raise UsageError("boxes [anchors, 4] and scores [anchors, classes] expected, found {} and {}".format(
            list(boxes.shape), list(scores.shape)))
    require_finite(boxes)
    require_finite(scores)
    anchors, classes, values = _candidates(np.ascontiguousarray(scores.T), settings)
    kept = _greedy(boxes[anchors], classes, values, settings)
    return Kept(boxes[anchors[kept]], classes[kept], values[kept], anchors[kept])


def kept_by_plugin(outputs: Dict[str, np.ndarray], image: int = 0) -> Kept:
    """Return what TensorRT's NMS plugin has kept of one image, the highest score first.

    Which anchor each came from is not known: `anchors` is -1.

    Args:
        outputs: the plugin's by name, see `nms_plugin.plugin_outputs`.
        image: of the batch.
    """
    keep = outputs["detection_scores"].shape[1]
    count = min(max(int(outputs["num_detections"][image, 0]), 0), keep)
    scores = outputs["detection_scores"][image, :count]
    # Nothing that is written about the plugin promises an order.
    order = np.argsort(-scores, kind="mergesort")
    return Kept(outputs["detection_boxes"][image, :count][order].astype(np.float32),
                outputs["detection_classes"][image, :count][order].astype(np.int64),
                scores[order].astype(np.float32), np.full(count, -1, dtype=np.int64))


def _candidates(scores: np.ndarray, settings: Detection) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return anchor, class and score of every candidate, in the order of class and anchor.

    Args:
        scores: `[classes, anchors]`.
        settings: the threshold, and how many candidates a class may have.
    """
    passed = scores > settings.score_threshold
    full = np.flatnonzero(passed.sum(axis=1) > settings.candidates)
    if full.size:
        place = scores.shape[1] - settings.candidates
        last = np.partition(scores[full], place, axis=1)[:, place]
        passed[full] &= scores[full] >= last[:, np.newaxis]
        for row, score in zip(full, last):
            surplus = int(passed[row].sum()) - settings.candidates
            if surplus:
                passed[row, np.flatnonzero(scores[row] == score)[-surplus:]] = False
    chosen = np.flatnonzero(passed)
    classes, anchors = np.divmod(chosen, scores.shape[1])
    return anchors, classes, scores.ravel()[chosen]


def _greedy(boxes: np.ndarray, classes: np.ndarray, scores: np.ndarray, settings: Detection) -> np.ndarray:
    """Return the rows of the candidates that stay, in the order in which they are reported."""
    order = np.argsort(-scores, kind="mergesort")  # numpy's word for stable
    first, behind = (np.searchsorted(classes, classes, side=side) for side in ("left", "right"))
    near, far = np.ascontiguousarray(boxes[:, :2].T), np.ascontiguousarray(boxes[:, 2:].T)
    threshold = np.float32(settings.iou_threshold)
    share = threshold * np.prod(np.maximum(far - near, 0), axis=0)
    gone = np.zeros(len(boxes), dtype=bool)
    kept = []
    for row in order.tolist():
        if gone[row]:
            continue
        kept.append(row)
        if len(kept) == settings.keep:
            break
        # The better ones of its class are decided already, so it does no harm to mark them too.
        rows = slice(first[row], behind[row])
        sides = np.minimum(far[:, rows], far[:, row:row + 1]) - np.maximum(near[:, rows], near[:, row:row + 1])
        np.maximum(sides, 0, out=sides)
        # common / (area + area - common) > threshold, without a division: what has no area overlaps nothing.
        gone[rows] |= sides[0] * sides[1] * (1 + threshold) > share[rows] + share[row]
    return np.array(kept, dtype=np.int64)
