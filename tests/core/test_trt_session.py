"""The TensorRT session on doubles of TensorRT and pycuda. Nothing here says that a real plan runs."""
import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from doubles import gpu
from doubles.pycuda_double import COPY_MS_PER_BYTE, Torch
from doubles.tensorrt_runtime_double import LAUNCH_MS

from edgenext_deploy import Classifier, golden, load_session, manifest
from edgenext_deploy.environment import present_environment
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.preprocess import normalise
from edgenext_deploy.runtime import cuda, trt_api
from edgenext_deploy.runtime import trt as module
from edgenext_deploy.runtime.buffers import BufferSet
from edgenext_deploy.runtime.ort import OnnxRuntimeSession
from edgenext_deploy.runtime.session import Session
from edgenext_deploy.runtime.trt import TensorRTSession

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Release of TensorRT, and whether pycuda has primary contexts.
MACHINES = [("8.2", False), ("8.2", True), ("8.6", True), ("10.3", True), ("11.1", True)]
ORDERS = [("image", "sums", "scores"), ("scores", "image", "sums"), ("sums", "scores", "image")]


@pytest.fixture(params=MACHINES, ids=lambda made: "{}{}".format(made[0], "" if made[1] else "-old-pycuda"))
def machine(request, monkeypatch):
    made = gpu.install(monkeypatch, request.param[0], primary=request.param[1])
    made.release = request.param[0]
    yield made
    assert made.violations == []
    assert made.driver_stack == [] and made.pycuda_stack == []


@pytest.fixture
def new_machine(monkeypatch):
    made = gpu.install(monkeypatch)
    made.release = "10.3"
    return made


def two_heads(machine, tmp_path, **changes):
    return gpu.write_plan(tmp_path, machine.release, onnx_path=None, name="two", **changes)


def frames(count, shape=(1, 3, 4, 5)):
    return np.random.RandomState(0).randn(count, *shape).astype(np.float32)


def answers(image):
    """Return what the two-headed network says, computed in another way."""
    sums = image.reshape(3, -1).sum(axis=1)[np.newaxis]
    return {"sums": sums, "scores": 1 - 2 * sums}


def right(session, outputs, image):
    expected = answers(image)
    return all(np.allclose(output, expected[spec.name], atol=1e-4) for spec, output in zip(session.outputs, outputs))


# --- the same answers as ONNX Runtime ---------------------------------------------------------------------------


def test_answers_are_onnx_runtimes(machine, tmp_path):
    pytest.importorskip("onnxruntime")
    preprocessing = manifest.read_for(gpu.TINY).preprocessing
    with load_session(gpu.write_plan(tmp_path, machine.release)) as session, OnnxRuntimeSession(gpu.TINY) as reference:
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
            manifest.read_for(path)
    with open(beside, "w") as stream:
        stream.write(text)
    assert manifest.read_for(path).variant == "tiny"
    os.unlink(path + ".json")
    with pytest.raises(BadInputError, match="no sidecar"):
        manifest.read_for(path)
    assert manifest.read_for(path, trust=True).variant == "tiny"


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


def test_timings_are_the_events(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        assert session.timings is None
        (image,) = frames(1)
        session.infer(image)
        timings = session.timings
        assert timings.host_to_device_ms == pytest.approx(image.nbytes * COPY_MS_PER_BYTE)
        assert timings.compute_ms == pytest.approx(LAUNCH_MS)
        assert timings.device_to_host_ms == pytest.approx(24 * COPY_MS_PER_BYTE)
        assert 0 < timings.enqueue_ms < timings.wall_ms
        session.timings = None
        session.submit(image)
        assert session.timings is None
        session.collect()
        assert session.timings.compute_ms == pytest.approx(LAUNCH_MS)


def test_describe(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        described = session.describe()
    assert described["version"].startswith(machine.release) and described["runtime"] == "tensorrt"
    assert described["device"] == "Double GPU" and described["compute_capability"] == "8.7"
    assert described["provider"] == "CUDA" and described["buffer_sets"] == 2


# --- what would have to break for a wrong answer ----------------------------------------------------------------


def run_all(session, images):
    """Return the share of right answers of infer and of submit and collect."""
    good = [right(session, session.infer_all(image), image) for image in images]
    for index, image in enumerate(images):
        session.submit(image)
        if index:
            good.append(right(session, session.collect(), images[index - 1]))
    good.append(right(session, session.collect(), images[-1]))
    return sum(good) / float(len(good))


def test_without_a_mutation_all_answers_are_right(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        assert run_all(session, frames(4)) == 1.0


def test_mutation_no_synchronise(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(BufferSet, "wait", lambda self: None)
    monkeypatch.setattr(BufferSet, "timings", lambda self: None)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        assert run_all(session, frames(4)) < 0.5


def test_mutation_no_wait_for_the_device_fails_even_in_the_timings(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(BufferSet, "wait", lambda self: None)
    with TensorRTSession(two_heads(machine, tmp_path)) as session, pytest.raises(cuda.CudaError, match="not ready"):
        session.infer(frames(1)[0])


@pytest.mark.parametrize("first, second", [("sums", "scores"), ("image", "scores")])
def test_mutation_two_bindings_swapped(machine, tmp_path, monkeypatch, first, second):
    for kind in (trt_api._Bindings, trt_api._NamedTensors):
        def swapped(self, addresses, stream_handle, original=kind.enqueue):
            addresses = dict(addresses)
            addresses[first], addresses[second] = addresses[second], addresses[first]
            return original(self, addresses, stream_handle)

        monkeypatch.setattr(kind, "enqueue", swapped)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        if "image" not in (first, second):
            assert run_all(session, frames(4)) == 0.0
        else:
            with pytest.raises(cuda.CudaError, match=r"illegal memory access.*restart this process"):
                session.infer(frames(1)[0])


def test_mutation_a_busy_buffer_set_is_used_again(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
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


def test_mutation_input_overwritten_before_it_was_copied(machine, tmp_path, monkeypatch):
    original = BufferSet.copy_out

    def early(self, stream):
        original(self, stream)
        self.fill(np.zeros((1, 3, 4, 5), np.float32))

    monkeypatch.setattr(BufferSet, "copy_out", early)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        assert run_all(session, frames(4)) == 0.0


def test_mutation_no_lock_around_the_execution_context(new_machine, tmp_path, monkeypatch):
    class NoLock:
        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return None

    with TensorRTSession(two_heads(new_machine, tmp_path), buffer_sets=64) as session:
        session._enqueue_lock = session._infer_lock = session._queue_lock = NoLock()
        context, seen = session._execution._context, []
        original = type(context)._enqueue_alone

        def slow(self, addresses, stream_handle):
            time.sleep(0.005)
            return original(self, addresses, stream_handle)

        monkeypatch.setattr(type(context), "_enqueue_alone", slow)
        threads = [threading.Thread(target=lambda: [seen.append(session.submit(frames(1)[0])) for _ in range(8)])
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert "two threads in one execution context" in new_machine.violations


# --- threads and life cycle -------------------------------------------------------------------------------------


def in_thread(*functions):
    """Run functions at once, each in a thread of its own, and raise what they raise."""
    caught = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            caught.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if caught:
        raise caught[0]


def test_a_thousand_frames_from_four_threads(machine, tmp_path):
    images = frames(1000)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        allocated = machine.allocated_bytes(), machine.page_locked_bytes()
        wrong = []

        def work(start):
            for index in range(start, 1000, 4):
                if not right(session, session.infer_all(images[index]), images[index]):
                    wrong.append(index)

        in_thread(*[lambda start=start: work(start) for start in range(4)])
        assert wrong == []
        assert (machine.allocated_bytes(), machine.page_locked_bytes()) == allocated


def test_one_thread_captures_and_another_collects(machine, tmp_path):
    images = frames(100)
    ready, room, wrong = threading.Semaphore(0), threading.Semaphore(2), []
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        def capture():
            for image in images:
                room.acquire()
                session.submit(image)
                ready.release()

        def consume():
            for image in images:
                ready.acquire()
                if not right(session, session.collect(), image):
                    wrong.append(image)
                room.release()

        in_thread(capture, consume, lambda: [session.infer(image) for image in images])
    assert wrong == []


def test_eight_sessions_opened_and_closed_two_hundred_times(machine, tmp_path):
    path = two_heads(machine, tmp_path)
    images = frames(8)
    started = time.time()
    for _ in range(200):
        sessions = [TensorRTSession(path) for _ in range(8)]
        image = images[0]
        assert right(sessions[3], sessions[3].infer_all(image), image)
        for session in sessions:
            session.close()
    assert time.time() - started < 120
    assert machine.allocated_bytes() == 0 and machine.page_locked_bytes() == 0 and machine.streams == {}
    # The primary context stays; one of our own goes with the last session.
    primary = bool(machine.primary)
    assert machine.contexts_made == (1 if primary else 200)
    assert machine.contexts_destroyed == (0 if primary else 200)


def test_opened_in_one_thread_used_in_another_closed_in_a_third(machine, tmp_path):
    opened = []
    in_thread(lambda: opened.append(TensorRTSession(two_heads(machine, tmp_path))))
    (session,) = opened
    image = frames(1)[0]
    in_thread(lambda: opened.append(right(session, session.infer_all(image), image)))
    assert opened[1]
    in_thread(session.close)
    assert machine.allocated_bytes() == 0 and machine.page_locked_bytes() == 0 and machine.streams == {}


def test_closed_session_cannot_be_used_and_closes_twice(machine, tmp_path):
    session = TensorRTSession(two_heads(machine, tmp_path))
    image = frames(1)[0]
    session.submit(image)
    session.close()
    session.close()
    for function in (lambda: session.infer(image), lambda: session.submit(image), session.collect):
        with pytest.raises(UsageError, match="closed"):
            function()
    assert machine.allocated_bytes() == 0 and machine.page_locked_bytes() == 0 and machine.streams == {}


def test_closing_goes_from_the_execution_context_to_the_runtime(machine, tmp_path):
    session = TensorRTSession(two_heads(machine, tmp_path))
    assert machine.log == []
    session.close()
    assert machine.log == ["execution context", "engine", "runtime"]


def test_a_forgotten_session_is_released(machine, tmp_path):
    session = TensorRTSession(two_heads(machine, tmp_path))
    assert machine.allocated_bytes() > 0
    del session
    assert machine.allocated_bytes() == 0 and machine.page_locked_bytes() == 0


def test_close_waits_for_a_running_call(new_machine, tmp_path, monkeypatch):
    session = TensorRTSession(two_heads(new_machine, tmp_path))
    inside, original = threading.Event(), BufferSet.wait

    def slow(self):
        inside.set()
        time.sleep(0.1)
        original(self)

    monkeypatch.setattr(BufferSet, "wait", slow)
    image = frames(1)[0]
    good = []

    def close():
        inside.wait(10)
        session.close()

    in_thread(lambda: good.append(right(session, session.infer_all(image), image)), close)
    assert good == [True] and new_machine.allocated_bytes() == 0


def test_close_from_inside_a_call_releases_when_the_call_ends(new_machine, tmp_path, monkeypatch):
    # As a signal's handler does, which runs in the middle of whatever the main thread is doing.
    monkeypatch.setattr(module, "_CLOSE_TIMEOUT_S", 0.01)
    session = TensorRTSession(two_heads(new_machine, tmp_path))
    original = BufferSet.wait
    monkeypatch.setattr(BufferSet, "wait", lambda self: (session.close(), original(self)))
    image = frames(1)[0]
    assert right(session, session.infer_all(image), image)
    assert new_machine.allocated_bytes() == 0


def test_an_interrupt_while_waiting_spoils_nothing(machine, tmp_path, monkeypatch):
    images = frames(4)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        with monkeypatch.context() as patch:
            def interrupted(self):
                raise KeyboardInterrupt

            patch.setattr(BufferSet, "wait", interrupted)
            session.submit(images[0])
            for function in (session.collect, lambda: session.infer(images[1])):
                with pytest.raises(KeyboardInterrupt):
                    function()
        assert run_all(session, images) == 1.0


def test_beside_another_user_of_the_primary_context(machine, tmp_path):
    torch = Torch(machine)
    path = two_heads(machine, tmp_path)
    image = frames(1)[0]
    for _ in range(2):
        with TensorRTSession(path) as first, TensorRTSession(path) as second:
            assert right(first, first.infer_all(image), image) and torch.works()
            assert right(second, second.infer_all(image), image) and torch.works()
        assert torch.works()
    torch.close()


EXIT = """
import sys, threading
sys.path[:0] = sys.argv[3:]
from doubles import gpu
from doubles.pycuda_double import Machine
machine = Machine(aborts_at_exit=True)
import atexit
def account():
    print(machine.allocated_bytes(), machine.page_locked_bytes(), machine.log, machine.violations)
    sys.stdout.flush()
atexit.register(account)
sys.modules.update(gpu.modules(machine, sys.argv[1], primary=sys.argv[2] == "primary"))
import numpy as np
from edgenext_deploy.runtime import load_session
session = load_session(sys.argv[-1])
image = np.ones((1, 3, 4, 5), np.float32)
session.submit(image)
print(session.infer(image)[0].tolist())
def forever():
    while True:
        try:
            session.infer(image)
        except Exception:
            return
threading.Thread(target=forever, daemon=True).start()
"""


@pytest.mark.parametrize("release, primary", MACHINES)
def test_interpreter_exit_with_an_open_session_is_clean(tmp_path, release, primary):
    path = gpu.write_plan(tmp_path, release, onnx_path=None, name="two")
    done = subprocess.run(
        [sys.executable, "-c", EXIT, release, "primary" if primary else "own", TESTS, os.path.dirname(TESTS), path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "[20.0, 20.0, 20.0]", "0 0 ['execution context', 'engine', 'runtime'] []"]


def test_the_double_aborts_at_exit_where_a_context_is_left(tmp_path):
    code = EXIT.split("session.submit")[0] + "session._cuda._context.push()\n"
    path = gpu.write_plan(tmp_path, "10.3", onnx_path=None, name="two")
    done = subprocess.run(
        [sys.executable, "-c", code, "10.3", "primary", TESTS, os.path.dirname(TESTS), path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    assert done.returncode == 134 and "context stack was not empty" in done.stderr


# --- plans that do not run --------------------------------------------------------------------------------------


def test_without_a_sidecar_only_on_trust(machine, tmp_path):
    path = two_heads(machine, tmp_path, sidecar=False)
    with pytest.raises(BadInputError, match="no sidecar"):
        load_session(path)
    assert machine.log == []  # nothing was deserialised
    with load_session(path, trust=True) as session:
        assert session.record is None and right(session, session.infer_all(frames(1)[0]), frames(1)[0])


def test_a_changed_plan_is_not_deserialised(machine, tmp_path):
    path = two_heads(machine, tmp_path)
    with open(path, "r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")
    with pytest.raises(BadInputError, match="sha256"):
        load_session(path)
    assert machine.log == [] and machine.allocated_bytes() == 0


def test_a_plan_for_another_gpu_or_release_is_refused(machine, tmp_path):
    path = two_heads(machine, tmp_path, capability="5.3")
    with pytest.raises(IncompatibleError, match=r"5\.3.*8\.7.*edgenext-build"):
        load_session(path)
    other = "8.6" if machine.release != "8.6" else "10.3"
    path = gpu.write_plan(tmp_path, other, onnx_path=None, name="other")
    with pytest.raises(IncompatibleError, match="built for TensorRT {}.*found TensorRT {}".format(
            other, machine.release)):
        load_session(path)
    assert machine.log == [] and machine.allocated_bytes() == 0


def test_what_tensorrt_refuses_is_said_in_its_words(new_machine, tmp_path, monkeypatch):
    path = gpu.write_plan(tmp_path, "8.6", onnx_path=None, name="old", sidecar=False)
    with open(path, "rb") as stream:
        data = stream.read()
    monkeypatch.setattr(module, "read_plan", lambda *_: (data, None))
    with pytest.raises(IncompatibleError) as caught:
        TensorRTSession(path, trust=True)
    text = str(caught.value)
    assert "expecting library version 10.3.0.26 got 8.6.1.6, please rebuild" in text
    assert "Double GPU (compute capability 8.7)" in text and "no sidecar" in text and "edgenext-build" in text
    assert "nobody's business" not in text and new_machine.allocated_bytes() == 0


@pytest.mark.parametrize("changes, message", [
    ({"profiles": 2}, "2 optimisation profiles"), ({"shape": [-1, 3, 4, 5]}, r"shape \[-1, 3, 4, 5\], fixed"),
    ({"layout": "CHW4"}, "format CHW4"), ({"location": "HOST"}, "HOST memory"),
    ({"implicit_batch": True}, "implicit batch"), ({"context": False}, "execution context.* 5 MB")])
@pytest.mark.parametrize("release", ["8.2", "10.3"])
def test_engines_that_a_session_cannot_run_are_refused(monkeypatch, tmp_path, release, changes, message):
    machine = gpu.install(monkeypatch, release)
    path = gpu.write_plan(tmp_path, release, onnx_path=None, name="odd", **changes)
    with pytest.raises(IncompatibleError, match=message):
        load_session(path)
    assert machine.allocated_bytes() == 0 and machine.page_locked_bytes() == 0 and machine.driver_stack == []


def test_a_type_that_numpy_lacks_is_refused(new_machine, tmp_path):
    path = two_heads(new_machine, tmp_path, dtype="BF16")
    with pytest.raises(IncompatibleError, match="of type BF16"):
        load_session(path)


def test_a_refused_inference_says_why_and_the_next_one_runs(machine, tmp_path, monkeypatch):
    images = frames(2)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        changes = session._engine._changes
        changes["refusal"] = "Error Code 9: not today"
        for function in (session.infer, session.submit):
            with pytest.raises(cuda.CudaError, match="not today"):
                function(images[0])
        del changes["refusal"]
        assert run_all(session, frames(4)) == 1.0

        def dies(context, addresses, stream_handle):
            machine.fail("an illegal memory access was encountered")
            session._engine._logger.log(type(session._engine._logger).Severity.ERROR, machine.sticky)
            return False

        monkeypatch.setattr(sys.modules["tensorrt"].IExecutionContext, "_enqueue_alone", dies)
        with pytest.raises(cuda.CudaError, match="restart this process"):
            session.infer(images[0])
        with pytest.raises(cuda.CudaError, match="restart this process"):
            session.infer(images[0])


def test_too_little_memory_is_said_and_nothing_stays_allocated(monkeypatch, tmp_path):
    machine = gpu.install(monkeypatch, "8.2", memory_bytes=6400)
    with pytest.raises(IncompatibleError, match=r"out of memory.*close other programs"):
        TensorRTSession(gpu.write_plan(tmp_path, "8.2", onnx_path=None, name="two"))
    assert machine.allocated_bytes() == 0 and machine.page_locked_bytes() == 0 and machine.violations == []


# --- machines without a GPU -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".plan", ".engine", ".TRT"])
def test_without_tensorrt_and_gpu_the_plan_says_where_it_runs(monkeypatch, tmp_path, suffix):
    for name in ("tensorrt", "pycuda"):
        monkeypatch.setitem(sys.modules, name, None)
    path = gpu.write_plan(tmp_path, "8.2", onnx_path=None, name="two")
    renamed = path[:-5] + suffix
    if renamed != path:
        shutil.move(path, renamed)
        shutil.move(path + ".json", renamed + ".json")
    monkeypatch.setattr(module, "present_environment", _bare)
    with pytest.raises(MissingRuntimeError, match=r"plan for TensorRT 8\.2.*two\.onnx"):
        load_session(renamed)


def _bare():
    return present_environment()._replace(tensorrt=None, gpu=None, compute_capability=None, l4t=None)


def test_without_pycuda_the_way_to_install_it_is_given(new_machine, monkeypatch, tmp_path):
    path = two_heads(new_machine, tmp_path)
    environment = _bare()._replace(tensorrt="10.3.0.26", gpu="Double GPU", compute_capability="8.7")
    monkeypatch.setattr(module, "present_environment", lambda: environment)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.delitem(sys.modules, "pycuda.driver")
    with pytest.raises(MissingRuntimeError, match=r"pip install .*pycuda"):
        load_session(path)


def test_a_file_that_is_no_plan_is_bad_input_on_any_machine(tmp_path):
    path = tmp_path / "xxs.plan"
    path.write_bytes(b"plan")
    with pytest.raises(BadInputError, match="not a TensorRT plan"):
        load_session(str(path))
