"""Each check of the doctor, on recorded machines with one fault each."""
import os
import subprocess

import pytest
from doctor_trees import (
    ABSENT,
    SYSTEM36,
    broken,
    examine,
    killed,
    laptop,
    library,
    meminfo,
    nano,
    orin,
    write,
)

from edgenext_deploy.doctor.machine import Interpreter, Outcome
from edgenext_deploy.machine.environment import present_environment
from edgenext_deploy.machine.jetpack import JETPACKS, find_jetpack, parse_l4t
from edgenext_deploy.machine.versions import version_numbers

SIGILL = "SIGILL (Illegal instruction)"
VENV36 = Interpreter((3, 6, 9), 64, "/home/jane/venv/bin/python3", "/home/jane/venv", "/usr")


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
    ("ImportError: /lib/pycuda/_driver.cpython-36m-aarch64-linux-gnu.so: undefined symbol: cuMemFree_v2",
     "--no-build-isolation --no-cache-dir --force-reinstall --no-deps pycuda==2022.1"),
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
        assert previous < version_numbers(row.first, 3) <= version_numbers(row.last, 3), row
        previous = version_numbers(row.last, 3)
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


@pytest.mark.parametrize("version, package", [
    ((3, 6, 15), "'opencv-python-headless<4.7'"), ((3, 11, 7), "opencv-python-headless")])
def test_python36_gets_the_last_opencv_that_has_a_wheel_for_it(tmp_path, version, package):
    machine = laptop(tmp_path)
    machine.python = machine.python._replace(version=version)
    assert examine(machine)[0]["opencv"].fix.endswith("pip install " + package)


def test_opencv_without_gstreamer_on_a_jetson(tmp_path):
    check = examine(nano(tmp_path, answers={"opencv": library("4.6.0", gstreamer=False)}))[0]["opencv"]
    assert check.status == "problem" and "nvidia-opencv" in check.fix
    check = examine(laptop(tmp_path, answers={"numpy": library("2.0"),
                                              "opencv": library("4.6.0", gstreamer=False)}))[0]["opencv"]
    assert check.status == "ok" or "csi" in check.found


@pytest.mark.parametrize("status, names, found, fix", [
    ("2", "0 MODE_15W_2CORE, 2 MODE_15W_6CORE, 8 MODE_20W_6CORE", "than in mode MODE_20W_6CORE",
     "sudo nvpmodel -m 8 (MODE_20W_6CORE)"),
    ("8", "2 MODE_15W_6CORE, 8 MODE_20W_6CORE", "MODE_20W_6CORE (mode 8)", None),
    ("2", "0 MODE_15W_2CORE, 2 MODE_15W_6CORE", "MODE_15W_6CORE (mode 2)", None),
    ("0", "0 MODE_10W_2CORE", "clocks are capped", None),
])
def test_a_board_whose_modes_have_no_maxn(tmp_path, status, names, found, fix):
    machine = nano(tmp_path)
    write(tmp_path, "/proc/device-tree/model", "NVIDIA Jetson Xavier NX Developer Kit\0")
    write(tmp_path, "/var/lib/nvpmodel/status", "pmode:000{}\n".format(status))
    write(tmp_path, "/etc/nvpmodel.conf", "".join(
        "< POWER_MODEL ID={} NAME={} >\n".format(*mode.split()) for mode in names.split(", ")))
    check = examine(machine)[0]["power_mode"]
    assert found in check.found and check.fix == fix
    assert (check.status == "ok") == (fix is None and "capped" not in check.found)
