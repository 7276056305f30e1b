"""The TensorRT session on doubles of TensorRT and pycuda. Nothing here says that a real plan runs."""
import contextlib
import os
import threading
import time

import numpy as np
import pytest
from doubles import gpu
from doubles.cuda_machine import COPY_MS_PER_BYTE
from doubles.tensorrt_runtime_double import LAUNCH_MS
from trt_cases import ORDERS, WAYS, frames, in_thread, right, run_all, two_heads

from edgenext_deploy import Classifier, open_session
from edgenext_deploy.artifacts import golden, manifest
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.runtime import cuda
from edgenext_deploy.runtime.buffers import BufferSet
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.ort import OnnxRuntimeSession
from edgenext_deploy.runtime.session import Session
from edgenext_deploy.runtime.trt import TensorRTSession
from edgenext_deploy.tensorrt_api import runtime_api

# --- the same answers as ONNX Runtime ---------------------------------------------------------------------------


def test_answers_are_onnx_runtimes(machine, tmp_path):
    pytest.importorskip("onnxruntime")
    preprocessing = open_engine_file(gpu.TINY).manifest().preprocessing
    with open_session(gpu.write_plan(tmp_path, machine.release)) as session, OnnxRuntimeSession(gpu.TINY) as reference:
        assert isinstance(session, TensorRTSession) and isinstance(session, Session)
        assert session.inputs == reference.inputs and session.outputs == reference.outputs
        for seed in range(5):
            image = normalise(golden.golden_batch(seed, (1, 3, 32, 32)), preprocessing)
            assert np.array_equal(session.infer(image), reference.infer(image))


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_inputs_and_outputs(machine, tmp_path, order):
    with TensorRTSession(two_heads(machine, tmp_path, order=order)) as session:
        assert tuple(spec.name for spec in session.inputs + session.outputs) == tuple(
            sorted(order, key=lambda name: name != "image"))
        for image in frames(3):
            assert right(session, session.infer_all(image), image)


def test_classifier_runs_a_plan_with_the_manifest_beside_it(machine, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("PIL")
    path = gpu.write_plan(tmp_path, machine.release)
    frame = np.full((48, 64, 3), (0, 0, 255), np.uint8)
    with Classifier(path) as classify, Classifier(gpu.TINY) as reference:
        assert classify(frame) == reference(frame)
        assert classify(frame)[0].label == "red"


def test_another_manifest_beside_a_plan_is_refused(tmp_path):
    path = gpu.write_plan(tmp_path)
    beside = manifest.manifest_path(path)
    with open(beside) as stream:
        text = stream.read()
    for before, after, what in (("magenta", "teal", "the manifest"), ("19943844c963", "29943844c963", "the ONNX file")):
        assert before in text
        with open(beside, "w") as stream:
            stream.write(text.replace(before, after))
        with pytest.raises(BadInputError, match="of " + what):
            open_engine_file(path).manifest()
    with open(beside, "w") as stream:
        stream.write(text)
    assert open_engine_file(path).manifest().variant == "tiny"
    os.unlink(path + ".json")
    with pytest.raises(BadInputError, match="no sidecar"):
        open_engine_file(path).manifest()
    assert open_engine_file(path, trust=True).manifest().variant == "tiny"


def test_results_belong_to_the_caller(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        first, second = frames(2)
        kept = session.infer(first)
        copy = kept.copy()
        session.infer(second)
        assert np.array_equal(kept, copy)
        kept[:] = 0
        assert np.array_equal(session.infer(first), copy)


def test_views_are_the_sessions_own_memory(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        first, second = frames(2)
        view = session.infer_all(first, views=True)[0]
        assert not view.flags.writeable and right(session, [view], first)
        session.infer(second)
        assert right(session, [view], second)
        session.submit(first)
        assert right(session, session.collect(views=True), first)
    del view
    assert machine.page_locked_bytes() == 0


def test_any_layout_and_byte_order(machine, tmp_path):
    (image,) = frames(1)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        expected = session.infer(image)
        strided = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        assert not strided.flags["C_CONTIGUOUS"]
        assert np.array_equal(session.infer(strided), expected)
        assert np.array_equal(session.infer(image.astype(">f4")), expected)


@pytest.mark.parametrize("image", [
    np.zeros((1, 3, 4, 4), np.float32), np.zeros((1, 3, 4, 5), np.float64), np.zeros((3, 4, 5), np.float32), None])
def test_another_input_is_refused(new_machine, tmp_path, image):
    with TensorRTSession(two_heads(new_machine, tmp_path)) as session:
        for function in (session.infer, session.submit):
            with pytest.raises(UsageError, match="'image'"):
                function(image)


def test_values_that_are_not_finite_are_refused_on_request(new_machine, tmp_path):
    path = two_heads(new_machine, tmp_path)
    (image,) = frames(1)
    image[0, 1, 2, 3] = np.nan
    with TensorRTSession(path) as session:
        assert np.isnan(session.infer(image)).any()
    with TensorRTSession(path, check_finite=True) as session:
        for function in (session.infer, session.submit):
            with pytest.raises(UsageError, match="1 values of 60 are not finite"):
                function(image)


# --- submit and collect -----------------------------------------------------------------------------------------


def test_submitted_inferences_come_back_in_order(machine, tmp_path):
    images = frames(12)
    buffer = np.empty_like(images[0])
    with TensorRTSession(two_heads(machine, tmp_path), buffer_sets=3) as session:
        for index, image in enumerate(images):
            buffer[:] = image
            session.submit(buffer)
            buffer[:] = 0
            if index >= 2:
                assert right(session, session.collect(), images[index - 2])
        assert right(session, session.infer_all(images[0]), images[0])  # beside two that wait
        assert right(session, session.collect(), images[-2])
        assert right(session, session.collect(), images[-1])
        with pytest.raises(UsageError, match="nothing submitted"):
            session.collect()


def test_one_more_than_there_are_buffer_sets_is_refused(machine, tmp_path):
    images = frames(3)
    with TensorRTSession(two_heads(machine, tmp_path), buffer_sets=2) as session:
        session.submit(images[0])
        session.submit(images[1])
        with pytest.raises(UsageError, match="all 2 buffer sets"):
            session.submit(images[2])
        assert right(session, session.collect(), images[0])
        session.submit(images[2])
        assert right(session, session.collect(), images[1])
        assert right(session, session.collect(), images[2])
    with pytest.raises(UsageError, match="at least 1"):
        TensorRTSession(two_heads(machine, tmp_path), buffer_sets=0)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_timings_are_the_events(machine, tmp_path, cuda_graph):
    expected_ms = machine.replay_ms if cuda_graph else LAUNCH_MS
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=cuda_graph)) as session:
        assert session.timings is None
        (image,) = frames(1)
        session.infer(image)
        timings = session.timings
        assert timings.host_to_device_ms == pytest.approx(image.nbytes * COPY_MS_PER_BYTE)
        assert timings.compute_ms == pytest.approx(expected_ms)
        assert timings.device_to_host_ms == pytest.approx(24 * COPY_MS_PER_BYTE)
        assert 0 < timings.enqueue_ms < timings.wall_ms
        session.submit(image)
        assert session.timings is timings
        session.collect()
        assert session.timings is not timings and session.timings.compute_ms == pytest.approx(expected_ms)


def test_describe(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        described = session.describe()
        assert session.device == 0
    assert described["version"].startswith(machine.release) and described["runtime"] == "tensorrt"
    assert described["device"] == "Double GPU" and described["compute_capability"] == "8.7"
    assert described["provider"] == "CUDA" and described["buffer_sets"] == 2


# --- what would have to break for a wrong answer ----------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_without_a_mutation_all_answers_are_right(machine, tmp_path, way):
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(**way)) as session:
        assert run_all(session, frames(4)) == 1.0
        described = session.describe()
        assert described["cuda_graph"] is way["cuda_graph"]
        assert described["zero_copy"] == ("input and outputs" if way["zero_copy"] else "none")


@pytest.mark.parametrize("way", WAYS)
def test_mutation_no_synchronise(machine, tmp_path, monkeypatch, way):
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(**way)) as session:
        monkeypatch.setattr(BufferSet, "wait", lambda self: None)
        monkeypatch.setattr(BufferSet, "timings", lambda self: None)
        assert run_all(session, frames(4)) < 0.5


def test_mutation_no_wait_for_the_device_fails_even_in_the_timings(machine, tmp_path, monkeypatch):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        monkeypatch.setattr(BufferSet, "wait", lambda self: None)
        with pytest.raises(cuda.CudaError, match="not ready"):
            session.infer(frames(1)[0])


@pytest.mark.parametrize("first, second", [("sums", "scores"), ("image", "scores")])
def test_mutation_two_bindings_swapped(machine, tmp_path, monkeypatch, first, second):
    for kind in (runtime_api._Bindings, runtime_api._NamedTensors):
        def swapped(self, addresses, stream_handle, original=kind.enqueue):
            addresses = dict(addresses)
            addresses[first], addresses[second] = addresses[second], addresses[first]
            return original(self, addresses, stream_handle)

        monkeypatch.setattr(kind, "enqueue", swapped)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=False)) as session:
        if "image" not in (first, second):
            assert run_all(session, frames(4)) == 0.0
        else:
            with pytest.raises(cuda.CudaError, match=r"illegal memory access.*restart this process"):
                session.infer(frames(1)[0])


@pytest.mark.parametrize("way", WAYS)
def test_mutation_a_busy_buffer_set_is_used_again(machine, tmp_path, way):
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(**way)) as session:
        session._free.clear()
        session._free.extend([session._sets[1]] * 2)
        assert run_all(session, frames(4)) < 1.0


def test_mutation_no_context_pushed(machine, tmp_path, monkeypatch):
    @contextlib.contextmanager
    def not_pushed(self):
        yield self.driver

    (image,) = frames(1)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        with monkeypatch.context() as patch:
            patch.setattr(cuda.CudaContext, "active", not_pushed)
            caught = []

            def call():
                try:
                    session.infer(image)
                except Exception as error:
                    caught.append(str(error))

            in_thread(call)
        assert len(caught) == 1 and "invalid device context" in caught[0]
        assert right(session, session.infer_all(image), image)


@pytest.mark.parametrize("way", WAYS)
def test_mutation_input_overwritten_before_it_was_read(machine, tmp_path, monkeypatch, way):
    original = BufferSet.copy_out

    def early(self, stream):
        original(self, stream)
        self.fill(np.zeros((1, 3, 4, 5), np.float32))

    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(**way)) as session:
        monkeypatch.setattr(BufferSet, "copy_out", early)
        assert run_all(session, frames(4)) == 0.0


def test_mutation_no_lock_around_the_execution_context(new_machine, tmp_path, monkeypatch):
    class NoLock:
        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return None

    with TensorRTSession(two_heads(new_machine, tmp_path),
                         options=RuntimeOptions(cuda_graph=False), buffer_sets=64) as session:
        session._runner._lock = session._infer_lock = session._queue_lock = NoLock()
        seen = []

        def slow(fail, log, go_on):
            time.sleep(0.005)
            return go_on()

        new_machine.on_enqueue(monkeypatch, slow)
        threads = [threading.Thread(target=lambda: [seen.append(session.submit(frames(1)[0])) for _ in range(8)])
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert "two threads in one execution context" in new_machine.violations
