import json
import os
import shutil
import subprocess
import sys

import pytest
from command_lines import run_here
from paths import ROOT
from PIL import Image

from edgenext_deploy.data import path_of
from edgenext_deploy.run import cli

pytest.importorskip("onnxruntime")

TINY = os.path.join(ROOT, "tests", "data", "tiny_classifier.onnx")
COFFEE = path_of("photos", "coffee.jpg")


@pytest.fixture
def run(capsys):
    """Run edgenext-run in this process; returns (exit code, stdout, stderr)."""
    def call(*arguments, engine=TINY):
        return run_here(capsys, cli.command, *(() if engine is None else ("--engine", engine)), *arguments)

    return call


@pytest.fixture
def red(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 50), (255, 0, 0)).save(str(path))
    return path


def test_a_photo_or_a_manifest_given_as_the_engine_is_named(run, red):
    for given in (COFFEE, os.path.splitext(TINY)[0] + ".json"):
        code, _, err = run(red, engine=given)
        assert code == 3 and given + " is not an engine: a name ending in .onnx or .plan expected" in err, err


def test_json_goes_to_a_file_beside_the_text_but_never_over_what_is_read(run, red, tmp_path):
    path = tmp_path / "seen.json"
    code, out, _ = run(red, "--json-file", path)
    assert code == 0 and "red" in out
    document = json.loads(path.read_text())
    assert document["images"][0]["predictions"][0]["label"] == "red"
    code, out, _ = run(red, "--json-file", path, "--json")
    assert json.loads(out)["images"][0]["image"] == json.loads(path.read_text())["images"][0]["image"]
    for guarded in (TINY, os.path.splitext(TINY)[0] + ".json", red):
        code, out, err = run(red, "--json-file", guarded)
        assert code == 2 and out == "" and "--json-file would write over" in err


def test_two_outputs_in_one_file_and_an_output_over_the_labels_are_refused(run, red, tmp_path):
    labels, rows = tmp_path / "labels.json", tmp_path / "rows.json"
    labels.write_text(json.dumps(["name {}".format(index) for index in range(10)]))
    for option in ("--json-file", "--resume"):
        code, _, err = run(red, "--labels", labels, option, labels)
        assert code == 2 and option + " would write over a file that is read" in err
    code, _, err = run(red, "--resume", rows, "--json-file", rows)
    assert code == 2 and "two outputs go to" in err and not rows.exists()


def test_a_photo_that_may_not_be_read_does_not_stop_the_others(run, red, tmp_path, monkeypatch):
    locked = str(tmp_path / "locked.png")
    shutil.copyfile(str(red), locked)
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: path != locked and access(path, mode, **more))
    code, out, err = run(locked, red)
    assert code == 3 and "image cannot be read (permission denied): " + locked in err and str(red) in out


def test_an_engine_that_may_not_be_read_is_a_bad_file(run, red, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: path != TINY and access(path, mode, **more))
    code, _, err = run(red)
    assert code == 3 and "engine cannot be read (permission denied): " + TINY in err


def test_table_names_rank_label_probability_and_times(run, red):
    code, out, err = run(red, "--top-k", "2")
    assert code == 0 and err == ""
    for word in ("rank", "label", "probability", "preprocess", "inference", " ms", "onnxruntime", str(red)):
        assert word in out
    lines = [line for line in out.splitlines() if "%" in line]
    assert len(lines) == 2 and "1" in lines[0] and "red" in lines[0]
    assert "random" not in out


def test_the_first_photos_time_has_no_imports(tmp_path):
    photo = str(tmp_path / "red.webp")
    Image.new("RGB", (64, 64), (255, 0, 0)).save(photo)
    code = ("import sys\nfrom edgenext_deploy.preprocess.photo_batches import PhotoReader\nread = PhotoReader.read\n"
            "def look(*arguments):\n    before = set(sys.modules)\n    photo = read(*arguments)\n"
            "    print('imported', sorted(set(sys.modules) - before))\n    return photo\n"
            "PhotoReader.read = look\nfrom edgenext_deploy.run.cli import main\nmain()\n")
    out = subprocess.run([sys.executable, "-c", code, "--threads", "1", TINY, photo], cwd=ROOT,
                         stdout=subprocess.PIPE, universal_newlines=True).stdout
    assert "imported []" in out


def test_json_is_the_only_thing_on_stdout(run, red):
    code, out, err = run(red, COFFEE, "--json", "--threads", "1")
    document = json.loads(out)
    assert code == 0 and err == ""
    assert document["random_weights"] is False and "warning" not in document
    assert document["session"]["threads"] == 1 and document["variant"] == "tiny"
    assert [image["image"] for image in document["images"]] == [str(red), COFFEE]
    best = document["images"][0]["predictions"][0]
    assert best["label"] == "red" and best["index"] == 3 and 0.5 < best["probability"] <= 1.0
    assert document["images"][0]["inference_ms"] > 0 and len(document["images"][0]["predictions"]) == 5


def test_random_weights_are_told_in_every_output(run, red, random_engine):
    code, out, _ = run(red, COFFEE, "--anyway", engine=random_engine)
    assert code == 0 and out.count("random weights") == 3  # once for all, and once for each photo
    assert "rank" in out and "%" in out
    _, out, _ = run(red, "--json", engine=random_engine)
    document = json.loads(out)
    assert document["random_weights"] is True and "random weights" in document["warning"]


def test_random_weights_give_parity_and_latency_but_no_labels(run, red, random_engine, tmp_path):
    code, out, _ = run(red, "--save", tmp_path / "seen.png", engine=random_engine)
    assert code == 0 and "parity with PyTorch" in out and "inference" in out and "--anyway" in out
    assert "rank" not in out and "%" not in out
    assert (tmp_path / "seen.png").is_file()


def test_bad_photo_among_good_ones_is_reported_and_the_others_classified(run, red, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    code, out, err = run(red, bad, tmp_path / "none.jpg", COFFEE)
    assert code == 3
    assert str(red) in out and COFFEE in out
    lines = err.splitlines()
    assert len(lines) == 2 and "bad.jpg" in lines[0] and "none.jpg" in lines[1]
    code, out, err = run(red, bad, COFFEE, "--json")
    images = json.loads(out)["images"]
    assert code == 3 and ["error" in image for image in images] == [False, True, False]
    assert images[1]["image"] == str(bad) and "is not an image" in images[1]["error"]


def test_folder_stands_for_its_photos_sorted(run, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.PNG", "a.png", ".hidden.png"):
        Image.new("RGB", (40, 50), (0, 255, 0)).save(str(folder / name))
    (folder / "notes.txt").write_text("not a photo")
    (folder / "deeper").mkdir()
    names = sorted(os.listdir(str(folder)), reverse=True)
    monkeypatch.setattr(os, "listdir", lambda path: names)
    code, out, _ = run(folder, "--json")
    assert code == 0
    assert [os.path.basename(image["image"]) for image in json.loads(out)["images"]] == ["a.png", "b.PNG"]


def test_folder_without_photos_is_bad_input(run, red, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, err = run(tmp_path / "empty", red, "--json")
    assert code == 3 and "no photo in the folder" in err
    assert len(json.loads(out)["images"]) == 2


def test_labels_file(run, red, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("\n".join("[bold]name{}[/bold]".format(index) for index in range(10)))
    code, out, _ = run(red, "--labels", path)
    assert code == 0 and "[bold]name3[/bold]" in out
    path.write_text("one\n")
    code, out, err = run(red, "--labels", path)
    assert code == 3 and out == "" and "1 labels found, 10 expected" in err


def test_file_name_with_markup_or_bytes_that_are_no_text(run, tmp_path):
    for name in ("[red]x[bold].png", "größe.png", os.fsdecode(b"\xff\xfe.png"), "a\nerror: forged.png"):
        path = str(tmp_path / name)
        Image.new("RGB", (40, 50), (255, 0, 0)).save(path)
    for arguments in ((), ("--json",)):
        code, out, err = run(tmp_path, *arguments)
        assert code == 0 and err == ""
    code, out, _ = run(tmp_path)
    assert "[red]x[bold].png" in out and out.count("cyan") == 0 and out.count("probability") == 4
    assert "a\\nerror: forged.png" in out and not any(line.startswith("error: ") for line in out.splitlines())
    code, _, err = run(str(tmp_path / os.fsdecode(b"\xff.jpg")))
    assert code == 3 and "not found" in err
    (tmp_path / "x\nforged.jpg").write_bytes(b"\xff\xd8\xff")
    code, _, err = run(tmp_path / "x\nforged.jpg")
    assert code == 3 and len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments, code, message", [
    ([], 2, "no photo and no stream given"),
    (["x.jpg", "--top-k", "0"], 2, "top-k"), (["x.jpg", "--threads", "0"], 2, "threads"),
    (["x.jpg", "--no-such-option"], 2, "no-such-option")])
def test_usage_errors(run, arguments, code, message):
    found, out, err = run(*arguments)
    assert found == code and out == "" and message in err


def test_the_engine_may_stand_alone_first_or_last_and_without_its_ending(run, red, tmp_path, monkeypatch):
    engine = str(tmp_path / "net.onnx")
    shutil.copyfile(TINY, engine)
    shutil.copyfile(TINY[:-5] + ".json", engine[:-5] + ".json")
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = json.loads(run(red, "--json", engine=engine)[1])["images"][0]["predictions"]
    for words in ((engine, red), (red, engine), (engine[:-5], red), ("~/net", red), ("--engine=~/net.onnx", red)):
        code, out, _ = run(*words, "--json", engine=None)
        assert code == 0 and json.loads(out)["images"][0]["predictions"] == wanted


@pytest.mark.parametrize("words, message", [
    (["a.jpg"], "no engine among the arguments: a.jpg"), ([], "no engine among the arguments: none"),
    (["a.jpg", "b.onnx", "c.plan"], "more than one engine")])
def test_what_is_missing_is_said_with_a_command_that_works(run, words, message):
    code, out, err = run(*words, engine=None)
    assert code == 2 and out == "" and message in err and "fix: edgenext-run xxs.onnx photo.jpg" in err


def test_an_engine_alone_is_named_in_the_command_that_works(run):
    code, out, err = run("my net.onnx", engine=None)
    assert code == 2 and out == "" and "no photo and no stream" in err and "edgenext-run 'my net.onnx' PHOTO.jpg" in err


def test_a_name_that_fits_two_engines_is_not_guessed(run, red, tmp_path):
    for ending in (".onnx", ".plan"):
        (tmp_path / ("net" + ending)).write_bytes(b"x")
    code, _, err = run(str(tmp_path / "net"), red, engine=None)
    assert code == 2 and "net.onnx or " in err and "name the one that is meant" in err


def test_engine_problems_come_before_any_photo(run, red, tmp_path):
    code, out, err = run(red, engine=str(tmp_path / "none.onnx"))
    assert code == 3 and out == "" and "engine not found" in err and "fix:" in err
    empty = tmp_path / "empty.onnx"
    empty.write_bytes(b"")
    assert run(red, engine=str(empty))[0] == 3
    cut = tmp_path / "cut.onnx"
    with open(TINY, "rb") as stream:
        cut.write_bytes(stream.read()[:100])
    shutil.copyfile(os.path.splitext(TINY)[0] + ".json", str(tmp_path / "cut.json"))
    code, _, err = run(red, engine=str(cut))
    assert code == 3 and "not the file its manifest describes" in err


def test_help_and_version_are_light():
    script = (
        "import sys\n"
        "from edgenext_deploy.run.cli import main\n"
        "sys.argv = ['edgenext-run', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'PIL', 'rich', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    assert "IMAGE" in done.stdout and "--engine" in done.stdout


def test_it_runs_as_a_program(red):
    done = subprocess.run([sys.executable, "-m", "edgenext_deploy.run.cli", "--engine", TINY, "--json", str(red)],
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)["images"][0]["predictions"][0]["label"] == "red"


def test_fast_decode_is_recorded_and_refused_where_every_pixel_counts(run, red, tmp_path):
    large = str(tmp_path / "large.jpg")
    Image.new("RGB", (800, 640), (255, 0, 0)).save(large)
    whole, fast = (json.loads(run(large, red, "--json", *more)[1]) for more in ((), ("--fast-decode",)))
    assert fast["fast_decode"] is True and "fast_decode" not in whole
    assert fast["images"][0]["decoded_at"] == "1/2" and "decoded_at" not in fast["images"][1]
    assert fast["images"][1]["predictions"] == whole["images"][1]["predictions"]
    assert fast["images"][0]["predictions"][0]["label"] == whole["images"][0]["predictions"][0]["label"] == "red"
    assert ", decoded at 1/2 of its size" in run(large, "--fast-decode")[1]
    for arguments, message in ((("--save", tmp_path / "seen.png"), "--save needs every pixel"),
                               (("--stream",), "a stream's frames are taken as they come")):
        code, out, err = run(tmp_path if "--stream" in arguments else red, "--fast-decode", *arguments)
        assert code == 2 and out == "" and message in err


def test_json_of_many_photos_is_that_of_the_whole_document(run, red, tmp_path, monkeypatch):
    from edgenext_deploy.run import photo_document

    monkeypatch.setattr(photo_document, "_KEPT_BYTES", 1000)
    (tmp_path / "many").mkdir()
    for index in range(20):
        shutil.copyfile(str(red), str(tmp_path / "many" / '"images": []{}.png'.format(index)))
    code, out, _ = run(tmp_path / "many", "--json", "--json-file", tmp_path / "seen.json")
    document = json.loads(out)
    assert code == 0 and len(document["images"]) == 20 and out == json.dumps(document, indent=2) + "\n"
    assert (tmp_path / "seen.json").read_text() == out
