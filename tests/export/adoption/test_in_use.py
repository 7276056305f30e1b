"""Adopted networks in the commands that people use: accuracy, photos, a video, latency."""
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import onnxruntime
import paths
import pytest
from adoption_files import FOLDER, NETWORKS, TASKS, adopted_network
from command_lines import run_here
from sweeps import sweep

from edgenext_deploy.benchmarks.accuracy.cli import eval_command
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.data import path_of
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.run.cli import command as run_command

PHOTOS = ("cat.jpg", "coffee.jpg", "rocket.jpg")
FILES = [f"{name}_{opset}" for name in NETWORKS for opset in (17, 20)]
CLASSIFIERS = [file for file in FILES if file.rpartition("_")[0] not in TASKS]


def classes_of(file, preprocessing):
    """Return the class that the file itself gives each photo."""
    session = onnxruntime.InferenceSession(str(FOLDER / f"{file}.onnx"), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return {photo: int(np.argmax(session.run(None, {name: preprocess(path_of("photos", photo), preprocessing)})[0]))
            for photo in PHOTOS}


@pytest.mark.parametrize("file", sweep(CLASSIFIERS, always=["shufflenet_v2_20"]))
def test_accuracy_is_that_of_the_file(file, tmp_path, capfd):
    result = adopted_network(file, tmp_path, name="theirs")
    data = tmp_path / "data"
    classes = classes_of(file, result.manifest.preprocessing)
    wrong = (classes["cat.jpg"] + 1) % 10
    for photo, number in [*classes.items(), ("cat.jpg", wrong)]:
        (data / str(number)).mkdir(parents=True, exist_ok=True)
        shutil.copy(path_of("photos", photo), data / str(number) / photo)
    code, out, err = run_here(capfd, eval_command, result.onnx_path, data, "--json")
    assert code == 0, err
    assert json.loads(out)["engines"][0]["metrics"]["top1"] == 0.75


@pytest.mark.parametrize("file", sweep(FILES, always=[]))
def test_photos_a_stream_and_its_latency(file, tmp_path, capfd):
    result = adopted_network(file, tmp_path, name="theirs")
    photos = path_of("photos", "cat.jpg").rpartition("/")[0]
    code, out, err = run_here(capfd, run_command, result.onnx_path, photos, "--stream", "--every-frame", "--json")
    assert code == 0, err
    frames = [json.loads(line) for line in out.splitlines()]
    assert len([frame for frame in frames if "latency_ms" in str(frame)]) >= len(PHOTOS), out
    code, out, err = run_here(capfd, bench_command, result.onnx_path, "--duration", "0.05", "--warmup", "0.05")
    assert code == 0 and "theirs" in out, err
    done = subprocess.run([sys.executable, os.path.join(paths.ROOT, "examples", "camera_app.py"), result.onnx_path,
                           "synthetic://320x240@30?frames=3"], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, PYTHONPATH=paths.ROOT))
    assert done.returncode == 0 and "ms after the frame" in done.stdout, done.stderr
