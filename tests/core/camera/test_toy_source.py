"""A source from one new file: cameras, commands, help texts and the doctor know it like any other."""
import importlib
import json
import os
import sys

import pytest
from paths import ROOT

from edgenext_deploy import Camera, register_source
from edgenext_deploy.camera.folder import FolderSource
from edgenext_deploy.camera.open import SOURCES, forms, is_stream, parse_address
from edgenext_deploy.commands.entry import run_command
from edgenext_deploy.doctor.board_checks import check_cameras
from edgenext_deploy.errors import UsageError
from edgenext_deploy.run import cli

TINY = os.path.join(ROOT, "tests", "data", "tiny_classifier.onnx")


@pytest.fixture
def toy():
    """Import the file as a user would."""
    before = dict(SOURCES)
    sys.modules.pop("toy_source", None)
    importlib.import_module("toy_source")
    yield
    SOURCES.clear()
    SOURCES.update(before)


def said(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        run_command(cli.command, list(arguments))
    out = capsys.readouterr()
    return stopped.value.code, out.out, out.err


def test_a_camera_opens_it(toy):
    assert is_stream("toy://3") and parse_address("toy://3") == ("toy", "3", {})
    with Camera("toy://3", every_frame=True) as camera:
        assert [camera.read(5.0).image[0, 0, 0] for _ in range(3)] == [1, 2, 3]


def test_the_command_runs_it(toy, capsys):
    pytest.importorskip("onnxruntime")
    code, out, err = said(capsys, "--engine", TINY, "toy://4", "--every-frame", "--json")
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["source"] == "toy://4" and lines[-1]["processed"] == 4


def test_help_and_errors_and_the_doctor_list_it(toy, capsys):
    code, out, _ = said(capsys, "--help")
    assert code == 0 and "toy://10" in out
    for wrong, message in (("toy://x", "write toy://10"), ("bowl://1", "toy://10")):
        with pytest.raises(UsageError) as caught:
            parse_address(wrong)
        assert message in str(caught.value)

    class NoCameras:
        def glob(self, pattern):
            return []

    assert "toy://10" in check_cameras(NoCameras(), None).found


def test_it_is_gone_after_a_test(capsys):
    assert "toy" not in SOURCES and "toy://10" not in said(capsys, "--help")[1]
    with pytest.raises(UsageError, match="unknown kind of source"):
        parse_address("toy://3")


def test_the_built_in_kinds_are_imported_only_when_they_are_opened():
    assert list(SOURCES) == ["csi", "v4l2", "rtsp", "synthetic", "folder", "file"]
    assert all(isinstance(kind.make, str) and callable(kind.maker()) for kind in SOURCES.values())
    assert forms() == ("csi://0, /dev/video0, rtsp://HOST/PATH, synthetic://640x480@30, a folder of photos or "
                       "a video file")
    assert forms(local=False).startswith("rtsp://HOST/PATH, ")


def test_what_cannot_be_registered():
    for name, settings in (("csi", {"is_path": os.path.isdir}), ("toy", {}), ("toy", {"starts": ["toy://"]}),
                           ("toy", {"starts": ["toy://"], "pattern": "x", "is_path": os.path.isdir})):
        with pytest.raises(UsageError):
            register_source(name, form="x", make=FolderSource, **settings)
    assert "toy" not in SOURCES
