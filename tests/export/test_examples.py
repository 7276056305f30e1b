"""The examples that train and show: they run, and what they print and write is so."""
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import paths
import pytest
import torch
from exports import quick_export
from PIL import Image

from edgenext_deploy import Classifier
from edgenext_deploy.data import path_of
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.networks.labels import load_labels
from edgenext_deploy.runtime.options import RuntimeOptions

GROUPS = {"animals": 11, "vehicles": 8, "food": 5}  # the labels in their order


@pytest.fixture(autouse=True)
def _examples(monkeypatch):
    """Let the examples be imported, and give the process its number of threads back."""
    monkeypatch.syspath_prepend(str(Path(paths.ROOT, "examples")))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


def test_the_demo_ends_in_answers_accuracy_picture_latency_and_the_next_command(tmp_path, monkeypatch, capsys):
    import demo

    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "reachable", lambda host: False)
    run(monkeypatch, demo, "--pretrained", "--output", tmp_path)
    out = capsys.readouterr().out
    assert out.startswith("github.com did not answer within 5 s: going on with the network that ships\n")
    for label in ("icons/cat/0.jpg", "FP32", "FP16", "95 % confidence, 128 pictures", "Latency", "edgenext-run"):
        assert label in out
    assert "random" not in out
    rows = [line.split() for line in out.splitlines() if line.startswith("  icons/")]
    assert sum(row[0].split("/")[1] == row[1] for row in rows) == len(rows) == 8
    assert Image.open(str(tmp_path / "answers.png")).size == (960, 480)


def test_a_host_that_is_not_there_is_not_waited_for(monkeypatch):
    import demo

    monkeypatch.setattr(demo, "PATIENCE_S", 0.2)
    asked = threading.Event()

    def wait(*_):
        asked.wait(30)
        raise OSError

    monkeypatch.setattr(demo.socket, "create_connection", wait)
    start = time.perf_counter()
    assert not demo.reachable("example.invalid")
    assert time.perf_counter() - start < 10
    asked.set()


def test_finetuned_classes_go_into_an_engine(tmp_path, monkeypatch, capsys):
    import finetune

    labels = iter(load_labels("icons32"))
    for group, count in GROUPS.items():
        (tmp_path / "photos" / group).mkdir(parents=True)
        for label in [next(labels) for _ in range(count)]:
            for picture in Path(path_of("icons", label)).iterdir():
                (tmp_path / "photos" / group / (label + picture.name)).write_bytes(picture.read_bytes())
    torch.set_num_threads(1)
    checkpoint = tmp_path / "mine.pth"
    run(monkeypatch, finetune, tmp_path / "photos", "--out", checkpoint, "--epochs", 4)
    out = capsys.readouterr().out
    right, total = (int(word) for word in out.split("held out: ")[1].split(" right")[0].split(" of "))
    assert total == 19 and right >= 15
    record = torch.load(checkpoint, weights_only=True)
    assert record["pretrained_cfg"]["label_names"] == sorted(GROUPS) and record["arch"] == "icons"
    result = quick_export(ExportRequest(
        "icons", tmp_path / "engine", weights=checkpoint))
    with Classifier(result.engine_path, runtime=RuntimeOptions(threads=1)) as classify:
        assert classify.labels == tuple(sorted(GROUPS))
        assert classify(path_of("icons", "bus", "0.jpg"))[0].label == "vehicles"


@pytest.mark.real
def test_the_commands_of_the_tutorial_that_need_no_board(tmp_path):
    page = Path(paths.ROOT, "docs", "tutorial.md").read_text(encoding="utf-8")
    steps = re.split(r"^## ", page, flags=re.M)
    blocks = [block for step in steps if step[0] in "234" for block in re.findall(r"```\n(.*?)```", step, flags=re.S)]
    assert len(blocks) == 3
    for folder in ("edgenext_deploy", "examples"):
        (tmp_path / folder).symlink_to(Path(paths.ROOT, folder))
    environment = dict(os.environ, OMP_NUM_THREADS="1", PATH=os.path.dirname(sys.executable) + ":" + os.environ["PATH"])
    done = subprocess.run(["bash", "-e", "-c", "\n".join(blocks)], cwd=str(tmp_path), env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout
    assert "mine.onnx" in done.stdout and (tmp_path / "seen.png").is_file()


def test_the_training_script_runs(tmp_path, monkeypatch, capsys):
    import icon_pictures
    import train_icons

    def drawings(sets, folder):
        images = torch.zeros(80, 4, icon_pictures.GLYPH, icon_pictures.GLYPH, dtype=torch.uint8)
        images[:, 3, 20:70, 20:70] = 255
        return images, torch.arange(80) % 32, torch.arange(80) < 40

    monkeypatch.setattr(train_icons, "drawings", drawings)
    monkeypatch.setattr(train_icons, "BATCH", 8)
    run(monkeypatch, train_icons, "--out", tmp_path, "--steps", 3)
    assert "held-out style:" in capsys.readouterr().out
    assert (tmp_path / "icons32.txt").read_bytes() == Path(path_of("icons32.txt")).read_bytes()
    assert Image.open(str(tmp_path / "icons" / "cat" / "3.jpg")).size == (96, 96)
    result = quick_export(ExportRequest("icons", tmp_path, weights=tmp_path / "icons.safetensors", num_classes=32))
    assert not result.manifest.weights.random


def test_the_same_seed_paints_the_same_pictures():
    import icon_pictures

    drawing = torch.full((2, 4, 96, 96), 200, dtype=torch.uint8)
    first, second, third = (icon_pictures.Painter(seed).paint(drawing, torch.tensor([True, False])).numpy()
                            for seed in (1, 1, 2))
    assert first.shape == (2, 3, 96, 96) and first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, second) and not np.array_equal(first, third)


def test_the_camera_app_ends_in_one_line_where_the_engine_is_missing():
    done = subprocess.run([sys.executable, os.path.join(paths.ROOT, "examples", "camera_app.py"), "no.onnx", "synthetic://"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and done.stderr.decode().startswith("error: engine not found: no.onnx")
    assert len(done.stderr.splitlines()) == 1
