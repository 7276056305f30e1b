"""The reader's time, and how long it waits before it opens a source again."""
import threading
import time


class Clock:
    """Time, in one place so that tests can make it."""

    def now(self) -> float:
        """Return seconds from some fixed moment; never goes back."""
        return time.perf_counter()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait that many seconds or until the event is set; return whether it is."""
        return event.wait(seconds)


class Backoff:
    """How long to wait before the next attempt: twice as long after each failure.

    Args:
        first_s: seconds before the first attempt.
        longest_s: never more seconds than this.
    """

    def __init__(self, first_s: float = 0.5, longest_s: float = 30.0) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the seconds to wait now."""
        delay = self._next_s
        self._next_s = min(self._longest_s, 2.0 * delay)
        return delay

    def reset(self) -> None:
        """Start again at `first_s`: there was a frame."""
        self._next_s = self._first_s
