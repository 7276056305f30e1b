"""edgenext-eval on small engines that name colours, boxes and brightest channels."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from command_lines import run_here
from doubles.ray_double import Cluster
from paths import DATA, ROOT
from PIL import Image
from tiny_tasks import DETECTOR_LABELS, detector_frame, write_detector, write_segmenter

from edgenext_deploy.benchmarks.accuracy import cli, detection
from edgenext_deploy.cluster import on_ray
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess import photo_batches
from edgenext_deploy.run.palette import voc_palette

pytest.importorskip("onnxruntime")

TINY = os.path.join(DATA, "tiny_classifier.onnx")
# What the tiny classifier answers to each is known from tests/core/test_classifier.py.
PHOTOS = {"red": [(255, 0, 0), (240, 20, 20)], "green": [(0, 255, 0), (0, 0, 255)],
          "black": [(3, 0, 4), (250, 250, 250)]}


@pytest.fixture
def run(capsys):
    """Run edgenext-eval in this process; returns (exit code, stdout, stderr)."""
    def call(*arguments):
        return run_here(capsys, cli.eval_command, *arguments)

    return call


@pytest.fixture
def photos(tmp_path):
    """Six photos; four of them are in the folder of the colour that they have."""
    folder = tmp_path / "photos"
    for name, colors in PHOTOS.items():
        (folder / name).mkdir(parents=True)
        for number, color in enumerate(colors):
            Image.new("RGB", (40, 50), color).save(str(folder / name / "{}.png".format(number)))
    return folder


@pytest.fixture
def worse(tmp_path):
    """The tiny classifier with red and blue mixed up, as a wrong channel order would have it."""
    engine = str(tmp_path / "worse.onnx")
    shutil.copyfile(TINY, engine)
    with open(os.path.splitext(TINY)[0] + ".json") as stream:
        data = json.load(stream)
    data["preprocessing"].update(mean=[0.9, 0.456, 0.406], std=[0.1, 0.224, 0.225])
    (tmp_path / "worse.json").write_text(json.dumps(data))
    return engine


def test_the_folder_may_stand_behind_the_engines(run, photos, worse):
    code, out, _ = run(TINY, worse, photos, "--json")
    assert code == 0 and len(json.loads(out)["engines"]) == 2
    code, out, err = run(TINY)
    assert code == 2 and out == "" and "no folder of images" in err and "--data DIR" in err
    code, _, err = run(TINY, str(photos) + "-gone")
    assert code == 2 and "no folder of images" in err


def test_accuracy_is_the_share_of_right_answers(run, photos):
    code, out, err = run("--engine", TINY, "--data", photos, "--json", "--threads", "1")
    document = json.loads(out)
    assert code == 0 and err == ""
    assert (document["task"], document["used"], document["unreadable"]) == ("classification", 6, [])
    (engine,) = document["engines"]
    assert engine["metrics"]["top1"] == pytest.approx(4 / 6)
    assert engine["metrics"]["top1_low"] == pytest.approx(0.3000, abs=1e-4)  # Wilson's interval of 4 in 6
    assert engine["metrics"]["top1_high"] == pytest.approx(0.9032, abs=1e-4)
    assert engine["metrics"]["top5"] <= 1.0 and engine["session"]["threads"] == 1
    code, out, err = run("--engine", TINY, "--data", photos)
    assert code == 0 and err == ""
    assert "66.67%" in out and "30.00% – 90.32%" in out and "top-5" in out and "named by the engine's labels" in out
    prepared = "mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225], crop 0.875"
    assert engine["preprocessing"] == prepared and prepared in " ".join(out.split())


def test_engines_are_compared_on_the_same_images(run, photos, worse, tmp_path):
    target = tmp_path / "result.json"
    code, out, err = run("--engine", TINY, "--engine", worse, "--data", photos, "--json", target)
    assert code == 0 and "wrote" in err and "McNemar p" in out and "same answer on" in out and "truth is" in out
    first, second = json.loads(target.read_text())["engines"]
    assert "against_first" not in first
    against = second["against_first"]
    assert against["top1_difference"] == pytest.approx(second["metrics"]["top1"] - first["metrics"]["top1"])
    assert against["top1_difference"] == pytest.approx(against["differences"]["top1"])
    assert against["top1_difference_low"] < against["top1_difference"] < against["top1_difference_high"]
    assert against["agreement"] == pytest.approx(1 - len(against["changed"]) / 6) and against["changed"]
    for change in against["changed"]:
        assert change["first"] != change["second"]
    assert against["only_first_right"] - against["only_second_right"] == pytest.approx(-6 * against["top1_difference"])
    _, out, _ = run("--engine", TINY, "--engine", TINY, "--data", photos)
    assert "top-1 +0.00 points" in out and "McNemar p = 1" in out and "same answer on 100.00%" in out


def test_a_flat_folder(run, photos, tmp_path):
    lines = []
    for path in sorted(photos.glob("*/*.png")):
        name = path.parent.name + path.name
        path.rename(tmp_path / name)
        lines.append("{} {}".format(name, path.parent.name))
    (tmp_path / "truth.txt").write_text("\n".join(lines))
    code, out, _ = run("--engine", TINY, "--data", tmp_path, "--labels", tmp_path / "truth.txt", "--json")
    assert code == 0 and json.loads(out)["engines"][0]["metrics"]["top1"] == pytest.approx(4 / 6)


def test_corrupt_images_are_left_out_and_named(run, photos):
    (photos / "red" / "bad.png").write_bytes(b"no image")
    (photos / "red" / "empty.jpg").write_bytes(b"")
    whole = (photos / "red" / "0.png").read_bytes()
    (photos / "red" / "cut.png").write_bytes(whole[:len(whole) // 2])
    code, out, err = run("--engine", TINY, "--data", photos, "--json")
    document = json.loads(out)
    assert code == 0 and document["used"] == 6
    assert [image["image"] for image in document["unreadable"]] == ["red/bad.png", "red/cut.png", "red/empty.jpg"]
    assert document["engines"][0]["metrics"]["top1"] == pytest.approx(4 / 6)
    assert err.count("left out red/") == 3 and "3 of 9 images were left out" in err
    for path in photos.glob("*/*"):
        path.write_bytes(b"no image")
    code, out, err = run("--engine", TINY, "--data", photos)
    assert code == 3 and out == "" and "none of 9 images can be used" in err


def test_limit_and_resume(run, photos, tmp_path, monkeypatch):
    rows = tmp_path / "rows.jsonl"
    arguments = ("--engine", TINY, "--data", photos, "--json", "--resume", rows)
    code, whole, err = run(*arguments)
    assert code == 0 and err == ""
    content = rows.read_bytes()
    rows.write_bytes(content[:content.index(b"\n", 2 * len(content) // 3) - 5])  # within a line
    code, again, err = run(*arguments)
    assert code == 0 and again == whole and "of 6 images were evaluated before" in err
    assert rows.read_bytes() == content
    # Nothing is computed any more.
    monkeypatch.setattr("edgenext_deploy.preprocess.photo_batches.read_photo", None)
    code, again, err = run(*arguments)
    assert code == 0 and again == whole and "6 of 6 images" in err
    code, _, err = run("--engine", TINY, "--data", photos, "--resume", rows, "--limit", "3")
    assert code == 2 and "of another evaluation" in err and rows.read_bytes() == content
    monkeypatch.setattr("PIL.__version__", "8.3.2")  # another one's pixels
    code, _, err = run(*arguments)
    assert code == 2 and "of another evaluation: decoder is" in err
    assert json.loads(whole)["decoder"] == json.loads(content.splitlines()[0].decode("utf-8"))["decoder"]


def test_limit_evaluates_so_many(run, photos):
    code, out, _ = run("--engine", TINY, "--data", photos, "--limit", "3", "--json")
    document = json.loads(out)
    assert code == 0 and document["used"] == 3 and document["data"]["available"] == 6


def test_control_c_says_how_to_go_on(run, photos, tmp_path, monkeypatch):
    def interrupt(path, opened):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgenext_deploy.preprocess.photo_batches.read_photo", interrupt)
    code, _, err = run("--engine", TINY, "--data", photos, "--resume", tmp_path / "rows.jsonl")
    assert code == 130 and "the same command goes on from here" in err
    code, _, err = run("--engine", TINY, "--data", photos)
    assert code == 130 and err == "interrupted\n"
    monkeypatch.setattr("edgenext_deploy.preprocess.photo_batches.read_photo",
                        lambda path, opened: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(1.0)))
    code, _, err = run("--engine", TINY, "--data", photos)
    assert code == 143 and err == "interrupted\n"


def test_engines_of_several_tasks_or_classes_are_refused(run, photos, tmp_path):
    code, _, err = run("--engine", TINY, "--engine", write_detector(tmp_path), "--data", photos)
    assert code == 2 and "engines of one task" in err
    other = write_detector(tmp_path, "other", change=lambda data: data.update(labels=list("abcd")))
    code, _, err = run("--engine", write_detector(tmp_path), "--engine", other, "--data", photos)
    assert code == 2 and "another engine has 4 (cup" in err
    code, _, err = run("--engine", tmp_path / "none.onnx", "--data", photos)
    assert code == 3 and "engine not found" in err
    assert run("--data", photos)[0] == 2


def test_a_detector_without_pycocotools_names_the_command(run, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.cocoeval", None)
    code, out, err = run("--engine", write_detector(tmp_path), "--data", photos)
    assert code == 6 and out == "" and 'pip install pycocotools' in err


@pytest.fixture
def coco(tmp_path):
    """Two photos of the detector's; it is right on the cup, wrong on the dog, and the tree is not seen."""
    folder = tmp_path / "coco"
    folder.mkdir()
    frames = (detector_frame((0, 250, 0, 51, 102, 204)), detector_frame((1, 200, 0, 0, 128, 128)))
    for number, frame in enumerate(frames):
        Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1])).save(str(folder / "{}.png".format(number)))
    boxes = ((0, 0, [0, 1.2, 1.6, 3.6]), (1, 1, [2, 3, 2, 3]), (1, 2, [0, 0, 1, 1]))
    document = {
        "images": [{"id": 5 + number, "file_name": "{}.png".format(number), "width": 4, "height": 6}
                   for number in range(2)],
        "categories": [{"id": 10 + index, "name": name} for index, name in enumerate(DETECTOR_LABELS)],
        "annotations": [{"id": number + 1, "image_id": 5 + image, "category_id": 10 + index, "bbox": box,
                         "area": box[2] * box[3], "iscrowd": 0} for number, (image, index, box) in enumerate(boxes)]}
    (folder / detection.DEFAULT_ANNOTATIONS).write_text(json.dumps(document))
    return folder


def test_mean_average_precision(run, coco, tmp_path):
    pytest.importorskip("pycocotools")
    code, out, err = run("--engine", write_detector(tmp_path), "--data", coco, "--json")
    document = json.loads(out)
    assert code == 0 and err == "" and "categories by name" in document["data"]["description"]
    metrics = document["engines"][0]["metrics"]
    # Of three classes that occur, one is found, exactly.
    assert metrics["map"] == metrics["map50"] == pytest.approx(1 / 3, abs=1e-6)
    assert metrics["map_large"] is None
    code, out, _ = run("--engine", write_detector(tmp_path), "--data", coco)
    assert code == 0 and "33.33%" in out and "mAP@.50" in out


def test_annotations_are_utf_8_in_any_locale(coco, tmp_path):
    pytest.importorskip("pycocotools")
    document = json.loads((coco / "instances.json").read_text())
    document["info"] = {"contributor": "Zoë"}
    (coco / "instances.json").write_bytes(json.dumps(document, ensure_ascii=False).encode("utf-8"))
    # As Python 3.6 reads text in the C locale, that of a Jetson's services.
    plain = dict(os.environ, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    done = subprocess.run([sys.executable, "-m", "edgenext_deploy.benchmarks.accuracy.cli", "--json",
                           write_detector(tmp_path), str(coco)], cwd=ROOT, env=plain, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode())["engines"][0]["metrics"]["map"] == pytest.approx(1 / 3, abs=1e-6)


def test_a_detector_that_finds_nothing_has_no_precision(run, coco, tmp_path):
    pytest.importorskip("pycocotools")
    blind = write_detector(tmp_path, change=lambda data: data["detection"].update(score_threshold=1.0))
    code, out, _ = run("--engine", blind, "--data", coco, "--json")
    missed = {"map": 0.0, "map50": 0.0, "map75": 0.0, "map_small": 0.0, "map_medium": None, "map_large": None}
    assert code == 0 and json.loads(out)["engines"][0]["metrics"] == missed
    # Where there is nothing to find, finding nothing is not wrong.
    document = json.loads((coco / "instances.json").read_text())
    (coco / "instances.json").write_text(json.dumps(dict(document, annotations=[])))
    code, out, _ = run("--engine", blind, "--data", coco, "--json")
    assert code == 0 and json.loads(out)["engines"][0]["metrics"] == dict.fromkeys(missed)


def test_annotations_that_are_none(run, coco, tmp_path):
    pytest.importorskip("pycocotools")
    for text in ("[]", "{", "{}", '{"images": [{"id": 1}], "categories": []}'):
        (coco / "instances.json").write_text(text)
        code, out, err = run("--engine", write_detector(tmp_path), "--data", coco)
        assert code == 3 and out == "" and "instances" in err, text


def test_annotations_that_would_fail_after_the_last_image_are_refused_before_the_first(run, coco, tmp_path):
    pytest.importorskip("pycocotools")
    engine, text = write_detector(tmp_path), (coco / "instances.json").read_text()

    def refusal(change):
        document = json.loads(text)
        change(document)
        (coco / "instances.json").write_text(json.dumps(document))
        code, out, err = run("--engine", engine, "--data", coco)
        assert code == 3 and out == ""
        return err

    # As COCO's image_info files of the test sets, which have no truth.
    assert "annotations is missing or wrong" in refusal(lambda document: document.pop("annotations"))
    assert "annotation 2 of 3 has no iscrowd" in refusal(lambda document: document["annotations"][1].pop("iscrowd"))
    assert "annotation 3 of 3 has no area" in refusal(lambda document: document["annotations"][2].pop("area"))
    assert "has the id '5', a whole number expected" in refusal(lambda document: document["images"][0].update(id="5"))


@pytest.fixture
def voc(tmp_path):
    """Two photos, 12x8 and 24x16, of which the segmenter sees three quarters of the pixels right."""
    folder = tmp_path / "voc"
    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).mkdir(parents=True)
    for number, scale in enumerate((1, 2)):
        seen = np.zeros((8 * scale, 12 * scale), np.uint8)
        seen[:, 6 * scale:] = 2
        truth = seen.copy()
        truth[:, 9 * scale:] = 1
        truth[0] = 255
        pixels = np.eye(3, dtype=np.uint8)[seen] * 255
        Image.fromarray(pixels).save(str(folder / "JPEGImages" / "{}.png".format(number)))
        mask = Image.fromarray(truth).convert("P")
        mask.putdata(truth.ravel().tolist())
        mask.putpalette(voc_palette().ravel().tolist())
        mask.save(str(folder / "SegmentationClass" / "{}.png".format(number)))
    return folder


def test_mean_intersection_over_union(run, voc, tmp_path):
    code, out, err = run("--engine", write_segmenter(tmp_path), "--data", voc, "--json")
    document = json.loads(out)
    assert code == 0 and err == "" and document["used"] == 2
    (engine,) = document["engines"]
    # Background right; grass never seen; sky half of what is called sky. Void does not count.
    assert engine["iou"] == {"background": 1.0, "grass": 0.0, "sky": 0.5}
    assert engine["metrics"] == {"miou": pytest.approx(0.5), "pixel_accuracy": pytest.approx(0.75)}
    code, out, _ = run("--engine", write_segmenter(tmp_path), "--data", voc)
    assert code == 0 and "50.00%" in out and "75.00%" in out


def test_a_folder_in_another_layout_is_told_where_the_layout_is_described(run, tmp_path):
    code, _, err = run("--engine", write_segmenter(tmp_path), "--data", tmp_path)
    assert code == 3 and "JPEGImages" in err and "fix: see docs/evaluation.md" in err


def test_lists_of_names(run, voc, tmp_path):
    engine = write_segmenter(tmp_path)
    (voc / "ImageSets" / "Segmentation").mkdir(parents=True)
    (voc / "ImageSets" / "Segmentation" / "val.txt").write_text("1\n")
    code, out, _ = run("--engine", engine, "--data", voc, "--json")
    assert code == 0 and json.loads(out)["used"] == 1
    (tmp_path / "list.txt").write_text("0\n1\n")
    code, out, _ = run("--engine", engine, "--data", voc, "--labels", tmp_path / "list.txt", "--json")
    assert code == 0 and json.loads(out)["used"] == 2
    (tmp_path / "list.txt").write_text("0\n7\n")
    code, _, err = run("--engine", engine, "--data", voc, "--labels", tmp_path / "list.txt")
    assert code == 3 and "no photo '7' (1 of 2 names" in err


def test_masks_that_cannot_be_used_are_named(run, voc, tmp_path):
    masks = voc / "SegmentationClass"
    for name, mask in (("rgb", Image.new("RGB", (12, 8))), ("size", Image.new("L", (3, 3))),
                       ("class", Image.new("L", (12, 8), 9))):
        mask.save(str(masks / (name + ".png")))
        shutil.copyfile(str(voc / "JPEGImages" / "0.png"), str(voc / "JPEGImages" / (name + ".png")))
    code, out, _ = run("--engine", write_segmenter(tmp_path), "--data", voc, "--json")
    reasons = {image["image"]: image["error"] for image in json.loads(out)["unreadable"]}
    assert code == 0 and json.loads(out)["used"] == 2
    assert "has mode RGB" in reasons["rgb"] and "is 3x3, its photo 12x8" in reasons["size"]
    assert "has class 9; 0 to 2 and 255 expected" in reasons["class"]


def test_results_are_not_taken_up_when_a_mask_has_changed(run, voc, tmp_path):
    command = ("--engine", write_segmenter(tmp_path), "--data", voc, "--resume", tmp_path / "rows.jsonl")
    # The list names an image whose mask comes only later.
    (tmp_path / "list.txt").write_text("0\n1\n")
    mask = voc / "SegmentationClass" / "1.png"
    whole = mask.read_bytes()
    mask.unlink()
    code, _, err = run(*command, "--labels", tmp_path / "list.txt")
    assert code == 0 and "1 of 2 images were left out" in err
    mask.write_bytes(whole)
    code, _, err = run(*command, "--labels", tmp_path / "list.txt")
    assert code == 2 and "is of another evaluation: data is" in err


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_reader_that_goes_does_not_cost_the_file(photos, tmp_path, option):
    reading, writing = os.pipe()
    os.close(reading)
    path = tmp_path / "result.json"
    done = subprocess.run([sys.executable, "-m", "edgenext_deploy.benchmarks.accuracy.cli", TINY, str(photos),
                           "--json-file", str(path), *option], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 0 and b"wrote" in done.stderr
    assert json.loads(path.read_text())["used"] == 6


def test_a_cluster_gives_the_same_figures_and_ends_where_the_drive_goes(run, photos, tmp_path, monkeypatch):
    Cluster(a={"CPU": 1.0}, b={"CPU": 1.0}).install(monkeypatch)
    monkeypatch.setattr(on_ray, "PART", 2)
    (photos / "red" / "2.png").write_bytes(b"no photo")
    alone, there = tmp_path / "alone.jsonl", tmp_path / "there.jsonl"
    found = run("--engine", TINY, "--data", photos, "--resume", alone, "--json")
    assert run("--engine", TINY, "--data", photos, "--resume", there, "--json", "--ray", "auto") == found
    assert found[0] == 0 and alone.read_bytes() == there.read_bytes()

    read = photo_batches.read_photo
    monkeypatch.setattr(photo_batches, "read_photo", lambda path, opened: (
        shutil.rmtree(str(photos / "red"), ignore_errors=True), read(path, opened))[1])
    code, _, err = run("--engine", TINY, "--data", photos, "--ray", "auto")
    assert code == 3 and "the folder of" in err and "cannot be read any more" in err


def test_the_bar_goes_from_image_to_image(run, photos, monkeypatch):
    shown = []

    @contextlib.contextmanager
    def show_progress():
        yield lambda fraction, what: shown.append((round(fraction, 3), what))

    monkeypatch.setattr("edgenext_deploy.benchmarks.accuracy.cli.show_progress", show_progress)
    code, _, err = run("--engine", TINY, "--data", photos, "--limit", "4")
    assert code == 0, err
    assert shown == [(0.0, "0 of 4 images"), (0.25, "1 of 4 images"), (0.5, "2 of 4 images"), (0.75, "3 of 4 images")]


def turn(path):
    """Store a photo sideways, with the EXIF orientation that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(str(path)) as image:
        image.transpose(Image.ROTATE_90).save(str(path), exif=exif)


def test_photos_with_an_orientation_are_turned_and_counted(run, photos):
    before = json.loads(run("--engine", TINY, "--data", photos, "--json")[1])
    assert before["turned_upright"] == 0
    for path in photos.glob("*/0.png"):
        turn(path)
    code, out, err = run("--engine", TINY, "--data", photos, "--json")
    after = json.loads(out)
    assert code == 0 and err == "note: 3 of 6 images have an EXIF orientation and were turned upright\n"
    assert after["turned_upright"] == 3 and after["engines"][0]["metrics"] == before["engines"][0]["metrics"]


def test_boxes_of_stored_pixels_are_left_out_and_named(run, coco, tmp_path):
    pytest.importorskip("pycocotools")
    turn(coco / "0.png")
    code, out, err = run("--engine", write_detector(tmp_path), "--data", coco, "--json")
    assert code == 0 and json.loads(out)["engines"][0]["metrics"]["map"] == pytest.approx(1 / 3, abs=1e-6)
    assert "note: 1 of 2 images have an EXIF orientation" in err
    document = json.loads((coco / "instances.json").read_text())
    document["images"][0].update(width=6, height=4)
    (coco / "instances.json").write_text(json.dumps(document))
    code, out, err = run("--engine", write_detector(tmp_path), "--data", coco, "--json")
    assert code == 0 and [image["image"] for image in json.loads(out)["unreadable"]] == ["0.png"]
    assert "for a photo of 6x4 pixels, and upright it has 4x6" in err


def test_masks_are_compared_upright(run, voc, tmp_path):
    turn(voc / "JPEGImages" / "0.png")
    code, out, err = run("--engine", write_segmenter(tmp_path), "--data", voc, "--json")
    assert code == 0 and json.loads(out)["engines"][0]["metrics"]["miou"] == pytest.approx(0.5)
    assert "1 of 2 images have an EXIF orientation" in err
    mask = voc / "SegmentationClass" / "0.png"
    with Image.open(str(mask)) as image:
        image.transpose(Image.ROTATE_90).save(str(mask))
    code, out, err = run("--engine", write_segmenter(tmp_path), "--data", voc, "--json")
    assert code == 0 and "is 8x12, its photo 12x8, upright" in err


def test_the_class_order_decides(run, photos, tmp_path):
    engine = str(tmp_path / "unnamed.onnx")
    shutil.copyfile(TINY, engine)
    with open(os.path.splitext(TINY)[0] + ".json") as stream:
        data = json.load(stream)
    (tmp_path / "unnamed.json").write_text(json.dumps(dict(data, labels=[])))
    for index in range(10):
        shutil.copytree(str(photos / "red"), str(tmp_path / "numbered" / "c{}".format(index + 1)))
    code, out, err = run("--engine", engine, "--data", tmp_path / "numbered")
    assert code == 3 and out == "" and "--class-order text, natural" in err
    for order in ("text", "natural"):
        code, out, _ = run("--engine", engine, "--data", tmp_path / "numbered", "--class-order", order)
        assert code == 0 and order + " order" in out and "c1 is" in out
    code, _, err = run("--engine", write_segmenter(tmp_path), "--data", photos, "--class-order", "text")
    assert code == 2 and "--class-order is for classifiers" in err


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_never_had_images_is_no_drive_that_went(run, tmp_path, there):
    (tmp_path / "list.txt").write_text("a.png red\nb.png blue\n")
    if there:
        (tmp_path / "typo").mkdir()
    code, _, err = run("--engine", TINY, "--data", tmp_path / "typo", "--labels", tmp_path / "list.txt")
    assert code == 3 and "none of 2 images can be used" in err and "check --data" in err and "drive" not in err


def test_an_image_in_a_folder_that_is_not_there_is_left_out(run, coco, tmp_path):
    pytest.importorskip("pycocotools")
    path = coco / "instances.json"
    document = json.loads(path.read_text())
    document["images"].append({"id": 99, "file_name": "elsewhere/a.png"})
    path.write_text(json.dumps(document))
    code, _, err = run("--engine", write_detector(tmp_path), "--data", coco)
    assert code == 0 and "left out elsewhere/a.png: image not found" in err


def test_masks_that_go_with_their_drive_are_not_left_out(run, voc, tmp_path, monkeypatch):
    from edgenext_deploy.benchmarks.accuracy import segmentation

    read, rows = segmentation.read_mask, tmp_path / "rows.jsonl"

    def unmount(path, classes):
        (voc / "SegmentationClass").rename(tmp_path / "away")
        return read(path, classes)

    monkeypatch.setattr(segmentation, "read_mask", unmount)
    arguments = "--engine", write_segmenter(tmp_path), "--data", voc, "--resume", rows
    code, _, err = run(*arguments)
    assert code == 3 and "the folder of" in err and "SegmentationClass" in err
    (tmp_path / "away").rename(voc / "SegmentationClass")
    monkeypatch.undo()
    code, _, err = run(*arguments)
    assert code == 0 and "left out" not in err


def test_a_drive_that_goes_ends_the_evaluation_which_goes_on_later(tmp_path):
    """Its images are not left out as broken ones: the figure would be another."""
    from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate

    for number in range(30):
        folder = tmp_path / "data" / ["red", "blue"][number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 50), [(255, 0, 0), (0, 0, 255)][number % 2]).save(
            str(folder / "{:02d}.png".format(number)))
    data, away, rows = tmp_path / "data", tmp_path / "away", str(tmp_path / "rows.jsonl")

    def unmount(done, total, name):
        if done == 2:
            data.rename(away)

    with pytest.raises(BadInputError, match=r"the folder of .* cannot be read any more"):
        evaluate(TINY, data=str(data), resume=rows, progress=unmount)
    away.rename(data)
    found = evaluate(TINY, data=str(data), resume=rows)
    assert found.used == 30 and 3 <= found.resumed < 30 and not found.unreadable
