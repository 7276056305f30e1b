"""Zero-copy: inputs and outputs in page-locked memory that the GPU uses too, on doubles of TensorRT and pycuda."""
import logging
import sys

import numpy as np
import pytest
from doubles import gpu
from doubles.tensorrt_runtime_double import LAUNCH_MS
from trt_cases import frames, right, run_all, two_heads

from edgenext_deploy import open_session
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.runtime import cuda, warmup
from edgenext_deploy.runtime.buffers import BufferSet
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.trt import TensorRTSession


def board(monkeypatch, **options):
    """Return a machine whose GPU shares the processor's memory, where a copy costs a quarter of an inference."""
    return gpu.install(monkeypatch, integrated=True, copy_ms_per_byte=1e-3, **options)


# --- without copies ---------------------------------------------------------------------------------------------


def test_nothing_is_copied(machine, tmp_path, monkeypatch):
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(zero_copy=True)) as session:
        assert machine.account()["mapped"] == 9  # three tensors in three buffer sets

        def copies(*arguments):
            raise AssertionError("a copy")

        for name in ("memcpy_htod_async", "memcpy_dtoh_async"):
            monkeypatch.setattr(sys.modules["pycuda.driver"], name, copies)
        assert run_all(session, frames(4)) == 1.0
    assert machine.everything_released()


def test_results_belong_to_the_caller_and_views_to_the_session(machine, tmp_path):
    first, second = frames(2)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(zero_copy=True)) as session:
        kept = session.infer_all(first)
        view = session.infer_all(second, views=True)
        assert right(session, kept, first) and right(session, view, second)
        session.infer(first)
        assert right(session, view, first) and not view[0].flags.writeable
    del view
    assert machine.everything_released()


def test_a_copy_that_is_not_made_takes_no_time(machine, tmp_path):
    (image,) = frames(1)
    with TensorRTSession(two_heads(machine, tmp_path),
                         options=RuntimeOptions(zero_copy=True, cuda_graph=False)) as session:
        session.infer(image)
        timings = session.timings
        assert timings.host_to_device_ms is None and timings.device_to_host_ms is None
        assert timings.compute_ms == pytest.approx(LAUNCH_MS) and 0 < timings.enqueue_ms < timings.wall_ms


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_prepared_input_is_written_to_device_memory(machine, tmp_path, cuda_graph):
    images = frames(6)
    with TensorRTSession(two_heads(machine, tmp_path),
                         options=RuntimeOptions(zero_copy=True, cuda_graph=cuda_graph)) as session:
        with session._cuda.active() as driver:
            memory = driver.pagelocked_empty(images[0].shape, np.float32)

        def prepare(driver, stream, address):
            assert machine.is_own_memory(address)
            driver.memcpy_htod_async(address, memory, stream)

        for image in images:  # both kinds in turn, on the same buffer sets
            memory[...] = image
            assert right(session, session.infer_prepared(prepare), image)
            assert session.timings.prepare_ms > 0.0 and session.timings.host_to_device_ms is None
            assert right(session, session.infer_all(-image), -image)
            session.submit_prepared(prepare)
            session.submit(-image)
            assert right(session, session.collect(), image) and right(session, session.collect(), -image)
    assert machine.account()["device"] == 0


@pytest.mark.parametrize("zero_copy, mapped", [(None, "none"), (False, "none"), (True, "input and outputs")])
def test_open_session_passes_it_on(machine, tmp_path, zero_copy, mapped):
    with open_session(two_heads(machine, tmp_path),
                      options=RuntimeOptions(zero_copy=zero_copy, cuda_graph=False)) as session:
        assert session.describe()["zero_copy"] == mapped and session.describe()["cuda_graph"] is False


# --- what is chosen ---------------------------------------------------------------------------------------------

# What an inference takes longer for each, and what then pays. The copies cost 0.24 ms and 0.024 ms of 1.264 ms.
COSTS = [(0.0, 0.0, "input and outputs"), (0.5, 0.0, "none"), (0.0, 0.5, "input"), (0.5, 0.5, "none"),
         (0.23, 0.02, "none"), (0.1, 0.0, "input and outputs")]


@pytest.mark.parametrize("input_ms, output_ms, chosen", COSTS)
def test_what_pays_is_used_and_the_log_says_why(monkeypatch, tmp_path, caplog, input_ms, output_ms, chosen):
    machine = board(monkeypatch, mapped_input_ms=input_ms, mapped_output_ms=output_ms)
    caplog.set_level(logging.INFO)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        assert session.describe()["zero_copy"] == chosen
        assert run_all(session, frames(4)) == 1.0
    (said,) = [record.getMessage() for record in caplog.records if "zero-copy" in record.getMessage()]
    times = 1.024 + input_ms, 1.24 + output_ms, 1.0 + input_ms + output_ms
    assert said == ("zero-copy of {}: none 1.264 ms, input {:.3f} ms, outputs {:.3f} ms, input and outputs {:.3f} ms"
                    .format(chosen, *times))
    assert machine.everything_released() and machine.violations == []


@pytest.mark.parametrize("zero_copy, mapped", [(True, "input and outputs"), (False, "none")])
def test_who_knows_better_is_obeyed(monkeypatch, tmp_path, zero_copy, mapped):
    machine = board(monkeypatch, mapped_input_ms=5.0)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(zero_copy=zero_copy)) as session:
        assert session.describe()["zero_copy"] == mapped and run_all(session, frames(2)) == 1.0


def test_a_gpu_with_its_own_memory_copies_without_measuring(monkeypatch, tmp_path):
    machine = gpu.install(monkeypatch, copy_ms_per_byte=1e-3)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=False)) as session:
        assert machine.launches == [] and session.describe()["zero_copy"] == "none"


def test_one_slow_round_does_not_decide():
    times = {"a": [9.0, 1.0, 50.0, 1.1, 1.0], "b": [0.0, 2.0, 2.0, 2.0, 2.0]}
    runs = [lambda series=series: series.pop(0) for series in times.values()]
    assert warmup.medians_ms(runs, rounds=4) == [1.05, 2.0]


# --- boards that do not -----------------------------------------------------------------------------------------


def test_a_gpu_that_cannot_map_copies_unless_it_was_told_to(monkeypatch, tmp_path):
    machine = board(monkeypatch, maps_host_memory=False)
    path = two_heads(machine, tmp_path)
    with TensorRTSession(path) as session:
        assert session.describe()["zero_copy"] == "none" and run_all(session, frames(2)) == 1.0
    with pytest.raises(IncompatibleError, match=r"does not map the processor's memory.*without zero_copy"):
        TensorRTSession(path, options=RuntimeOptions(zero_copy=True))
    assert machine.everything_released() and machine.violations == []


def test_a_driver_that_says_it_maps_and_does_not(monkeypatch, tmp_path, caplog):
    machine = board(monkeypatch)
    original = cuda.CudaContext.__init__

    def says_so(self, driver, device):
        original(self, driver, device)
        machine.maps_host_memory = False

    monkeypatch.setattr(cuda.CudaContext, "__init__", says_so)
    caplog.set_level(logging.INFO)
    path = two_heads(machine, tmp_path)
    with TensorRTSession(path) as session:
        assert session.describe()["zero_copy"] == "none" and run_all(session, frames(2)) == 1.0
    assert "no zero-copy: cuMemHost" in caplog.text and "failed: invalid argument" in caplog.text
    if not machine.has_primary:
        machine.maps_host_memory = True  # the next context is another one, which asks again
    with pytest.raises(cuda.CudaError, match="invalid argument"):
        TensorRTSession(path, options=RuntimeOptions(zero_copy=True))
    assert machine.everything_released()


def test_memory_that_does_for_the_session_but_not_for_the_comparison(monkeypatch, tmp_path, caplog):
    machine = board(monkeypatch)
    path = two_heads(machine, tmp_path)
    with TensorRTSession(path, options=RuntimeOptions(zero_copy=False), buffer_sets=1):
        enough_bytes = machine.allocated_bytes()
    machine = board(monkeypatch, memory_bytes=enough_bytes)
    caplog.set_level(logging.INFO)
    (image,) = frames(1)
    with TensorRTSession(path, buffer_sets=1) as session:
        assert session.describe()["zero_copy"] == "none" and right(session, session.infer_all(image), image)
    assert "no zero-copy: cuMemAlloc failed: out of memory" in caplog.text
    assert machine.everything_released() and machine.violations == []


# --- mutations --------------------------------------------------------------------------------------------------


def test_mutation_the_processors_address_is_given_to_the_gpu(new_machine, tmp_path, monkeypatch):
    original = BufferSet._allocate

    def wrong(self, tensor, mapped):
        original(self, tensor, mapped)
        self.addresses[tensor.spec.name] = self._host[tensor.spec.name].ctypes.data

    monkeypatch.setattr(BufferSet, "_allocate", wrong)
    with pytest.raises(cuda.CudaError, match="illegal memory access"):
        TensorRTSession(two_heads(new_machine, tmp_path), options=RuntimeOptions(zero_copy=True))


def test_mutation_outputs_read_before_the_wait(machine, tmp_path, monkeypatch):
    def hasty(self, buffers, views=False):
        outputs = buffers.read(views=False)
        buffers.wait()
        return outputs

    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(zero_copy=True)) as session:
        monkeypatch.setattr(type(session._runner), "finish", hasty)
        assert run_all(session, frames(4)) == 0.0


def test_mutation_memory_that_is_not_mapped(new_machine, tmp_path, monkeypatch):
    flags = sys.modules["pycuda.driver"].host_alloc_flags
    monkeypatch.setattr(flags, "DEVICEMAP", 0)
    with pytest.raises(cuda.CudaError, match="invalid argument"):
        TensorRTSession(two_heads(new_machine, tmp_path), options=RuntimeOptions(zero_copy=True))
