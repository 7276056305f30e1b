"""One answer for a photo with an EXIF orientation, however it is opened."""
import json
import os

import numpy as np
import pytest
from paths import DATA
from PIL import Image, ImageOps
from tiny_tasks import detector_frame, write_detector, write_segmenter

from edgenext_deploy import Classifier, open_network
from edgenext_deploy.camera.address import Address
from edgenext_deploy.camera.folder import make_folder
from edgenext_deploy.commands.entry import run_command
from edgenext_deploy.preprocess.photo import load_photo, read_photo, to_image
from edgenext_deploy.run import cli

TINY = os.path.join(DATA, "tiny_classifier.onnx")
# EXIF's definition: where the first row and the first column of the stored pixels belong, as operations on an array.
STORED = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
          5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
          8: lambda a: np.rot90(a, -1)}


def pixels(height=6, width=9, scale=8):
    small = np.random.RandomState(3).randint(0, 255, (height, width, 3)).astype(np.uint8)
    return small.repeat(scale, 0).repeat(scale, 1)


def save(path, upright, orientation, mode="RGB"):
    """Save the picture as a camera would that was held so; returns the path."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED.get(orientation, STORED[1])(upright))
    Image.fromarray(stored).convert(mode).save(str(path), exif=exif, quality=95, subsampling=0)
    return str(path)


def test_the_definition_of_this_test_is_that_of_pillow(tmp_path):
    for orientation in STORED:
        with Image.open(save(tmp_path / "photo.png", pixels(), orientation)) as image:
            assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), pixels())


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_upright_however_it_is_opened(tmp_path, ending, orientation):
    path = save(tmp_path / ("photo." + ending), pixels(), orientation)
    image, found = read_photo(path)
    assert found == orientation and np.array_equal(np.asarray(image), pixels())
    opened = Image.open(path)
    for given in (path, image, opened, opened, Image.fromarray(pixels())):  # twice: nothing is turned again
        assert np.array_equal(np.asarray(to_image(given)), pixels())


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_other_modes_are_turned_too(tmp_path, ending, mode):
    path = save(tmp_path / ("photo." + ending), pixels(), 6, mode)
    image = load_photo(path)
    assert image.mode == "RGB" and image.size == (72, 48)
    expected = np.asarray(Image.fromarray(np.ascontiguousarray(STORED[6](pixels()))).convert(mode).convert("RGB"))
    assert np.array_equal(np.asarray(image), np.rot90(expected, -1))
    assert np.array_equal(np.asarray(to_image(image)), np.asarray(image))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_left_alone(tmp_path, orientation):
    image, found = read_photo(save(tmp_path / "photo.png", pixels(), orientation))
    assert found == 1 and np.array_equal(np.asarray(image), pixels())


def test_damaged_metadata_is_no_orientation(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(pixels()).save(str(path), exif=b"Exif\0\0MM\0*" + b"\xff" * 40)
    assert read_photo(str(path))[1] == 1


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_opencv_gives_the_same_picture(tmp_path, ending):
    cv2 = pytest.importorskip("cv2")
    for orientation in STORED:
        path = save(tmp_path / ("photo." + ending), pixels(), orientation)
        frame = cv2.imread(path)[:, :, ::-1].astype(int)
        assert frame.shape == (48, 72, 3)
        assert np.abs(frame - np.asarray(load_photo(path))).mean() < 2  # JPEG decoders differ a little


def test_a_folder_as_a_camera_gives_upright_frames(tmp_path):
    save(tmp_path / "photo.png", pixels(), 8)
    source = make_folder(Address("folder", str(tmp_path), {}), width=None, height=None, fps=None, pixel_format="bgr")
    source.open()
    assert np.array_equal(source.read()[:, :, ::-1], pixels())


def test_a_classifier_answers_the_same_for_path_image_and_upright_copy(tmp_path):
    pytest.importorskip("onnxruntime")
    upright = np.zeros((300, 400, 3), np.uint8)
    upright[:, :150], upright[:100] = (0, 0, 255), (255, 0, 0)
    path = save(tmp_path / "photo.png", upright, 6)
    with Classifier(TINY, top_k=10) as classify:
        expected = classify(Image.fromarray(upright))
        assert classify(path) == classify(Image.open(path)) == expected
        assert classify(Image.fromarray(np.ascontiguousarray(STORED[6](upright)))) != expected


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_boxes_and_masks_lie_in_the_upright_photo(tmp_path, orientation):
    pytest.importorskip("onnxruntime")
    frame = np.ascontiguousarray(detector_frame((0, 250, 0, 51, 102, 204))[:, :, ::-1])
    path = save(tmp_path / "photo.png", frame, orientation)
    with open_network(write_detector(tmp_path)) as detect:
        for given in (path, Image.open(path)):
            assert detect(given) == detect(Image.fromarray(frame)) != []
    seen = np.zeros((8, 12, 3), np.uint8)
    seen[:, :5, 1], seen[:3, 5:, 2] = 255, 255
    path = save(tmp_path / "seen.png", seen, orientation)
    with open_network(write_segmenter(tmp_path)) as segment:
        for given in (path, Image.open(path)):
            assert np.array_equal(segment(given).resized(), segment(Image.fromarray(seen)).resized())


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_edgenext_run_says_so_and_saves_an_upright_picture(tmp_path, capsys, ending):
    pytest.importorskip("onnxruntime")
    path = save(tmp_path / "photo.png", pixels(60, 90, 4), 6)
    out = str(tmp_path / ("out." + ending))
    for arguments in ([], ["--json"]):
        with pytest.raises(SystemExit) as stop:
            run_command(cli.command, ["--engine", TINY, path, "--save", out, *arguments])
        assert stop.value.code == 0
        printed = capsys.readouterr().out
        if arguments:
            assert json.loads(printed)["images"][0]["turned_upright_from"] == 6
        else:
            assert "turned upright (EXIF orientation 6)" in printed
        with Image.open(out) as saved:
            assert saved.size == (360, 240) and saved.getexif().get(0x0112) is None
