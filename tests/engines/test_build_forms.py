"""Plans of graphs in every form: the builder of the double takes them, and the self-test runs them."""
import os
import shutil

import pytest
from command_lines import run_here
from doubles import gpu
from engine_cases import install, request
from paths import DATA

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.engines.builder import build
from edgenext_deploy.engines.cli import command

FORMS = ["tiny_batch", "tiny_features", "tiny_probabilities", "tiny_pixels"]


def copied(folder, name):
    for ending in (".onnx", ".json"):
        shutil.copy(os.path.join(DATA, name + ending), str(folder))
    return str(folder / (name + ".onnx"))


@pytest.mark.parametrize("release", ["8.2", "8.6", "10.3", "11.1"])
@pytest.mark.parametrize("name", FORMS)
def test_a_plan_is_built(monkeypatch, tmp_path, name, release):
    if name == "tiny_pixels" and release == "8.2":
        pytest.skip("8.2 has no uint8")
    install(monkeypatch, release)
    path = copied(tmp_path, name)
    plan = build(request(path, precision="fp32"))
    assert plan is not None


@pytest.mark.parametrize("release", gpu.RELEASES)
@pytest.mark.parametrize("name", FORMS)
def test_its_self_test_passes(monkeypatch, capfd, tmp_path, name, release):
    pytest.importorskip("onnxruntime")
    if name == "tiny_pixels" and release == "8.2":
        pytest.skip("8.2 has no uint8")
    gpu.install(monkeypatch, release)
    plan = gpu.write_plan(tmp_path, release, os.path.join(DATA, name + ".onnx"), name)
    assert manifests.read(manifests.manifest_path(plan)).outputs[0].shape[0] in (1, 2, 3)
    code, out, err = run_here(capfd, command, "test", plan)
    assert code == 0 and "passed" in out, err
