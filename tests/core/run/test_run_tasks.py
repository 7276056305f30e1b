"""edgenext-run on detectors and segmenters: what it prints, and the pictures it saves."""
import json
import os
import tracemalloc

import numpy as np
import pytest
from command_lines import run_here
from paths import ROOT
from PIL import Image
from tiny_tasks import detector_frame, letterboxed, write_detector, write_segmenter

from edgenext_deploy.data import path_of
from edgenext_deploy.networks.detector import DetectedObject
from edgenext_deploy.networks.segmenter import Segmentation
from edgenext_deploy.run import cli, drawing
from edgenext_deploy.run.palette import voc_color, voc_palette

pytest.importorskip("onnxruntime")

TINY = os.path.join(ROOT, "tests", "data", "tiny_classifier.onnx")
COFFEE = path_of("photos", "coffee.jpg")


@pytest.fixture
def run(capsys):
    """Run edgenext-run in this process; returns (exit code, stdout, stderr)."""
    def call(engine, *arguments):
        return run_here(capsys, cli.command, "--engine", engine, "--threads", "1", *arguments)

    return call


@pytest.fixture
def scene(tmp_path):
    """A photo in which the detector sees a cup and, less surely, a car."""
    path = tmp_path / "scene.png"
    frame = detector_frame((0, 250, 0, 51, 102, 204), (3, 60, 0, 0, 255, 255))
    Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1])).save(str(path))
    return path


@pytest.fixture
def detector(tmp_path):
    return write_detector(tmp_path)


@pytest.fixture
def segmenter(tmp_path):
    return write_segmenter(tmp_path)


def test_objects_as_table_and_as_json(run, detector, scene):
    code, out, err = run(detector, scene)
    assert code == 0 and err == ""
    (line,) = (line for line in out.splitlines() if "%" in line)
    assert "98.0%" in line and "cup" in line and "postprocess" in out and "bottom" in out
    code, out, _ = run(detector, scene, "--json", "--threshold", "0.2")
    document = json.loads(out)
    assert code == 0 and document["task"] == "detection"
    (image,) = document["images"]
    assert [item["label"] for item in image["objects"]] == ["cup", "car"]
    assert image["objects"][0]["right"] == pytest.approx(4 * 0.4) and image["postprocess_ms"] > 0
    code, out, _ = run(detector, scene, "--threshold", "0.99")
    assert code == 0 and "nothing found" in out


def test_classes_as_table_and_as_json(run, segmenter, scene):
    code, out, _ = run(segmenter, COFFEE)
    assert code == 0 and "background" in out and "share" in out
    code, out, _ = run(segmenter, COFFEE, "--json")
    (image,) = json.loads(out)["images"]
    assert code == 0 and sum(item["share"] for item in image["classes"]) == pytest.approx(1.0)


def test_options_of_another_task_are_usage_errors(run, detector, segmenter):
    for engine, option, message in ((TINY, "--threshold", "is for detectors, "),
                                    (segmenter, "--threshold", "is a segmenter")):
        code, out, err = run(engine, COFFEE, option, "1")
        assert code == 2 and out == "" and message in err


@pytest.mark.parametrize("name", ["out.jpg", "out.png"])
def test_one_picture_of_each_task(run, detector, segmenter, tmp_path, name):
    original = np.asarray(Image.open(COFFEE)).astype(int)
    for number, engine in enumerate((TINY, detector, segmenter)):
        path = tmp_path / str(number) / name
        code, out, _ = run(engine, COFFEE, "--save", path, "--threshold", "0.2") if engine == detector else run(
            engine, COFFEE, "--save", path)
        assert code == 0 and "saved as {}".format(path) in out
        saved = np.asarray(Image.open(str(path))).astype(int)
        assert saved.shape == original.shape
        assert (np.abs(saved - original).max(axis=2) > 60).sum() > 300


def test_a_letterboxed_photo_is_drawn_where_it_is(run, tmp_path):
    """The network sees the photo, green and blue, between red bars; neither the picture nor the shares have them."""
    photo = np.zeros((100, 400, 3), np.uint8)
    photo[:, :200, 1], photo[:, 200:, 2] = 255, 255
    source, target = tmp_path / "photo.png", tmp_path / "drawn.png"
    Image.fromarray(photo).save(str(source))
    engine = write_segmenter(tmp_path, change=letterboxed(color=(255, 0, 0)))
    code, out, _ = run(engine, source, "--save", target, "--json")
    (image,) = json.loads(out)["images"]
    assert code == 0 and {item["label"]: item["share"] for item in image["classes"]} == {"grass": 0.5, "sky": 0.5}
    drawn = np.asarray(Image.open(str(target))).astype(int)[60:]  # below the legend
    assert drawn.shape == (40, 400, 3)
    for part, color in ((drawn[:, :200], voc_color(1)), (drawn[:, 200:], voc_color(2))):
        assert (part == part[0, 0]).all() and np.abs(part[0, 0] - color).sum() < 255


def test_a_large_photo_is_drawn_in_little_memory():
    chance = np.random.RandomState(0)
    photo = chance.randint(0, 256, (1001, 1500, 3)).astype(np.uint8)
    answer = Segmentation(chance.randint(0, 3, (20, 30)).astype(np.uint8), ("a", "b", "c"), 1500, 1001)
    tracemalloc.start()
    try:
        drawn = np.asarray(drawing.draw_classes(Image.fromarray(photo), answer, top=0))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    share = np.where(answer.resized() > 0, np.float32(0.55), np.float32(0))[:, :, np.newaxis]
    mixed = photo * (1 - share) + voc_palette()[answer.resized()] * share + np.float32(0.5)
    assert np.array_equal(drawn, mixed.astype(np.uint8))
    assert most < 6 * photo.nbytes


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_a_picture_of_an_earlier_run_is_replaced_and_no_other_one(run, tmp_path, name):
    path = tmp_path / name
    Image.new("RGB", (40, 30), (1, 2, 3)).save(str(path))
    theirs = path.read_bytes()
    code, _, err = run(TINY, COFFEE, "--save", path)
    assert code == 2 and "would overwrite a picture that edgenext-run did not save" in err
    code, _, err = run(TINY, COFFEE, "--save", tmp_path / "folder")
    assert code == 0
    os.replace(str(path), str(tmp_path / "folder" / "coffee.jpg"))
    assert run(TINY, COFFEE, "--save", tmp_path / "folder")[0] == 2
    assert (tmp_path / "folder" / "coffee.jpg").read_bytes() == theirs
    for _ in range(2):
        assert run(TINY, COFFEE, "--save", path)[0] == 0


def test_a_picture_that_could_not_be_replaced_later_is_not_saved(run, tmp_path):
    photo = tmp_path / "a.bmp"
    Image.new("RGB", (40, 30), (1, 2, 3)).save(str(photo))
    code, _, err = run(TINY, photo, "--save", tmp_path / "out.bmp")
    assert code == 2 and "a name ending in one of .jpg" in err
    for _ in range(2):
        assert run(TINY, photo, "--save", tmp_path / "folder")[0] == 0
    assert os.listdir(str(tmp_path / "folder")) == ["a.png"]


def test_a_picture_of_an_untrained_network_says_so(run, tmp_path):
    pixels = []
    for random in (False, True):
        engine = write_segmenter(
            tmp_path, "x", change=lambda data, random=random: data["weights"].update(random=random))
        path = tmp_path / "{}.png".format(random)
        assert run(engine, COFFEE, "--anyway", "--save", path)[0] == 0
        pixels.append(np.asarray(Image.open(str(path))))
    changed = (pixels[0] != pixels[1]).any(axis=2)
    assert changed[-20:, :60].any() and not changed[:-40].any()


def test_pictures_of_several_photos_go_into_a_folder(run, detector, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (40, 30)).save(str(tmp_path / folder / "x.ppm"))
    target = tmp_path / "new" / "drawn"
    code, out, _ = run(detector, tmp_path / "a", tmp_path / "b", COFFEE, "--save", target, "--json")
    assert code == 0 and sorted(os.listdir(str(target))) == ["coffee.jpg", "x-2.png", "x.png"]
    assert [image["saved"] for image in json.loads(out)["images"]] == [
        str(target / name) for name in ("x.png", "x-2.png", "coffee.jpg")]


def test_photos_are_never_overwritten_nor_mixed_up(run, detector, tmp_path):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 30)).save(str(photo))
    before = photo.read_bytes()
    for target, message in (
            (photo, "would overwrite"), (tmp_path, "would overwrite"), (tmp_path / "x.txt", "a folder, or")):
        code, out, err = run(detector, photo, "--save", target)
        assert code == 2 and out == "" and message in err
    code, _, err = run(detector, photo, COFFEE, "--save", tmp_path / "one.jpg")
    assert code == 2 and "2 photos cannot go into the one file" in err
    assert photo.read_bytes() == before


@pytest.mark.parametrize("task", ["detector", "segmenter"])
def test_streams(run, request, tmp_path, task):
    pytest.importorskip("cv2")
    engine = request.getfixturevalue(task)
    video = str(tmp_path / "out.avi")
    source = "synthetic://64x48@60?frames=4&color=white"
    code, out, err = run(engine, source, "--every-frame", "--json", "--save", video)
    assert code == 0 and os.path.getsize(video) > 1000 and "4 frames" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["task"] == {"detector": "detection", "segmenter": "segmentation"}[task]
    key = {"detector": "objects", "segmenter": "classes"}[task]
    assert len(lines) == 6 and all(isinstance(line[key], list) for line in lines[1:-1])
    code, out, _ = run(engine, "synthetic://64x48@60?frames=4", "--every-frame")
    assert code == 0 and "end of source: 4 frames" in out
    assert {"detector": "nothing found in any frame",
            "segmenter": " of the frames, mean share of the pixels"}[task] in out.splitlines()[-1]


def test_boxes_are_drawn_where_they_are():
    picture = drawing.draw_objects(
        Image.new("RGB", (200, 120)), [DetectedObject(1, "dog", 0.5, 50.2, 60.0, 149.6, 110.0)])
    pixels = np.asarray(picture)
    color = drawing.class_color(1)
    for y, x in ((60, 100), (109, 100), (80, 50), (80, 149)):
        assert tuple(pixels[y, x]) == color
    assert not pixels[70:100, 60:140].any() and not pixels[:, :50].any() and not pixels[111:].any()
    assert (pixels[40:60] == color).all(axis=2).sum() > 100  # the name's block, above the box


def test_labels_stay_inside_the_picture_and_are_drawable():
    long = DetectedObject(0, "größe 日本 \x1b " + "x" * 80, 0.5, 180.0, 0.0, 200.0, 5.0)
    for size in ((200, 120), (30, 8), (1, 1)):
        assert drawing.draw_objects(Image.new("RGB", size), [long]).size == size


def test_colours_of_neighbouring_classes_differ_and_text_contrasts():
    colors = [drawing.class_color(index) for index in range(80)]
    assert len(set(colors)) == 80 and all(max(color) >= 128 for color in colors)
    assert drawing.contrasting((255, 255, 0)) == (0, 0, 0) and drawing.contrasting((0, 0, 128)) == (255, 255, 255)


def test_the_overlay_leaves_the_background_alone(tmp_path):
    from edgenext_deploy.networks.segmenter import Segmentation

    classes = np.zeros((4, 4), np.uint8)
    classes[:, 2:] = 2
    answer = Segmentation(classes, ("background", "grass", "sky"), 400, 200)
    pixels = np.asarray(drawing.draw_classes(Image.new("RGB", (400, 200), (100, 100, 100)), answer)).astype(int)
    assert (pixels[100:, :200] == 100).all()
    expected = 0.45 * 100 + 0.55 * np.array(voc_color(2))
    assert np.abs(pixels[100:, 200:] - expected).max() <= 1
    assert (pixels[:40, :100] != 100).any()  # the legend


def test_top_limits_objects_and_classes(run, detector, segmenter, scene):
    code, out, _ = run(detector, scene, "--json", "--threshold", "0.2", "--top", "1")
    assert code == 0 and [item["label"] for item in json.loads(out)["images"][0]["objects"]] == ["cup"]
    colors = Image.new("RGB", (60, 60), (255, 0, 0))
    colors.paste((0, 255, 0), (0, 0, 25, 60))
    colors.save(str(scene))
    code, out, _ = run(segmenter, scene, "--json")
    every = json.loads(out)["images"][0]["classes"]
    code, out, _ = run(segmenter, scene, "--json", "--max-objects", "1")
    assert code == 0 and json.loads(out)["images"][0]["classes"] == every[:1] and len(every) > 1
