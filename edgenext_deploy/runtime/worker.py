"""A thread that runs a session's inferences one after the other, for sessions whose runtime has no queue of its own."""
import collections
import threading
from typing import TYPE_CHECKING, Any, Callable, Deque, Optional, Tuple

import numpy as np

from edgenext_deploy.runtime.session import SessionTimings, nothing_submitted

if TYPE_CHECKING:
    import concurrent.futures

Results = Tuple[Tuple[np.ndarray, ...], SessionTimings]


class Worker:
    """Runs what is submitted, in order; the thread starts with the first.

    It knows no session: one that is dropped must go at once, and not wait for the garbage collector.
    """

    def __init__(self) -> None:
        # Between submit and close: an executor that was shut down takes no more work.
        self._lock = threading.Lock()
        self._executor: "Optional[concurrent.futures.ThreadPoolExecutor]" = None
        self._pending: "Deque[concurrent.futures.Future[Results]]" = collections.deque()

    def submit(self, run: Callable[[np.ndarray], Results], image: np.ndarray,
               require_open: Callable[[], Any]) -> None:
        """Start one inference.

        Args:
            run: runs it.
            image: its input, which is copied: its buffer may be reused at once.
            require_open: raises UsageError if the session is closed.
        """
        image = image.copy()
        with self._lock:
            require_open()
            if self._executor is None:
                import concurrent.futures

                self._executor = concurrent.futures.ThreadPoolExecutor(1)
            self._pending.append(self._executor.submit(run, image))

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
        return oldest.result()

    def close(self) -> None:
        """Wait for running inferences and drop their results; the session counts as closed before."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()
        self._pending.clear()
