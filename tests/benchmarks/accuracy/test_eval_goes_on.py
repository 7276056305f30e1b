"""edgenext-eval is interrupted and taken up again; folders go while it reads them; a cluster does its work."""
import json
import os
import shutil
import signal
import time

import pytest
from doubles.ray_double import Cluster
from paths import TINY
from PIL import Image
from tiny_tasks import write_detector, write_segmenter

from edgenext_deploy.cluster import on_ray
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess import photo_batches

pytest.importorskip("onnxruntime")


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
