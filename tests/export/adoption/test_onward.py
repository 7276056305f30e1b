"""Adopted networks further on: TensorRT-RTX, the builder, the self-test, Python 3.6."""
import os
import subprocess

import pytest
from adoption_files import FOLDER, NETWORKS, TASKS, adopted_network
from command_lines import run_here
from doubles import gpu
from engine_cases import install, request
from sweeps import sweep

from edgenext_deploy.data import path_of
from edgenext_deploy.engines.builder import build
from edgenext_deploy.engines.cli import command as build_command
from edgenext_deploy.engines.precision.mode import export_command
from edgenext_deploy.export.adoption.adopt import adopt_file
from edgenext_deploy.export.adoption.request import AdoptRequest

PYTHON36 = os.environ.get("EDGENEXT_PYTHON36")


@pytest.mark.real
@pytest.mark.parametrize("file", sweep(
    [f"{name}_{opset}" for name in NETWORKS for opset in (17, 20)],
    always=["convnext_17", "vit_20", "swin_17", "deeplabv3_mobilenet_v3_20", "ssdlite_mobilenet_v3_17"]))
def test_nvidias_parser_and_builder_take_it(file, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    task = TASKS.get(file.rpartition("_")[0], "classification")
    for target in ("nano", "a100"):
        result = adopt_file(AdoptRequest(FOLDER / f"{file}.onnx", str(tmp_path), task=task, fp16=True, target=target))
        assert result.rtx.ok, result.rtx.reason


@pytest.mark.parametrize(("file", "release", "target"), [
    ("mobilenet_v3_20", "8.2", "nano"), ("vit_17", "10.3", "orin"), ("convnext_20", "11.1", "a100")])
def test_a_plan_is_built_with_its_pins(monkeypatch, file, release, target, tmp_path):
    result = adopted_network(file, tmp_path, fp16=True, target=target)
    install(monkeypatch, release)
    assert build(request(result.onnx_path, precision="fp16")) is not None


@pytest.mark.parametrize("file", ["shufflenet_v2_20", "deeplabv3_mobilenet_v3_17", "ssdlite_mobilenet_v3_20"])
def test_the_self_test_of_its_plan_passes(monkeypatch, capfd, file, tmp_path):
    result = adopted_network(file, tmp_path, name="theirs")
    gpu.install(monkeypatch, "8.6")
    (tmp_path / "device").mkdir()
    plan = gpu.write_plan(tmp_path / "device", "8.6", result.onnx_path, "theirs")
    code, out, err = run_here(capfd, build_command, "test", plan)
    assert code == 0 and "passed" in out, err


def test_the_builders_advice_names_the_file(tmp_path):
    manifest = adopted_network("deeplabv3_mobilenet_v3_20", tmp_path).manifest
    assert export_command(manifest, "a100", fp16=True) == (
        "edgenext-export adopt deeplabv3_mobilenet_v3_20.onnx --task segmentation --target a100 "
        "--name deeplabv3_mobilenet_v3_20_nano --fp16 --force")


@pytest.mark.skipif(not PYTHON36, reason="EDGENEXT_PYTHON36 names no Python 3.6; make test sets it")
def test_python_36_runs_it(tmp_path):
    result = adopted_network("vit_20", tmp_path)
    ran = subprocess.run([PYTHON36, "-m", "edgenext_deploy.run.cli", result.onnx_path, path_of("photos", "cat.jpg")],
                         capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
