import json
import os

import numpy as np
import pytest
from command_lines import run_here
from sweeps import examples

onnx = pytest.importorskip("onnx")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from verdict_models import constant, mean_with_axes_input, model, one_node, save, small_network, tensor  # noqa: E402

from edgenext_deploy.errors import BadInputError  # noqa: E402
from edgenext_deploy.export.verdict import judge, reading  # noqa: E402
from edgenext_deploy.export.verdict.cli import check_command  # noqa: E402
from edgenext_deploy.export.verdict.reading import load_model  # noqa: E402


@pytest.fixture
def run(capsys):
    """Run the command as the console script does, without NVIDIA's parser; give exit code, stdout and stderr."""

    def call(*arguments):
        return run_here(capsys, check_command, *arguments, "--no-real")

    return call


def test_a_good_file_gives_the_table_and_exit_code_0(tmp_path, run):
    code, out, err = run(save(tmp_path, small_network()))
    assert (code, err) == (0, "")
    assert "opset 13, IR version 7, 2 nodes" in out
    for release in judge.documented_releases():
        assert release in out
    assert "not supported" not in out
    assert "targets that can run it: nano, xavier," in out


def test_the_target_decides_the_exit_code(tmp_path, run):
    path = save(tmp_path, mean_with_axes_input())
    code, out, err = run(path)
    assert (code, err) == (0, "")
    assert "targets that can run it: thor" in out
    assert run(path, "--target", "a100")[0] == 0
    code, out, err = run(path, "--target", "nano")
    assert code == 4
    assert "8.2" in out  # the table is there as well
    for part in ("nano", "'n'", "ReduceMean", "every axis"):
        assert part in err


def test_one_problem_of_many_releases_is_told_once(tmp_path, run):
    _, out, _ = run(save(tmp_path, one_node("Gelu", opset=20)))
    assert out.count("Gelu node 'n'") == 1
    assert out.count("not supported") == 6


def test_json_is_all_there_is_on_stdout(tmp_path, run):
    path = save(tmp_path, mean_with_axes_input())
    code, out, err = run(path, "--json", "--target", "nano")
    data = json.loads(out)
    assert code == 4
    assert "every axis" in err
    assert (data["file"], data["opset"], data["ir_version"], data["nodes"]) == (path, 18, 7, 1)
    assert tuple(data["verdicts"]) == judge.documented_releases()
    assert data["verdicts"]["8.2"]["supported"] is False
    assert data["verdicts"]["10.0"]["supported"] is True
    assert data["targets"]["nano"]["accepted"] is False
    assert any("ReduceMean node 'n'" in problem for problem in data["targets"]["nano"]["problems"])
    assert data["targets"]["a100"] == {"accepted": True, "problems": []}


def test_an_unknown_target_is_a_usage_error_that_suggests_the_nearest(tmp_path, run):
    code, out, err = run(save(tmp_path, small_network()), "--target", "nanno")
    assert (code, out) == (2, "")
    assert "did you mean 'nano'" in err


def external_data(path):
    made = small_network()
    onnx.save_model(made, path, save_as_external_data=True, location="weights.bin", size_threshold=0)


def external_data_in_a_subgraph(path):
    node = helper.make_node("Constant", [], ["t"], value=constant("v", [1.0], np.float32))
    stored = node.attribute[0].t
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="/etc/hostname")
    branch = helper.make_graph([node], "branch", [], [tensor("t", (1,))])
    made = model([helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)],
                 [tensor("flag", (), TensorProto.BOOL)], [tensor("y", (1,))])
    onnx.save(made, path)


def checker_refuses(path):
    onnx.save(one_node("Relu", alpha_that_is_not_there=1.0), path)


def shapes_contradict(path):
    onnx.save(one_node("Relu", (4, 4), output_shape=(4, 5)), path)


def written(content):
    def make(path):
        with open(path, "wb") as stream:
            stream.write(content)
    return make


@pytest.mark.parametrize(("make", "word"), [
    (lambda path: None, "not found"),
    (os.mkdir, "not a file"),
    (written(b""), "empty"),
    (written(b"\x89PNG\r\n\x1a\n" + b"x" * 100), "not an ONNX"),
    (written(b'{"schema": 1}'), "not an ONNX file"),
    (written(b"\x08\x07"), "no graph"),  # valid protobuf: ir_version 7, nothing else
])
def test_bad_files_are_refused_in_one_line(tmp_path, run, make, word):
    path = str(tmp_path / "bad.onnx")
    make(path)
    code, out, err = run(path)
    assert (code, out) == (3, "")
    message, fix = err.splitlines()
    assert word in message
    assert path in message
    assert fix.startswith("  fix: ")


@pytest.mark.parametrize("make", [external_data, external_data_in_a_subgraph])
def test_weights_in_another_file_are_not_needed(tmp_path, run, make):
    path = str(tmp_path / "model.onnx")
    make(path)
    (tmp_path / "weights.bin").unlink(missing_ok=True)
    code, out, err = run(path)
    assert (code, err) == (0, "") and "targets that can run it: nano" in out


@pytest.mark.parametrize(("make", "word"), [
    (checker_refuses, "alpha_that_is_not_there"),
    (shapes_contradict, "Inferred shape and existing shape differ"),
    (lambda path: onnx.save(small_network(ir_version=99), path), "IR"),
])
def test_what_only_onnx_s_checker_minds_is_a_finding(tmp_path, run, make, word):
    path = str(tmp_path / "odd.onnx")
    make(path)
    code, out, err = run(path)
    assert (code, err) == (0, "")
    assert "warning: ONNX's checker, which the parsers do not ask: " in out and word in out


def test_a_file_that_may_not_be_read(tmp_path):
    path = save(tmp_path, small_network())
    os.chmod(path, 0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(BadInputError, match="permission denied"):
        load_model(path)


def test_a_file_over_two_gigabytes_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = save(tmp_path, small_network())
    monkeypatch.setattr(reading, "_MOST_BYTES", os.path.getsize(path) - 1)
    with pytest.raises(BadInputError, match="at most"):
        load_model(path)


def judged_or_refused(path):
    """Read a damaged file: a refusal or a verdict, nothing else. Returns whether it was refused."""
    try:
        made = load_model(path)
    except BadInputError as error:
        assert "\n" not in str(error)
        return True
    assert len(judge.judge_all(made)) == len(judge.documented_releases())
    return False


def test_a_truncated_file_is_refused_or_judged(tmp_path):
    content = small_network().SerializeToString()
    path = tmp_path / "cut.onnx"
    refused = 0
    lengths = range(1, len(content), 10)
    for length in lengths:
        path.write_bytes(content[:length])
        refused += judged_or_refused(str(path))
    # Protobuf has no end mark, so a cut between two fields can leave a smaller valid model; that is rare.
    assert refused >= len(lengths) - 2


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(edits=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 6)), min_size=1,
                      max_size=4))
def test_a_damaged_file_is_refused_or_judged(tmp_path_factory, edits):
    content = bytearray(mean_with_axes_input().SerializeToString())
    for position, new, removed in edits:
        at = position % len(content)
        content[at:at + removed] = new
    path = tmp_path_factory.mktemp("fuzz") / "damaged.onnx"
    path.write_bytes(bytes(content))
    if content:
        judged_or_refused(str(path))


@settings(max_examples=examples(50), deadline=None, derandomize=True)
@given(content=st.binary(min_size=1, max_size=200))
def test_noise_is_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("noise") / "noise.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInputError):
        load_model(str(path))
