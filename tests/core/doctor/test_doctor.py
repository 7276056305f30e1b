"""The doctor on whole machines, and its command."""
import ast
import json
import os
import re
import resource
import subprocess
import sys

import pytest
from doctor_trees import ABSENT, Recorded, broken, examine, laptop, library, nano, orin, said_nothing, write
from paths import ROOT

from edgenext_deploy.commands.entry import run_command
from edgenext_deploy.doctor import cli, findings, workstation_checks
from edgenext_deploy.install import install_command


def statuses(checks, status):
    return sorted(name for name, check in checks.items() if check.status == status)


# Whole machines


def test_a_nano_as_it_should_be(tmp_path):
    checks, routes, _ = examine(nano(tmp_path))
    assert statuses(checks, "problem") == statuses(checks, "note") == []
    assert routes["tensorrt"].possible and routes["onnxruntime"].possible
    assert "JetPack 4.6.1" in checks["jetpack"].found and "TensorRT 8.2.1" in checks["jetpack"].found
    assert "5.3" in checks["driver"].found and "10.2.300" in checks["cuda"].found
    assert checks["power_mode"].found == "MAXN (mode 0)"
    assert checks["clocks"].found == "GPU pinned at 921.6 MHz"
    assert checks["cameras"].found == "csi://0 (vi-output, imx219 7-0010), /dev/video1 (HD Webcam C615)"


def test_an_orin_with_jetpack_6(tmp_path):
    checks, routes, _ = examine(orin(tmp_path))
    assert "JetPack 6.2 " in checks["jetpack"].found
    assert statuses(checks, "problem") == []
    assert routes["tensorrt"].possible and routes["onnxruntime"] == ("onnxruntime", False, ("onnxruntime",))
    assert checks["onnxruntime"].status == "note"
    assert checks["power_mode"].status == "note" and "25W (mode 1)" in checks["power_mode"].found
    assert checks["power_mode"].fix == "sudo nvpmodel -m 2 (MAXN_SUPER)"
    assert checks["clocks"].status == "note" and "306.0 and 1020.0 MHz" in checks["clocks"].found
    assert checks["cameras"].status == "note"


def test_a_laptop_with_nothing(tmp_path):
    checks, routes, diagnosis = examine(laptop(tmp_path))
    assert not diagnosis.possible
    assert statuses(checks, "problem") == ["numpy", "onnxruntime"]
    assert checks["numpy"].fix == "/usr/bin/python3 -m pip install numpy"
    assert checks["onnxruntime"].fix == "/usr/bin/python3 -m pip install onnxruntime"
    assert "power_mode" not in checks and "clocks" not in checks
    for name in ("driver", "cuda", "tensorrt", "pycuda"):
        assert checks[name].status == "note" and checks[name].fix is None
    assert routes["tensorrt"].missing == ("numpy", "driver", "tensorrt", "pycuda")


def test_a_laptop_with_onnx_runtime(tmp_path):
    checks, _, diagnosis = examine(laptop(tmp_path, answers={
        "numpy": library("2.1.0"), "onnxruntime": library("1.20.0", providers=["CPUExecutionProvider"])}))
    assert diagnosis.possible and statuses(checks, "problem") == []


def test_a_machine_that_answers_nothing_is_not_taken_for_fine(tmp_path):
    checks, _, diagnosis = examine(Recorded(tmp_path, {}, groups=None, free_bytes=None))
    assert not diagnosis.possible
    assert statuses(checks, "ok") == ["python", "venv"]
    for name in ("pip", "driver", "memory", "disk", "video_group"):
        assert "unknown" in checks[name].found, checks[name]
    assert all(checks[name].status == "problem" for name in ("numpy", "onnxruntime"))
    # Not known to be there or not: called neither.
    for name in ("numpy", "onnxruntime", "opencv", "tensorrt", "pycuda"):
        assert "unknown" in checks[name].found and "installed" not in checks[name].found


def test_a_jetson_that_answers_nothing(tmp_path):
    write(tmp_path, "/sys/module/tegra_fuse/version")
    checks, _, diagnosis = examine(Recorded(tmp_path, {}))
    assert not diagnosis.possible
    for name in ("jetpack", "driver", "power_mode", "clocks"):
        assert checks[name].status != "ok" and "unknown" in checks[name].found, checks[name]


# The command


@pytest.fixture
def run(capsys, monkeypatch):
    """Run edgenext-doctor on a recorded machine; returns (exit code, stdout, stderr)."""
    def call(machine, *arguments):
        monkeypatch.setattr(cli, "Machine", lambda timeout_s: machine)
        with pytest.raises(SystemExit) as stop:
            run_command(cli.command, list(arguments))
        output = capsys.readouterr()
        return stop.value.code, output.out, output.err

    return call


def test_exit_codes_and_lines(run, tmp_path):
    code, out, err = run(nano(tmp_path))
    assert (code, err) == (0, "")
    assert "fix:" not in out and "TensorRT on the GPU (.plan): yes" in out and "\x1b" not in out
    code, out, err = run(laptop(tmp_path / "laptop"))
    assert (code, err) == (6, "")
    assert "problem  numpy         not installed\n" in out
    assert "\n                       fix: /usr/bin/python3 -m pip install numpy\n" in out
    assert "no, missing: numpy, driver, tensorrt, pycuda\nexport possible: no, missing: torch, onnx, " in out
    assert out.endswith("inference is not possible\n")


def test_json(run, tmp_path):
    code, out, err = run(laptop(tmp_path), "--json")
    data = json.loads(out)
    assert code == 6 and err == ""
    assert sorted(data) == ["checks", "export", "inference_possible", "routes", "schema"]
    assert data["schema"] == 1 and data["inference_possible"] is False
    assert all(sorted(check) == ["fix", "found", "name", "status"] for check in data["checks"])
    assert [sorted(route) for route in data["routes"]] == [["missing", "name", "possible"]] * 2
    assert data["routes"][0] == {"name": "onnxruntime", "possible": False, "missing": ["numpy", "onnxruntime"]}


EXPORTS = {"torch": library("2.13.0"), "onnx": library("1.21.0"), "onnxsim": library("0.4.36"),
           "safetensors": library("0.6.2"), "numpy": library("2.1.0"), "tensorrt_rtx": library("1.7.1.116"),
           "onnxruntime": library("1.20.0", providers=["CPUExecutionProvider"])}


def test_a_workstation_that_can_export(run, tmp_path):
    checks, _, diagnosis = examine(laptop(tmp_path, answers=EXPORTS))
    assert diagnosis.export == (True, (), None)
    assert all(checks[name].status == "ok" for name in EXPORTS)
    code, out, _ = run(laptop(tmp_path, answers=EXPORTS))
    assert code == 0 and "\nexport possible: yes\n" in out


@pytest.mark.parametrize("name, answer, status, words", [
    ("torch", ABSENT, "note", "only edgenext-export needs it"), ("onnxsim", broken("ImportError: x"), "problem", "x"),
    ("onnx", library("1.16.2"), "problem", "1.21 or newer"), ("safetensors", said_nothing(), "note", "unknown")])
def test_a_workstation_that_cannot_export_says_what_is_missing_and_how_to_get_it(run, tmp_path, name, answer, status,
                                                                                 words):
    machine = laptop(tmp_path, answers=dict(EXPORTS, **{name: answer}))
    checks, _, diagnosis = examine(machine)
    assert checks[name].status == status and words in checks[name].found
    assert diagnosis.export == (False, (name,), install_command("export"))
    code, out, _ = run(machine)
    assert code == 0 and "\nexport possible: no, missing: {}\n  fix: {}\n".format(
        name, install_command("export")) in out


def test_what_exports_need_is_what_the_command_requires_and_setup_demands():
    with open(os.path.join(ROOT, "export", "commands", "cli.py")) as stream:
        required = re.search(r'require_libraries\("exporting", (\(.*?\))\)', stream.read())
    assert ast.literal_eval(required.group(1)) == findings.EXPORTS
    with open(os.path.join(ROOT, "setup.cfg")) as stream:
        demanded = stream.read()
    for name, oldest in workstation_checks.OLDEST.items():
        assert "\n    {}>={};".format(name, oldest) in demanded


def test_a_jetson_exports_elsewhere(tmp_path):
    for number, machine in enumerate((nano(tmp_path / "nano"), orin(tmp_path / "orin"))):
        checks, _, diagnosis = examine(machine)
        assert "torch" not in checks and not diagnosis.export.possible and "workstation" in diagnosis.export.fix
        assert not {"torch", "onnx"} & {name for name, _ in machine.asked}, number


def test_json_goes_to_a_file_and_the_lines_to_the_screen(run, tmp_path):
    for arguments in (["--json-file", str(tmp_path / "doctor.txt")], ["--json", str(tmp_path / "doctor.json")]):
        code, out, _ = run(laptop(tmp_path), *arguments)
        assert code == 6 and "inference is not possible" in out
        with open(arguments[1]) as stream:
            assert json.load(stream)["inference_possible"] is False
    (tmp_path / "net.onnx").write_bytes(b"graph")
    code, out, err = run(laptop(tmp_path), "--json-file", str(tmp_path / "net.onnx"))
    assert (code, out) == (2, "") and "would write over an engine" in err
    assert (tmp_path / "net.onnx").read_bytes() == b"graph"


def test_help_ends_with_examples(run, tmp_path):
    code, out, _ = run(nano(tmp_path), "--help")
    assert code == 0 and out.rpartition("Examples:")[2].split() == [
        "edgenext-doctor", "edgenext-doctor", "--json-file", "doctor.json", "edgenext-doctor", "--timeout", "120"]


def test_names_of_devices_cannot_steer_the_terminal(run, tmp_path):
    machine = nano(tmp_path)
    write(tmp_path, "/sys/class/video4linux/video1/name", "evil\x1b[2Jcam\u202e")
    out = run(machine)[1]
    assert "\x1b" not in out and "evil\\x1b[2Jcam\\u202e" in out


def test_a_bad_timeout(run, tmp_path):
    assert run(nano(tmp_path), "--timeout", "0")[0] == 2


def test_this_machine():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-m", "edgenext_deploy.doctor.cli", "--json"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, cwd=ROOT, env=dict(os.environ, LC_ALL="C"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    data = json.loads(result.stdout.decode("ascii"))
    assert result.stderr == b"" and result.returncode == (0 if data["inference_possible"] else 6)
    checks = {check["name"]: check for check in data["checks"]}
    pytest.importorskip("numpy")
    assert checks["numpy"]["status"] == "ok" and sys.modules["numpy"].__version__ in checks["numpy"]["found"]
    pytest.importorskip("onnxruntime")
    assert data["inference_possible"] and checks["onnxruntime"]["status"] == "ok"
    # Of the command and of what it asks; the wall's clock would count what else the machine does.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
