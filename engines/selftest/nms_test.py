"""The self-test of an engine that ends in the NMS plugin.

Which of two equally good boxes is kept depends on the last bits. So the detections are not compared with those of
another suppression, but with the boxes and scores of the reference module, from which they must have been chosen.
"""
from typing import Dict, Optional, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.networks.nms import kept_by_plugin

# For the rounding of the quotient. The plugin compares the boxes that it gives, and suppresses from its threshold on;
# the host suppresses above it.
_IOU_SLACK = 1e-3
_FIX = "build again, or use the engine without the plugin"


def compare_detections(
    manifest: Manifest, found: Dict[str, np.ndarray], boxes: np.ndarray, scores: np.ndarray
) -> Tuple[Optional[float], bool]:
    """Compare the plugin's detections with the reference.

    Args:
        manifest: of the engine.
        found: the plugin's outputs by name.
        boxes: boxes of the reference module, float64 `[B, anchors, 4]`.
        scores: scores of the reference module, float64 `[B, anchors, classes]`.

    Returns:
        Two values. The largest error, relative to the largest box edge or score: of a detection, measured to the
        nearest anchor, and of the best score of an image; None where a value is not finite. Then whether the class
        with the highest score is the same.

    Raises:
        VerificationError: no suppression with these settings gives such an answer: an impossible number of detections
            or class, or two boxes of a class that overlap by more than the threshold.
    """
    settings = manifest.detection
    assert settings is not None  # the manifest is a detector's
    errors, same = [], True
    for image in range(len(boxes)):
        count = int(found["num_detections"][image, 0])
        kept = kept_by_plugin(found, image)
        if count != len(kept.scores):
            raise VerificationError("the NMS plugin of {} gives {} detections, 0 to {} are possible".format(
                manifest.variant, count, settings.keep), _FIX)
        if not (np.isfinite(kept.boxes).all() and np.isfinite(kept.scores).all()):
            return None, False
        if count and not 0 <= kept.classes.min() <= kept.classes.max() < scores.shape[2]:
            raise VerificationError("the NMS plugin of {} gives class {}, 0 to {} are possible".format(
                manifest.variant, int(kept.classes.max()), scores.shape[2] - 1), _FIX)
        _require_suppressed(manifest.variant, kept.boxes.astype(np.float64), kept.classes, settings.iou_threshold)
        largest_edge, largest_score = np.abs(boxes).max(), scores.max()
        for box, index, score in zip(kept.boxes, kept.classes, kept.scores):
            apart = np.maximum(np.abs(boxes[image] - box).max(axis=1) / largest_edge,
                               np.abs(scores[image, :, index] - score) / largest_score)
            errors.append(float(apart.min()))
        # The best of all is kept by every suppression; where nothing is found, nothing may be above the threshold.
        best = max(float(scores[image].max()), settings.score_threshold)
        best_found = float(kept.scores[0]) if count else settings.score_threshold
        errors.append(abs(best - best_found) / float(largest_score))
        if count:
            same = same and int(kept.classes[0]) == int(scores[image].argmax()) % scores.shape[2]
    return max(errors), same


def _require_suppressed(variant: str, boxes: np.ndarray, classes: np.ndarray, threshold: float) -> None:
    sides = np.maximum(np.minimum(boxes[:, np.newaxis, 2:], boxes[:, 2:])
                       - np.maximum(boxes[:, np.newaxis, :2], boxes[:, :2]), 0)
    common = sides.prod(axis=2)
    areas = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    overlap = common / np.maximum(areas[:, np.newaxis] + areas - common, 1e-12)
    pairs = np.triu(classes[:, np.newaxis] == classes, 1)
    worst = float(overlap[pairs].max()) if pairs.any() else 0.0
    if worst > threshold + _IOU_SLACK:
        raise VerificationError("the NMS plugin of {} keeps two boxes of a class that overlap by {:.2f}, {:g} is the "
                                "most".format(variant, worst, threshold), _FIX)
