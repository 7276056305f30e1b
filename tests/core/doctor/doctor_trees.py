"""Recorded machines: a tree of files, what commands and child processes would answer there, and their diagnosis."""
import json
import os
import stat

from edgenext_deploy.doctor.diagnosis import diagnose
from edgenext_deploy.doctor.machine import Interpreter, Machine, Outcome

SYSTEM36 = Interpreter((3, 6, 9), 64, "/usr/bin/python3", "/usr", "/usr")
SYSTEM310 = Interpreter((3, 10, 12), 64, "/usr/bin/python3", "/usr", "/usr")
ABSENT = {"installed": False}
NANO_CONF = """\
# FILE_VERSION: 3
< PARAM TYPE=FILE NAME=CPU_ONLINE >
###########################
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=5W >
CPU_ONLINE CORE_0 1
< PM_CONFIG DEFAULT=0 >
"""
ORIN_CONF = """\
< POWER_MODEL ID=0 NAME=15W >
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< POWER_MODEL ID=3 NAME=7W >
< PM_CONFIG DEFAULT=1 >
"""


class Recorded(Machine):
    """A machine that is only files and answers.

    `answers` holds, by the name of a probe or the basename of a command, the facts that it prints or an Outcome.
    A command without an answer is one that cannot be started.
    """

    def __init__(self, root, answers, python=SYSTEM310, architecture="x86_64", environ=None, groups=("video",),
                 free_bytes=20 << 30, closed=()):
        super().__init__(str(root), python=python, architecture=architecture,
                         environ=dict({"PATH": "/usr/bin:/bin", "HOME": "/home/jane"}, **(environ or {})))
        self.answers = dict(answers)
        self.asked = []
        self._groups, self._free_bytes, self._closed = groups, free_bytes, closed

    def run(self, commands, extra=None):
        return [self._answer(command, extra) for command in commands]

    def _answer(self, command, extra):
        name = command[-1] if "-c" in command else os.path.basename(command[0])
        self.asked.append((name, dict(extra or {})))
        answer = self.answers.get(name + ("+ARMV8" if extra else ""))
        if answer is None:
            return Outcome(None, "", "", "could not be started: No such file or directory")
        return answer if isinstance(answer, Outcome) else said(**answer)

    def usable(self, path):
        return path not in self._closed

    def groups(self):
        return None if self._groups is None else frozenset(self._groups)

    def is_root(self):
        return False

    def user(self):
        return "jane"

    def free_bytes(self, path):
        return self._free_bytes


def said(**facts):
    return Outcome(0, json.dumps(facts) + "\n", "")


def said_nothing():
    return Outcome(None, "", "", "did not finish within 30 s")


def killed(name, **facts):
    return Outcome(-4, json.dumps(facts) + "\n", "", "was killed by " + name)


def library(version, **facts):
    return dict({"installed": True, "version": version, "imported": True}, **facts)


def broken(error, version=None):
    return {"installed": True, "version": version, "error": error}


def write(root, path, text=""):
    place = os.path.join(str(root), path.lstrip("/"))
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "w") as stream:
        stream.write(text)
    return place


def executable(root, path):
    os.chmod(write(root, path, "#!/bin/sh\n"), stat.S_IRWXU)


def meminfo(root, total, available, swap=0, swap_free=None):
    """Write /proc/meminfo; all in MiB."""
    write(root, "/proc/meminfo", "MemTotal:     {} kB\nMemFree:  100 kB\nMemAvailable: {} kB\nSwapTotal: {} kB\n"
          "SwapFree: {} kB\nHugePages_Total:       0\n".format(
              *[mib * 1024 for mib in (total, available, swap, swap if swap_free is None else swap_free)]))


def nano(root, revision="7.1", **options):
    """Return a Nano with JetPack 4.6.1 on which everything is as it should be."""
    write(root, "/etc/nv_tegra_release", "# R32 (release), REVISION: {}, GCID: 29818004, BOARD: t210ref, EABI: "
          "aarch64, DATE: Sat Feb 19 17:05:08 UTC 2022\n".format(revision))
    write(root, "/proc/device-tree/model", "NVIDIA Jetson Nano Developer Kit\0")
    meminfo(root, 3956, 2600, 1978)
    executable(root, "/usr/local/cuda-10.2/bin/nvcc")
    executable(root, "/usr/local/cuda/bin/nvcc")
    write(root, "/usr/local/cuda/include/cuda.h")
    executable(root, "/usr/sbin/nvpmodel")
    write(root, "/usr/lib/python3.6/dist-packages/tensorrt/__init__.py")
    write(root, "/var/lib/dpkg/info/libnvinfer8.list")
    write(root, "/var/lib/nvpmodel/status", "pmode:0000\n")
    write(root, "/etc/nvpmodel.conf", NANO_CONF)
    write(root, "/sys/class/devfreq/57000000.gpu/min_freq", "921600000\n")
    write(root, "/sys/class/devfreq/57000000.gpu/max_freq", "921600000\n")
    write(root, "/dev/video0")
    write(root, "/dev/video1")
    write(root, "/sys/class/video4linux/video0/name", "vi-output, imx219 7-0010\n")
    write(root, "/sys/class/video4linux/video1/name", "HD Webcam C615\n")
    write(root, "/tmp/argus_socket")
    answers = {
        "numpy": library("1.19.5"), "pip": library("21.3.1"), "opencv": library("4.1.1", gstreamer=True),
        "onnxruntime": library("1.10.0", providers=["CPUExecutionProvider"]),
        "tensorrt": library("8.2.1.8"), "pycuda": library("2022.1", devices=1),
        "environment": {"platform": "linux-aarch64", "gpu": "NVIDIA Tegra X1", "compute_capability": "5.3",
                        "cuda_driver": "10.2", "cuda": "10.2.300"},
        "nvcc": Outcome(0, "Cuda compilation tools, release 10.2, V10.2.300\n", ""),
    }
    answers.update(options.pop("answers", {}))
    environ = {"PATH": "/usr/local/cuda/bin:/usr/bin:/bin", "OPENBLAS_CORETYPE": "ARMV8"}
    environ.update(options.pop("environ", {}))
    settings = {"python": SYSTEM36, "architecture": "aarch64"}
    settings.update(options)
    return Recorded(root, answers, environ=environ, **settings)


def orin(root, **options):
    """Return an Orin with JetPack 6.2 in its default power mode."""
    write(root, "/etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: "
          "aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n")
    write(root, "/proc/device-tree/model", "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0")
    meminfo(root, 7620, 5800, 3810)
    executable(root, "/usr/local/cuda/bin/nvcc")
    write(root, "/usr/lib/python3.10/dist-packages/tensorrt/__init__.py")
    write(root, "/etc/nvpmodel.conf", ORIN_CONF)
    write(root, "/var/lib/nvpmodel/status", "pmode:0001 fmode:quiet\n")
    write(root, "/sys/class/devfreq/15340000.vic/min_freq", "1")
    write(root, "/sys/class/devfreq/17000000.gpu/min_freq", "306000000\n")
    write(root, "/sys/class/devfreq/17000000.gpu/max_freq", "1020000000\n")
    answers = {
        "numpy": library("1.21.5"), "pip": library("22.0.2"), "opencv": library("4.8.0", gstreamer=True),
        "onnxruntime": ABSENT, "tensorrt": library("10.3.0"), "pycuda": library("2024.1.2", devices=1),
        "environment": {"platform": "linux-aarch64", "gpu": "Orin", "compute_capability": "8.7", "cuda_driver": "12.6"},
        "nvcc": Outcome(0, "Cuda compilation tools, release 12.6, V12.6.68\n", ""),
    }
    answers.update(options.pop("answers", {}))
    return Recorded(root, answers, python=SYSTEM310, architecture="aarch64",
                    environ={"PATH": "/usr/local/cuda/bin:/usr/bin"}, **options)


def laptop(root, **options):
    """Return a laptop with a bare Python and none of the libraries."""
    meminfo(root, 16000, 9000)
    answers = dict.fromkeys(("numpy", "onnxruntime", "opencv", "tensorrt", "pycuda"), ABSENT)
    answers.update(pip=library("23.2.1"), environment={"platform": "linux-x86_64"})
    answers.update(options.pop("answers", {}))
    return Recorded(root, answers, groups=("jane",), **options)


def examine(machine):
    """Return the checks and the routes of a machine by name, and the diagnosis, which must hold together."""
    diagnosis = diagnose(machine)
    checks = {check.name: check for check in diagnosis.checks}
    assert len(checks) == len(diagnosis.checks)
    for check in diagnosis.checks:
        assert check.status in ("ok", "problem", "note") and check.found
        assert check.status != "ok" or check.fix is None, check
    return checks, {route.name: route for route in diagnosis.routes}, diagnosis
