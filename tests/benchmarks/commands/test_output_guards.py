"""No output option of the benchmarks' commands writes over an engine, a manifest, a photo or a file that is read."""
import os

import click
import pytest
from bench_doubles import make_report, make_row, run

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.accuracy.cli import eval_command
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.commands import entry
from edgenext_deploy.commands.options import OutputFile

COMMANDS = dict(bench_command.commands, eval=eval_command)
# What each command needs to come as far as its outputs; reports are made by the test.
ARGUMENTS = {
    "measure": ["e.onnx"], "compare": ["report.json"], "estimate": ["e.onnx"], "page": ["report.json"],
    "profile": ["e.onnx"], "repeat": ["report.json", "second.json"], "routes": [], "table": ["table3", "report.json"],
    "eval": ["e.onnx", "--data", "."]}
OUTPUTS = [(name, option) for name in sorted(ARGUMENTS) for option in (
    parameter.opts[0] for parameter in COMMANDS[name].params if isinstance(parameter.type, OutputFile))]
# Options that take a name and write nothing there.
READ = {"--engine", "--reference", "--device", "--provider", "--variant", "--also", "--folder", "--data", "--labels",
        "--precision", "--row", "--on", "--runtime", "--formulation",
        "--ray"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("e.onnx", "e.plan", "photo.jpg"):
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / "e.json").write_text("{}")
    for name in ("report.json", "second.json"):
        (tmp_path / name).write_bytes(latency_report.dump(make_report(make_row("a"), make_row("b"))))
    return tmp_path


def call(capsys, name, *arguments):
    if name != "eval":
        return run(capsys, name, *arguments)
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(eval_command, list(arguments))
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def contents(folder):
    return {name: (folder / name).read_bytes() for name in os.listdir(str(folder))}


def test_every_option_that_takes_a_file_is_known_to_be_an_output_or_an_input():
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and isinstance(parameter.type, type(click.STRING)):
                known = parameter.opts[0] in READ or (name, parameter.opts[0]) == ("page", "--profile")
                assert known or parameter.is_flag, (name, parameter.opts)
    assert len(OUTPUTS) > 20


@pytest.mark.parametrize(("name", "option"), OUTPUTS)
@pytest.mark.parametrize("target", ["e.onnx", "new.plan", "photo.jpg", "e.json"])
def test_what_took_work_to_make_is_not_written_over(capsys, folder, name, option, target):
    before = contents(folder)
    # Written as one word, which no reading of the old spelling of --json changes.
    code, out, err = call(capsys, name, *ARGUMENTS[name], "{}={}".format(option, target))
    assert (code, out) == (2, "") and target in err
    assert option in err or "ending in .svg" in err
    assert contents(folder) == before


@pytest.mark.parametrize(("name", "option"), [pair for pair in OUTPUTS if "report.json" in ARGUMENTS[pair[0]]])
def test_a_report_that_is_read_is_not_written_over(capsys, folder, name, option):
    before = contents(folder)
    os.symlink("report.json", "link")
    run_option = ["--run"] if option == "--report" else []
    for target in ("report.json", "link", os.path.join("..", folder.name, "report.json")):
        code, out, err = call(capsys, name, *ARGUMENTS[name], *run_option, option, target)
        assert (code, out) == (2, "")
        assert "{} would write over a file that is read: {}".format(option, target) in err
    os.remove("link")
    assert contents(folder) == before


def test_a_profile_that_is_read_is_not_written_over(capsys, folder):
    (folder / "profile.json").write_text("{}")
    code, _, err = call(capsys, "page", "report.json", "--profile", "profile.json", "--html", "profile.json")
    assert code == 2 and "would write over a file that is read" in err


def test_the_example_of_the_issue(capsys, fakes):
    """Until 0.1.0 this command wrote its report over b.onnx."""
    first, second = fakes.engine("a.onnx"), fakes.engine("b.onnx")
    assert run(capsys, "--engine", first, "--json", second, "--iterations", "12")[0] == 0
    with open(second, "rb") as stream:
        assert stream.read() == b"b.onnx"


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_every_help_ends_with_examples(capsys, name):
    code, out, _ = call(capsys, name, "--help")
    lines = out.rstrip().split("Examples:\n")[1].splitlines()
    program = "edgenext-eval" if name == "eval" else "edgenext-bench"
    assert code == 0 and 2 <= len(lines) <= 3
    assert all(line.strip().startswith(program) for line in lines)
