"""Whole commands as a user starts them, in processes that import the real bindings and a real pycuda."""
import json
import os
import subprocess

import pytest
from command_lines import scripts
from doubles import gpu
from paths import CAT, ROOT, TESTS
from real.nvidia import children, places

pytestmark = pytest.mark.real

NANO, NEWEST, LAST_10 = ("8.6", "2022.1", "3.6"), ("11.4", "2026.1", "3.11"), ("10.16", "2026.1", "3.11")
PACKAGES = os.path.join(places.HERE, "packages")


@pytest.fixture(params=[NANO, LAST_10, NEWEST], ids=children.name)
def command(request, tmp_path):
    """Return a function from a command line to the finished process; it runs where ``tiny_classifier.plan`` lies."""
    release, pycuda, python = request.param
    settings = children.environment(request.param)
    settings.update(
        LD_LIBRARY_PATH=places.LIBRARIES, EDGENEXT_DOUBLE_KERNELS=places.KERNELS, COLUMNS="160",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        PYTHONPATH=os.pathsep.join([ROOT, TESTS, PACKAGES, places.pycuda(pycuda, python)]))
    gpu.write_plan(tmp_path, release)

    def run(name, *arguments):
        module, function = scripts()[name].split(":")
        code = "import sys; from {} import {}; sys.argv[0] = {!r}; {}()".format(module, function, name, function)
        done = subprocess.run(
            [children.interpreter(python), "-c", code, *arguments], env=settings, cwd=str(tmp_path),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=200)
        assert done.returncode == 0, done.stdout
        assert "Traceback" not in done.stdout and "PyCUDA" not in done.stdout, done.stdout
        return done.stdout

    run.release, run.pycuda, run.folder = release, pycuda, tmp_path
    return run


def test_a_photo(command):
    text = command("edgenext-run", "tiny_classifier.plan", CAT)
    assert "tensorrt {}".format(command.release) in text and "Double GPU" in text and "brown" in text


@pytest.mark.parametrize("where", ["gpu", "cpu"])
def test_a_synthetic_camera(command, where):
    text = command("edgenext-run", "tiny_classifier.plan", "synthetic://64x48@60", "--frames", "5", "--json",
                   "--preprocess-on", where)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    frames = [line for line in lines if line["type"] == "frame"]
    assert len(frames) == 5 and lines[-1]["reason"] == "frame limit"
    assert {frame["predictions"][0]["label"] for frame in frames} == {"black"}


def test_a_measurement(command):
    command("edgenext-bench", "tiny_classifier.plan", "--duration", "0.2", "--json-file", "report.json")
    with open(str(command.folder / "report.json")) as stream:
        report = json.load(stream)
    assert "Double GPU" in json.dumps(report) and "tiny_classifier.plan" in json.dumps(report)


def test_the_doctor(command):
    text = command("edgenext-doctor")
    found = {line.split()[1]: line for line in text.splitlines() if line.startswith(("ok ", "note "))}
    assert command.release in found["tensorrt"] and command.pycuda in found["pycuda"]
    assert "compute capability 8.7" in found["driver"] and "TensorRT on the GPU (.plan): yes" in text


def test_inspect(command):
    text = command("edgenext-build", "inspect", "tiny_classifier.plan")
    assert text.splitlines()[-1].split() == ["runs", "here", "yes"]
