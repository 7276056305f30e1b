"""Captures, and sources made of them, whose library hangs."""
import threading
import time

import numpy as np
import pytest

from edgenext_deploy.camera.opencv.capture import CallLimitError, Capture, CaptureClosedError


class Slow:
    """A cv2.VideoCapture that waits in `read` until it is let go."""

    def __init__(self):
        self.gate, self.released = threading.Event(), threading.Event()

    def isOpened(self):  # noqa: N802
        return True

    def read(self):
        self.gate.wait(10.0)
        return True, np.zeros((2, 2, 3), np.uint8)

    def release(self):
        self.released.set()


def test_a_call_that_hangs_is_given_up_and_its_capture_released_when_it_comes_back():
    slow, capture = Slow(), Capture("x")
    assert capture.open(lambda: slow, 5.0)
    start = time.perf_counter()
    with pytest.raises(CallLimitError):
        capture.read(0.1)
    assert time.perf_counter() - start < 2.0
    capture.interrupt()
    assert not slow.released.is_set() and capture.alive
    slow.gate.set()
    assert slow.released.wait(5.0)
    capture.close()
    assert not capture.alive


def test_an_opening_that_hangs_releases_what_it_opens_too_late():
    slow, capture, gate = Slow(), Capture("x"), threading.Event()

    def make():
        gate.wait(10.0)
        return slow

    with pytest.raises(CallLimitError):
        capture.open(make, 0.05)
    capture.interrupt()
    gate.set()
    assert slow.released.wait(5.0)


def test_closing_ends_a_call_of_another_thread_and_errors_pass_through():
    slow, capture = Slow(), Capture("x")
    with pytest.raises(ZeroDivisionError):
        capture.open(lambda: 1 // 0, 5.0)
    assert capture.open(lambda: slow, 5.0)
    threading.Timer(0.1, capture.interrupt).start()
    start = time.perf_counter()
    with pytest.raises(CaptureClosedError):
        capture.read(9.0)
    assert time.perf_counter() - start < 2.0
    slow.gate.set()
    capture.close()
    assert slow.released.is_set()
