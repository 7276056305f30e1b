"""Machines with a double of a GPU, TensorRT and pycuda."""
import pytest
from doubles import gpu
from trt_cases import MACHINES

# Their failed assertions tell the values, as those of a test do.
pytest.register_assert_rewrite("camera_checks", "doctor_trees")


@pytest.fixture(params=MACHINES, ids=lambda made: "{}{}".format(made[0], "" if made[1] else "-old-pycuda"))
def machine(request, monkeypatch):
    made = gpu.install(monkeypatch, request.param[0], primary=request.param[1])
    yield made
    assert made.violations == []
    assert made.driver_stack == [] and made.pycuda_stack == []


@pytest.fixture
def new_machine(monkeypatch):
    return gpu.install(monkeypatch)
