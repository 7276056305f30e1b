"""The thread that runs a session's inferences: Ctrl-C at any step of whoever submits must not leave it waiting."""
import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from paths import ROOT

from edgenext_deploy.errors import UsageError
from edgenext_deploy.runtime import worker as workers
from edgenext_deploy.runtime.session import SessionTimings
from edgenext_deploy.runtime.worker import Worker

IMAGE = np.arange(4.0)


def double(image):
    return (2 * image,), SessionTimings(1.0)


def anything():
    """A session that is open."""


def test_results_come_in_order_and_errors_at_their_turn():
    worker = Worker()

    def fail(image):
        raise UsageError("no")

    for index in range(20):
        worker.submit(fail if index == 7 else double, IMAGE + index, anything)
    for index in range(20):
        if index == 7:
            with pytest.raises(UsageError, match="no"):
                worker.collect()
        else:
            (output,), _ = worker.collect()
            assert (output == 2 * (IMAGE + index)).all()
    with pytest.raises(UsageError, match="submitted"):
        worker.collect()
    worker.close()
    worker.close()


@pytest.mark.parametrize("then", ["close", "submit"])
def test_ctrl_c_between_handing_over_and_waking_loses_nothing(monkeypatch, then):
    worker = Worker()
    wake = workers._open

    def interrupted(lock):
        monkeypatch.setattr(workers, "_open", wake)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "_open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.submit(double, IMAGE, anything)
    thread = worker._thread
    if then == "submit":
        worker.submit(double, IMAGE + 1, anything)
        assert [worker.collect()[0][0][0] for _ in range(2)] == [0.0, 2.0]
    closing = threading.Thread(target=worker.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive() and not thread.is_alive()


def test_a_worker_that_is_dropped_ends_its_thread_and_holds_nothing():
    class Session:
        def run(self, image):
            return double(image)

        def fail(self, image):
            raise UsageError("no")

    session, worker = Session(), Worker()
    gc.disable()
    try:
        worker.submit(session.run, IMAGE, anything)
        worker.submit(session.fail, IMAGE, anything)
        worker.collect()
        with pytest.raises(UsageError):
            worker.collect()
        thread, gone = worker._thread, weakref.ref(session)
        del session, worker
        thread.join(20)
        assert not thread.is_alive() and gone() is None
    finally:
        gc.enable()


def test_a_program_that_ends_without_close_waits_for_what_runs():
    code = ("import time\nimport numpy as np\nfrom edgenext_deploy.runtime.worker import Worker\n"
            "def slow(image):\n    time.sleep(0.3)\n    print('done', flush=True)\n    return (image,), None\n"
            "worker = Worker()\nworker.submit(slow, np.zeros(1), lambda: None)\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, env=dict(os.environ))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"done\n", b"")
