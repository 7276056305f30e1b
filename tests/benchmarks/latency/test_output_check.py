import numpy as np
import pytest
from bench_doubles import FakeSession

from edgenext_deploy.artifacts.manifest import TensorSpec, Weights
from edgenext_deploy.benchmarks.latency import output_check
from edgenext_deploy.benchmarks.latency.engines import Engine
from edgenext_deploy.benchmarks.latency_report import EngineFile, Model


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


def model(variant="xxs", digest="cd"):
    return Model(variant, "nano", "fp32", Weights("seed " + digest, True, digest * 32))


@pytest.mark.parametrize(("one", "other", "reason"), [
    (model("xs"), model("xxs"), "xs against xxs"),
    (model(digest="ab"), model(), "other weights: seed ab against seed cd"),
    (model(), model(), None), (None, model("xs"), None)])
def test_another_network_is_called_so_and_not_wrong(one, other, reason):
    check = output_check.check_outputs(engine(-LOGITS, model=one), engine(LOGITS, model=other))
    assert check.another_model == reason
    assert check.wrong == (reason is None) and not check.passed
    assert (check.max_relative_difference is None) == (reason is not None)


def test_a_network_for_another_input_size_is_another_one():
    small = engine(LOGITS, model=model())
    small.session.inputs = (TensorSpec("image", (1, 3, 2, 2), "float32"),)
    check = output_check.check_outputs(small, engine(LOGITS, model=model()))
    assert check.another_model == "input 1×3×2×2 against 1×3×4×4" and not check.wrong


def test_an_engine_without_a_manifest_gets_the_references_input():
    reference = engine(LOGITS, image=np.full((1, 3, 4, 4), 0.5, np.float32))
    bare = engine(LOGITS, image_source="synthetic")
    given = output_check.on_the_same_input(bare, reference)
    np.testing.assert_array_equal(given.image, reference.image)
    assert output_check.check_outputs(given, reference).passed
    small = bare._replace(image=np.zeros((1, 3, 2, 2), np.float32))
    assert output_check.on_the_same_input(small, reference) is small


@pytest.mark.parametrize("source", ["golden", "synthetic"])
def test_pixels_and_prepared_numbers_are_not_compared_without_a_manifest(source):
    """Numbers cut to bytes gave other answers, which were called wrong."""
    known = engine(LOGITS, image=np.full((1, 3, 4, 4), 0.5, np.float32), image_source=source)
    pixels = engine(-LOGITS, image=np.zeros((1, 3, 4, 4), np.uint8), image_source="synthetic")
    for one, other in ((pixels, known), (known, pixels)):
        check = output_check.check_outputs(output_check.on_the_same_input(one, other), other)
        assert "against" in check.another_model and not check.wrong


def test_a_reference_without_a_manifest_gets_the_engines_input():
    """Such as the graph of a plain torch.onnx.export: the same answers must not be called wrong."""
    known = engine(LOGITS, image=np.full((1, 3, 4, 4), 0.5, np.float32))
    bare = engine(LOGITS, name="plain", image_source="synthetic")
    check = output_check.check_outputs(known, bare)
    assert (check.max_relative_difference, check.top1_equal, check.passed) == (0.0, True, True)
    np.testing.assert_array_equal(bare.session.images[0], known.image)
