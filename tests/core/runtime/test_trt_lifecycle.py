"""Threads, closing and interpreter exit of the TensorRT session, on doubles."""
import gc
import os
import subprocess
import sys
import threading
import time

import pytest
from doubles import gpu
from paths import TESTS
from sweeps import sweep
from trt_cases import MACHINES, WAYS, frames, in_thread, right, run_all, two_heads

from edgenext_deploy.errors import UsageError
from edgenext_deploy.runtime import trt as module
from edgenext_deploy.runtime.buffers import BufferSet
from edgenext_deploy.runtime.cuda import CudaError
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.trt import TensorRTSession


@pytest.mark.parametrize("way", WAYS[::3])
def test_a_thousand_frames_from_four_threads(machine, tmp_path, way):
    images = frames(1000)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(**way)) as session:
        account = machine.account()
        wrong = []

        def work(start):
            for index in range(start, 1000, 4):
                if not right(session, session.infer_all(images[index]), images[index]):
                    wrong.append(index)

        in_thread(*[lambda start=start: work(start) for start in range(4)])
        assert wrong == []
        assert machine.account() == account


def test_a_closed_session_takes_the_plugins_logger_from_no_other(machine, tmp_path):
    path = two_heads(machine, tmp_path, sidecar=False)  # nothing says that it needs no plugins
    (image,) = frames(1)
    with TensorRTSession(path, options=RuntimeOptions(trust=True, cuda_graph=False)) as session:
        TensorRTSession(path, options=RuntimeOptions(trust=True)).close()
        gc.collect()
        assert right(session, session.infer_all(image), image)  # and the machine has seen no violation


def test_one_threads_errors_are_not_told_of_anothers_call(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=False)) as session:
        logger, logged, done = session._logger, threading.Event(), threading.Event()

        def another():
            logger.log(type(logger).Severity.ERROR, "of another thread")
            logged.set()
            done.wait(5)

        def call():
            logged.wait(5)
            machine.changes(session)["refusal"] = "of this call"
            try:
                with pytest.raises(CudaError, match="of this call") as caught:
                    session.infer(frames(1)[0])
                assert "another" not in str(caught.value)
            finally:
                done.set()

        in_thread(another, call)


@pytest.mark.parametrize("way", WAYS[::3])
def test_one_thread_captures_and_another_collects(machine, tmp_path, way):
    images = frames(100)
    ready, room, wrong = threading.Semaphore(0), threading.Semaphore(2), []
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(**way)) as session:
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


# The oldest and the newest machine take the full number; what the others do differently shows in a few rounds.
@pytest.mark.parametrize("full_rounds", sweep([40, 200], always=[40]))
@pytest.mark.parametrize("way", WAYS[::3])
def test_eight_sessions_opened_and_closed_many_times(machine, tmp_path, way, full_rounds):
    full = way == WAYS[-1] and (machine.release, machine.has_primary) in (MACHINES[0], MACHINES[-1])
    rounds = full_rounds if full else 4
    path = two_heads(machine, tmp_path)
    images = frames(8)
    resident = []
    for index in range(rounds):
        sessions = [TensorRTSession(path, options=RuntimeOptions(**way)) for _ in range(8)]
        image = images[index % 8]
        assert right(sessions[3], sessions[3].infer_all(image), image)
        for session in sessions:
            session.close()
        if index in (rounds // 4, rounds // 2, 3 * rounds // 4, rounds - 1):
            del sessions, session
            gc.collect()
            resident.append(resident_bytes())
    assert machine.everything_released()
    # The primary context stays; one of our own goes with the last session.
    assert machine.contexts_made == (1 if machine.has_primary else rounds)
    assert machine.contexts_destroyed == (0 if machine.has_primary else rounds)
    # What a session leaves behind shows in every quarter, and what an allocator takes at once, in one. 1 MiB is
    # 2.6 kB for each session of a quarter of 200 rounds, 13 kB of 40.
    limit = 1 << 20 if gpu.REAL is None else 4 << 20  # the driver of tests/real/nvidia notes its calls
    assert min(after - before for before, after in zip(resident, resident[1:])) < limit


def resident_bytes():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_opened_in_one_thread_used_in_another_closed_in_a_third(machine, tmp_path):
    opened = []
    in_thread(lambda: opened.append(TensorRTSession(two_heads(machine, tmp_path))))
    (session,) = opened
    image = frames(1)[0]
    in_thread(lambda: opened.append(right(session, session.infer_all(image), image)))
    assert opened[1]
    in_thread(session.close)
    assert machine.everything_released()


def test_closed_session_cannot_be_used_and_closes_twice(machine, tmp_path):
    session = TensorRTSession(two_heads(machine, tmp_path))
    image = frames(1)[0]
    session.submit(image)
    session.close()
    session.close()
    for function in (lambda: session.infer(image), lambda: session.submit(image), session.collect):
        with pytest.raises(UsageError, match="closed"):
            function()
    assert machine.everything_released()


def test_closing_goes_from_the_execution_context_to_the_runtime(machine, tmp_path):
    session = TensorRTSession(two_heads(machine, tmp_path))
    assert machine.log == []
    session.close()
    assert machine.log == ["execution context", "engine", "runtime"]


def test_a_forgotten_session_is_released(machine, tmp_path):
    session = TensorRTSession(two_heads(machine, tmp_path))
    assert machine.allocated_bytes() > 0
    del session
    assert machine.everything_released()


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
    assert good == [True] and new_machine.everything_released()


def test_close_from_inside_a_call_releases_when_the_call_ends(new_machine, tmp_path, monkeypatch):
    # As a signal's handler does, which runs in the middle of whatever the main thread is doing.
    monkeypatch.setattr(module, "_CLOSE_TIMEOUT_S", 0.01)
    session = TensorRTSession(two_heads(new_machine, tmp_path))
    original = BufferSet.wait
    monkeypatch.setattr(BufferSet, "wait", lambda self: (session.close(), original(self)))
    image = frames(1)[0]
    assert right(session, session.infer_all(image), image)
    assert new_machine.everything_released()


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
    torch = machine.other_user()
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
from doubles.cuda_machine import Machine
machine = Machine(aborts_at_exit=True)
import atexit
def account():
    print(machine.everything_released(), machine.log, machine.violations)
    sys.stdout.flush()
atexit.register(account)
sys.modules.update(gpu.modules(machine, sys.argv[1], primary=sys.argv[2] == "primary"))
import numpy as np
from edgenext_deploy.runtime.open import open_session
session = open_session(sys.argv[-1])
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


@gpu.needs_doubles
@pytest.mark.parametrize("release, primary", MACHINES)
def test_interpreter_exit_with_an_open_session_is_clean(tmp_path, release, primary):
    path = gpu.write_plan(tmp_path, release, onnx_path=None, name="two")
    done = subprocess.run(
        [sys.executable, "-c", EXIT, release, "primary" if primary else "own", TESTS, os.path.dirname(TESTS), path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "[20.0, 20.0, 20.0]", "True ['execution context', 'engine', 'runtime'] []"]


@gpu.needs_doubles
def test_the_double_aborts_at_exit_where_a_context_is_left(tmp_path):
    code = EXIT.split("session.submit")[0] + "session._cuda._context.push()\n"
    path = gpu.write_plan(tmp_path, "10.3", onnx_path=None, name="two")
    done = subprocess.run(
        [sys.executable, "-c", code, "10.3", "primary", TESTS, os.path.dirname(TESTS), path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=60)
    assert done.returncode == 134 and "context stack was not empty" in done.stderr
