import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from doctor_trees import (
    ABSENT,
    SYSTEM36,
    Recorded,
    broken,
    executable,
    killed,
    laptop,
    library,
    meminfo,
    nano,
    orin,
    said,
    write,
)

from edgenext_deploy.command import run_command
from edgenext_deploy.doctor import cli
from edgenext_deploy.doctor.diagnosis import diagnose
from edgenext_deploy.doctor.findings import gather, read_probe
from edgenext_deploy.doctor.machine import Interpreter, Machine, Outcome
from edgenext_deploy.environment import present_environment
from edgenext_deploy.jetpack import JETPACKS, find_jetpack, numbers, parse_l4t

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SIGILL = "SIGILL (Illegal instruction)"
VENV36 = Interpreter((3, 6, 9), 64, "/home/jane/venv/bin/python3", "/home/jane/venv", "/usr")


def examine(machine):
    diagnosis = diagnose(machine)
    checks = {check.name: check for check in diagnosis.checks}
    assert len(checks) == len(diagnosis.checks)
    for check in diagnosis.checks:
        assert check.status in ("ok", "problem", "note") and check.found
        assert check.status != "ok" or check.fix is None, check
    return checks, {route.name: route for route in diagnosis.routes}, diagnosis


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


# numpy


def test_the_illegal_instruction_of_numpy_1_19_5(tmp_path):
    dead = killed(SIGILL, installed=True, version="1.19.5")
    machine = nano(tmp_path, answers={
        "numpy": dead, "numpy+ARMV8": library("1.19.5"), "onnxruntime": killed(SIGILL, installed=True),
        "opencv": killed(SIGILL, installed=True)})
    del machine.environ["OPENBLAS_CORETYPE"]
    checks, _, diagnosis = examine(machine)
    assert not diagnosis.possible
    assert checks["numpy"].status == "problem" and "1.19.5" in checks["numpy"].found
    assert "Illegal instruction" in checks["numpy"].found and "it works" in checks["numpy"].found
    assert "export OPENBLAS_CORETYPE=ARMV8" in checks["numpy"].fix
    # What imports numpy is not blamed, and not given a fix of its own.
    assert "numpy" in checks["onnxruntime"].found and checks["onnxruntime"].fix is None
    assert ("numpy", {"OPENBLAS_CORETYPE": "ARMV8"}) in machine.asked


def test_an_illegal_instruction_that_coretype_does_not_cure(tmp_path):
    dead = killed(SIGILL, installed=True, version="1.19.5")
    checks, _, _ = examine(nano(tmp_path, answers={"numpy": dead, "numpy+ARMV8": dead}))
    assert "numpy==1.19.4" in checks["numpy"].fix and "export" not in checks["numpy"].fix


def test_numpy_is_asked_once_where_it_works(tmp_path):
    machine = nano(tmp_path)
    examine(machine)
    assert [name for name, _ in machine.asked].count("numpy") == 1


# Python, pip, virtual environments


def test_a_virtual_environment_without_system_packages(tmp_path):
    write(tmp_path, "/home/jane/venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    checks, routes, diagnosis = examine(nano(tmp_path, python=VENV36, answers={"tensorrt": ABSENT}))
    assert checks["venv"].status == "problem" and "pyvenv.cfg" in checks["venv"].fix
    assert checks["tensorrt"].status == "problem" and checks["tensorrt"].fix == "see venv"
    assert "/usr/lib/python3.6/dist-packages/tensorrt" in checks["tensorrt"].found
    assert routes["tensorrt"].missing == ("tensorrt",) and diagnosis.possible


def test_the_fix_of_the_virtual_environment_repairs_it(tmp_path):
    config = write(tmp_path, "/home/jane/venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    machine = nano(tmp_path, python=VENV36, answers={"tensorrt": ABSENT})
    command = examine(machine)[0]["venv"].fix.replace("/home/jane/venv/pyvenv.cfg", config)
    subprocess.run(command, shell=True, check=True)
    assert examine(machine)[0]["venv"].status == "ok"


def test_a_virtual_environment_of_another_python(tmp_path):
    python = Interpreter((3, 8, 18), 64, "/home/jane/v/bin/python", "/home/jane/v", "/home/jane/.pyenv/versions/3.8.18")
    checks, _, _ = examine(nano(tmp_path, python=python, answers={"tensorrt": ABSENT}))
    assert checks["venv"].status == "problem"
    assert "/usr/bin/python3 -m venv --system-site-packages" in checks["venv"].fix
    assert checks["python"].status == "problem" and "for Python 3.6" in checks["python"].found
    assert "another Python" in checks["tensorrt"].found


def test_a_virtual_environment_on_a_laptop_is_fine(tmp_path):
    python = Interpreter((3, 11, 2), 64, "/home/jane/v/bin/python", "/home/jane/v", "/opt/python")
    assert examine(laptop(tmp_path, python=python))[0]["venv"].status == "ok"


@pytest.mark.parametrize("version, status", [("9.0.1", "problem"), ("19.2.3", "problem"), ("19.3.1", "ok"),
                                             ("21.3.1", "ok")])
def test_pip(tmp_path, version, status):
    check = examine(nano(tmp_path, answers={"pip": library(version)}))[0]["pip"]
    assert check.status == status
    assert status == "ok" or check.fix == "/usr/bin/python3 -m pip install --upgrade pip==21.3.1"


def test_a_32_bit_python(tmp_path):
    check = examine(nano(tmp_path, python=SYSTEM36._replace(bits=32)))[0]["python"]
    assert check.status == "problem" and "64-bit" in check.fix


# CUDA, TensorRT, pycuda


def test_nvcc_not_on_path(tmp_path):
    checks, routes, _ = examine(nano(tmp_path, environ={"PATH": "/usr/bin:/bin"}, answers={"pycuda": ABSENT}))
    assert checks["cuda"].status == "problem" and "10.2.300" in checks["cuda"].found
    assert "export PATH=/usr/local/cuda/bin:$PATH" in checks["cuda"].fix
    assert checks["pycuda"].status == "problem"
    assert checks["pycuda"].fix == (
        "export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include LIBRARY_PATH=/usr/local/cuda/lib64 && "
        "/usr/bin/python3 -m pip install setuptools==59.6.0 wheel && "
        "/usr/bin/python3 -m pip install --no-build-isolation --no-cache-dir pycuda==2022.1")
    assert routes["tensorrt"].missing == ("pycuda",)


def test_building_pycuda_needs_the_coretype_too(tmp_path):
    machine = nano(tmp_path, answers={"pycuda": ABSENT})
    del machine.environ["OPENBLAS_CORETYPE"]
    assert "OPENBLAS_CORETYPE=ARMV8" in examine(machine)[0]["pycuda"].fix


def test_a_newer_python_gets_the_newest_pycuda(tmp_path):
    fix = examine(orin(tmp_path, answers={"pycuda": ABSENT}))[0]["pycuda"].fix
    assert fix.endswith("install --no-cache-dir pycuda") and "setuptools" not in fix


def test_no_toolkit_at_all(tmp_path):
    machine = nano(tmp_path)
    for folder in ("cuda", "cuda-10.2"):
        os.remove(str(tmp_path / "usr/local" / folder / "bin/nvcc"))
    check = examine(machine)[0]["cuda"]
    assert check.status == "problem" and "nvidia-jetpack" in check.fix


@pytest.mark.parametrize("error, fix", [
    ("ImportError: libcurand.so.10: cannot open shared object file", "LD_LIBRARY_PATH=/usr/local/cuda/lib64"),
    ("ImportError: libcuda.so.1: cannot open shared object file", "see driver"),
    ("ImportError: cannot import name '_driver'", "pip install"),
])
def test_a_pycuda_that_does_not_load(tmp_path, error, fix):
    checks, routes, _ = examine(nano(tmp_path, answers={"pycuda": broken(error, "2020.1")}))
    assert checks["pycuda"].status == "problem" and error in checks["pycuda"].found and fix in checks["pycuda"].fix
    assert not routes["tensorrt"].possible


def test_a_pycuda_whose_cuda_fails(tmp_path):
    facts = dict(library("2022.1"), error="LogicError: cuInit failed: unknown error")
    checks, routes, _ = examine(nano(tmp_path, answers={"pycuda": facts}))
    assert "cuInit failed" in checks["pycuda"].found and routes["tensorrt"].missing == ("pycuda",)


def test_bindings_of_tensorrt_not_installed(tmp_path):
    machine = nano(tmp_path, answers={"tensorrt": ABSENT})
    os.remove(str(tmp_path / "usr/lib/python3.6/dist-packages/tensorrt/__init__.py"))
    assert examine(machine)[0]["tensorrt"].fix == "sudo apt-get install python3-libnvinfer"
    os.remove(str(tmp_path / "var/lib/dpkg/info/libnvinfer8.list"))
    assert "nvidia-jetpack" in examine(machine)[0]["tensorrt"].fix


@pytest.mark.parametrize("version, status", [("7.1.3.0", "problem"), ("8.2.1.8", "ok"), ("8.6.1.6", "note")])
def test_versions_of_tensorrt(tmp_path, version, status):
    checks, routes, _ = examine(nano(tmp_path, answers={"tensorrt": library(version)}))
    assert checks["tensorrt"].status == status
    assert routes["tensorrt"].possible == (status != "problem")


def test_a_tensorrt_that_dies(tmp_path):
    dead = Outcome(-11, '{"installed": true, "version": "8.2.1.8"}\n', "", "was killed by SIGSEGV")
    checks, routes, _ = examine(nano(tmp_path, answers={"tensorrt": dead}))
    assert checks["tensorrt"].status == "problem" and "SIGSEGV" in checks["tensorrt"].found
    assert routes["tensorrt"].missing == ("tensorrt",)


def test_no_driver_on_a_jetson(tmp_path):
    checks, routes, _ = examine(nano(tmp_path, groups=("jane",), answers={
        "environment": {"platform": "linux-aarch64"}, "pycuda": broken("ImportError: libcuda.so.1: cannot open")}))
    assert checks["driver"].status == "problem" and "--runtime nvidia" in checks["driver"].fix
    assert checks["video_group"].status == "problem" and "usermod -aG video jane" in checks["video_group"].fix
    assert routes["tensorrt"].missing == ("driver", "pycuda")


def test_a_server_whose_driver_sees_no_gpu(tmp_path):
    checks, _, _ = examine(laptop(tmp_path, answers={
        "environment": {"platform": "linux-x86_64", "driver": "550.54", "cuda_driver": "12.4"}}))
    assert checks["driver"].status == "problem" and "finds no GPU" in checks["driver"].found
    assert checks["pycuda"].status == "problem" and checks["tensorrt"].fix.endswith("install tensorrt")


def test_nvcc_that_hangs(tmp_path):
    check = examine(nano(tmp_path, answers={"nvcc": Outcome(None, "", "", "did not finish within 30 s")}))[0]["cuda"]
    assert check.status == "problem" and "did not finish" in check.found


# JetPack


@pytest.mark.parametrize("revision, name, status", [
    ("5.1", "4.5.1", "problem"), ("6.1", "4.6", "note"), ("7.6", "4.6.6", "ok"), ("9.9", "unknown", "note")])
def test_jetpacks(tmp_path, revision, name, status):
    check = examine(nano(tmp_path, revision=revision))[0]["jetpack"]
    assert check.status == status and name in check.found


def test_the_table_is_ordered_and_without_overlaps():
    previous = (0, 0, 0)
    for row in JETPACKS:
        assert previous < numbers(row.first) <= numbers(row.last), row
        previous = numbers(row.last)
        assert find_jetpack(row.first) is row and find_jetpack(row.last) is row


@pytest.mark.parametrize("l4t, name", [("36.5", "6.2.2"), ("36.4.7", "6.2.1"), ("35.4.1", "5.1.1 to 5.1.6"),
                                       ("34.2.0", None), ("33.1.0", None), (None, None)])
def test_looking_up_a_release(l4t, name):
    row = find_jetpack(l4t)
    assert (row.name if row else None) == name


@pytest.mark.parametrize("l4t", ["32.6.1", "32.7.1", "32.7.6", "35.1.0", "35.2.1", "36.3.0", "36.4.3", "39.2.0"])
def test_plans_and_doctor_agree_on_the_release(tmp_path, l4t):
    major, revision = l4t.split(".", 1)
    path = write(tmp_path, "/etc/nv_tegra_release", "# R{} (release), REVISION: {}, GCID: 1\n".format(major, revision))
    with open(path) as stream:
        assert parse_l4t(stream.read()) == l4t
    environment = present_environment(str(tmp_path))
    assert environment.l4t == l4t and environment.jetpack == find_jetpack(l4t).name


# Memory, disk, power, cameras


@pytest.mark.parametrize("available, swap, status", [(2600, 0, "ok"), (1500, 1900, "note"), (900, 500, "problem")])
def test_memory(tmp_path, available, swap, status):
    machine = nano(tmp_path)
    meminfo(tmp_path, 3956, available, swap)
    check = examine(machine)[0]["memory"]
    assert check.status == status
    assert ("mkswap /swapfile" in (check.fix or "")) == (status == "problem")


def test_the_full_swap_does_not_count(tmp_path):
    machine = nano(tmp_path)
    meminfo(tmp_path, 3956, 900, 4000, swap_free=100)
    assert examine(machine)[0]["memory"].status == "problem"


@pytest.mark.parametrize("free, closed, status", [(5 << 30, (), "ok"), (100 << 20, (), "problem"),
                                                  (5 << 30, ("/home/jane",), "problem")])
def test_disk(tmp_path, free, closed, status):
    write(tmp_path, "/home/jane/.profile")
    check = examine(nano(tmp_path, free_bytes=free, closed=closed))[0]["disk"]
    assert check.status == status and "/home/jane" in check.found
    assert status == "ok" or "EDGENEXT_CACHE" in check.fix


def test_power_mode_from_the_command(tmp_path):
    machine = nano(tmp_path, answers={"nvpmodel": Outcome(0, "NV Power Mode: 5W\n1\n", "")})
    os.remove(str(tmp_path / "var/lib/nvpmodel/status"))
    check = examine(machine)[0]["power_mode"]
    assert check.status == "note" and "5W (mode 1)" in check.found and "-m 0 (MAXN)" in check.fix


def test_power_mode_unknown(tmp_path):
    machine = nano(tmp_path, answers={"nvpmodel": Outcome(None, "", "", "did not finish within 30 s")})
    os.remove(str(tmp_path / "var/lib/nvpmodel/status"))
    check = examine(machine)[0]["power_mode"]
    assert check.status == "note" and "unknown" in check.found and "did not finish" in check.found


def test_the_command_is_not_asked_where_the_file_says_it(tmp_path):
    machine = nano(tmp_path)
    examine(machine)
    assert "nvpmodel" not in [name for name, _ in machine.asked]


def test_a_camera_without_permission(tmp_path):
    check = examine(nano(tmp_path, closed=("/dev/video1",)))[0]["cameras"]
    assert check.status == "problem" and "no permission for /dev/video1" in check.found and "usermod" in check.fix


def test_a_csi_camera_without_its_daemon(tmp_path):
    machine = nano(tmp_path)
    os.remove(str(tmp_path / "tmp/argus_socket"))
    check = examine(machine)[0]["cameras"]
    assert check.status == "problem" and "nvargus-daemon" in check.fix


def test_opencv_without_gstreamer_on_a_jetson(tmp_path):
    check = examine(nano(tmp_path, answers={"opencv": library("4.6.0", gstreamer=False)}))[0]["opencv"]
    assert check.status == "problem" and "nvidia-opencv" in check.fix
    check = examine(laptop(tmp_path, answers={"numpy": library("2.0"),
                                              "opencv": library("4.6.0", gstreamer=False)}))[0]["opencv"]
    assert check.status == "ok" or "csi" in check.found


# Child processes


def module(folder, name, text, version=None):
    write(folder, name + "/__init__.py", text)
    if version is not None:
        write(folder, "{}-{}.dist-info/METADATA".format(name, version))


DIES = "import os, signal\nif 'OPENBLAS_CORETYPE' not in os.environ: os.kill(os.getpid(), signal.SIGILL)\n"
# Enough of numpy for what the probe multiplies.
WORKS = ("__version__ = '1.19.5'\nfloat32 = None\nclass A:\n    def __matmul__(s, o): return s\n"
         "    def sum(s): return 4096.0\ndef ones(*a): return A()\n")


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Return a machine whose Python finds the modules in tmp_path first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    environ = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    return Machine(timeout_s=20.0, architecture="aarch64", environ=environ)


def test_a_child_that_dies_of_an_illegal_instruction(tmp_path, planted):
    module(tmp_path, "numpy", DIES + WORKS, "1.19.5")
    findings = gather(planted)
    assert findings.numpy.illegal_instruction and not findings.numpy.imported
    assert findings.numpy.version == "1.19.5"
    assert findings.numpy_armv8.imported
    check = examine(planted)[0]["numpy"]
    assert "Illegal instruction" in check.found and "OPENBLAS_CORETYPE=ARMV8 it works" in check.found


def probe(machine, name):
    return read_probe(machine.run([machine.probe_command(name)])[0])


def test_a_library_that_prints_and_crashes_at_exit(tmp_path, planted):
    module(tmp_path, "pip", "import atexit, os, sys\nsys.stdout.write('a line without end')\nsys.stdout.flush()\n"
                            "atexit.register(os.abort)\n"
                            "__version__ = '21.3.1'\n")
    found = probe(planted, "pip")
    assert found.imported and found.version == "21.3.1" and found.trouble is None


@pytest.mark.parametrize("text, trouble", [
    ("raise ImportError('libnvinfer.so.8: cannot open\\nshared object file')",
     "ImportError: libnvinfer.so.8: cannot open shared object file"),
    ("import sys; sys.exit(3)", "ended with exit code 3"),
    ("import os; os._exit(0)", None),
    ("__version__ = ", "SyntaxError"),
    ("pass", "AttributeError"),
])
def test_libraries_that_fail(tmp_path, planted, text, trouble):
    module(tmp_path, "tensorrt", text, "8.2.1.8")
    found = probe(planted, "tensorrt")
    assert not found.imported and not found.absent and found.version == "8.2.1.8"
    assert trouble is None or trouble in found.trouble


def test_an_empty_folder_is_not_a_library(tmp_path, planted):
    (tmp_path / "tensorrt").mkdir()
    assert probe(planted, "tensorrt").absent


def test_an_import_that_hangs_is_stopped_with_its_children(tmp_path, planted):
    module(tmp_path, "tensorrt", "import subprocess, sys, time\n"
           "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
           "open({!r}, 'w').write(str(child.pid))\ntime.sleep(300)\n".format(str(tmp_path / "pid")), "8.2.1.8")
    planted.timeout_s = 2.0
    start = time.monotonic()
    found = probe(planted, "tensorrt")
    assert time.monotonic() - start < 10
    assert found.trouble == "did not finish within 2 s" and found.version == "8.2.1.8" and not found.imported
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not alive(child):
            break
        time.sleep(0.02)
    assert not alive(child)


def alive(pid):
    try:
        with open("/proc/{}/stat".format(pid)) as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_commands_run_side_by_side_and_keep_their_order(tmp_path):
    machine = Machine(timeout_s=20.0)
    code = "import sys, time; time.sleep(float(sys.argv[1])); print(sys.argv[2])"
    taken_s = []
    while not taken_s or (min(taken_s) >= 2.6 and len(taken_s) < 3):  # a busy machine starts programs late
        start = time.monotonic()
        outcomes = machine.run([[sys.executable, "-c", code, delay, word]
                                for delay, word in (("0.9", "a"), ("0.1", "b"), ("0.9", "c"), ("0.9", "d"))])
        taken_s.append(time.monotonic() - start)
        assert [outcome.output.strip() for outcome in outcomes] == ["a", "b", "c", "d"]
    assert min(taken_s) < 2.6  # one after another they sleep 2.8 s


def test_a_command_that_is_not_there():
    outcome = Machine().run([["/no/such/command"]])[0]
    assert outcome.code is None and "No such file" in outcome.trouble


def test_a_command_reads_no_input():
    assert Machine(timeout_s=10.0).run([["cat"]])[0] == Outcome(0, "", "", None)


def test_signals_are_named():
    code = "import os; os.kill(os.getpid(), {})"
    outcomes = Machine(timeout_s=20.0).run([
        [sys.executable, "-c", code.format(int(number))] for number in (signal.SIGSEGV, signal.SIGKILL)])
    assert ["SIGSEGV" in outcomes[0].trouble, "memory" in outcomes[1].trouble] == [True, True]


def test_output_that_is_no_answer():
    assert read_probe(Outcome(0, "[1]\nhello\n", "")).trouble == "gave no answer"
    assert read_probe(Outcome(1, "", "Traceback\nImportError: x\n\n")).trouble.endswith("ImportError: x")
    assert not read_probe(said(imported="yes")).imported


def test_which_follows_path_only(tmp_path):
    executable(tmp_path, "/opt/b/tool")
    write(tmp_path, "/opt/a/tool")
    os.chmod(str(tmp_path / "opt/a/tool"), 0o644)
    machine = Machine(str(tmp_path), environ={"PATH": ":relative:/opt/a:/opt/b"})
    assert machine.which("tool") == "/opt/b/tool" and machine.which("other") is None


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
    assert "problem  numpy        not installed\n" in out
    assert "\n                      fix: /usr/bin/python3 -m pip install numpy\n" in out
    assert out.endswith("no, for want of numpy, driver, tensorrt, pycuda\ninference is not possible\n")


def test_json(run, tmp_path):
    code, out, err = run(laptop(tmp_path), "--json")
    data = json.loads(out)
    assert code == 6 and err == ""
    assert sorted(data) == ["checks", "inference_possible", "routes", "schema"]
    assert data["schema"] == 1 and data["inference_possible"] is False
    assert all(sorted(check) == ["fix", "found", "name", "status"] for check in data["checks"])
    assert [sorted(route) for route in data["routes"]] == [["missing", "name", "possible"]] * 2
    assert data["routes"][0] == {"name": "onnxruntime", "possible": False, "missing": ["numpy", "onnxruntime"]}


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
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
