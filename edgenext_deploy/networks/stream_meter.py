"""How fast a stream is: frames per second, and percentiles of the latency."""
import collections
import math
import threading
import time
from typing import Callable, Deque, List, Optional

_RATE_OVER = 30
# Without a frame for so long, the rate is 0.
_STANDS_STILL_S = 2.0


class StreamMeter:
    """Keeps the newest latencies, and the moments of the newest answers; one thread adds, others read.

    Args:
        kept: number of latencies that percentiles are taken over.
        clock: returns seconds.
    """

    def __init__(self, kept: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latencies_ms: Deque[float] = collections.deque(maxlen=kept)
        self._moments: Deque[float] = collections.deque(maxlen=_RATE_OVER)
        self.count = 0
        self.total_ms = 0.0
        self.max_ms = 0.0

    def add(self, latency_ms: float) -> None:
        """Add the frame that was answered just now."""
        now = self._clock()
        with self._lock:
            self._latencies_ms.append(latency_ms)
            self._moments.append(now)
            self.count += 1
            self.total_ms += latency_ms
            self.max_ms = max(self.max_ms, latency_ms)

    def fps(self) -> float:
        """Return answers per second over the last 30; 0 where none came for two seconds."""
        with self._lock:
            moments = list(self._moments)
        if len(moments) < 2 or self._clock() - moments[-1] > _STANDS_STILL_S:
            return 0.0
        return (len(moments) - 1) / max(moments[-1] - moments[0], 1e-9)

    def percentiles(self, *shares: float) -> List[Optional[float]]:
        """Return nearest-rank percentiles of the kept latencies in milliseconds, None without a frame.

        Args:
            shares: from 0 to 1; 0.5 for the median.
        """
        with self._lock:
            kept = list(self._latencies_ms)
        kept.sort()
        return [kept[max(0, math.ceil(share * len(kept)) - 1)] if kept else None for share in shares]
