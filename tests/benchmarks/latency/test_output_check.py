import numpy as np
import pytest
from bench_doubles import FakeSession

from edgenext_deploy.benchmarks.latency import output_check
from edgenext_deploy.benchmarks.latency.engines import Engine
from edgenext_deploy.benchmarks.latency_report import EngineFile


class Answering(FakeSession):
    def __init__(self, *outputs):
        super().__init__("x", 1, (1, 3, 4, 4), lambda call: None)
        self.answer = tuple(np.asarray(output) for output in outputs)

    def infer_all(self, image):
        super().infer_all(image)
        return self.answer


def engine(*outputs, **changes):
    made = Engine("e", EngineFile("e", "ab" * 32, 1, None), Answering(*outputs), None,
                  np.zeros((1, 3, 4, 4), np.float32), "golden", None)
    return made._replace(**changes)


LOGITS = np.array([[1.0, 5.0, -10.0]])


@pytest.mark.parametrize(("outputs", "difference", "top1", "passed"), [
    ([LOGITS], 0.0, True, True),
    ([LOGITS + 0.1], 0.01, True, True),
    ([LOGITS + 0.3], 0.03, True, False),
    ([-LOGITS], 2.0, False, False),
    ([LOGITS * np.nan], None, None, False),
    ([LOGITS[:, :2]], None, None, False),
    ([LOGITS, LOGITS], None, None, False),
])
def test_logits(outputs, difference, top1, passed):
    check = output_check.check_outputs(engine(*outputs), engine(LOGITS, name="ref"))
    assert check.reference == "ref"
    assert check.max_relative_difference == (None if difference is None else pytest.approx(difference))
    if top1 is not None:
        assert check.top1_equal is top1
    assert check.passed is passed


def test_float16_outputs_do_not_overflow_in_the_comparison():
    large = np.array([[60000.0, -60000.0]], np.float16)
    assert output_check.max_difference([large], [-large]) == 2.0


def test_the_worst_of_several_outputs_counts_and_integers_by_their_share():
    classes = np.zeros((1, 2, 2), np.int32)
    other = classes.copy()
    other[0, 0, 0] = 7
    assert output_check.max_difference([classes, LOGITS], [other, LOGITS]) == 0.25
    assert output_check.same_top1((classes, LOGITS), (other, LOGITS)) is None


def test_the_tolerance_is_the_widest_that_a_manifest_gives():
    assert output_check.check_outputs(engine(LOGITS), engine(LOGITS)).tolerance == 2e-2
    assert output_check.check_outputs(engine(LOGITS, tolerance=1e-3), engine(LOGITS, tolerance=5e-3)).tolerance == 5e-3


def test_other_inputs_are_not_compared():
    other = engine(LOGITS, image_source="synthetic")
    check = output_check.check_outputs(other, engine(LOGITS))
    assert (check.max_relative_difference, check.passed) == (None, False)


def test_an_engine_without_a_manifest_gets_the_references_input():
    reference = engine(LOGITS, image=np.full((1, 3, 4, 4), 0.5, np.float32))
    bare = engine(LOGITS, image_source="synthetic")
    given = output_check.on_the_same_input(bare, reference)
    np.testing.assert_array_equal(given.image, reference.image)
    assert output_check.check_outputs(given, reference).passed
    small = bare._replace(image=np.zeros((1, 3, 2, 2), np.float32))
    assert output_check.on_the_same_input(small, reference) is small


def test_a_reference_without_a_manifest_gets_the_engines_input():
    """Such as the graph of a plain torch.onnx.export: the same answers must not be called wrong."""
    known = engine(LOGITS, image=np.full((1, 3, 4, 4), 0.5, np.float32))
    bare = engine(LOGITS, name="plain", image_source="synthetic")
    check = output_check.check_outputs(known, bare)
    assert (check.max_relative_difference, check.top1_equal, check.passed) == (0.0, True, True)
    np.testing.assert_array_equal(bare.session.images[0], known.image)
