"""docs/api.md lists exactly the public names, and its examples run.

Where there is no GPU the plan is built by the double of TensorRT, in the child process that builds; the rest is real.
"""
import importlib
import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import pytest
from doubles import tensorrt_double
from import_graph import FACES, ROOT
from paths import DATA, TESTS

from edgenext_deploy.machine.environment import Environment

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = [(title, code) for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.S | re.M)
            for code in re.findall(r"```python\n(.*?)```", body, flags=re.S)]
# What a child process finds as `tensorrt`.
STAND_IN = """
import sys
sys.path.insert(0, {tests!r})
from doubles.tensorrt_double import make
sys.modules["tensorrt"] = make({release!r})
"""
RELEASE = "8.2"


def names_in(page, package):
    """Return the names in the table of one package, in the page's order."""
    (table,) = re.findall(r"^### `{}`\n(.*?)(?=^#|\Z)".format(re.escape(package)), page, flags=re.S | re.M)
    return [name for row in table.splitlines() if row.startswith("| `")
            for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


@pytest.mark.parametrize("package", FACES)
def test_the_page_lists_exactly_the_public_names(package):
    assert sorted(names_in(PAGE, package)) == sorted(importlib.import_module(package).__all__)


def test_a_name_too_many_or_too_few_would_be_found():
    assert names_in("### `a.b`\n\n| name | what |\n|---|---|\n| `x`, `y` | `z` |\n\n## More\n| `w` | |\n", "a.b") == [
        "x", "y"]


def test_there_is_an_example_of_each_use_and_each_is_short():
    assert len(EXAMPLES) >= 8
    assert {title: len(code.splitlines()) for title, code in EXAMPLES if len(code.splitlines()) > 10} == {}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with what the examples name, made once: a small engine, a photo and a checkpoint."""
    from safetensors.torch import save_file

    from edgenext_deploy.models.factory import create_model

    folder = tmp_path_factory.mktemp("api")
    for name in ("xxs", "other"):
        shutil.copy(str(Path(DATA, "tiny_classifier.onnx")), str(folder / (name + ".onnx")))
        shutil.copy(str(Path(DATA, "tiny_classifier.json")), str(folder / (name + ".json")))
    shutil.copy(str(ROOT / "edgenext_deploy" / "data" / "photos" / "cat.jpg"), str(folder / "photo.jpg"))
    save_file(create_model("xxs").state_dict(), str(folder / "mine.safetensors"))
    return folder


@pytest.fixture
def builder(monkeypatch, tmp_path):
    """Make this machine, and the children it starts, one with a Nano's GPU and TensorRT 8.2 (a double)."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "tensorrt.py").write_text(STAND_IN.format(tests=TESTS, release=RELEASE))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(site))
    here = Environment("linux-aarch64", tensorrt=tensorrt_double.RELEASES[RELEASE], gpu="Double",
                       compute_capability="5.3")
    for module in ("edgenext_deploy.engines.onnx_to_plan", "edgenext_deploy.artifacts.plan_check"):
        monkeypatch.setattr(importlib.import_module(module), "present_environment", lambda: here)
    yield
    sys.modules.pop("tensorrt", None)


@pytest.mark.parametrize("title, code", EXAMPLES, ids=[
    "{}-{}".format(index, title.replace(" ", "-")) for index, (title, _) in enumerate(EXAMPLES)])
def test_an_example_runs(title, code, files, builder, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "work"
    shutil.copytree(str(files), str(folder))
    monkeypatch.chdir(folder)
    names = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "this form of the call", DeprecationWarning)
        exec(compile(code, "docs/api.md: " + title, "exec"), names)
    shown = capsys.readouterr().out
    assert shown.strip() or "print" not in code
    if "export_onnx" in names:
        manifest = json.loads((folder / "exported" / "xxs.json").read_text(encoding="utf-8"))
        assert len(manifest["outputs"][0]["shape"]) == 2 and manifest["outputs"][0]["shape"][1] == 10
        assert not manifest["weights"]["random"] and manifest["precision"]["requested"] == "fp16"
    if "build_plan" in names:
        assert names["found"].runs_here and (folder / "xxs.plan.json").exists()
    if "check_onnx" in names:
        assert "nano" in names["verdicts"].targets
    if "measure" in names:
        assert len(names["report"].records) == 2 and (folder / "run.html").stat().st_size > 5000
    if "Camera" in names and "serve" not in names:
        assert names["result"].frame.image.shape == (48, 64, 3)
