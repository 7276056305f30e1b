"""The detector on an engine whose answer is drawn in the frame."""
import numpy as np
import pytest
from PIL import Image
from tiny_tasks import DETECTOR_LABELS, detector_frame, letterboxed, write_detector

from edgenext_deploy import Classifier, DetectedObject, Detector, open_network
from edgenext_deploy.camera.reader import Camera
from edgenext_deploy.errors import BadInputError, UsageError, VerificationError

pytest.importorskip("onnxruntime")

CUP = (0, 250, 0, 51, 102, 204)
NEARLY_THE_SAME_CUP = (0, 200, 0, 51, 102, 194)
DOG_THERE_TOO = (1, 128, 0, 51, 102, 204)
FAINT = (3, 20, 0, 0, 255, 255)


@pytest.fixture
def engine(tmp_path):
    return write_detector(tmp_path)


def test_boxes_are_in_pixels_of_the_frame(engine):
    with Detector(engine) as detect:
        found = detect(detector_frame(CUP, NEARLY_THE_SAME_CUP, DOG_THERE_TOO, FAINT))
    assert [(item.index, item.label) for item in found] == [(0, "cup"), (1, "dog")]
    assert isinstance(found[0], DetectedObject)
    assert found[0].score == pytest.approx(250 / 255)
    # The frame is 4 wide and 6 high.
    assert found[0][3:] == pytest.approx((0.0, 6 * 0.2, 4 * 0.4, 6 * 0.8), abs=1e-6)


def test_a_photo_has_its_own_size(engine, tmp_path, monkeypatch):
    boxes, scores = np.full((1, 6, 4), 0.25, np.float32), np.zeros((1, 6, 4), np.float32)
    boxes[0, 0], scores[0, 0, 2] = [0.25, 0.5, 0.75, 1.0], 0.5
    path = str(tmp_path / "photo.png")
    image = Image.new("RGB", (80, 60))
    image.save(path)
    with Detector(engine) as detect:
        monkeypatch.setattr(detect.session, "infer_all", lambda image: (boxes, scores))
        for source in (path, image, np.zeros((60, 80), np.uint8)):
            (found,) = detect(source)
            assert found == (2, "tree", 0.5, 20.0, 30.0, 60.0, 60.0)


def answered(detect, monkeypatch, box, frame):
    """Return the edges of the box that the detector gives for a box of the network."""
    boxes, scores = np.full((1, 6, 4), 0.25, np.float32), np.zeros((1, 6, 4), np.float32)
    boxes[0, 0], scores[0, 0, 2] = box, 0.5
    monkeypatch.setattr(detect.session, "infer_all", lambda image: (boxes, scores))
    return [found[3:] for found in detect(frame)]


def test_boxes_of_a_letterbox_are_those_of_the_frame(tmp_path, monkeypatch):
    """The input is 4 wide and 6 high: a frame of 40x40 becomes 4x4, with a row of border above and below."""
    with Detector(write_detector(tmp_path, change=letterboxed())) as detect:
        for box, expected in (((0, 1 / 6, 1, 5 / 6), [(0, 0, 40, 40)]), ((0.25, 0.5, 0.5, 4 / 6), [(10, 20, 20, 30)]),
                              ((0, 0, 0.5, 0.5), [(0, 0, 20, 20)]), ((0.25, 0, 0.75, 0.16), [])):
            found = answered(detect, monkeypatch, box, np.zeros((40, 40, 3), np.uint8))
            assert len(found) == len(expected)
            assert not found or found[0] == pytest.approx(expected[0], abs=1e-4)


def test_boxes_of_a_crop_are_those_of_the_frame(tmp_path, monkeypatch):
    """A frame of 40x30 is scaled to 8x6, of which columns 2 to 5 are cropped."""
    path = write_detector(tmp_path, change=lambda data: data["preprocessing"].update(fit="crop"))
    with Detector(path) as detect:
        assert answered(detect, monkeypatch, (0, 0, 0.5, 1), np.zeros((30, 40, 3), np.uint8)) == [(10, 0, 20, 30)]


@pytest.mark.parametrize("size", [(640, 480), (641, 333), (1279, 1)])
def test_a_box_over_everything_is_the_frame(engine, monkeypatch, size):
    boxes, scores = np.zeros((1, 6, 4), np.float32), np.zeros((1, 6, 4), np.float32)
    boxes[0, :3], scores[0, :3, 2] = [[-0.5, -1, 3, 1.25], [1.5, 0, 2, 1], [0.5, -2, 0.7, -1]], 0.5
    with Detector(engine) as detect:
        monkeypatch.setattr(detect.session, "infer_all", lambda image: (boxes, scores))
        (found,) = detect(np.zeros((size[1], size[0], 3), np.uint8))  # what lies outside is left out
    assert found[3:] == (0.0, 0.0, *size)


def test_thresholds_and_number_can_be_chosen(engine):
    frame = detector_frame(CUP, NEARLY_THE_SAME_CUP, DOG_THERE_TOO, FAINT)

    def labels(**options):
        with Detector(engine, **options) as detect:
            return [item.label for item in detect(frame)]

    assert labels(score_threshold=0.05) == ["cup", "dog", "car"]
    assert labels(score_threshold=0.6) == ["cup"]
    assert labels(iou_threshold=1.0) == ["cup", "cup", "dog"]
    assert labels(keep=1) == ["cup"]
    assert labels(labels=list("abcd")) == ["a", "b"]
    for wrong in ({"score_threshold": 1.5}, {"iou_threshold": -0.1}, {"keep": 0}, {"color": "hsv"}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Detector(engine, **wrong)
    with pytest.raises(BadInputError, match="the list passed: 2 labels found, 4 expected"):
        Detector(engine, labels=["a", "b"])


def test_outputs_go_by_their_names(tmp_path):
    with Detector(write_detector(tmp_path, swapped=True)) as detect:
        assert [spec.name for spec in detect.session.outputs] == ["scores", "boxes"]
        assert [item.label for item in detect(detector_frame(CUP))] == ["cup"]


def test_no_labels_are_numbers(tmp_path):
    with Detector(write_detector(tmp_path, change=lambda data: data.update(labels=[]))) as detect:
        assert detect(detector_frame(DOG_THERE_TOO))[0].label == "class 1"


def test_values_that_are_not_finite_are_an_error(engine, monkeypatch):
    scores = np.full((1, 6, 4), np.nan, np.float32)
    with Detector(engine) as detect:
        monkeypatch.setattr(detect.session, "infer_all", lambda image: (np.zeros((1, 6, 4), np.float32), scores))
        with pytest.raises(VerificationError, match="24 values that are not finite"):
            detect(detector_frame())


@pytest.mark.parametrize("change, message", [
    (lambda data: data.pop("detection"), "field 'detection' is None"),
    (lambda data: data["detection"].update(keep=0), r"detection\.keep is 0; 1 to 100000 expected"),
    (lambda data: data["preprocessing"].update(height=8), r"\[1, 3, 8, 4\].*\[1, 3, 6, 4\]"),
])
def test_a_manifest_that_does_not_fit_is_bad_input(tmp_path, change, message):
    with pytest.raises(BadInputError, match=message):
        Detector(write_detector(tmp_path, change=change))


def test_each_class_takes_its_own_task(engine, tmp_path):
    with pytest.raises(UsageError, match="is not a classifier: its manifest says 'detection'"):
        Classifier(engine)
    with open_network(engine, keep=3) as opened:
        assert isinstance(opened, Detector) and opened.settings.keep == 3
    with pytest.raises(BadInputError, match="task 'pose'"):
        open_network(write_detector(tmp_path, change=lambda data: data.update(task="pose")))
    lying = write_detector(tmp_path, change=lambda data: data.update(task="classification", labels=[]))
    with pytest.raises(UsageError, match=r"not a classifier.*boxes float32 \[1, 6, 4\]"):
        Classifier(lying)


def test_timings_and_stream(engine):
    with Detector(engine) as detect, Camera("synthetic://64x48@100?frames=3&color=white", every_frame=True) as camera:
        results = list(detect.stream(camera))
        assert detect.timings.postprocess_ms > 0.0
    assert len(results) == 3
    for result in results:
        # White: the whole scores channel is full; a box from 1 to 1 has no area, and is nothing to see.
        assert isinstance(result.answer, list)
        assert 0.0 < result.timings.postprocess_ms < result.timings.latency_ms
    assert DETECTOR_LABELS[0] == detect.labels[0]
