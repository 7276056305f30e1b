"""The reader thread: the newest frame, counters, pace, reconnecting and errors."""
import threading
import time
import tracemalloc

import numpy as np
import pytest
from camera_checks import add_up, check_newest

from edgenext_deploy.camera.open import is_stream, parse_address
from edgenext_deploy.camera.reader import Backoff, Camera, Clock
from edgenext_deploy.camera.source import FrameSource, SourceLostError
from edgenext_deploy.camera.synthetic import SyntheticSource, number_in
from edgenext_deploy.errors import BadInputError, UsageError

LOST = SourceLostError("unplugged")


class Script(FrameSource):
    """A source that does what a list says: a number is a frame, an exception is raised, a callable is called."""

    live = True
    name = "script"

    def __init__(self, reads, opens=(), fps=None, live=True):
        self.reads, self.opens, self.fps, self.live = list(reads), list(opens), fps, live
        self.closed = 0

    def open(self):
        error = self.opens.pop(0) if self.opens else None
        if error is not None:
            raise error

    def read(self):
        if not self.reads:
            return None
        step = self.reads.pop(0)
        if isinstance(step, Exception):
            raise step
        return np.full((2, 2, 3), step() if callable(step) else step, np.uint8)

    def close(self):
        self.closed += 1


class FakeClock(Clock):
    def __init__(self):
        self.time, self.waits = 100.0, []

    def now(self):
        return self.time

    def wait(self, event, seconds):
        self.waits.append(seconds)
        self.time += seconds
        return event.is_set()


def ended(camera, seconds=5.0):
    deadline = time.time() + seconds
    while not camera.ended:
        assert time.time() < deadline
        time.sleep(0.001)
    return camera


def camera_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("camera")]


def test_a_slow_consumer_always_gets_the_newest_frame():
    with Camera("synthetic://320x240@120") as camera:
        numbers, ages = check_newest(camera, 30, 0.03)
        counters = camera.counters
    assert counters.dropped >= 30 and numbers[-1] > 60
    assert ages[len(ages) // 2] < 2.0 / 120.0
    assert camera.counters.waiting == 0 and add_up(camera.counters)
    assert camera.counters.captured == counters.captured or camera.counters.captured == counters.captured + 1


def test_a_fast_consumer_gets_every_frame_in_time():
    start = time.perf_counter()
    with Camera("synthetic://64x48@50?frames=20") as camera:
        numbers = []
        while len(numbers) < 20:
            frame = camera.read(1.0)
            if frame is None:
                break
            numbers.append(number_in(frame.image))
        assert camera.read(1.0) is None and camera.ended
    assert numbers[-1] == 19 and len(numbers) >= 15  # a busy machine may miss some
    assert 0.37 < time.perf_counter() - start < 2.0


def test_pace_is_kept_without_bursts():
    clock, source = FakeClock(), Script(range(6), live=False, fps=10.0)

    def pause():
        clock.time += 5.0
        return 3

    source.reads[3] = pause
    with Camera(source, clock=clock) as camera:
        ended(camera)
    # Frame 3 took five seconds and comes at once; one period after it comes the next.
    assert [round(wait, 6) for wait in clock.waits] == [0.1, 0.1, 0.1, 0.1]


def test_a_jump_in_a_files_times_is_not_sat_out():
    """Recordings that were joined: the second one begins an hour later, the third before it."""
    clock, source = FakeClock(), Script(range(6), live=False, fps=10.0)
    times, give = [0.0, 0.2, 9.2, 3600.0, 3600.2, 5.0], source.read

    def read():
        source.position_s = times.pop(0) if times else None
        return give()

    source.read = read
    with Camera(source, clock=clock) as camera:
        ended(camera)
    assert [round(wait, 6) for wait in clock.waits] == [0.2, 9.0, 0.1, 0.2, 0.1]


def test_every_frame_waits_for_the_consumer():
    with Camera("synthetic://64x48@1000?frames=50", every_frame=True) as camera:
        frames = []
        while True:
            frame = camera.read(1.0)
            if frame is None:
                break
            frames.append(number_in(frame.image))
            if len(frames) % 10 == 0:
                time.sleep(0.02)
    assert frames == list(range(50))
    assert camera.counters == (50, 50, 0, 0, 0)
    with pytest.raises(UsageError, match="live"):
        Camera(Script([1]), every_frame=True)


def test_reading_with_a_timeout_and_after_close():
    gate = threading.Event()
    source = Script([lambda: gate.wait(10.0) and 7])
    camera = Camera(source)
    start = time.perf_counter()
    assert camera.read(0.05) is None and not camera.ended
    assert 0.04 < time.perf_counter() - start < 1.0
    gate.set()
    assert camera.read(5.0).image[0, 0, 0] == 7
    assert camera.read(5.0) is None and camera.ended
    camera.close()
    camera.close()
    assert camera.read() is None and source.closed >= 1


def test_a_test_pattern_takes_the_memory_of_its_frames_only():
    tracemalloc.start()
    try:
        source = SyntheticSource(2000, 2000)
        image = source.read()
        assert tracemalloc.get_traced_memory()[1] < 2.5 * image.nbytes
    finally:
        tracemalloc.stop()
    source = SyntheticSource(32, 32)
    colors = [tuple(source.read()[-1, -1].tolist()) for _ in range(600)]
    assert len(set(colors)) == 9 and colors[:60] == [colors[0]] * 60 and colors[60:120] == [colors[60]] * 60
    assert colors[540:] == colors[:60]


def test_close_wakes_a_reader_and_leaves_no_thread():
    with Camera("synthetic://64x48@0.1") as camera:
        camera.read(5.0)
        results = []
        reader = threading.Thread(target=lambda: results.append(camera.read()))
        reader.start()
        time.sleep(0.05)
        start = time.perf_counter()
        camera.close()
        reader.join(2.0)
        assert results == [None] and time.perf_counter() - start < 1.0
    assert camera_threads() == []


def test_a_source_that_is_unplugged_comes_back_with_growing_pauses():
    clock = FakeClock()
    # Opened, then: frame, loss, two failed attempts, one that opens but gives nothing, a frame, another loss.
    source = Script([0, LOST, LOST, 1, LOST, 2], opens=[None, BadInputError("gone"), BadInputError("gone")])
    with Camera(source, backoff=Backoff(0.5, 3.0), clock=clock) as camera:
        ended(camera)
        frame = camera.read()
    assert clock.waits == [0.5, 1.0, 2.0, 3.0, 0.5]
    assert camera.counters.reconnects == 3 and source.closed == 4
    assert frame.image[0, 0, 0] == 2 and frame.number == 2 and frame.captured_at == 107.0


def test_a_frame_from_before_a_loss_is_never_shown():
    gate = threading.Event()

    def wait():
        gate.wait(10.0)
        return 9

    with Camera(Script([5, LOST, wait]), backoff=Backoff(0.001, 0.001)) as camera:
        deadline = time.time() + 5.0
        while camera.counters.reconnects == 0:
            assert time.time() < deadline
        assert camera.counters.waiting == 0 and camera.counters.dropped == 1
        gate.set()
        assert camera.read(5.0).image[0, 0, 0] == 9


def test_backoff_ends_when_the_camera_is_closed():
    camera = Camera(Script([LOST]), backoff=Backoff(60.0, 60.0))
    time.sleep(0.05)
    start = time.perf_counter()
    camera.close()
    assert time.perf_counter() - start < 1.0 and camera_threads() == []


def test_backoff_has_a_limit_and_starts_again():
    backoff = Backoff(0.5, 30.0)
    assert [backoff.next_s() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


@pytest.mark.parametrize("error", [BadInputError("broken"), ValueError("a bug")])
def test_errors_of_a_file_reach_the_consumer_after_the_last_frame(error):
    with Camera(Script([1, error], live=False)) as camera:
        assert camera.read(5.0).number == 0
        with pytest.raises(type(error)):
            camera.read(5.0)


class Unclosable(Script):
    def close(self):
        raise OSError("cannot be released")


def test_a_source_that_cannot_be_closed_ends_and_comes_back_like_any_other(caplog):
    camera = Camera(Unclosable([1], live=False), every_frame=True)
    assert camera.read(5.0).number == 0
    assert camera.read(5.0) is None and camera.ended
    camera.close()
    assert "script cannot be closed: cannot be released" in caplog.text
    with Camera(Unclosable([LOST, 2]), backoff=Backoff(0.01)) as camera:
        assert camera.read(5.0).image[0, 0, 0] == 2 and camera.counters.reconnects == 1


@pytest.mark.parametrize("source", [0, None])
def test_a_source_that_is_no_text_is_told_what_is_one(source):
    with pytest.raises(UsageError, match="/dev/video0"):
        Camera(source)


@pytest.mark.parametrize("text, device", [("0", "/dev/video0"), ("12", "/dev/video12")])
def test_a_number_is_the_camera_that_people_and_opencv_count(text, device, tmp_path, monkeypatch):
    assert is_stream(text) and parse_address(text) == ("v4l2", device, {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / text).mkdir()
    assert not is_stream(text) and parse_address(text).kind == "folder"


def test_the_first_opening_must_work():
    with pytest.raises(BadInputError, match="gone"):
        Camera(Script([1], opens=[BadInputError("gone")]))
    assert camera_threads() == []
