"""A thread that runs inferences one after the other, and the sessions that need one: their runtime has no queue itself.

Ctrl-C may come between any two steps of the thread that submits. The queues and executors of Python 3.6 are written in
Python: interrupted within one of their steps, they may never wake the thread that waits, and then nothing ends. What is
used here to wake and to wait is one step each.
"""
import abc
import atexit
import collections
import contextlib
import os
import threading
import weakref
from typing import Any, Callable, Deque, Optional, Tuple

import numpy as np

from edgenext_deploy.runtime.session import Session, SessionTimings, nothing_submitted

Results = Tuple[Tuple[np.ndarray, ...], SessionTimings]
Run = Callable[[np.ndarray], Results]


class _Task:
    """One inference, and what it gave."""

    def __init__(self, run: Run, image: np.ndarray) -> None:
        self.work: Optional[Tuple[Run, np.ndarray]] = (run, image)
        self.results: Optional[Results] = None
        self.error: Optional[BaseException] = None
        self.done = _shut()

    def execute(self) -> None:
        """Run the inference; whatever it raises is raised where the results are taken."""
        assert self.work is not None
        run, image = self.work
        try:
            self.results = run(image)
        except BaseException as error:
            self.error = error
        # The thread that waits for work must not keep a session alive.
        self.work = None
        self.done.release()


class Worker:
    """Runs what is submitted, in order; the thread starts with the first.

    It knows no session: one that is dropped must go at once, and not wait for the garbage collector.
    """

    def __init__(self) -> None:
        # Between submit and close: a thread that was told to end takes no more work.
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._pid = 0
        self._tasks: "Deque[Optional[_Task]]" = collections.deque()
        self._wake = _shut()
        self._pending: Deque[_Task] = collections.deque()

    def submit(self, run: Run, image: np.ndarray, require_open: Callable[[], Any]) -> None:
        """Start one inference.

        Args:
            run: runs it.
            image: its input, which is copied: its buffer may be reused at once.
            require_open: raises UsageError if the session is closed.
        """
        task = _Task(run, image.copy())
        with self._lock:
            require_open()
            if self._thread is None:
                # A daemon, as nothing would end it otherwise where a program ends without `close`.
                thread = threading.Thread(target=_work, args=(self._tasks, self._wake), daemon=True)
                thread.start()
                self._thread, self._pid = thread, os.getpid()
                _started.add(self)
            self._pending.append(task)
            self._tasks.append(task)
            _open(self._wake)

    def collect(self) -> Results:
        """Wait for the oldest inference that was submitted, and return what it gave.

        Raises:
            UsageError: nothing was submitted.
        """
        try:
            # Not asked first whether there is one: another thread may take it in between.
            oldest = self._pending.popleft()
        except IndexError:
            raise nothing_submitted() from None
        oldest.done.acquire()
        error, results = oldest.error, oldest.results
        # An error's frames hold this one: it must hold no error, or both wait for the garbage collector.
        oldest.error = None
        try:
            if error is not None:
                raise error
        finally:
            del error
        assert results is not None
        return results

    def close(self) -> None:
        """Wait for running inferences and drop their results; the session counts as closed before."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._end()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._pending.clear()

    def _end(self) -> None:
        self._tasks.append(None)
        _open(self._wake)

    def __del__(self) -> None:
        if self._thread is not None:
            self._end()


class WorkerSession(Session):
    """A session that runs what is submitted on a worker thread.

    A subclass makes `_worker` where it opens, and closes it in `close`.
    """

    _worker: Worker

    @abc.abstractmethod
    def _require_open(self) -> Any:
        """Raise UsageError if the session is closed or of another process."""

    @abc.abstractmethod
    def _run(self, image: np.ndarray) -> Results:
        """Run once, in any thread; raise as `_require_open` does if the session was closed meanwhile."""

    def infer_all(self, image: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Run once and return every output; see `Session.infer_all`."""
        self._require_open()
        self.check_input(image)
        outputs, self.timings = self._run(image)
        return outputs

    def submit(self, image: np.ndarray) -> None:
        """Start one inference on the worker thread; `image` is copied, its buffer may be reused at once."""
        self._require_open()
        self.check_input(image)
        self._worker.submit(self._run, image, self._require_open)

    def collect(self) -> Tuple[np.ndarray, ...]:
        """Wait for the oldest submitted inference and return its outputs.

        Raises:
            UsageError: nothing was submitted, or the session is closed.
        """
        self._require_open()
        outputs, self.timings = self._worker.collect()
        return outputs


_started: "weakref.WeakSet[Worker]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Wait for what runs when the program ends: native code must not run on while Python goes."""
    for worker in list(_started):
        if worker._pid == os.getpid():  # a fork has no such thread, and its lock may be held for good
            worker.close()


def _work(tasks: "Deque[Optional[_Task]]", wake: threading.Lock) -> None:
    while True:
        wake.acquire()
        while tasks:
            task = tasks.popleft()
            if task is None:
                return
            task.execute()
            del task


def _shut() -> threading.Lock:
    """Return a lock that is held until `_open`."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def _open(lock: threading.Lock) -> None:
    with contextlib.suppress(RuntimeError):  # it is open already: the thread has not looked yet
        lock.release()
