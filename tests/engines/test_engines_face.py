"""The public names of edgenext_deploy.engines, and what the commands built on them never write over."""
import inspect
import json
import os

import pytest
from command_lines import run_here
from doubles import gpu
from engine_cases import normed, tiny

from edgenext_deploy import engines
from edgenext_deploy.engines.cli import build_command, command
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.runtime.options import RuntimeOptions


def run(capfd, *arguments):
    return run_here(capfd, command, *arguments)


def test_the_keywords_are_the_options_of_the_command():
    signature = inspect.signature(engines.build_plan)
    options = {parameter.name for parameter in build_command.params}
    shared = options - {"fp16", "fp32", "as_json", "json_file"} | {"precision"}
    assert set(signature.parameters) == shared - {"version", "debug"} | {"progress"}
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    assert kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 2 + [inspect.Parameter.KEYWORD_ONLY] * (len(kinds) - 2)
    with build_command.make_context("", ["net.onnx"]) as context:
        given = {name: value for name, value in context.params.items() if name in signature.parameters}
    assert given.pop("onnx") == "net.onnx"
    assert given == {name: signature.parameters[name].default for name in given}


def test_a_plan_is_built_and_inspected_by_a_program(machine, tmp_path):
    machine()
    built = engines.build_plan(normed(tmp_path), str(tmp_path / "out" / "b.plan"), precision="fp16", workspace_mib=32)
    assert isinstance(built, engines.BuiltPlan) and isinstance(built.report, engines.BuildReport)
    assert os.path.isfile(built.path) and built.sidecar == built.path + ".json"
    assert built.report.workspace_bytes == 32 << 20 and built.record.precision == "fp16"
    found = engines.inspect_plan(built.path)
    assert isinstance(found, engines.Inspection) and found.record == built.record
    assert found.runs_here == (found.problem is None) == found.to_json()["runs_here"]
    with pytest.raises(UsageError, match="built in fp16"):
        engines.build_plan(str(tmp_path / "net.onnx"), built.path, precision="fp32")


def test_what_is_no_onnx_file_is_refused(machine, tmp_path):
    machine()
    for name, words in (("a.plan", "is a plan"), ("a.txt", "is no ONNX file")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(BadInputError, match=words):
            engines.build_plan(str(tmp_path / name))


def test_an_engine_is_tested_by_a_program(monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    found = engines.test_engine(tiny(tmp_path))
    assert isinstance(found, engines.EngineTest) and isinstance(found.self_test, engines.SelfTest)
    assert found.self_test.ok and found.runtime == "onnxruntime"
    release = gpu.RELEASES[0]
    gpu.install(monkeypatch, release)
    plan = gpu.write_plan(tmp_path, release)
    assert engines.test_engine(plan).runtime == "tensorrt"
    os.unlink(plan + ".json")
    with pytest.raises(BadInputError, match="no sidecar"):
        engines.test_engine(plan)
    assert engines.test_engine(plan, runtime=RuntimeOptions(trust=True)).self_test.ok


def contents(folder):
    found = {}
    for name in os.listdir(str(folder)):
        if os.path.isfile(str(folder / name)):
            found[name] = (folder / name).read_bytes()
    return found


@pytest.mark.parametrize("option", ["--output", "--timing-cache", "--json-file"])
@pytest.mark.parametrize("name", ["net.onnx", "other.onnx", "net.json", "other.json", "cat.jpg", "old.plan.json"])
def test_no_option_writes_over_what_took_work_to_make(machine, capfd, tmp_path, option, name):
    machine()
    path = normed(tmp_path)
    for other in ("other.onnx", "other.json", "cat.jpg", "old.plan", "old.plan.json"):
        (tmp_path / other).write_bytes(b"{}")
    before = contents(tmp_path)
    code, _, err = run(capfd, path, option, str(tmp_path / name), "--force")
    assert code == 2 and name in err, err
    assert contents(tmp_path) == before


def test_the_manifest_of_another_graph_stays_whatever_is_forced(machine, capfd, tmp_path):
    machine()
    path = normed(tmp_path)
    (tmp_path / "other.onnx").write_bytes(b"graph")
    (tmp_path / "other.json").write_bytes(b"{}")
    before = contents(tmp_path)
    code, _, err = run(capfd, path, "--output", str(tmp_path / "other.plan"), "--force")
    assert code == 2 and "manifest of another graph" in err and "other.onnx" in err
    assert contents(tmp_path) == before
    # An old plan's manifest goes with the plan that --force replaces.
    os.unlink(str(tmp_path / "other.onnx"))
    assert run(capfd, path, "--output", str(tmp_path / "other.plan"), "--force")[0] == 0
    assert (tmp_path / "other.json").read_bytes() == (tmp_path / "net.json").read_bytes()


@pytest.mark.parametrize("words", [["inspect"], ["test"]])
@pytest.mark.parametrize("name", ["tiny_classifier.onnx", "tiny_classifier.json", "cat.jpg"])
def test_reports_are_not_written_over_what_is_read(capfd, tmp_path, words, name):
    path = tiny(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(b"photo")
    before = contents(tmp_path)
    code, _, err = run(capfd, *words, path, "--json-file", str(tmp_path / name))
    assert code == 2 and "would write over" in err
    assert contents(tmp_path) == before


def test_json_goes_to_the_file_and_the_text_to_the_screen(machine, capfd, tmp_path):
    machine()
    path, report = normed(tmp_path), tmp_path / "report.txt"
    code, out, err = run(capfd, path, "--json-file", str(report))
    assert code == 0 and "precision" in out, err
    plan = json.loads(report.read_text())["path"]
    code, out, _ = run(capfd, "inspect", plan, "--json", str(tmp_path / "inspected.json"))
    assert "file" in out and json.loads((tmp_path / "inspected.json").read_text())["exit_code"] == code


@pytest.mark.parametrize("words, example", [
    ([], "edgenext-build xxs.onnx"), (["inspect"], "edgenext-build inspect xxs.plan"),
    (["test"], "edgenext-build test xxs.plan")])
def test_help_ends_with_examples(capfd, words, example):
    out = run(capfd, *words, "--help")[1]
    assert out.rpartition("Examples:")[2].strip().startswith(example)
