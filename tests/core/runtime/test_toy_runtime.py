"""A runtime from one new file: networks, commands and reports open its engines like any other."""
import importlib
import io
import json
import os
import shutil
import sys

import numpy as np
import pytest
from paths import DATA, ROOT

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import GraphFile
from edgenext_deploy.commands.entry import run_command
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import sha256_of_bytes
from edgenext_deploy.networks.open import open_network
from edgenext_deploy.runtime.open import open_session
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.table import RUNTIMES

PHOTO = os.path.join(ROOT, "edgenext_deploy", "data", "photos", "cat.jpg")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Import the file as a user would; return the path of an engine of that runtime."""
    for name, runtime in list(RUNTIMES.items()):
        monkeypatch.setitem(RUNTIMES, name, runtime)  # what is added is taken out again
    sys.modules.pop("toy_runtime", None)
    importlib.import_module("toy_runtime")
    manifest = manifests.read(os.path.join(DATA, "tiny_classifier.json"))
    classes = manifest.outputs[0].shape[1]
    stream = io.BytesIO()
    np.save(stream, np.linspace(-1, 1, 3 * classes).reshape(3, classes).astype(np.float32))
    (tmp_path / "net.toy").write_bytes(stream.getvalue())
    graph = GraphFile("net.toy", sha256_of_bytes(stream.getvalue()), len(stream.getvalue()), 13, 7)
    (tmp_path / "net.json").write_bytes(manifests.dump(manifest._replace(graph=graph)))
    yield str(tmp_path / "net.toy")
    RUNTIMES.pop("toy", None)


def said(capsys, command, *arguments):
    with pytest.raises(SystemExit) as stopped:
        run_command(command, list(arguments))
    out = capsys.readouterr()
    return stopped.value.code, out.out, out.err


def test_a_network_and_a_session_open_it(toy):
    with open_network(toy) as network:
        assert network.session.describe()["runtime"] == "toy"
        assert network(np.zeros((40, 50, 3), np.uint8))[0].probability > 0.1
    with open_session(toy, options=RuntimeOptions(runtime="toy")) as session:
        image = np.ones(session.inputs[0].shape, np.float32)
        session.submit(image)
        assert np.array_equal(session.collect()[0], session.infer(image))


def test_the_commands_run_it(toy, capsys):
    cli = importlib.import_module("edgenext_deploy.run.cli")
    code, out, err = said(capsys, cli.command, "--engine", toy, "--json", PHOTO)
    assert code == 0, err
    assert json.loads(out)


def test_a_report_shows_it(toy, capsys):
    cli = importlib.import_module("edgenext_deploy.benchmarks.commands.cli")
    code, out, err = said(capsys, cli.bench_command, toy, "--iterations", "20", "--warmup", "0", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["records"]
    assert row["session"]["runtime"] == "toy"
    code, out, err = said(capsys, cli.bench_command, toy, "--iterations", "20", "--warmup", "0")
    assert code == 0 and "toy 1.0" in " ".join(out.split()).lower(), out


def test_errors_name_it(toy, tmp_path):
    shutil.copy(toy, str(tmp_path / "net.onnx"))
    with pytest.raises(UsageError, match=r"Toy runtime does not run .*: it opens \.toy files"):
        open_session(str(tmp_path / "net.onnx"), options=RuntimeOptions(runtime="toy"))
    with pytest.raises(UsageError) as caught:
        open_session(toy, options=RuntimeOptions(runtime="tow"))
    assert "toy" in str(caught.value)


def test_it_is_gone_after_a_test(tmp_path):
    (tmp_path / "net.toy").write_bytes(b"x")
    with pytest.raises(BadInputError, match="is not an engine"):
        open_session(str(tmp_path / "net.toy"))
