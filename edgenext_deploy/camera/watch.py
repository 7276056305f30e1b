"""Whether a live source keeps up: how late its frames are, and how many come."""
import logging
from typing import Optional

from edgenext_deploy.camera.source import FrameSource, SourceLostError

_LOG = logging.getLogger(__name__)

# A difference between the camera's clock and ours counts as lag only if it grows faster than clocks drift: 1 in 1000.
_DRIFT = 1e-3
# A stall is made up for by a burst; only what stays late this long is behind.
_STAYS_S = 2.0
# A camera that jumps in its own time, and does not wait meanwhile, has set its clock.
_JUMP_S = 1.0


class LagWatch:
    """Compares a live source's own times of its frames with the times at which they come.

    A reader that is too slow for a stream falls behind for ever: what it has not read waits in buffers of the network.

    Args:
        limit_s: seconds of lag that are too much.
    """

    def __init__(self, limit_s: float = 2.0) -> None:
        self._limit_s = limit_s
        self._last_position_s = self._last_now_s = 0.0
        self._least_s: Optional[float] = None
        self._late_since_s: Optional[float] = None

    def lag_s(self, position_s: float, now_s: float) -> Optional[float]:
        """Return the lag in seconds once it has been too much for a while, else None.

        Args:
            position_s: of the frame on the source's own clock.
            now_s: when it came.
        """
        passed, moved = now_s - self._last_now_s, position_s - self._last_position_s
        self._last_position_s, self._last_now_s = position_s, now_s
        difference = now_s - position_s
        if self._least_s is None or moved < 0.0 or moved > passed + _JUMP_S:
            self._least_s, self._late_since_s = difference, None
        self._least_s = min(self._least_s + _DRIFT * passed, difference)
        lag = difference - self._least_s
        if lag <= self._limit_s:
            self._late_since_s = None
        elif self._late_since_s is None:
            self._late_since_s = now_s
        elif now_s - self._late_since_s >= _STAYS_S:
            return lag
        return None


class RateWatch:
    """Tells once if far fewer frames come than a source says that it gives.

    Args:
        expected: frames per second; None if unknown.
        share: of them that is enough.
        window_s: seconds over which they are counted.
    """

    def __init__(self, expected: Optional[float], share: float = 0.8, window_s: float = 10.0) -> None:
        self._expected, self._share, self._window_s = expected, share, window_s
        self._since_s: Optional[float] = None
        self._count = 0
        self._told = expected is None

    def low_rate(self, now_s: float) -> Optional[float]:
        """Count a frame; return the frames per second, once, if they are too few, else None."""
        if self._told or self._expected is None:
            return None
        if self._since_s is None:
            self._since_s = now_s
            return None
        self._count += 1
        passed = now_s - self._since_s
        if passed < self._window_s:
            return None
        rate = self._count / passed
        self._since_s, self._count = now_s, 0
        self._told = rate < self._share * self._expected
        return rate if self._told else None


class SourceWatch:
    """Watches a source from one opening to the next; one that is not live is left alone."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._lag, self._rate = LagWatch(), RateWatch(source.fps)

    def check(self, now_s: float) -> None:
        """Note a frame; warn if few come.

        Raises:
            SourceLostError: they come too late; opening the source again begins with a new one.
        """
        source = self._source
        if not source.live:
            return
        rate = self._rate.low_rate(now_s)
        if rate is not None:
            _LOG.warning("%s: %.1f of %g frames/s arrive; this machine or the network is too slow for it, or the "
                         "camera sends fewer, as many do in the dark", source.name, rate, source.fps)
        lag = None if source.position_s is None else self._lag.lag_s(source.position_s, now_s)
        if lag is not None:
            raise SourceLostError("{}: frames are {:.1f} s late, as this machine or the network is too slow for it (a "
                                  "smaller size or rate helps)".format(source.name, lag))
