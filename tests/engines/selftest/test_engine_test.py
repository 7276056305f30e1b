"""The self-test as a command, and what a build makes of its result."""
import json
from pathlib import Path

import pytest
from command_lines import run_here
from doubles import gpu
from engine_cases import normed

from edgenext_deploy.commands.child import KilledError
from edgenext_deploy.engines.cli import command
from edgenext_deploy.engines.selftest import engine_test
from edgenext_deploy.engines.selftest.golden_test import SelfTest
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError, VerificationError

PASSED = SelfTest(True, 1e-3, 2e-2, "fp16", True, 1.5)


def run(capfd, *arguments):
    return run_here(capfd, command, *arguments)


@pytest.mark.parametrize("release", gpu.RELEASES)
def test_a_right_plan_on_the_double(monkeypatch, capfd, tmp_path, release):
    pytest.importorskip("onnxruntime")
    gpu.install(monkeypatch, release)
    code, out, err = run(capfd, "test", gpu.write_plan(tmp_path, release))
    assert code == 0, err
    assert "passed" in out and "tensorrt" in out


def test_a_graph_and_json(capfd):
    pytest.importorskip("onnxruntime")
    code, out, _ = run(capfd, "test", gpu.TINY, "--json")
    assert code == 0
    assert json.loads(out)["ok"] is True


def test_a_wrong_answer_is_exit_5(monkeypatch, capfd, tmp_path):
    pytest.importorskip("onnxruntime")
    manifest = json.loads(Path(gpu.TINY).with_suffix(".json").read_text())
    manifest["golden"]["tolerance"] = {"fp32": 1e-12, "fp16": 1e-12}
    manifest["golden"]["output_base64"] = manifest["golden"]["output_base64"].replace("A", "B", 3)
    (tmp_path / "tiny.onnx").write_bytes(Path(gpu.TINY).read_bytes())
    (tmp_path / "tiny.json").write_text(json.dumps(manifest))
    code, _, err = run(capfd, "test", str(tmp_path / "tiny.onnx"))
    assert code == 5 and "self-test" in err


def answering(monkeypatch, reply):
    def run_module(module, arguments, timeout_s):
        assert (module, arguments[0], arguments[2]) == ("edgenext_deploy.engines.cli", "test", "--json-file")
        if isinstance(reply, Exception):
            raise reply
        Path(arguments[3]).write_text(json.dumps(engine_test.EngineTest(arguments[1], "tensorrt", reply).to_json()))
        return "TensorRT says something\n"

    monkeypatch.setattr(engine_test, "run_module", run_module)


def test_a_result_comes_back(monkeypatch):
    answering(monkeypatch, PASSED)
    assert engine_test.verify_in_child("x.plan") == (PASSED, "")
    assert engine_test.describe(PASSED) == (
        "passed: error 0.001, 0.02 allowed in fp16, same top-1, 1.50 ms")


@pytest.mark.parametrize("reply", [MissingRuntimeError("no GPU"), IncompatibleError("built for another GPU")])
def test_where_it_cannot_run_there_is_a_reason_instead(monkeypatch, reply):
    answering(monkeypatch, reply)
    assert engine_test.verify_in_child("x.plan") == (None, reply.message)


def test_a_crash_is_a_failed_test(monkeypatch):
    answering(monkeypatch, RuntimeError("ended with code -11"))
    with pytest.raises(VerificationError, match="code -11"):
        engine_test.verify_in_child("x.plan")


def test_a_test_that_the_system_killed_fails_for_want_of_memory(monkeypatch):
    """It is no reason to keep a plan untested, nor one to build it again."""
    answering(monkeypatch, KilledError("the test was killed by the system"))
    with pytest.raises(VerificationError, match="killed by the system") as caught:
        engine_test.verify_in_child("x.plan")
    assert "swap" in caught.value.fix and "build again" not in caught.value.fix


@pytest.fixture
def built(machine, tmp_path):
    """A file whose build on the double reaches the self-test; the test says what that answers."""
    machine()
    return normed(tmp_path)


def test_a_plan_that_fails_its_test_is_not_left_behind(monkeypatch, capfd, built, tmp_path):
    answering(monkeypatch, VerificationError("the engine fails its self-test"))
    code, _, err = run(capfd, built)
    assert code == 5 and "fails its self-test" in err
    assert not [path.name for path in tmp_path.iterdir() if ".plan" in path.name]


def test_the_screen_says_what_came_of_the_test(monkeypatch, capfd, built):
    answering(monkeypatch, PASSED)
    code, out, err = run(capfd, built)
    assert code == 0, err
    assert "self-test     passed: error 0.001" in out
    answering(monkeypatch, MissingRuntimeError("pycuda is not installed"))
    code, out, _ = run(capfd, built)
    assert code == 0 and "self-test     not run: pycuda is not installed" in out


def test_without_a_gpu_the_real_child_says_so(tmp_path):
    path = gpu.write_plan(tmp_path)
    tested, reason = engine_test.verify_in_child(path)
    assert tested is None and reason
