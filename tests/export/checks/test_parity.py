"""The parity check passes what is equal and stops what is not."""
import numpy as np
import pytest

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export.checks.parity import compare, parity_inputs

LOGITS = np.array([[1.0, -4.0, 2.0]], np.float32)


def run(found, tolerance=1e-4):
    return compare(lambda image: (LOGITS,), lambda image: (found,), [None, None], tolerance)


def test_equal_outputs():
    parity = run(LOGITS.copy())
    assert parity == (2, 0.0, 0.0, 1.0, 1.0, 1e-4)


def test_errors_are_relative_to_the_largest_magnitude():
    parity = run(LOGITS + np.array([[0, 0, 2e-4]], np.float32))
    assert parity.max_relative_error == pytest.approx(5e-5, rel=0.01)
    assert parity.max_absolute_error == pytest.approx(2e-4, rel=0.01)


@pytest.mark.parametrize("found, words", [
    (LOGITS + 1e-3, "differs"),
    (LOGITS[:, :2], "shape"),
    (np.array([[1.0, np.nan, 2.0]], np.float32), "not finite"),
    (np.array([[1.0, np.inf, 2.0]], np.float32), "not finite"),
    (-LOGITS, "top-1 agreement 0%"),
])
def test_different_outputs_are_an_error(found, words):
    with pytest.raises(VerificationError, match=words) as caught:
        run(found)
    assert caught.value.exit_code == 5


BOXES = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
MAP = np.array([[0, 1], [2, 2]], np.int32)


def test_the_worst_output_counts_and_the_last_has_the_classes():
    parity = compare(lambda image: (BOXES, LOGITS), lambda image: (BOXES * 1.00005, LOGITS), [None], 1e-4)
    assert parity.max_relative_error == pytest.approx(5e-5, rel=0.01) and parity.top1_agreement == 1.0
    with pytest.raises(VerificationError, match="differs"):
        compare(lambda image: (BOXES, LOGITS), lambda image: (BOXES * 1.001, LOGITS), [None], 1e-4)


def test_a_class_map_counts_by_its_pixels():
    found = np.array([[0, 1], [2, 1]], np.int32)
    assert compare(lambda image: (LOGITS, MAP), lambda image: (LOGITS, found), [None], 1e-4).top1_agreement == 0.75
    with pytest.raises(VerificationError, match=r"top-1 agreement 75\.00%, at least 90%"):
        compare(lambda image: (LOGITS, MAP), lambda image: (LOGITS, found), [None], 1e-4, least_agreement=0.9)


def test_inputs_are_several_different_and_of_the_right_shape():
    preprocessing = Preprocessing(64, 96, 0.875, "bicubic", (0.5,) * 3, (0.25,) * 3, False)
    inputs = list(parity_inputs((2, 3, 64, 96), preprocessing))
    assert len(inputs) >= 6
    assert {image.shape for image in inputs} == {(2, 3, 64, 96)}
    assert {image.dtype.name for image in inputs} == {"float32"}
    assert len({image.tobytes() for image in inputs}) == len(inputs)
