"""The wheel: what is in it, and that it works where it is installed and in the checkout's root alike."""
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import paths
import pytest

ROOT = Path(paths.ROOT)


def test_the_wheel_is_universal_and_complete(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for expected in ("edgenext_deploy/py.typed", "edgenext_deploy/models/registry.py", "edgenext_deploy/export/cli.py",
                     "edgenext_deploy/benchmarks/commands/cli.py", "edgenext_deploy/data/trt_operators.json",
                     "edgenext_deploy/data/photos/cat.jpg", "edgenext_deploy/runtime/ort.py"):
        assert expected in names
    assert not [name for name in names if name.split("/")[0] in ("models", "export", "engines", "benchmarks", "tests")]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel)],
                   check=True, capture_output=True)
    return target


@pytest.mark.parametrize("module", ["models.registry", "export.request", "benchmarks.statistics", "engines"])
def test_stages_import_from_an_install_and_from_the_checkout(installed, module, tmp_path):
    code = "import importlib; print(importlib.import_module('edgenext_deploy.{}').__file__)".format(module)
    environment = dict(os.environ, PYTHONPATH=str(installed))
    for folder, expected in ((tmp_path, installed), (ROOT, ROOT)):
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=str(folder),
                                env=environment)
        assert result.returncode == 0, result.stderr
        assert Path(result.stdout.strip()).is_relative_to(expected)


def test_versions_agree(installed, tmp_path):
    code = ("import edgenext_deploy, importlib.metadata\n"
            "print(edgenext_deploy.__version__ == importlib.metadata.version('edgenext-deploy'))")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=str(tmp_path),
                            env=dict(os.environ, PYTHONPATH=str(installed)))
    assert result.stdout.strip() == "True", result.stderr
