"""What --deepstream and --serve write next to an export, and where they refuse."""
import os
import shutil

import pytest
from paths import TINY

from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export.commands.serving import write_serving_files


@pytest.fixture
def exported(tmp_path):
    for ending in (".onnx", ".json"):
        shutil.copy(os.path.splitext(TINY)[0] + ending, str(tmp_path / ("net" + ending)))
    return str(tmp_path / "net.onnx")


def test_a_repository_beside_the_export_or_elsewhere(exported, tmp_path):
    lines = write_serving_files(exported, False, "triton", None)
    assert lines == ["tritonserver --model-repository {}".format(tmp_path / "models")]
    with open(exported, "rb") as graph:
        assert (tmp_path / "models" / "net" / "1" / "model.onnx").read_bytes() == graph.read()
    other = str(tmp_path / "other")
    lines = write_serving_files(exported, False, "triton-tensorrt", other)
    assert lines[0] == "edgenext-build {} -o {}".format(exported, os.path.join(other, "net", "1", "model.plan"))
    assert os.listdir(os.path.join(other, "net", "1")) == []


def test_a_refusal_says_that_the_export_is_there_and_writes_nothing(exported, tmp_path):
    before = sorted(os.listdir(str(tmp_path)))
    with pytest.raises(IncompatibleError, match=r"net\.onnx is exported; the other files are not written: nvinfer"):
        write_serving_files(exported, True, "triton", None)
    assert sorted(os.listdir(str(tmp_path))) == before
