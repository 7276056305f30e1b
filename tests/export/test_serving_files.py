"""What --deepstream and --serve write next to an export, and where they refuse."""
import os
import shlex
import shutil

import exports
import onnx
import pytest
from adoption_files import FOLDER
from command_lines import run_here
from paths import TINY

from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError
from edgenext_deploy.export import open_batch_step
from edgenext_deploy.export.commands.cli import export_command
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


def test_a_graph_that_was_changed_after_its_export_is_not_served(exported):
    with open(exported, "ab") as graph:
        graph.write(b"\x7a\x00")  # an empty metadata entry
    for kind in ("triton", "triton-tensorrt"):
        with pytest.raises(BadInputError, match="is not the file its manifest describes"):
            write_serving_files(exported, False, kind, None)


def test_what_the_user_changed_is_replaced_with_force_alone(exported, tmp_path):
    write_serving_files(exported, False, "triton", None)
    write_serving_files(exported, False, "triton", None)
    config = tmp_path / "models" / "net" / "config.pbtxt"
    written = config.read_text()
    config.write_text(written.replace("count: 1", "count: 4"))
    with pytest.raises(UsageError, match=r"config\.pbtxt is there and says something else"):
        write_serving_files(exported, False, "triton", None)
    assert "count: 4" in config.read_text()
    write_serving_files(exported, False, "triton", None, force=True)
    assert config.read_text() == written


def test_commands_to_paste_take_any_folder(exported, tmp_path):
    folder = str(tmp_path / "my models")
    lines = write_serving_files(exported, False, "triton-tensorrt", folder)
    assert [shlex.split(line)[-1] for line in lines] == [os.path.join(folder, "net", "1", "model.plan"), folder]


def test_a_repository_that_is_a_file_is_an_error_of_usage(exported):
    for kind in ("triton", "triton-tensorrt"):
        with pytest.raises(UsageError, match="cannot write"):
            write_serving_files(exported, False, kind, exported)


def test_a_refusal_says_that_the_export_is_there_and_writes_nothing(exported, tmp_path):
    before = sorted(os.listdir(str(tmp_path)))
    with pytest.raises(IncompatibleError, match=r"net\.onnx is exported; the other files are not written: nvinfer"):
        write_serving_files(exported, True, "triton", None)
    assert sorted(os.listdir(str(tmp_path))) == before


def test_a_graph_for_any_batch_is_served_and_the_export_stays(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(open_batch_step, "build_with_rtx", exports.build_nothing)
    with open(exported, "rb") as graph:
        before = graph.read()
    lines = write_serving_files(exported, False, "triton", None, 4)
    assert lines[0].startswith("# batch 1 to 4: 1, 3 and 4 images in ONNX Runtime give what each alone gives, to ")
    assert "nothing more against it" in lines[0]
    with open(exported, "rb") as graph:
        assert graph.read() == before
    folder = tmp_path / "models" / "net"
    assert "max_batch_size: 4" in (folder / "config.pbtxt").read_text()
    served = onnx.load(str(folder / "1" / "model.onnx"))
    assert [info.type.tensor_type.shape.dim[0].dim_param for info in served.graph.input] == ["batch"]


def test_a_batch_that_cannot_be_open_says_so_and_writes_nothing(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(open_batch_step, "PARITY_TOLERANCE", -1.0)
    before = sorted(os.listdir(str(tmp_path)))
    with pytest.raises(IncompatibleError, match=r"is exported; .* not written: this network's batch cannot be open"):
        write_serving_files(exported, False, "triton", None, 4)
    assert sorted(os.listdir(str(tmp_path))) == before


@pytest.mark.parametrize("words, message", [
    (["--max-batch", "4"], "--serve is missing"), (["--repository", "there"], "--serve is missing"),
    (["--serve", "triton-tensorrt", "--max-batch", "4"], "builds plans of one batch"),
    (["--serve", "triton", "--max-batch", "4", "--batch", "2"], "--batch asks for 2"),
    (["--nms", "plugin", "--deepstream"], "has another one built"),
    (["--nms", "plugin", "--serve", "triton"], "has another one built")])
def test_options_that_do_not_go_together(words, message, capsys, tmp_path):
    code, _, err = run_here(capsys, export_command, "xxs", "-o", tmp_path, *words)
    assert code == 2 and message in err and os.listdir(str(tmp_path)) == []
    if not {"--batch", "--nms"} & set(words):
        code, _, err = run_here(capsys, export_command, "adopt", TINY, "-o", tmp_path, *words)
        assert code == 2 and message in err and os.listdir(str(tmp_path)) == []


@pytest.mark.sweep
def test_an_adopted_network_is_served_too(export_here, tmp_path, monkeypatch):
    monkeypatch.setattr(open_batch_step, "build_with_rtx", exports.build_nothing)
    found = export_here("adopt", FOLDER / "shufflenet_v2_17.onnx", "-o", tmp_path, "--name", "net", "--fit", "stretch",
                        "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--serve", "triton", "--max-batch", "3")
    assert found.returncode == 0, found.stderr
    assert "# batch 1 to 3: " in found.stdout and "tritonserver" in found.stdout
    assert "max_batch_size: 3" in (tmp_path / "models" / "net" / "config.pbtxt").read_text()
    # A classifier that ends in logits is nothing for nvinfer; a detector's tensors are handed over.
    words = ["--fit", "stretch", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--deepstream"]
    found = export_here("adopt", FOLDER / "shufflenet_v2_17.onnx", "-o", tmp_path, "--name", "net", *words)
    assert found.returncode == 4 and "gives logits" in found.stderr, found.stderr
    found = export_here("adopt", FOLDER / "ssdlite_mobilenet_v3_17.onnx", "-o", tmp_path, "--name", "boxes", "--task",
                        "detection", *words)
    assert found.returncode == 0, found.stderr
    assert "network-type=100" in (tmp_path / "boxes.nvinfer.txt").read_text()
