"""The CUDA context, on a double of pycuda that models both context stacks."""
import os
import sys
import threading

import pytest
from doubles import gpu
from doubles.cuda_machine import DriverMemoryError, LogicError
from doubles.pycuda_double import Torch

from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.runtime import cuda


@pytest.fixture(params=[True, False], ids=["primary", "own"])
def machine(request, monkeypatch):
    made = gpu.install(monkeypatch, primary=request.param)
    made.has_primary = request.param
    yield made
    assert made.violations == [] and made.driver_stack == [] and made.pycuda_stack == []


def run_in_thread(function):
    result = []

    def guarded():
        try:
            result.append(function())
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join(30)
    (found,) = result
    return found


def test_one_context_for_all_and_current_only_inside(machine):
    first, second = cuda.acquire(0), cuda.acquire(0)
    assert first is second and machine.contexts_made == 1 and first.primary == machine.has_primary
    with pytest.raises(LogicError, match="invalid device context"):
        machine.current("cuMemAlloc")
    with first.active() as driver:
        state = machine.current("cuMemAlloc")
        with second.active():
            assert machine.current("cuMemAlloc") is state
        assert machine.current("cuMemAlloc") is state
        driver.mem_alloc(16).free()
    assert machine.driver_stack == [] and machine.pycuda_stack == []
    first.release()
    second.release()


def test_any_thread_may_use_it(machine):
    context = run_in_thread(lambda: cuda.acquire(0))

    def work():
        with context.active() as driver:
            driver.mem_alloc(16).free()
        return machine.driver_stack + machine.pycuda_stack

    assert work() == [] and run_in_thread(work) == []
    assert run_in_thread(context.release) is None
    assert machine.contexts_destroyed == (0 if machine.has_primary else 1)


def test_last_release_destroys_a_context_of_our_own_and_keeps_the_primary_one(machine):
    first, second = cuda.acquire(0), cuda.acquire(0)
    first.release()
    assert machine.contexts_destroyed == 0
    second.release()
    assert machine.contexts_destroyed == (0 if machine.has_primary else 1)
    third = cuda.acquire(0)
    assert (third is first) == machine.has_primary
    with third.active() as driver:
        driver.mem_alloc(16).free()
    third.release()


def test_mapped_memory_is_asked_for_where_the_context_is_ours(monkeypatch):
    machine = gpu.install(monkeypatch, primary=False)
    cuda.acquire(0).release()
    assert machine.context_flags == 8


def test_each_device_has_its_own(monkeypatch):
    gpu.install(monkeypatch, devices=2)
    first, second = cuda.acquire(0), cuda.acquire(1)
    assert first is not second and second.device == 1
    for device in (2, -1):
        with pytest.raises(UsageError, match="2 found: 0 to 1"):
            cuda.acquire(device)
    first.release()
    second.release()


def test_whatever_was_current_is_current_again(machine):
    torch = Torch(machine)
    import pycuda.driver as driver

    other = driver.Device(0).make_context()
    before = list(machine.driver_stack), list(machine.pycuda_stack)
    context = cuda.acquire(0)
    with context.active():
        pass
    with pytest.raises(ZeroDivisionError), context.active():
        raise ZeroDivisionError
    context.release()
    assert (machine.driver_stack, machine.pycuda_stack) == before
    other.pop()
    assert torch.works()
    torch.close()


STICKY = ["an illegal memory access was encountered", "unspecified launch failure", "launch failed",
          "uncorrectable ECC error encountered", "device-side assert triggered", "misaligned address",
          "an illegal instruction was encountered", "hardware stack error", "invalid program counter",
          "the launch timed out and was terminated", "context is destroyed",
          "operation not supported on global/shared address space", "uncorrectable NVLink error detected"]


@pytest.mark.parametrize("text", STICKY)
def test_a_lasting_error_says_restart_to_everybody(machine, text):
    context, other = cuda.acquire(0), cuda.acquire(0)
    with pytest.raises(cuda.CudaError, match="restart this process") as caught, context.active():
        raise LogicError("cuStreamSynchronize failed: " + text)
    assert caught.value.sticky and text in str(caught.value) and not context.usable
    with pytest.raises(cuda.CudaError, match="restart this process"), other.active():
        pytest.fail("the block was run")
    with pytest.raises(cuda.CudaError, match="restart this process"):
        cuda.acquire(0)
    context.release()
    other.release()
    with pytest.raises(cuda.CudaError, match="restart this process"):
        cuda.acquire(0)


@pytest.mark.parametrize("text", ["invalid argument", "invalid resource handle", "device not ready", "out of memory"])
def test_other_errors_do_not_last(machine, text):
    context = cuda.acquire(0)
    with pytest.raises(cuda.CudaError, match=text) as caught, context.active():
        raise LogicError("cuSomething failed: " + text)
    assert not caught.value.sticky
    with pytest.raises(IncompatibleError, match="Double GPU is out of memory"), context.active():
        raise DriverMemoryError("cuMemAlloc failed: out of memory")
    with context.active() as driver:
        driver.mem_alloc(16).free()
    context.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_is_told_so(machine):
    context = cuda.acquire(0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with context.active():
                pass
        except UsageError as error:
            code = 0 if "spawn" in str(error) and not context.usable else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    context.release()


class Owner:
    def __init__(self, trouble=None):
        self.trouble = trouble
        self.closed = 0

    def close(self):
        self.closed += 1
        if self.trouble is not None:
            raise self.trouble


def test_owners_are_closed_at_exit_whatever_one_of_them_raises(machine):
    owners = [Owner(), Owner(RuntimeError("no")), Owner()]
    contexts = [cuda.acquire(0, owner) for owner in owners]
    cuda._close_all()
    assert [owner.closed for owner in owners] == [1, 1, 1]
    for context in contexts:
        context.release()


@pytest.mark.parametrize("message, fix", [
    ("No module named 'pycuda'", "PATH=/usr/local/cuda/bin:.*CPATH=.*LIBRARY_PATH=.*pip install .*pycuda"),
    ("libcuda.so.1: cannot open shared object file", "driver is not there.*--runtime nvidia"),
    ("libcurand.so.10: cannot open shared object file", "LD_LIBRARY_PATH=/usr/local/cuda/lib64"),
    ("/lib/python3.8/site-packages/pycuda/_driver.cpython-38-aarch64-linux-gnu.so: undefined symbol: cuX_v2",
     "pip install --force-reinstall --no-deps --no-cache-dir .*pycuda")])
def test_what_is_missing_is_said_with_the_fix(monkeypatch, message, fix):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name.startswith("pycuda"):
                raise ImportError(message)

    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MissingRuntimeError, match=fix) as caught:
        cuda.acquire(0)
    assert caught.value.exit_code == 6 and message in str(caught.value)


@pytest.mark.parametrize("version, package", [
    ((3, 6, 9), "install --no-build-isolation pycuda==2022.1,"), ((3, 11, 0), "install pycuda,")])
def test_python_3_6_gets_the_last_pycuda_for_it(monkeypatch, version, package):
    monkeypatch.setattr(cuda.sys, "version_info", version)
    assert package in str(cuda._import_error("No module named 'pycuda'"))


def test_a_machine_without_a_gpu_is_missing_the_runtime(monkeypatch):
    gpu.install(monkeypatch, devices=0)
    with pytest.raises(MissingRuntimeError, match=r"no CUDA-capable device.*nvidia-smi"):
        cuda.acquire(0)


def test_autoinit_is_never_imported():
    folder = os.path.dirname(cuda.__file__)
    for name in os.listdir(folder):
        if name.endswith(".py"):
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                text = stream.read()
            assert "import pycuda.autoinit" not in text and "from pycuda import" not in text
