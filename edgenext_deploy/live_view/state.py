"""What there is to see at the moment. The run hands it over by reference; viewers look when they like."""
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from edgenext_deploy.foreign_text import visible
from edgenext_deploy.networks.stream_meter import StreamMeter

if TYPE_CHECKING:
    from PIL import Image

    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.networks.stream import StreamResult

# Percentiles are over so many frames: half a minute of a camera.
_KEPT = 1000
# Without a frame for so long, the run is not healthy.
STALE_S = 5.0

# A label and its value, from 0 to 1.
Bar = Tuple[str, float]


class Presenter(NamedTuple):
    """How answers are shown. The functions are called in the server's threads, one call at a time.

    Attributes:
        about: what runs, in words, by what it is: ``engine``, ``variant``, ``task``, ``runtime``.
        picture: from an RGB picture and an answer to the picture with the answer drawn in.
        headline: an answer in a few words.
        bars: labels of an answer with their values, the largest first.
        value_name: what those values are, such as ``probability``.
    """

    about: Dict[str, str]
    picture: "Callable[[Image.Image, Any], Image.Image]"
    headline: Callable[[Any], str]
    bars: Callable[[Any], List[Bar]]
    value_name: str


class Shown(NamedTuple):
    """The newest answer.

    Attributes:
        result: frame, answer and times.
        drawn: whether the answer is in the frame's pixels already.
        at_s: `time.monotonic` when it came.
    """

    result: "StreamResult"
    drawn: bool
    at_s: float


class LiveState:
    """The newest answer, and the figures of the run until now.

    Args:
        presenter: how answers are shown.
        clock: returns seconds.
    """

    def __init__(self, presenter: Presenter, clock: Callable[[], float] = time.monotonic) -> None:
        self.presenter = presenter
        self.meter = StreamMeter(_KEPT, clock)
        self.camera: "Optional[Camera]" = None
        self.newest: Optional[Shown] = None
        self._clock = clock
        self._started_s = clock()

    def show(self, result: "StreamResult", drawn: bool) -> None:
        """Take a result over; costs the run some microseconds, whoever looks."""
        self.meter.add(result.timings.latency_ms)
        self.newest = Shown(result, drawn, self._clock())

    def age_s(self) -> float:
        """Return the seconds since the newest answer, or since the start."""
        newest = self.newest
        return self._clock() - (self._started_s if newest is None else newest.at_s)

    def uptime_s(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._started_s

    def document(self) -> Dict[str, Any]:
        """Return all figures and the newest labels, as JSON takes them."""
        p50, p95, p99 = self.meter.percentiles(0.5, 0.95, 0.99)
        newest, camera, presenter = self.newest, self.camera, self.presenter
        counters = None if camera is None else camera.counters
        return {
            "about": {key: visible(text) for key, text in presenter.about.items()},
            "source": None if camera is None else visible(camera.name),
            "source_fps": None if camera is None else camera.fps,
            "headline": None if newest is None else visible(presenter.headline(newest.result.answer)),
            "value_name": presenter.value_name,
            "bars": [] if newest is None else [
                [visible(label), round(value, 4)] for label, value in presenter.bars(newest.result.answer)],
            "frame": None if newest is None else newest.result.frame.number,
            "fps": round(self.meter.fps(), 2),
            "latency_ms": {"p50": p50, "p95": p95, "p99": p99, "max": self.meter.max_ms if self.meter.count else None},
            "parts_ms": {} if newest is None else {
                key: round(value, 3) for key, value in newest.result.timings._asdict().items()},
            "captured": counters.captured if counters else 0,
            "processed": counters.processed if counters else 0,
            "dropped": counters.dropped if counters else 0,
            "reconnects": counters.reconnects if counters else 0,
            "age_s": round(self.age_s(), 3),
            "stale": self.age_s() > STALE_S,
            "uptime_s": round(self.uptime_s(), 1),
        }
