"""Every file compiles under Python 3.6, and the wheel installs and starts there.

Needs a Python 3.6 with the pins of requirements/python36.txt; `make test` makes one and names it.
"""
import os
import subprocess
from pathlib import Path

import paths
import pytest
from sweeps import sweep

ROOT = Path(paths.ROOT)
PYTHON36 = os.environ.get("EDGENEXT_PYTHON36")
FOLDERS = ["edgenext_deploy", "models", "export", "engines", "benchmarks", "examples", "setup.py"]
pytestmark = pytest.mark.skipif(not PYTHON36, reason="EDGENEXT_PYTHON36 names no Python 3.6; make test sets it")

COMPILE = """
import sys
failed = []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as stream:
        try:
            compile(stream.read(), path, "exec", dont_inherit=True)
        except SyntaxError as error:
            failed.append("{}:{}: {}".format(path, error.lineno, error.msg))
print("\\n".join(failed))
sys.exit(bool(failed))
"""


def compile_all(paths):
    return subprocess.run([PYTHON36, "-c", COMPILE, *map(str, paths)], capture_output=True, text=True)


def test_every_file_compiles():
    paths = [path for folder in FOLDERS for path in ([ROOT / folder] if folder.endswith(".py")
                                                    else sorted((ROOT / folder).rglob("*.py")))]
    assert len(paths) > 20
    result = compile_all(paths)
    assert result.returncode == 0, result.stdout


def test_a_newer_grammar_is_noticed(tmp_path):
    planted = tmp_path / "walrus.py"
    planted.write_text("if (n := 3) > 2:\n    pass\n")
    assert compile_all([planted]).returncode == 1


def test_the_wheel_installs_and_starts(wheel, tmp_path):
    target = tmp_path / "site"
    installed = subprocess.run(
        [PYTHON36, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--target", str(target),
         str(wheel)],
        capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    assert "error" not in installed.stderr.lower()
    environment = dict(os.environ, PYTHONPATH=str(target), LC_ALL="C.UTF-8")
    for module in ("edgenext_deploy.run.cli", "edgenext_deploy.benchmarks.commands.cli",
                   "edgenext_deploy.export.commands.cli", "edgenext_deploy.models.cli", "edgenext_deploy.engines.cli",
                   "edgenext_deploy.doctor.cli"):
        shown = subprocess.run([PYTHON36, "-m", module, "--help"], capture_output=True, text=True, env=environment,
                               cwd=str(tmp_path))
        assert shown.returncode == 0, shown.stderr
        assert "Usage" in shown.stdout


def test_exporting_there_says_what_is_missing(wheel, tmp_path):
    environment = dict(os.environ, PYTHONPATH=str(ROOT), LC_ALL="C.UTF-8")
    result = subprocess.run([PYTHON36, "-m", "edgenext_deploy.export.commands.cli", "--variant", "xxs"],
                            capture_output=True, text=True, env=environment, cwd=str(tmp_path))
    assert result.returncode == 6, result.stderr
    assert "Python 3.10" in result.stderr and "Traceback" not in result.stderr


RUN = """
import sys
import numpy as np
import onnxruntime
assert onnxruntime.__version__ == "1.10.0", onnxruntime.__version__
image = np.load(sys.argv[1])
for path in sys.argv[2:]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for spec, value in zip(session.get_outputs(), session.run(None, {"image": image})):
        np.save(path + "." + spec.name + ".npy", value)
"""


VARIANTS = [
    "b", "mobilevit_s", "mobilevit_xs", "mobilevit_xxs", "mobilevitv2_050", "mobilevitv2_100", "mobilevitv2_200", "s",
    "s_bn_hs", "s_rw", "xs", "xs_bn_hs", "xxs", "xxs_bn_hs"]


def test_no_variant_is_left_out():
    pytest.importorskip("numpy")
    from golden_exports import SHAPES

    assert sorted(SHAPES) == VARIANTS


@pytest.mark.parametrize("variant", sweep(VARIANTS, always=["xxs", "xxs_bn_hs", "mobilevit_xxs", "mobilevitv2_050"]))
def test_onnxruntime_1_10_runs_every_nano_file(variant, nano_export, tmp_path):
    np = pytest.importorskip("numpy")
    from golden_exports import GOLDEN
    from golden_parameters import image

    np.save(tmp_path / "image.npy", image(256, 256))
    path = nano_export(variant).onnx_path
    subprocess.run([PYTHON36, "-c", RUN, str(tmp_path / "image.npy"), path], check=True)
    found, expected = np.load(path + ".logits.npy"), GOLDEN["{}_256x256".format(variant)]
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-4


def test_onnxruntime_1_10_runs_both_heads(nano_head, tmp_path):
    np = pytest.importorskip("numpy")
    from edgenext_deploy.artifacts import golden
    from edgenext_deploy.engines.selftest.golden_test import golden_outputs
    from edgenext_deploy.preprocess import photo

    for variant in ("xxs_ssdlite", "xxs_deeplabv3"):
        result = nano_head(variant)
        manifest = result.manifest
        pixels = golden.golden_batch(manifest.golden.seed, manifest.inputs[0].shape)
        np.save(tmp_path / "image.npy", photo.normalise(pixels, manifest.preprocessing))
        subprocess.run([PYTHON36, "-c", RUN, str(tmp_path / "image.npy"), result.onnx_path], check=True)
        for name, expected in golden_outputs(manifest).items():
            found = np.load("{}.{}.npy".format(result.onnx_path, name))
            assert found.shape == expected.shape
            if name == "classes":
                assert found.dtype == np.int32 and (found == expected).mean() > 0.999
            else:
                assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-4, name
