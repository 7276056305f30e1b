"""The self-test, on ONNX Runtime, on doubles of TensorRT, and on sessions that lie."""
import base64

import numpy as np
import pytest
from doubles import gpu

from edgenext_deploy import open_session
from edgenext_deploy.artifacts import golden, manifest
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.engines.selftest.golden_test import SelfTest, compare, golden_input, golden_outputs, self_test
from edgenext_deploy.errors import BadInputError, UsageError, VerificationError
from edgenext_deploy.runtime.session import Session

TINY = open_engine_file(gpu.TINY).manifest()
ANSWER = golden_outputs(TINY)["logits"].astype(np.float32)


class Fixed(Session):
    """A session that gives one answer to the golden input, and refuses any other."""

    inputs = TINY.inputs
    outputs = TINY.outputs

    def __init__(self, answer):
        self.answer = answer
        self.calls = 0

    def infer_all(self, image):
        self.check_input(image)
        assert golden.digest(image.astype(np.float32)) == TINY.golden.input_sha256
        self.calls += 1
        return (self.answer,)

    def submit(self, image):
        raise NotImplementedError

    collect = describe = close = submit


def changed(**fields):
    return TINY._replace(golden=TINY.golden._replace(**fields))


@pytest.mark.parametrize("release", gpu.RELEASES)
def test_a_plan_passes(monkeypatch, tmp_path, release):
    pytest.importorskip("onnxruntime")
    gpu.install(monkeypatch, release)
    path = gpu.write_plan(tmp_path, release)
    with open_session(path) as session:
        result = self_test(session, open_engine_file(path).manifest())
    assert result.ok and result.max_relative_error <= 1e-5 and result.tolerance == 1e-4
    assert result.top1_equal and result.precision == "fp32" and 0 < result.latency_ms < 1000


def test_a_graph_passes():
    pytest.importorskip("onnxruntime")
    with open_session(gpu.TINY) as session:
        assert self_test(session, TINY).ok


def test_error_is_relative_to_the_largest_logit():
    scale = float(np.abs(ANSWER).max())
    answer = ANSWER.copy()
    answer[0, 3] += 0.9e-4 * scale
    result = self_test(Fixed(answer), TINY)
    assert isinstance(result, SelfTest) and result.max_relative_error == pytest.approx(0.9e-4, rel=1e-2)
    answer[0, 3] += 0.2e-4 * scale
    with pytest.raises(VerificationError, match=r"0\.00011 of the largest logit found, at most 0\.0001") as caught:
        self_test(Fixed(answer), TINY)
    assert caught.value.exit_code == 5
    assert not compare(Fixed(answer), TINY).ok


@pytest.mark.parametrize("answer, message", [
    (np.full((1, 10), np.nan, np.float32), "not finite"),
    (np.zeros((1, 10), np.float32), "error of 1 of"),
    (np.roll(ANSWER, 1, axis=1), "another top-1"),
    (np.zeros((1, 9), np.float32), r"\[1, 9\].*\[1, 10\]")])
def test_wrong_answers_fail(answer, message):
    with pytest.raises(VerificationError, match=message):
        self_test(Fixed(answer), TINY)


def test_precision_chooses_the_tolerance():
    both = changed(tolerance={"fp32": 1e-4, "fp16": 2e-2})
    answer = ANSWER * np.float32(1.01)
    with pytest.raises(VerificationError, match="in fp32"):
        self_test(Fixed(answer), both)
    assert self_test(Fixed(answer), both, "fp16").tolerance == 2e-2
    typed = both._replace(precision=manifest.Precision("fp16", "typed"))
    assert self_test(Fixed(answer), typed).precision == "fp16"
    flag = both._replace(precision=manifest.Precision("fp16", "flag"))
    assert compare(Fixed(ANSWER), flag).precision == "fp32"
    session = Fixed(answer)
    session.record = type("Record", (), {"precision": "fp16"})
    assert self_test(session, flag).precision == "fp16"
    with pytest.raises(BadInputError, match="no golden tolerance for fp16, only for fp32"):
        self_test(Fixed(ANSWER), TINY, "fp16")


def test_half_precision_input_is_converted():
    session = Fixed(ANSWER)
    session.inputs = (TINY.inputs[0]._replace(dtype="float16"),)
    session.infer_all = lambda image: (session.check_input(image), (ANSWER,))[1]
    assert self_test(session, TINY).ok


@pytest.mark.parametrize("fields, message", [
    ({"input_sha256": "0" * 64}, "golden input is not"), ({"seed": 1}, "golden input is not"),
    ({"output_base64": "!!!!"}, "cannot be read"), ({"output_base64": "äöü"}, "cannot be read"),
    ({"output_base64": ""}, "cannot be read"), ({"output_shape": (1, 11)}, "cannot be read"),
    ({"output_base64": base64.b64encode(bytes(40)).decode()}, "all zero"),
    ({"output_base64": base64.b64encode(b"\xff" * 40).decode()}, "not finite"),
    ({"output_base64": "", "output_shape": (0,)}, "empty")])
def test_a_manifest_without_a_usable_golden_answer_is_bad_input(fields, message):
    session = Fixed(ANSWER)
    with pytest.raises(BadInputError, match=message):
        self_test(session, changed(**fields))
    assert session.calls == 0


@pytest.mark.parametrize("shape", [(), (1, 3, 32), (1, 4, 32, 32), (1, 3, 0, 32)])
def test_an_impossible_input_shape_is_bad_input(shape):
    with pytest.raises(BadInputError, match=r"\[B, 3, H, W\] expected"):
        golden_input(TINY._replace(inputs=(TINY.inputs[0]._replace(shape=shape),)))
    with pytest.raises(BadInputError):
        golden_input(TINY._replace(inputs=()))


def test_a_session_of_another_size_is_refused():
    session = Fixed(ANSWER)
    session.inputs = (TINY.inputs[0]._replace(shape=(1, 3, 64, 64)),)
    with pytest.raises(UsageError, match="expected"):
        self_test(session, TINY)


def with_outputs(task, *answers):
    """Return a manifest of that task whose golden outputs these are, by name and dtype of storage."""
    stored = [manifest.GoldenOutput(
        answer.shape, base64.b64encode(answer.astype(kind).tobytes()).decode(), kind) for _, answer, kind in answers]
    specs = tuple(manifest.TensorSpec(name, answer.shape, answer.dtype.name) for name, answer, _ in answers)
    return TINY._replace(task=task, outputs=specs, golden=TINY.golden._replace(
        more=tuple(stored[1:]), **stored[0]._asdict()))


class Several(Fixed):
    def __init__(self, specs, *answers):
        self.outputs, self.answers = specs, answers

    def infer_all(self, image):
        return self.answers


RNG = np.random.default_rng(0)
BOXES = RNG.uniform(size=(1, 12, 4)).astype(np.float32)
SCORES = RNG.uniform(0.1, 0.9, size=(1, 12, 5)).astype(np.float32)
CLASSES = np.repeat(np.arange(4, dtype=np.int32), 100).reshape(1, 20, 20)


def test_detector_by_the_names_of_its_outputs():
    found = with_outputs("detection", ("boxes", BOXES, "float32"), ("scores", SCORES, "float32"))
    boxes, scores = found.outputs
    assert self_test(Several((boxes, scores), BOXES, SCORES), found).ok
    assert self_test(Several((scores, boxes), SCORES, BOXES), found).top1_equal
    result = compare(Several((boxes, scores), BOXES, SCORES + np.float32(9e-4)), found)
    assert not result.ok and result.max_relative_error == pytest.approx(1e-3, rel=0.2)
    with pytest.raises(VerificationError, match="of the largest value"):
        self_test(Several((boxes, scores), BOXES * 2, SCORES), found)
    other = SCORES.copy()
    other[0, 3, 2] = 1.0
    assert not compare(Several((boxes, scores), BOXES, other), found).top1_equal
    assert compare(Several((boxes, scores), BOXES * np.nan, SCORES), found).max_relative_error is None
    with pytest.raises(VerificationError, match="no such output"):
        self_test(Several((boxes,), BOXES), found)


def test_segmenter_by_the_share_of_pixels():
    found = with_outputs("segmentation", ("classes", CLASSES, "uint8"))
    found = found._replace(golden=found.golden._replace(tolerance={"fp32": 0.01}))
    answer = CLASSES.copy()
    answer[0, 0, :4] = 3
    assert self_test(Several(found.outputs, answer), found).max_relative_error == pytest.approx(0.01)
    answer[0, 0, 4] = 3
    with pytest.raises(VerificationError, match=r"0\.013 of the pixels found, at most 0\.01"):
        self_test(Several(found.outputs, answer), found)
    assert not compare(Several(found.outputs, CLASSES * 0 + 2), found).top1_equal


def test_golden_outputs_that_are_not_the_graphs():
    found = with_outputs("segmentation", ("classes", CLASSES, "uint8"))
    with pytest.raises(BadInputError, match="type 'float64'"):
        golden_outputs(found._replace(golden=found.golden._replace(output_dtype="float64")))
    with pytest.raises(BadInputError, match="1 golden outputs, its graph has 2"):
        golden_outputs(found._replace(outputs=found.outputs * 2))
