"""An OpenCV capture whose calls cannot keep anybody waiting.

OpenCV's calls have no limit of their own in all releases: a pipeline without a source, a server that accepts a
connection and says nothing, and a driver that hangs all block for half a minute or for ever, and no signal ends that.
So each capture has a thread of its own. Whoever waits for it gives up after a limit. The thread releases the capture
when the call comes back.
"""
import threading
from typing import Any, Callable, Optional, Tuple

# A device is free for the next opening only when it is released; a call that hangs is not waited for longer.
_RELEASE_S = 1.0


class CallLimitError(Exception):
    """A call did not come back within its limit; the capture is of no use any more."""


class CaptureClosedError(Exception):
    """The capture was closed while a call ran, or before it."""


class Capture:
    """A ``cv2.VideoCapture`` in a thread of its own; one call at a time.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._changed = threading.Condition()
        self._task: Optional[Callable[[], Any]] = None
        self._outcome: Optional[Tuple[Any, Optional[BaseException]]] = None
        self._closed = False
        self._capture: Any = None
        # A daemon: a call that hangs must not keep the process.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread still runs, closed or not."""
        return self._thread.is_alive()

    def open(self, make: Callable[[], Any], limit_s: float) -> bool:
        """Call `make`, which returns a ``cv2.VideoCapture``; return whether that is open.

        Raises:
            CallLimitError: it took longer than `limit_s` seconds.
            CaptureClosedError: `close` was called.
        """
        def work() -> bool:
            self._capture = make()
            return bool(self._capture.isOpened())

        return bool(self.call(work, limit_s))

    def read(self, limit_s: float, position: int = -1) -> Tuple[bool, Any, Optional[float]]:
        """Return what ``VideoCapture.read`` does, and a property after it; raises as `open` does.

        Args:
            limit_s: seconds.
            position: number of the property; below 0 for none.
        """
        def work() -> Tuple[bool, Any, Optional[float]]:
            given, image = self._capture.read()
            return bool(given), image, float(self._capture.get(position)) if position >= 0 else None

        found: Tuple[bool, Any, Optional[float]] = self.call(work, limit_s)
        return found

    def get(self, number: int) -> float:
        """Return a property of the capture, from the calling thread: for an open capture that is idle."""
        return float(self._capture.get(number))

    def set(self, number: int, value: float) -> None:
        """Set a property of the capture, as `get` does."""
        self._capture.set(number, value)

    def call(self, function: Callable[[], Any], limit_s: float) -> Any:
        """Return what a function returns in the capture's thread; raises what it raises, and as `open` does."""
        with self._changed:
            self._task, self._outcome = function, None
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._outcome is not None or self._closed, limit_s):
                raise CallLimitError
            if self._outcome is None:
                raise CaptureClosedError
            result, error = self._outcome
        if error is not None:
            raise error
        return result

    def interrupt(self) -> None:
        """Have a call that waits end with `CaptureClosedError`; for any thread. The capture is released soon."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Release the capture, and wait a moment for that; twice does no harm."""
        self.interrupt()
        self._thread.join(_RELEASE_S)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._task is not None or self._closed)
                task = self._task
                if self._closed or task is None:
                    break
            outcome: Tuple[Any, Optional[BaseException]]
            try:
                outcome = (task(), None)
            except Exception as error:
                outcome = (None, error)
            with self._changed:
                self._task, self._outcome = None, outcome
                self._changed.notify_all()
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
