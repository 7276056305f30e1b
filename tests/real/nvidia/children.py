"""Child processes with the real software of one release: a process can load the bindings of one only."""
import os
import re
import subprocess
import sys

import pytest
from paths import ROOT, TESTS
from real.nvidia import places

# TensorRT, pycuda, Python. The Nano's Python has the oldest bindings that can be had; every release has one row.
COMBINATIONS = [("8.6", "2022.1", "3.6")] + [(release, "2026.1", "3.11") for release in places.RELEASES]
# Added by `make test-all`.
OLDER = [("8.6", "2019.1.2", "3.6"), ("8.6", "2020.1", "3.6"), ("8.6", "2021.1", "3.6")]


def name(combination):
    return "TensorRT{}-pycuda{}-py{}".format(*combination)


def interpreter(python):
    return os.environ.get("EDGENEXT_PYTHON36") if python == "3.6" else sys.executable


def environment(combination, root=ROOT):
    """Return the environment of a child, or skip where a part of the combination is missing."""
    release, pycuda, python = combination
    if not interpreter(python):
        pytest.skip("no Python 3.6; give it with PYTHON36=/path/to/python3.6")
    reason = places.missing(places.bindings(release, python), places.pycuda(pycuda, python), places.slots(release),
                            places.DRIVER, places.KERNELS)
    if reason:
        pytest.skip(reason)
    return dict(os.environ, EDGENEXT_REAL="{},{}".format(release, pycuda), OMP_NUM_THREADS="1",
                PYTHONPATH=os.pathsep.join([root, os.path.join(root, "tests")]), PYTHONDONTWRITEBYTECODE="1")


def run_pytest(combination, tmp_path, *arguments, root=ROOT):
    """Run tests in a child on real software; return the exit status, the numbers by outcome, and all it printed."""
    settings = dict(environment(combination, root), XDG_CACHE_HOME=str(tmp_path / "cache"))
    done = subprocess.run(
        [interpreter(combination[2]), "-X", "faulthandler", "-m", "pytest", "-p", "real.nvidia.plugin",
         "-p", "no:cacheprovider", "-o", "addopts=", "-W", "error::DeprecationWarning", "--tb=short",
         "--basetemp", str(tmp_path / "tests"), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, env=settings, cwd=root, timeout=550)
    counts = {outcome: int(number) for number, outcome in re.findall(
        r"(\d+) (passed|failed|skipped|error)", done.stdout.strip().splitlines()[-1])}
    return done.returncode, counts, done.stdout


def run_script(combination, script, *arguments, folder=TESTS):
    """Run a script of tests/real/nvidia in a child; return the finished process with its text."""
    return subprocess.run(
        [interpreter(combination[2]), os.path.join(places.HERE, script), *arguments], env=environment(combination),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, cwd=folder, timeout=300)
