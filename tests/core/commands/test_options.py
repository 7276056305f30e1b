"""Shared options: one meaning of --json, and no output over an engine, a manifest or a photo."""
import json
import os

import click
import pytest
from command_lines import run_here

from edgenext_deploy.commands.options import (
    Command,
    FiniteRange,
    OutputFile,
    json_options,
    kind_of_input,
    without_old_json,
    write_result,
)
from edgenext_deploy.errors import UsageError


@click.command(cls=Command)
@click.argument("engines", nargs=-1)
@json_options
def command(engines, as_json, json_file):
    return engines, as_json, json_file


def run(*arguments):
    with command.make_context("command", list(arguments)) as context:
        return command.invoke(context)


@pytest.mark.parametrize("arguments, expected", [
    (("a.onnx",), (("a.onnx",), False, None)),
    (("--json", "a.onnx"), (("a.onnx",), True, None)),
    (("a.onnx", "--json"), (("a.onnx",), True, None)),
    (("--json", "-", "a.onnx"), (("a.onnx",), True, None)),
    (("--json=-",), ((), True, None)),
    (("--json", "--", "rows.json"), (("rows.json",), True, None)),
    (("--json-file", "rows.txt", "a.onnx"), (("a.onnx",), False, "rows.txt")),
])
def test_json_is_a_flag(arguments, expected, capsys):
    assert run(*arguments) == expected
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [("--json", "rows.json", "a.onnx"), ("a.onnx", "--json=rows.json")])
def test_an_old_json_file_is_still_taken_and_said(arguments, capsys):
    assert run(*arguments) == (("a.onnx",), False, "rows.json")
    assert "read as --json-file rows.json" in capsys.readouterr().err
    assert without_old_json(["--json", "ROWS.JSON"]) == ["--json-file", "ROWS.JSON"]


@pytest.mark.parametrize("name, kind", [
    ("a.onnx", "an engine"), ("A.ONNX", "an engine"), ("a.plan", "an engine"), ("a.engine", "an engine"),
    ("a.trt", "an engine"), ("a.plan.json", "the sidecar of a plan"), ("cat.JPG", "a photo"), ("cat.png", "a photo"),
    ("rows.json", None), ("rows.csv", None), ("page.html", None), ("rows", None)])
def test_what_is_never_written_over(tmp_path, name, kind):
    assert kind_of_input(str(tmp_path / name)) == kind
    if kind:
        with pytest.raises(UsageError, match="would write over " + kind):
            OutputFile().convert(str(tmp_path / name), None, None)


def test_a_manifest_is_told_by_its_engine_and_by_its_content(tmp_path):
    path = tmp_path / "s.json"
    assert kind_of_input(str(path)) is None
    (tmp_path / "s.plan").write_bytes(b"plan")
    assert kind_of_input(str(path)) == "the manifest of an engine"
    alone = tmp_path / "alone.json"
    alone.write_text(json.dumps({"schema": 1, "graph": {}, "preprocessing": {}}))
    assert kind_of_input(str(alone)) == "the manifest of an engine"
    for content in ('{"schema": 1, "rows": []}', "[" * 100000, "no JSON"):
        alone.write_text(content)
        assert kind_of_input(str(alone)) is None


def test_the_option_is_named_and_nothing_is_written(tmp_path):
    engine = tmp_path / "b.onnx"
    engine.write_bytes(b"graph")
    with pytest.raises(UsageError, match="--json-file would write over an engine"):
        run("--json-file", str(engine))
    assert engine.read_bytes() == b"graph"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "-1"])
def test_numbers_without_an_end_are_none(value):
    assert FiniteRange(min=0).convert("0.5", None, None) == 0.5
    with pytest.raises(click.BadParameter, match="not"):
        FiniteRange(min=0).convert(value, None, None)


def test_the_home_folder_is_understood():
    assert OutputFile().convert("~/rows.json", None, None) == os.path.expanduser("~/rows.json")


def test_a_json_file_is_not_written_over_what_is_something_else(capsys, tmp_path):
    @click.command(cls=Command)
    @json_options
    def command(as_json, json_file):
        write_result([1], as_json, json_file, lambda: click.echo("text"))

    foreign = tmp_path / "clip.mp4"
    foreign.write_bytes(b"\0\0ftyp")
    code, _, err = run_here(capsys, command, "--json-file", foreign)
    assert code == 2 and "not JSON" in err and foreign.read_bytes() == b"\0\0ftyp"
    for content in (b"", b"[]", b"\n {}", b"\xef\xbb\xbf{}"):
        foreign.write_bytes(content)
        assert run_here(capsys, command, "--json-file", foreign)[:2] == (0, "text\n")
        assert json.loads(foreign.read_text()) == [1]
    code, out, _ = run_here(capsys, command, "--json-file", "-")
    assert code == 0 and json.loads(out) == [1] and not os.path.exists("-")


def test_a_manifest_that_the_command_itself_has_written_is_not_written_over(capsys, tmp_path):
    @click.command(cls=Command)
    @json_options
    def command(as_json, json_file):
        for ending in (".onnx", ".json"):
            (tmp_path / ("net" + ending)).write_text("mine")
        write_result([1], as_json, json_file, lambda: click.echo("text"))

    code, _, err = run_here(capsys, command, "--json-file", tmp_path / "net.json")
    assert code == 2 and "the manifest of an engine" in err and (tmp_path / "net.json").read_text() == "mine"
