"""edgenext-eval on small engines that name colours, boxes and brightest channels."""
import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from paths import ROOT, TINY
from PIL import Image
from tiny_tasks import write_detector, write_segmenter

pytest.importorskip("onnxruntime")


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


def test_limit_evaluates_so_many(run, photos):
    code, out, _ = run("--engine", TINY, "--data", photos, "--limit", "3", "--json")
    document = json.loads(out)
    assert code == 0 and document["used"] == 3 and document["data"]["available"] == 6


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


