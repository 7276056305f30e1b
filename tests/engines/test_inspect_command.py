import importlib.util
import json
import os
import subprocess
import sys

import click
import pytest
from paths import ROOT
from plan_samples import (
    A100,
    BARE,
    NANO,
    ORIN,
    RECORD,
    contents,
    late_plan,
    nano_plan,
    orin_record,
    put,
    rtx_plan,
    rtx_record,
    written,
)

from edgenext_deploy.artifacts.plan_check import sidecar_path, write_plan
from edgenext_deploy.commands.entry import run_command
from edgenext_deploy.engines.inspect_command import inspect_command


@pytest.fixture
def inspect(capsys, monkeypatch):
    """Run the command on a machine; returns (exit code, stdout, stderr)."""
    def call(machine, *arguments):
        monkeypatch.setattr("edgenext_deploy.artifacts.plan_check.present_environment", lambda: machine)
        with pytest.raises(SystemExit) as stop:
            run_command(inspect_command, [str(argument) for argument in arguments])
        output = capsys.readouterr()
        assert "Traceback" not in output.err and "this is a bug" not in output.err
        return stop.value.code, output.out, output.err

    return call


def test_a_plan_of_this_machine(inspect, tmp_path):
    path = written(tmp_path)
    code, out, err = inspect(NANO, path)
    assert (code, err) == (0, "")
    for words in (path, "4,096 bytes", "TensorRT 8.2.1.8 on NVIDIA Tegra X1 (compute capability 5.3)",
                  "NVIDIA Jetson Nano Developer Kit, linux-aarch64, Jetson Linux 32.7.1, JetPack 4.6.1, CUDA 10.2.300",
                  "xxs.onnx, sha256 aaaaaaaaaaaa…", "2026-11-22T09:30:00Z, in 312.5 s",
                  "fp16, mode flag, 1 layers pinned", "FP16, OBEY_PRECISION_CONSTRAINTS", "256 MiB"):
        assert words in out
    assert out.splitlines()[-1].split() == ["runs", "here", "yes"]


def test_what_it_is_is_printed_even_where_it_would_not_run(inspect, tmp_path):
    path = written(tmp_path)
    code, out, err = inspect(ORIN, path)
    assert code == 4
    assert "TensorRT 8.2.1.8 on NVIDIA Tegra X1" in out and out.splitlines()[-1].split() == ["runs", "here", "no"]
    assert "built for TensorRT 8.2.1.8" in err and "found TensorRT 10.3.0.30" in err
    assert "fix: build it on this machine: edgenext-build" in err
    path = written(tmp_path, data=rtx_plan(), record=rtx_record())
    code, out, err = inspect(BARE, path)
    assert code == 6
    assert "TensorRT-RTX 1.7.1.116 on compute capability 8.0" in out and "no TensorRT-RTX and no NVIDIA GPU" in err


@pytest.mark.parametrize("machine, expected", [(NANO, 0), (ORIN, 4), (NANO._replace(tensorrt=None), 6)])
def test_json_is_json_and_nothing_else(inspect, tmp_path, machine, expected):
    path = written(tmp_path)
    code, out, _ = inspect(machine, path, "--json")
    data = json.loads(out)
    assert code == expected == data["exit_code"]
    assert data["runs_here"] is (code == 0)
    assert data["sidecar"]["tensorrt"] == "8.2.1.8" and data["sidecar"]["plan"]["bytes"] == 4096
    assert data["header"] == {"flavour": "tensorrt", "tensorrt": "8.2", "serial": 205, "bytes": 4096,
                              "compute_capabilities": []}
    assert (data["reason"] is None) is (code == 0) and (data["fix"] is None) is (code == 0)
    assert data["file"] == path and data["warnings"] == []


def test_a_changed_plan_is_described_by_its_header_alone(inspect, tmp_path):
    path = written(tmp_path, data=late_plan(), record=orin_record())
    put(path, late_plan()[:-1] + b"!")
    code, out, err = inspect(ORIN, path)
    assert code == 3 and "sha256" in err
    assert "TensorRT 10.3.0.30 on a GPU that only a sidecar could name" in out
    assert "none that describes this plan" in out and "xxs.onnx" not in out
    data = json.loads(inspect(ORIN, path, "--json")[1])
    assert data["sidecar"] is None and data["exit_code"] == 3


def test_without_a_sidecar(inspect, tmp_path):
    path = put(tmp_path / "a.plan", late_plan())
    code, out, err = inspect(ORIN, path)
    assert code == 3 and "10.3.0.30" in out and "--trust" in err
    assert inspect(ORIN, path, "--trust")[0] == 0
    assert inspect(NANO, path, "--trust")[0] == 4
    assert inspect(BARE, path, "--trust")[0] == 6


def test_warnings_go_to_stderr(inspect, tmp_path):
    path = written(tmp_path)
    code, out, err = inspect(NANO._replace(gpu="NVIDIA Tegra X1 (nvgpu)/integrated"), path, "--json")
    assert code == 0 and err.startswith("warning: built for NVIDIA Tegra X1, found")
    assert len(json.loads(out)["warnings"]) == 1


@pytest.mark.parametrize("data, words", [
    (b"", "empty"), (b"PK\x03\x04" + b"\0" * 60, "zip archive"), (b"ftrt\0\0\0\0", "cut short"), (b"hello\n", "text"),
    (nano_plan()[:27], "cut short"), (b"\0" * 100, "zeros"), (rtx_plan()[:-1], "bytes found")])
@pytest.mark.parametrize("option", [(), ("--json",), ("--trust",)])
def test_no_plans(inspect, tmp_path, data, words, option):
    code, out, err = inspect(NANO, put(tmp_path / "a.plan", data), *option)
    assert (code, out) == (3, "") and words in err and "fix: " in err


def test_paths_that_are_no_plans(inspect, tmp_path):
    os.symlink("b.plan", str(tmp_path / "a.plan"))
    os.symlink("a.plan", str(tmp_path / "b.plan"))
    for path in (tmp_path, tmp_path / "a.plan", tmp_path / "absent.plan", "/dev/null", ""):
        code, out, err = inspect(NANO, path)
        assert (code, out) == (3, "") and err.startswith("error: ")
    assert inspect(NANO)[0] == 2
    assert inspect(NANO, "a.plan", "--frobnicate")[0] == 2


def test_hostile_texts_are_printed_harmlessly(inspect, tmp_path):
    path = written(tmp_path)
    good = json.loads(contents(sidecar_path(path)).decode())
    good.update(onnx_file="\x1b[2J[bold red]\ud800\n" + "x" * 90000, built_at="\r\x00",
                builder_flags=["\x9b31m"] * 5000)
    good["environment"].update(gpu="\x1b]0;owned\x07", board="[/bold]")
    put(sidecar_path(path), json.dumps(good).encode())
    code, out, _ = inspect(NANO, path)
    assert code == 0 and len(out) < 10000
    assert all(character.isprintable() for character in out.replace("\n", ""))
    assert r"\x1b[2J[bold red]\ud800\n" in out and r"\x1b]0;owned\x07" in out
    assert json.loads(inspect(NANO, path, "--json")[1])["sidecar"]["built_at"] == r"\r\x00"


COMMAND = ("import sys; from edgenext_deploy.commands.entry import run_command; "
           "from edgenext_deploy.engines.inspect_command import inspect_command; "
           "run_command(inspect_command, sys.argv[1:])")


def in_a_process(folder, *arguments, **environment):
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], cwd=str(folder), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=ROOT, **environment))
    out, err = child.communicate(timeout=60)
    return child.returncode, out.decode("utf-8"), err.decode("utf-8")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_process_in_any_locale_and_with_any_name(tmp_path, locale):
    """This machine has no Jetson's processor or no TensorRT 8.2 plan's GPU: 4 or 6, and never a traceback."""
    folder = tmp_path / "Größe"
    os.makedirs(str(folder))
    path = written(folder)
    weird = os.path.join(os.fsencode(str(folder)), b"\xff\x1b.plan")
    os.link(path, weird)
    os.link(sidecar_path(path), weird + b".json")
    for name in ("xxs.plan", weird):
        code, out, err = in_a_process(folder, name, LC_ALL=locale, PYTHONIOENCODING="")
        assert code in (4, 6), err
        assert "built from" in out and "Traceback" not in err and "\x1b" not in out + err
        code, out, _ = in_a_process(folder, name, "--json", LC_ALL=locale)
        assert json.loads(out)["exit_code"] == code


def test_help_is_soon_and_imports_little(tmp_path):
    code = ("import sys; import edgenext_deploy.engines.inspect_command; "
            "print(sorted({'numpy', 'rich', 'tensorrt', 'tensorrt_rtx', 'torch'} & set(sys.modules)))")
    out = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)
    assert out.strip() == b"[]"
    code, out, err = in_a_process(tmp_path, "--help")
    assert code == 0 and "--trust" in out and "--json" in out and err == ""


def test_it_fits_into_a_group(inspect, capsys, tmp_path):
    group = click.Group("edgenext-build", commands={"inspect": inspect_command})
    with pytest.raises(SystemExit) as stop:
        run_command(group, ["inspect", str(tmp_path)])
    assert stop.value.code == 3
    assert "error: " in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
def test_a_real_tensorrt_rtx_plan(inspect, tmp_path):
    pytest.importorskip("onnx")
    from edgenext_deploy.export.checks.rtx import build_with_rtx

    model = os.path.join(ROOT, "tests", "data", "tiny_classifier.onnx")
    (build,) = build_with_rtx(model, sms=("80",), keep_plan=str(tmp_path)).builds
    path = build.plan_path
    code, out, err = inspect(A100, path, "--trust")
    assert (code, err) == (0, "") and "TensorRT-RTX 1.7" in out and "compute capability 8.0" in out
    write_plan(path, contents(path), RECORD._replace(
        flavour="tensorrt_rtx", tensorrt="1.7.1.116", compute_capabilities=("8.0",), environment=A100))
    assert inspect(A100, path)[0] == 0
    assert inspect(A100._replace(compute_capability="9.0", gpu="NVIDIA H100"), path)[0] == 4
    assert inspect(BARE, path)[0] == 6
