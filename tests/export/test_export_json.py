"""``--json`` and ``--json-file`` of edgenext-export and of its check, and how their help ends."""
import json

import onnx
import pytest
from command_lines import run_here
from verdict_models import save, small_network

from edgenext_deploy.export.commands.cli import export_command

SMALL = ("--variant", "xxs", "--image-size", "64", "--target", "onnxruntime")


@pytest.fixture
def run(capsys):
    """Run the command as the console script does; give exit code, stdout and stderr."""

    def call(*arguments):
        return run_here(capsys, export_command, *arguments)

    return call


def test_an_export_prints_its_result_and_writes_it_to_a_file(tmp_path, run):
    code, out, err = run(*SMALL, "--output", tmp_path / "out", "--json", "--json-file", tmp_path / "result.json")
    assert code == 0, err
    assert json.loads(out) == json.loads((tmp_path / "result.json").read_text())
    assert json.loads(out)["variant"] == "xxs"
    onnx.checker.check_model(onnx.load(json.loads(out)["onnx"]))


def test_a_check_prints_its_result_and_writes_it_to_a_file(tmp_path, run):
    path = save(tmp_path, small_network())
    code, out, _ = run("check", path, "--json-file", tmp_path / "result.json")
    assert code == 0 and "TensorRT" in out
    written = json.loads((tmp_path / "result.json").read_text())
    code, out, _ = run("check", path, "--json")
    assert code == 0 and json.loads(out) == written and written["targets"]["nano"]["accepted"]


def test_the_old_spelling_with_a_file_still_works(tmp_path, run):
    path = save(tmp_path, small_network())
    code, _, err = run("check", path, "--json", tmp_path / "result.json")
    assert code == 0 and "read as --json-file" in err and (tmp_path / "result.json").exists()
    code, _, err = run(*SMALL, "--output", tmp_path / "out", "--json", tmp_path / "export.json")
    assert code == 0 and "read as --json-file" in err
    assert json.loads((tmp_path / "export.json").read_text())["variant"] == "xxs"


@pytest.mark.parametrize("name", ["xxs.json", "xxs.drift.json"])
def test_the_result_is_not_written_over_a_file_of_the_export(tmp_path, run, name):
    code, _, err = run(*SMALL, "--output", tmp_path, "--json-file", tmp_path / name)
    assert code == 2 and "over a file of this export" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["net.onnx", "photo.jpg", "net.plan", "net.plan.json", "net.json"])
@pytest.mark.parametrize("command", ["export", "check"])
def test_the_result_is_not_written_over_an_input(tmp_path, run, command, name):
    path = save(tmp_path, small_network())
    (tmp_path / "net.onnx").write_bytes(b"an engine")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    arguments = ("check", path) if command == "check" else (*SMALL, "--output", tmp_path / "out")
    code, _, err = run(*arguments, "--json-file", tmp_path / name)
    assert code == 2 and "write over" in err, err
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("arguments, start", [
    (("--help",), "edgenext-export xxs --fp16"), (("check", "--help"), "edgenext-export check ")])
def test_help_ends_with_examples(run, arguments, start):
    code, out, _ = run(*arguments)
    examples = [line.strip() for line in out.partition("Examples:\n")[2].splitlines()]
    assert code == 0 and 2 <= len(examples) <= 3
    assert examples[0].startswith(start) and all(line.startswith("edgenext-export") for line in examples)
