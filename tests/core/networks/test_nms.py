"""Class-wise suppression: equal to plain loops, on random boxes and on those that are odd."""
import numpy as np
import pytest
from plain_nms import plain_nms

from edgenext_deploy.artifacts.manifest import Detection
from edgenext_deploy.errors import UsageError, VerificationError
from edgenext_deploy.networks.nms import suppress

SSD = Detection(0.01, 0.5, 400, 200)


def found(boxes, scores, settings):
    kept = suppress(boxes, scores, settings)
    assert np.array_equal(kept.boxes, boxes[kept.anchors])
    assert np.array_equal(kept.scores, scores[kept.anchors, kept.classes])
    return list(zip(kept.classes.tolist(), kept.anchors.tolist()))


def random_boxes(random, anchors, classes):
    centres, sizes = random.uniform(0, 1, (anchors, 2)), random.uniform(0, 0.5, (anchors, 2))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1).astype(np.float32)
    return boxes, random.uniform(0, 1, (anchors, classes)).astype(np.float32) ** 3


@pytest.mark.parametrize("settings", [
    SSD, Detection(0.3, 0.5, 400, 200), Detection(0.01, 0.1, 30, 1000), Detection(0.0, 0.9, 7, 20),
    Detection(0.01, 0.0, 400, 5), Detection(0.01, 1.0, 10, 60)])
@pytest.mark.parametrize("seed", range(4))
def test_random_boxes_as_plain_loops(settings, seed):
    random = np.random.RandomState(seed)
    boxes, scores = random_boxes(random, 80, 6)
    expected = plain_nms(boxes, scores, settings)
    assert found(boxes, scores, settings) == expected
    assert expected


@pytest.mark.parametrize("seed", range(6))
def test_ties_of_scores_and_boxes_as_plain_loops(seed):
    """Coordinates and scores on a coarse grid: many equal boxes, equal scores, overlaps of exactly one half."""
    random = np.random.RandomState(seed)
    corner, size = random.randint(0, 4, (60, 2)), random.randint(0, 4, (60, 2))  # sizes of zero among them
    boxes = (np.concatenate([corner, corner + size], axis=1) / 8.0).astype(np.float32)
    boxes[:5, [0, 2]] = boxes[:5, [2, 0]]  # and some inside out
    scores = (random.randint(0, 4, (60, 5)) / 4.0).astype(np.float32)
    for settings in (SSD, Detection(0.25, 0.5, 7, 1000), Detection(0.25, 0.25, 400, 9)):
        assert found(boxes, scores, settings) == plain_nms(boxes, scores, settings)


def test_one_cell_by_hand():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1], [0, 0, 1.5, 1], [5, 5, 5, 5]], np.float32)
    scores = np.array([[0.9, 0.1], [0.8, 0.7], [0.7, 0.6], [0.5, 0.01]], np.float32)
    # In class 0 the second overlaps the first by exactly one half, which is not more; the third overlaps the second
    # by three quarters. In class 1 the third goes too, and the last does not score more than the threshold.
    assert found(boxes, scores, SSD._replace(score_threshold=np.float32(0.01))) == [
        (0, 0), (0, 1), (1, 1), (0, 3), (1, 0)]


def test_nothing_passes():
    kept = suppress(np.zeros((3, 4), np.float32), np.zeros((3, 2), np.float32), SSD)
    assert kept.boxes.shape == (0, 4) and len(kept.classes) == len(kept.scores) == len(kept.anchors) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["boxes", "scores"])
def test_values_that_are_not_finite_are_refused(value, where):
    arrays = {"boxes": np.zeros((3, 4), np.float32), "scores": np.full((3, 2), 0.5, np.float32)}
    arrays[where][1, 1] = value
    with pytest.raises(VerificationError, match="1 values that are not finite"):
        suppress(arrays["boxes"], arrays["scores"], SSD)


def test_shapes_that_do_not_fit_are_refused():
    for boxes, scores in (((3, 4), (2, 5)), ((3, 5), (3, 5)), ((1, 3, 4), (1, 3, 5))):
        with pytest.raises(UsageError, match="anchors"):
            suppress(np.zeros(boxes, np.float32), np.zeros(scores, np.float32), SSD)
