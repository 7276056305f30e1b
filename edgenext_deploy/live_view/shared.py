"""Something that is made for all viewers together: when one asks, and not more often than it may be."""
import threading
import time
from typing import Callable, Generic, Optional, Tuple, TypeVar

Value = TypeVar("Value")
# While there is nothing new, it is looked for so often.
_POLL_S = 0.02


class Shared(Generic[Value]):
    """The newest of a row of values, each made once.

    Args:
        make: returns the next value, or None while there is none.
        every_s: seconds from one to the next, at least.
    """

    def __init__(self, make: Callable[[], Optional[Value]], every_s: float) -> None:
        self._make = make
        self._every_s = every_s
        self._lock = threading.Lock()
        self._newest: Optional[Tuple[int, Value]] = None
        self._made_at = -1e9
        self.made = 0

    def newer(self, than: int, stop: threading.Event, timeout_s: float) -> Optional[Tuple[int, Value]]:
        """Return a value that the viewer has not seen, as soon as there is one.

        It is made in the caller's thread, unless another viewer's has just made it.

        Args:
            than: number of the value that the viewer has; 0 for none.
            stop: ends the waiting.
            timeout_s: seconds to wait at most.

        Returns:
            Its number, from 1, and the value; None after `timeout_s`, or once `stop` is set.
        """
        end = time.monotonic() + timeout_s
        while not stop.is_set():
            with self._lock:
                wait_s = self._made_at + self._every_s - time.monotonic()
                if wait_s <= 0:
                    self._refresh()
                    wait_s = _POLL_S
                if self._newest is not None and self._newest[0] > than:
                    return self._newest
            left_s = end - time.monotonic()
            if left_s <= 0:
                return None
            stop.wait(min(wait_s, left_s))
        return None

    def _refresh(self) -> None:
        started = time.monotonic()
        value = self._make()
        if value is not None:
            self.made += 1
            self._newest, self._made_at = (self.made, value), started
