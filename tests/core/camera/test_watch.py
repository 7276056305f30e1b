"""Whether lag and a low rate are noticed, and nothing else is taken for them."""
import logging

import numpy as np
import pytest

from edgenext_deploy.camera.reader import Backoff, Camera
from edgenext_deploy.camera.source import FrameSource
from edgenext_deploy.camera.watch import LagWatch, RateWatch


def lags(times):
    watch = LagWatch()
    return [watch.lag_s(position, now) for position, now in times]


def test_a_reader_that_falls_behind_is_noticed_before_four_seconds_are_lost():
    found = lags([(0.04 * n, 100.0 + 0.08 * n) for n in range(200)])
    first = next(n for n, lag in enumerate(found) if lag is not None)
    assert 2.0 < found[first] < 4.1 and first * 0.08 < 8.5


@pytest.mark.parametrize("times", [
    [(0.04 * n, 5.0 + 0.04 * n * 1.0005) for n in range(250000)],  # a clock that drifts, for three hours
    [(0.04 * n, 5.0 + 0.04 * n) for n in range(50)] + [(2.0 + 0.04 * n, 10.0 + 0.001 * n) for n in range(99)],
    [(0.04 * n + (1000.0 if n > 50 else 0.0), 5.0 + 0.04 * n) for n in range(200)],  # its clock is set
    [(0.04 * n - (1000.0 if n > 50 else 0.0), 5.0 + 0.04 * n) for n in range(200)],
    [(0.0, 0.04 * n) for n in range(40)]], ids=["drift", "stall", "forward", "back", "short"])
def test_what_is_no_lag(times):
    assert not any(lags(times))


def test_a_low_rate_is_told_once():
    watch = RateWatch(30.0)
    found = [watch.low_rate(n / 15.0) for n in range(1000)]
    assert [round(rate, 1) for rate in found if rate is not None] == [15.0]
    for expected, rate in ((30.0, 28.0), (None, 1.0)):
        watch = RateWatch(expected)
        assert not any(watch.low_rate(n / rate) for n in range(1000))


class Late(FrameSource):
    """Each frame comes twice as late as the one before by the source's own clock."""

    live, name, fps, opens = True, "late", 25.0, 0

    def open(self):
        self.opens += 1
        self.count = 0

    def read(self):
        self.count += 1
        self.position_s = 0.04 * self.count
        return np.zeros((2, 2, 3), np.uint8)

    def close(self):
        pass


class Clock:
    time = 0.0

    def now(self):
        self.time += 0.05
        return self.time

    def wait(self, event, seconds):
        self.time += seconds
        return event.is_set()


def test_a_camera_that_falls_behind_is_opened_again_and_says_why(caplog):
    source = Late()
    with caplog.at_level(logging.WARNING), Camera(source, backoff=Backoff(0.0, 0.0), clock=Clock()) as camera:
        while source.opens < 3:
            camera.read(1.0)
    assert "late: frames are 3." in caplog.text and "smaller size" in caplog.text


def test_a_camera_that_gives_fewer_frames_than_it_says_is_told_of_once(caplog):
    source = Late()
    source.fps, source.read = 100.0, lambda: np.zeros((2, 2, 3), np.uint8)
    with caplog.at_level(logging.WARNING), Camera(source, backoff=Backoff(0.0, 0.0), clock=Clock()) as camera:
        while camera.counters.captured < 1000:
            camera.read(1.0)
    assert caplog.text.count("of 100 frames/s arrive") == 1 and source.opens == 1
