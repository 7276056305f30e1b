"""The sessions' own tests, which the doubles serve too, on NVIDIA's bindings of every release and on real pycuda."""
import glob
import os

import pytest
from paths import TESTS
from real.nvidia import children
from sweeps import sweep

pytestmark = pytest.mark.real

SESSIONS = sorted(glob.glob(os.path.join(TESTS, "core", "runtime", "test_trt_*.py")))
MEMORY = os.path.join(TESTS, "gpu", "test_cuda_memory.py")
KERNELS = os.path.join(TESTS, "gpu", "test_preprocess_gpu.py")
# How many tests pass at least: a child that skips everything proves nothing.
LEAST = {"sessions": 100, "memory": 6, "kernels": 40}


def check(combination, tmp_path, least, *arguments):
    code, counts, text = children.run_pytest(combination, tmp_path, "-m", "not sweep", *arguments)
    assert code == 0, text[-6000:]
    assert counts["passed"] >= least, text[-2000:]
    print("{}: {}".format(children.name(combination), counts))  # noqa: T201


# Of each way to run a plan one release: bindings by number, tensors by name, the newest.
ALWAYS = [("8.6", "2022.1", "3.6"), ("10.3", "2026.1", "3.11"), ("11.4", "2026.1", "3.11")]


@pytest.mark.parametrize("release, pycuda, python", sweep(children.COMBINATIONS + children.OLDER, always=ALWAYS))
def test_sessions(release, pycuda, python, tmp_path):
    check((release, pycuda, python), tmp_path, LEAST["sessions"], *SESSIONS)


# What they ask does not depend on TensorRT.
PYCUDAS = [("8.6", "2022.1", "3.6"), ("10.3", "2026.1", "3.11")]


@pytest.mark.parametrize("release, pycuda, python", sweep(PYCUDAS + children.OLDER, always=PYCUDAS))
def test_memory_and_graphs(release, pycuda, python, tmp_path):
    check((release, pycuda, python), tmp_path, LEAST["memory"], MEMORY)


@pytest.mark.parametrize("nvcc", ["of this machine", "stand-in"])
@pytest.mark.parametrize("release, pycuda, python", sweep(PYCUDAS + children.OLDER, always=PYCUDAS))
def test_preprocessing_kernels(release, pycuda, python, tmp_path, monkeypatch, nvcc):
    monkeypatch.setenv("EDGENEXT_REAL_NVCC", nvcc)
    check((release, pycuda, python), tmp_path, LEAST["kernels"], KERNELS, "-k", "not test_time")
