"""The segmenter on an engine that names each pixel's brightest channel; VOC's palette."""
import numpy as np
import pytest
from PIL import Image
from tiny_tasks import SEGMENTER_LABELS, letterboxed, write_segmenter

from edgenext_deploy import Detector, Segmentation, Segmenter
from edgenext_deploy.camera.reader import Camera
from edgenext_deploy.errors import BadInputError, UsageError, VerificationError
from edgenext_deploy.run.palette import voc_color, voc_palette

pytest.importorskip("onnxruntime")


@pytest.fixture
def engine(tmp_path):
    return write_segmenter(tmp_path)


def painted(classes, scale=1):
    """Return the BGR frame whose brightest channels (red, green, blue) are these classes."""
    frame = np.eye(3, dtype=np.uint8)[classes][:, :, ::-1] * 255
    return np.repeat(np.repeat(frame, scale, axis=0), scale, axis=1)


def test_each_pixel_has_its_class(engine):
    classes = np.random.RandomState(0).randint(0, 3, (8, 12))
    with Segmenter(engine) as segment:
        answer = segment(painted(classes))
    assert isinstance(answer, Segmentation) and answer.classes.dtype == np.uint8
    assert np.array_equal(answer.classes, classes)
    assert (answer.width, answer.height, answer.labels) == (12, 8, tuple(SEGMENTER_LABELS))
    assert np.array_equal(answer.resized(), classes)


def test_the_map_at_the_size_of_the_photo(engine, tmp_path):
    classes = np.repeat(np.repeat(np.array([[0, 1, 2], [2, 0, 1]]), 4, axis=0), 4, axis=1)
    path = str(tmp_path / "photo.png")
    Image.fromarray(np.ascontiguousarray(painted(classes, 5)[:, :, ::-1])).save(path)
    with Segmenter(engine) as segment:
        answer = segment(path)
    assert (answer.width, answer.height) == (60, 40)
    assert np.array_equal(answer.resized(), np.repeat(np.repeat(classes, 5, axis=0), 5, axis=1))
    assert np.array_equal(answer.classes, classes)


@pytest.mark.parametrize("height, width", [(3, 5), (16, 24), (37, 13), (1, 1), (480, 640)])
def test_resizing_takes_the_nearest_pixel_as_pillow_does(height, width):
    classes = np.random.RandomState(1).randint(0, 3, (8, 12)).astype(np.uint8)
    expected = Image.fromarray(classes).resize((width, height), 0)
    found = Segmentation(classes, tuple(SEGMENTER_LABELS), width, height).resized()
    assert found.dtype == np.uint8 and np.array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("shape", [(8, 4), (4, 12), (2, 12), (24, 12), (5, 3)])
def test_the_border_of_a_letterbox_is_no_part_of_the_answer(tmp_path, shape):
    """The border is grass by its colour; the frame has none."""
    classes = np.random.RandomState(2).choice([0, 2], shape)
    with Segmenter(write_segmenter(tmp_path, change=letterboxed())) as segment:
        answer = segment(painted(classes))
    assert (answer.width, answer.height) == shape[::-1] and answer.resized().shape == shape
    assert answer.classes.shape[0] == 8 or answer.classes.shape[1] == 12
    assert {share.label for share in answer.shares()} <= {"background", "sky"}
    if answer.classes.shape == shape:
        assert np.array_equal(answer.resized(), classes)


def test_a_cropped_frame_would_have_pixels_without_a_class(tmp_path):
    path = write_segmenter(tmp_path, change=lambda data: data["preprocessing"].update(fit="crop"))
    with pytest.raises(BadInputError, match="crops frames") as caught:
        Segmenter(path)
    assert "--fit" in caught.value.fix


def test_the_input_may_be_bgr(tmp_path):
    def bgr(data):
        data.update(schema=2)
        data["preprocessing"]["channel_order"] = "bgr"

    classes = np.random.RandomState(0).randint(0, 3, (8, 12))
    with Segmenter(write_segmenter(tmp_path, change=bgr)) as segment:
        for frame in (painted(classes), Image.fromarray(np.ascontiguousarray(painted(classes)[:, :, ::-1]))):
            assert np.array_equal(segment(frame).classes, 2 - classes)


def test_shares_are_largest_first(engine):
    classes = np.zeros((8, 12), int)
    classes[:6] = 2
    with Segmenter(engine) as segment:
        shares = segment(painted(classes)).shares()
    assert [(share.index, share.label, share.share) for share in shares] == [
        (2, "sky", 0.75), (0, "background", 0.25)]


def test_without_labels_classes_are_numbered(tmp_path):
    with Segmenter(write_segmenter(tmp_path, change=lambda data: data.update(labels=[]))) as segment:
        assert segment(painted(np.ones((8, 12), int))).shares() == [(1, "class 1", 1.0)]


@pytest.mark.parametrize("value", [-1, 3])
def test_a_class_that_does_not_exist_is_an_error(engine, monkeypatch, value):
    classes = np.zeros((1, 8, 12), np.int32)
    classes[0, 2, 3] = value
    with Segmenter(engine) as segment:
        monkeypatch.setattr(segment.session, "infer_all", lambda image: (classes,))
        with pytest.raises(VerificationError, match="0 to 2 expected"):
            segment(painted(np.zeros((8, 12), int)))


def test_what_is_no_segmenter_is_refused(engine, tmp_path):
    with pytest.raises(UsageError, match="is not a detector: its manifest says 'segmentation'"):
        Detector(engine)
    lying = write_segmenter(tmp_path, "other", change=lambda data: data.update(task="detection"))
    with pytest.raises(BadInputError, match=r"is not a detector: .*classes int32 \[1, 8, 12\]"):
        Detector(lying)
    with pytest.raises(BadInputError, match="300 labels found, at most 256"):
        Segmenter(write_segmenter(tmp_path, "many", change=lambda data: data.update(labels=["x"] * 300)))


def test_stream(engine):
    with Segmenter(engine) as segment, Camera("synthetic://64x48@100?frames=2&color=blue", every_frame=True) as camera:
        results = list(segment.stream(camera))
    assert len(results) == 2
    assert results[0].answer.shares()[0].label == "sky"
    assert results[0].answer.resized().shape == (48, 64)


def test_the_palette_is_that_of_voc():
    # The development kit's colours of background, aeroplane, bicycle, person, tvmonitor, and void.
    for index, color in ((0, (0, 0, 0)), (1, (128, 0, 0)), (2, (0, 128, 0)), (15, (192, 128, 128)), (20, (0, 64, 128)),
                         (255, (224, 224, 192))):
        assert voc_color(index) == color
    palette = voc_palette()
    assert palette.shape == (256, 3) and palette.dtype == np.uint8 and len({tuple(row) for row in palette}) == 256
