"""edgenext-run --resume and --ray: a row a line, the same bytes after an interruption and from a cluster."""
import contextlib
import errno
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time

import pytest
from command_lines import run_here
from doubles import gpu
from doubles.ray_double import Cluster
from paths import ROOT, TINY
from PIL import Image

from edgenext_deploy.artifacts.row_file import RowFile
from edgenext_deploy.cluster import on_ray
from edgenext_deploy.machine import environment
from edgenext_deploy.preprocess import photo
from edgenext_deploy.run import cli
from edgenext_deploy.run.photo_document import PhotoDocument

pytest.importorskip("onnxruntime")
COLORS = [(255, 0, 0), (0, 0, 255), (0, 255, 0)]


@pytest.fixture
def run(capsys):
    def call(*arguments):
        return run_here(capsys, cli.command, "--engine", TINY, *arguments)

    return call


@pytest.fixture
def folder(tmp_path):
    """Eleven photos, one of which is none."""
    for index in range(10):
        Image.new("RGB", (40 + index, 50), COLORS[index % 3]).save(str(tmp_path / "{:02d}.png".format(index)))
    (tmp_path / "04b.png").write_bytes(b"no photo")
    return tmp_path


def test_a_run_goes_on_where_it_stopped(run, folder, tmp_path):
    rows, half, seen = tmp_path / "rows.jsonl", tmp_path / "half.jsonl", tmp_path / "seen.json"
    code, out, err = run("--resume", rows, "--json-file", seen, folder)
    assert code == 3 and "04b.png is not an image" in err and out.count("preprocess") == 10
    lines = rows.read_bytes().splitlines(True)
    parsed = [json.loads(line) for line in lines[1:]]
    assert [row["image"] for row in parsed] == sorted(map(str, folder.glob("*.png")))
    assert "error" in parsed[5] and all("preprocess_ms" not in row for row in parsed)
    whole = json.loads(seen.read_text())
    assert whole["images"] == parsed
    for kept in (0, 1, 4, 8, len(lines)):
        half.write_bytes(b"".join(lines[:kept]) + (lines[kept][:7] if kept < len(lines) else b""))
        code, out, err = run("--resume", half, "--json-file", seen, folder)
        assert code == 3 and half.read_bytes() == rows.read_bytes()
        assert json.loads(seen.read_text()) == whole
        assert ("{} of 11 photos were answered before".format(kept - 1) in err) == (kept > 1)
        assert ("1 of those cannot be used" in err) == (kept > 6)


def test_pictures_of_a_run_that_goes_on_are_those_of_a_whole_one(run, folder, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(str(folder), str(folder / name), ignore=shutil.ignore_patterns("a", "b"))
    shutil.copy(str(folder / "01.png"), str(folder / "b" / "00-2.png"))
    rows, drawn, photos = tmp_path / "rows.jsonl", tmp_path / "drawn", (folder / "a", folder / "b")
    arguments = "--resume", rows, "--save", drawn, "--json-file", tmp_path / "seen.json"

    def made():
        return rows.read_bytes(), (tmp_path / "seen.json").read_bytes(), {
            path.name: path.read_bytes() for path in drawn.glob("*")}

    run(*arguments, *photos)
    whole = made()
    assert len(whole[2]) == 21 and "00-3.png" in whole[2]
    for kept in (4, 15, 17):
        rows.write_bytes(b"".join(whole[0].splitlines(True)[:kept]))
        assert run(*arguments, *photos)[0] == 3
        assert made() == whole
    for other in ((), ("--save", tmp_path / "elsewhere")):
        code, _, err = run("--resume", rows, *other, *photos)
        assert code == 2 and "is of another run: save is" in err


def test_rows_of_another_run_are_refused_and_left_as_they_are(run, folder, tmp_path, monkeypatch):
    rows = tmp_path / "rows.jsonl"
    run("--resume", rows, folder)
    content = rows.read_bytes()
    for other in (["--top", "1", folder], ["--fast-decode", folder], [folder / "00.png"]):
        code, _, err = run("--resume", rows, *other)
        assert code == 2 and "is of another run" in err, err
    with monkeypatch.context() as patch:
        patch.setattr("PIL.__version__", "8.3.2")  # another one's pixels
        code, _, err = run("--resume", rows, folder)
        assert code == 2 and "is of another run: decoder is " in err and 'here it is "Pillow 8.3.2, lib' in err
    swapped = content.splitlines(True)
    rows.write_bytes(b"".join([swapped[0], swapped[2], swapped[1]]))
    code, _, err = run("--resume", rows, folder)
    assert code == 3 and "line 2 is not of the photo that comes there" in err
    code, _, err = run("--resume", rows, "synthetic://")
    assert code == 2 and "--resume is for photos" in err
    code, _, err = run("--resume", folder / "00.png", folder)
    assert code == 2 and "write over a photo" in err


@pytest.mark.parametrize("gone", ["unmounted", "stale"])
def test_a_drive_that_goes_ends_the_run_and_no_photo_counts_as_broken(run, folder, tmp_path, monkeypatch, gone):
    rows, alone = tmp_path / "rows.jsonl", tmp_path / "alone.jsonl"
    run("--resume", alone, folder)
    away = tmp_path.parent / (tmp_path.name + "-away")
    add, seen = RowFile.add, []

    def add_and_unmount(file, row):
        add(file, row)
        seen.append(row)
        if len(seen) == 7:  # the header and six photos
            folder.rename(away)
            if gone == "unmounted":
                folder.mkdir()

    photos = folder / "photos"
    photos.mkdir()
    for path in folder.glob("*.png"):
        path.rename(photos / path.name)
    folder = photos
    monkeypatch.setattr(RowFile, "add", add_and_unmount)
    code, _, err = run("--resume", rows, "--readers", "1", folder)
    assert code == 3 and "the folder of" in err and ("it is empty" if gone == "unmounted" else "No such file") in err
    assert "the same command goes on from here" in err and b"error" not in rows.read_bytes().splitlines()[-1]
    monkeypatch.undo()
    if gone == "unmounted":
        folder.rmdir()
    away.rename(folder)
    code, _, err = run("--resume", rows, folder)
    assert code == 3 and rows.read_bytes().count(b"error") == 1 and rows.read_bytes().count(b"\n") == 12


@pytest.mark.parametrize("error, said", [(MemoryError(), "memory"), (OSError(errno.EMFILE, "x"), "open files")],
                         ids=["memory", "files"])
def test_a_system_that_gives_no_more_is_no_broken_photo(run, folder, tmp_path, monkeypatch, error, said):
    def upright(image, mode):
        if image.width == 45:
            raise error
        return image.convert(mode)

    monkeypatch.setattr(photo, "upright", upright)
    rows = tmp_path / "rows.jsonl"
    code, _, err = run("--resume", rows, folder)
    assert code == 6 and "the system gives no more " + said in err
    monkeypatch.undo()
    assert run("--resume", rows, folder)[0] == 3 and rows.read_bytes().count(b"error") == 1


def test_ctrl_c_says_how_to_go_on(folder, tmp_path):
    for index in range(400):
        shutil.copy(str(folder / "00.png"), str(folder / "1{:03d}.png".format(index)))
    rows = tmp_path / "rows.jsonl"
    process = subprocess.Popen([sys.executable, "-m", "edgenext_deploy.run.cli", "--resume", str(rows), "--json",
                                TINY, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (rows.exists() and rows.read_bytes().count(b"\n") > 20):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and out == b"" and b"the same command goes on from here" in err
    assert 20 < rows.read_bytes().count(b"\n") < 412


@pytest.mark.parametrize("where", [(), ("--ray", "auto")])
def test_ctrl_c_while_the_document_is_written_says_so_too(run, folder, tmp_path, monkeypatch, where):
    def finish(document, head):
        raise KeyboardInterrupt

    Cluster(a={"CPU": 1.0}).install(monkeypatch)
    monkeypatch.setattr(PhotoDocument, "finish", finish)
    code, _, err = run("--resume", tmp_path / "rows.jsonl", *where, folder)
    assert code == 130 and "the same command goes on from here" in err


def test_a_reader_that_goes_does_not_cost_the_files(folder, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    rows, seen = tmp_path / "rows.jsonl", tmp_path / "seen.json"
    command = [sys.executable, "-m", "edgenext_deploy.run.cli", TINY, str(folder)]
    done = subprocess.run([*command, "--resume", str(rows), "--json-file", str(seen)], cwd=ROOT, stdout=writing,
                          stderr=subprocess.PIPE)
    assert done.returncode == 3 and b"04b.png is not an image" in done.stderr and done.stderr.count(b"\n") == 1
    assert len(json.loads(seen.read_text())["images"]) == 11 and rows.read_bytes().count(b"\n") == 12
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 0 and done.stderr == b""


def test_the_bar_on_a_terminal_takes_nothing_of_the_json(folder):
    reading, terminal = pty.openpty()
    done = subprocess.run([sys.executable, "-m", "edgenext_deploy.run.cli", "--json", TINY, str(folder)], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=terminal, env=dict(os.environ, TERM="xterm"))
    os.close(terminal)
    assert done.returncode == 3 and len(json.loads(done.stdout.decode())["images"]) == 11
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is gone
        while True:
            shown += os.read(reading, 65536)
    os.close(reading)
    # The bar's library wraps lines.
    assert b"of 11 photos" in shown and b"04b.png is not an image" in b" ".join(shown.split())


def test_a_cluster_gives_the_same_rows(run, folder, tmp_path, monkeypatch):
    cluster = Cluster(a={"CPU": 1.0}, b={"CPU": 1.0}).install(monkeypatch)
    monkeypatch.setattr(on_ray, "PART", 2)
    deaths = iter([False, True])
    cluster.dies = lambda node, method: method == "results" and next(deaths, False)
    alone, there, seen = tmp_path / "alone.jsonl", tmp_path / "there.jsonl", tmp_path / "seen.json"
    run("--resume", alone, folder)
    code, out, err = run("--ray", "auto", "--resume", there, "--json-file", seen, folder)
    assert code == 3 and "04b.png is not an image" in err and "parts of the photos were done again" in err
    assert there.read_bytes() == alone.read_bytes() and "11 photos" in out
    document = json.loads(seen.read_text())
    assert document["images"] == [json.loads(line) for line in alone.read_bytes().splitlines()[1:]]
    assert document["ray"]["parts_repeated"] and document["session"]["runtime"] == "onnxruntime"
    there.write_bytes(b"".join(alone.read_bytes().splitlines(True)[:6]))
    run("--ray", "auto", "--resume", there, folder)
    assert there.read_bytes() == alone.read_bytes()
    code, out, _ = run("--ray", "auto", "--json", folder, tmp_path / "nowhere.png")
    assert code == 3 and json.loads(out)["images"][:-1] == document["images"]


def test_each_node_takes_its_plan_or_none(capsys, folder, tmp_path, monkeypatch):
    """On doubles of Ray and of TensorRT: the node with the double's GPU works, another kind of GPU is told to build."""
    plans = tmp_path / "plans"
    plans.mkdir()
    gpu.install(monkeypatch, "10.3")
    gpu.write_plan(plans, "10.3")
    gpu.write_plan(plans, "10.3", name="other", capability="7.2")
    plain = environment.present_environment()._replace(gpu="Double GPU", compute_capability="8.7")
    here = ["a"]
    monkeypatch.setattr(environment, "present_environment", lambda: plain._replace(
        compute_capability="8.7" if here[0] == "a" else "9.0"))
    cluster = Cluster(a={"GPU": 1.0}, b={"GPU": 1.0}, head={"CPU": 4.0}).install(monkeypatch)
    cluster.dies = lambda node, method: here.__setitem__(0, node)
    code, out, err = run_here(capsys, cli.command, "--engine", plans, "--ray", "auto", "--json", folder)
    document = json.loads(out)
    assert code == 3 and len(document["images"]) == 11 and document["session"]["runtime"] == "tensorrt"
    assert "(host-b): no plan in {}".format(plans) in err and "other-sm90.plan" in err
    assert {node for node, method in cluster.calls if method == "results"} == {"a"}
    del cluster.nodes["a"]
    code, _, err = run_here(capsys, cli.command, "--engine", plans, "--ray", "auto", "--json", folder)
    assert code == 4 and "build one on this machine: edgenext-build other.onnx" in err


def test_what_a_cluster_does_not_do_is_refused(run, folder, tmp_path, monkeypatch):
    Cluster(a={"CPU": 1.0}).install(monkeypatch)
    for wrong, message in ((["--save", tmp_path / "drawn", "--json"], "--save draws"), ([], "prints no tables"),
                           (["--threshold", "0.5", "--json"], "--threshold is for")):
        code, _, err = run("--ray", "auto", *wrong, folder)
        assert code == 2 and message in err, err
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = run("--ray", "auto", "--json", folder)
    assert code == 6 and "Ray cannot be imported" in err
    assert os.listdir(str(tmp_path))
