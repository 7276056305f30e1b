"""edgenext-build from the command line: a child process with a double of TensorRT, and TensorRT-RTX itself.

What a double "builds" has never seen a GPU; these tests show what the command asks for and writes.
"""
import json
import os
import signal

import pytest
from command_lines import run_here
from doubles import tensorrt_double
from engine_cases import FLAG_RELEASES, install, normed, tiny
from plan_samples import identify_plan

from edgenext_deploy.artifacts import plan_check as plans
from edgenext_deploy.engines import isolated, onnx_to_plan
from edgenext_deploy.engines.cli import command
from edgenext_deploy.errors import IncompatibleError, VerificationError
from edgenext_deploy.machine.environment import Environment


def run(capfd, *arguments):
    """Return exit code, standard output and standard error of the command."""
    return run_here(capfd, command, *arguments)


@pytest.mark.parametrize("release", FLAG_RELEASES)
def test_a_plan_with_its_sidecar(machine, capfd, tmp_path, release):
    machine(release)
    code, out, err = run(capfd, normed(tmp_path))
    assert code == 0, err
    record = plans.read_record(str(tmp_path / "net.plan"))
    assert record.plan.bytes == os.path.getsize(str(tmp_path / "net.plan"))
    assert (record.precision, record.precision_mode, record.tensorrt, record.compute_capabilities) == (
        "fp16", "flag", tensorrt_double.RELEASES[release], ("5.3",))
    assert record.fp32_pins == {"LayerNorm": ("norm/mean", "norm/centre")}
    assert "FP16" in record.builder_flags and record.proof["fp32_layers"] == 2
    assert record.workspace_bytes > 0
    for expected in ("FP16 in 67% of layers (4 FP16, 0 mixed, 2 FP32), in 100% of multiply-adds", "FP32: 2 pinned",
                     "net.plan.json", "edgenext-build inspect", "begun, "):
        assert expected in out
    assert "gone" in err
    assert identify_plan(str(tmp_path / "net.plan")) == record


def test_json_is_pure_even_if_native_code_chatters(machine, capfd, tmp_path):
    machine(chatter=True)
    code, out, err = run(capfd, normed(tmp_path), "--json")
    data = json.loads(out)
    assert code == 0 and "native code writes" in err
    assert data["path"] == str(tmp_path / "net.plan") and data["report"]["timing_cache_use"] == "new"
    assert data["record"]["proof"]["source"] == "engine inspector" and data["warnings"]


def test_the_second_build_hits_the_timing_cache(machine, capfd, tmp_path):
    machine()
    path = normed(tmp_path)
    assert run(capfd, path)[0] == 0
    code, out, err = run(capfd, path)
    assert code == 0, err
    assert "hit, " + str(tmp_path / "cache" / "timing" / "tensorrt-8.2.1.8_sm53_Double.cache") in out


def test_a_usage_error_names_the_command_as_it_is_typed(capfd, monkeypatch):
    monkeypatch.setattr("sys.argv", ["edgenext-build"])
    code, _, err = run(capfd)
    assert code == 2 and "Usage: edgenext-build [OPTIONS] MODEL.onnx|BUNDLE.race\nTry 'edgenext-build --help'" in err


def test_options_before_and_after_the_model(machine, capfd, tmp_path):
    machine("8.6", "8.7")
    path = normed(tmp_path)
    code, _, err = run(capfd, "--workspace-mib", "48", "--optimization-level", "4", path, "--no-cublas",
                       "--timing-cache", str(tmp_path / "own.cache"))
    assert code == 0, err
    record = plans.read_record(str(tmp_path / "net.plan"))
    assert record.workspace_bytes == 48 << 20
    assert record.builder_flags[2:] == ("TACTIC_SOURCES-CUBLAS", "TACTIC_SOURCES-CUBLAS_LT", "OPTIMIZATION_LEVEL_4")
    assert (tmp_path / "own.cache").exists() and "has a GPU of compute capability 5.3" in err


def test_fp32(machine, capfd, tmp_path):
    machine()
    path = normed(tmp_path)
    assert run(capfd, path, "--fp32")[0] == 0
    record = plans.read_record(str(tmp_path / "net.plan"))
    assert (record.precision, record.precision_mode, record.fp32_pins, record.builder_flags) == ("fp32", "none", {}, ())


def test_a_budget_without_a_race_is_said(machine, capfd, tmp_path):
    machine()
    code, _, err = run(capfd, normed(tmp_path), "--budget", "5")
    assert code == 0 and "--budget has no effect" in err


def test_no_fp16_no_plan(machine, capfd, tmp_path):
    machine(ignore_fp16=True)
    code, out, err = run(capfd, normed(tmp_path))
    assert code == 5 and out == "" and "nothing in the engine computes in FP16" in err
    assert sorted(name for name in os.listdir(str(tmp_path)) if name.startswith("net")) == ["net.json", "net.onnx"]


def test_another_build_is_not_overwritten(machine, capfd, tmp_path):
    machine()
    path, plan = normed(tmp_path), tmp_path / "net.plan"
    assert run(capfd, path)[0] == 0
    before = plan.read_bytes()
    code, _, err = run(capfd, path, "--fp32")
    assert code == 2 and "built in fp16" in err and plan.read_bytes() == before
    machine("8.5")
    code, _, err = run(capfd, path)
    assert code == 2 and "built with tensorrt 8.2.1.8" in err and plan.read_bytes() == before
    assert run(capfd, path, "--force")[0] == 0
    assert plans.read_record(str(plan)).tensorrt == tensorrt_double.RELEASES["8.5"]


@pytest.mark.parametrize("sidecar", [None, "{", "[]"])
def test_what_nothing_vouches_for_is_not_overwritten(machine, capfd, tmp_path, sidecar):
    machine()
    path = normed(tmp_path)
    (tmp_path / "net.plan").write_text("mine")
    if sidecar is not None:
        (tmp_path / "net.plan.json").write_text(sidecar)
    code, _, err = run(capfd, path)
    assert code == 2 and "--force" in err and (tmp_path / "net.plan").read_text() == "mine"
    assert run(capfd, path, "--force")[0] == 0


def test_elsewhere_the_plan_gets_its_manifest(machine, capfd, tmp_path):
    machine()
    path, out = normed(tmp_path), tmp_path / "out"
    assert run(capfd, path, "--output", str(out / "b.plan"))[0] == 0
    assert sorted(os.listdir(str(out))) == ["b.json", "b.plan", "b.plan.json"]
    assert (out / "b.json").read_bytes() == (tmp_path / "net.json").read_bytes()
    (out / "b.json").write_text("another")
    code, _, err = run(capfd, path, "--output", str(out / "b.plan"))
    assert code == 2 and "b.json" in err


def test_a_failed_self_test_leaves_the_plan_that_was_there(machine, capfd, tmp_path, monkeypatch):
    machine()
    path = normed(tmp_path)
    assert run(capfd, path)[0] == 0
    before = {found.name: found.read_bytes() for found in tmp_path.glob("*net*")}
    tried = []

    def wrong(candidate):
        tried.append(candidate)
        raise VerificationError("the plan {} cannot be run".format(candidate), "build again")

    monkeypatch.setattr(onnx_to_plan, "verify_in_child", wrong)
    code, _, err = run(capfd, path, "--force")
    plan = str(tmp_path / "net.plan")
    assert code == 5 and "the plan {0} cannot be run; what is at {0} stays as it was".format(plan) in err
    assert {found.name: found.read_bytes() for found in tmp_path.glob("*net*")} == before and "net.plan" in before
    assert not os.path.exists(os.path.dirname(tried[0]))
    other = tmp_path / "other"
    code, _, err = run(capfd, path, "--output", str(other / "net.plan"))
    assert code == 5 and "stays as it was" not in err and os.listdir(str(other)) == []


def test_a_plan_is_named_like_one_and_its_model_like_a_model(machine, capfd, tmp_path):
    """What opens an engine goes by the ending: a plan b.txt failed its self-test, and left a manifest behind."""
    machine(die=True)
    path, out = normed(tmp_path), tmp_path / "out"
    code, _, err = run(capfd, path, "--output", str(out / "b.txt"))
    assert code == 2 and "b.txt" in err and "--output {}".format(out / "b.plan") in err and not out.exists()
    for arguments in ([os.path.splitext(path)[0] + ".json"], ["test", os.path.splitext(path)[0] + ".json"]):
        code, _, err = run(capfd, *arguments)
        assert code == 3 and "net.json is no" in err and "ending in .onnx" in err, err


def test_a_folder_that_cannot_be_written_is_found_before_the_build(machine, capfd, tmp_path):
    machine(die=True)
    path = normed(tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert run(capfd, path, "--output", str(tmp_path / "file" / "b.plan"))[0] == 2
    assert run(capfd, path, "--output", str(tmp_path))[0] == 2


def test_a_killed_build_is_explained(machine, capfd, tmp_path):
    machine(die=True)
    code, out, err = run(capfd, normed(tmp_path))
    assert code == 4 and out == "" and "SIGKILL" in err and "swapon" in err
    assert not (tmp_path / "net.plan").exists()


def test_a_bug_in_the_child_is_one_line_without_debug(machine, capfd, tmp_path):
    machine(bug=True)
    path = normed(tmp_path)
    code, out, err = run(capfd, path)
    assert code == 1 and out == "" and "ZeroDivisionError: a bug" in err and "Traceback" not in err
    _, _, err = run(capfd, path, "--debug")
    assert "in the child process" in err and "engines/builder.py" in err


def test_a_crash_is_explained():
    assert isinstance(isolated._died(-signal.SIGSEGV), IncompatibleError)
    assert isinstance(isolated._died(1), RuntimeError)


def test_errors_of_the_child_keep_their_code_and_fix(machine, capfd, tmp_path):
    machine("11.1", "8.0")
    code, _, err = run(capfd, normed(tmp_path), "--fp16")
    assert code == 4 and "fix: edgenext-export xxs --target a100 --image-size " in err and "Traceback" not in err
    machine(gpu=False)
    assert run(capfd, normed(tmp_path))[0] == 6


def test_a_target_that_is_not_this_machine(machine, capfd, tmp_path):
    machine("10.3", "8.7")
    path = normed(tmp_path)
    code, _, err = run(capfd, path, "--target", "nano")
    assert code == 4 and "5.3" in err and "8.7" in err
    assert run(capfd, path, "--target", "orin")[0] == 0
    assert run(capfd, path, "--target", "onnxruntime")[0] == 2
    assert run(capfd, path, "--target", "nanno")[0] == 2


def test_no_gpu_and_no_tensorrt(monkeypatch, capfd, tmp_path):
    path = normed(tmp_path)
    monkeypatch.setattr(onnx_to_plan, "is_installed", lambda name: False)
    code, _, err = run(capfd, path)
    assert code == 6 and "run edgenext-build there" in err
    monkeypatch.setattr(onnx_to_plan, "is_installed", lambda name: True)
    monkeypatch.setattr(onnx_to_plan, "present_environment", lambda: Environment("linux-x86_64", tensorrt="10.3.0"))
    code, _, err = run(capfd, path)
    assert code == 6 and "driver shows none" in err


def test_best_of_without_a_session_builds_once_and_says_so(machine, capfd, tmp_path):
    machine()
    code, _, err = run(capfd, normed(tmp_path), "--best-of", "3")
    assert code == 0, err
    assert "warning: no race: net is the first, for nothing can be measured here: " in err
    assert err.count("building") == 1 and "building 1 of 3" in err


@pytest.mark.parametrize("arguments, code, expected", [
    ([], 2, "Missing argument"), (["--fp16", "--fp32", "x.onnx"], 2, "exclude each other"),
    (["none.onnx"], 3, "not found"), (["x.onnx", "--optimization-level", "9"], 2, "--optimization-level"),
    (["x.onnx", "y.onnx"], 2, "y.onnx"), (["--nonsense"], 2, "--nonsense"),
    (["inspect", "none.plan"], 3, "not found"), (["inspect"], 2, "Missing argument")])
def test_wrong_use(capfd, arguments, code, expected):
    found, out, err = run(capfd, *arguments)
    assert found == code and expected in err and out == "" and "Traceback" not in err


def test_a_plan_is_no_model(machine, capfd, tmp_path):
    machine()
    assert run(capfd, normed(tmp_path))[0] == 0
    os.rename(str(tmp_path / "net.plan"), str(tmp_path / "my net.plan"))
    code, _, err = run(capfd, str(tmp_path / "my net.plan"))
    assert code == 3 and "edgenext-build inspect '{}'".format(tmp_path / "my net.plan") in err


def test_a_model_without_its_manifest(capfd, tmp_path):
    path = tiny(tmp_path)
    os.unlink(str(tmp_path / "tiny_classifier.json"))
    code, _, err = run(capfd, path)
    assert code == 3 and "manifest" in err


def test_help_shows_the_options_and_the_commands(capfd):
    code, out, _ = run(capfd, "--help")
    assert code == 0
    for expected in ("MODEL.onnx|BUNDLE.race [OPTIONS]", "--budget", "--workspace-mib", "--best-of", "--debug",
                     "inspect", "Commands:"):
        assert expected in out
    assert run(capfd, "--version")[1].startswith("edgenext-deploy")
    assert "PLAN" in run(capfd, "inspect", "--help")[1]
    assert "MODEL.onnx" in run(capfd, "x.onnx", "--help")[1]


def test_inspect_reads_what_was_built(machine, capfd, tmp_path):
    machine()
    path = normed(tmp_path)
    assert run(capfd, path)[0] == 0
    code, out, _ = run(capfd, "--debug", "inspect", str(tmp_path / "net.plan"), "--json")
    assert json.loads(out)["sidecar"]["onnx_file"] == "net.onnx" and code in (0, 4, 6)


def test_the_parent_never_loads_tensorrt(machine, monkeypatch, capfd, tmp_path):
    machine()
    install(monkeypatch, "8.2", gpu=False)  # would fail if this process built
    assert run(capfd, normed(tmp_path))[0] == 0


# --- TensorRT-RTX: NVIDIA's own parser and builder, with no GPU ---------------------------------------------------


@pytest.fixture(scope="module")
def typed_export(tmp_path_factory):
    """A typed FP16 export of xxs."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed: pip install '.[rtx]'")
    for library in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(library)
    from exports import export

    return export("xxs", tmp_path_factory.mktemp("typed"), target="rtx", fp16=True, image_size=64).onnx_path


@pytest.mark.parametrize("target, capability", [("a100", "8.0"), ("rtx", "8.6")])
def test_tensorrt_rtx_builds_a_typed_export(typed_export, capfd, tmp_path, target, capability):
    if target != "rtx" and onnx_to_plan.is_installed("tensorrt"):
        pytest.skip("TensorRT is installed, and builds for a100 itself")
    plan = str(tmp_path / "xxs.plan")
    code, out, err = run(capfd, typed_export, "--target", target, "--output", plan, "--json")
    assert code == 0, err
    report = json.loads(out)["report"]
    proof = report["proof"]
    assert report["runtime"] == "tensorrt_rtx" and report["compute_capability"] == capability
    assert proof["source"] == "the builder's list of the engine's layers"
    assert proof["layers"] > 50 and proof["fp16_layers"] > proof["fp32_layers"]
    assert proof["fp16_compute_share"] > 0.99 and proof["compute_basis"].startswith("multiply-adds")
    record = identify_plan(plan)
    assert record.compute_capabilities == (capability,) and record.flavour == "tensorrt_rtx"
    header = plans.read_header(plan)
    assert header.flavour == "tensorrt_rtx" and header.compute_capabilities == (capability,)
    assert ("TensorRT itself does not load this plan" in err) == (target == "a100")


def test_tensorrt_rtx_refuses_an_fp32_graph_for_fp16(typed_export, capfd, tmp_path):
    code, _, err = run(capfd, tiny(tmp_path), "--target", "rtx", "--fp16")
    assert code == 4 and "--target rtx" in err and "no FP16 flag" in err


def test_tensorrt_rtx_names_the_node_it_cannot_parse(typed_export, capfd, tmp_path):
    from doubles import onnx_writer as ow

    path = normed(tmp_path, "typed", nodes_after=[ow.node("NotAnOperator", "odd", ["logits"], ["end"])], target="rtx")
    code, _, err = run(capfd, path)
    assert code == 4 and "'odd' (NotAnOperator)" in err


def test_tensorrt_rtx_in_fp32_shows_no_fp16(typed_export, capfd, tmp_path):
    code, out, err = run(capfd, tiny(tmp_path), "--target", "rtx", "--json")
    assert code == 0, err
    proof = json.loads(out)["report"]["proof"]
    assert proof["fp16_layers"] == 0 and proof["fp16_compute_share"] == 0.0 and proof["fp32_layers"] > 0


def test_a_plan_is_built_from_a_link_to_a_graph_with_the_manifest_next_to_the_graph(machine, capfd, tmp_path):
    machine()
    source = normed(tmp_path)
    (tmp_path / "app").mkdir()
    os.symlink(source, str(tmp_path / "app" / "current.onnx"))
    code, _, err = run(capfd, str(tmp_path / "app" / "current.onnx"))
    assert code == 0, err
    names = sorted(os.listdir(str(tmp_path / "app")))
    assert names == ["current.json", "current.onnx", "current.plan", "current.plan.json"]
    with open(os.path.splitext(source)[0] + ".json", "rb") as stream:
        assert stream.read() == (tmp_path / "app" / "current.json").read_bytes()
