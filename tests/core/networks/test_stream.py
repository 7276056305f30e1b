"""Classifier.stream: the newest frame's categories, with honest times."""
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from paths import ROOT

from edgenext_deploy.camera.reader import Backoff, Camera, Frame
from edgenext_deploy.camera.source import FrameSource, SourceLostError
from edgenext_deploy.camera.synthetic import number_in
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.networks.classifier import Classifier
from edgenext_deploy.runtime.options import RuntimeOptions

pytest.importorskip("onnxruntime")

TINY = os.path.join(ROOT, "tests", "data", "tiny_classifier.onnx")


@pytest.fixture(scope="module")
def classify():
    with Classifier(TINY, runtime=RuntimeOptions(threads=1), top_k=2) as classifier:
        classifier(np.zeros((8, 8, 3), np.uint8))
        yield classifier


class Slow:
    """A classifier that takes its time."""

    def __init__(self, classify, busy_s):
        self.classify, self.busy_s = classify, busy_s

    def __call__(self, image, color):
        time.sleep(self.busy_s)
        return self.classify(image, color), self.classify.timings


def test_results_name_the_color_of_the_frame(classify):
    for color in ("red", "green", "blue", "white"):
        with Camera("synthetic://64x48@200?frames=3&color=" + color, every_frame=True) as camera:
            results = list(classify.stream(camera))
        assert [result.answer[0].label for result in results] == [color] * 3
        assert [number_in(result.frame.image) for result in results] == [0, 1, 2]
        assert all(len(result.answer) == 2 for result in results)


@pytest.mark.serial
def test_latency_is_from_capture_to_predictions(classify):
    with Camera("synthetic://64x48@20") as camera:
        stream = classify.stream(camera)
        next(stream)
        result = next(stream)
        elapsed_ms = (camera.now() - result.frame.captured_at) * 1e3
    timings = result.timings
    parts = timings.queue_ms + timings.preprocess_ms + timings.inference_ms
    assert timings.queue_ms >= 0.0 and 0.0 < parts <= timings.latency_ms <= elapsed_ms


@pytest.mark.serial
def test_a_slow_classifier_is_shown_the_newest_frame_and_latency_stays_bounded(classify):
    from edgenext_deploy.networks.stream import stream

    captured = []

    class Counting(Slow):

        def __call__(self, image, color):
            answer = super().__call__(image, color)
            captured.append(camera.counters.captured)
            return answer

    with Camera("synthetic://320x240@120") as camera:
        results = list(itertools.islice(stream(Counting(classify, 0.04), camera), 25))
        counters = camera.counters
    assert counters.captured == counters.processed + counters.dropped + counters.waiting
    assert counters.processed == 25 and counters.dropped > 50
    assert all(number_in(result.frame.image) == result.frame.number for result in results)
    # A queue of one frame more would add a period of the camera to each, a queue without limit 40 ms to every next.
    latencies = sorted(result.timings.latency_ms for result in results)
    queues = sorted(result.timings.queue_ms for result in results)
    assert queues[12] < 2 * 1000.0 / 120 and latencies[0] >= 40.0 and latencies[12] < 40 + 4 * 1000.0 / 120
    # None is older than the last that had come when the answer before it was ready, however long the system lets the
    # camera's thread wait.
    assert all(result.frame.number >= count - 1 for result, count in zip(results[1:], captured))


@pytest.mark.serial
def test_a_video_file_is_classified_at_its_newest_frame(classify, tmp_path):
    cv2 = pytest.importorskip("cv2")
    from edgenext_deploy.camera.synthetic import write_number
    from edgenext_deploy.networks.stream import stream

    path = str(tmp_path / "a.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 60.0, (320, 240))
    for number in range(60):
        image = np.full((240, 320, 3), (0, 0, 255), np.uint8)
        write_number(image, number)
        writer.write(image)
    writer.release()
    with Camera(path) as camera:
        results = list(stream(Slow(classify, 0.05), camera))
        counters = camera.counters
    numbers = [result.frame.number for result in results]
    assert [number_in(result.frame.image) for result in results] == numbers == sorted(set(numbers))
    assert numbers[-1] == 59 and all(result.answer[0].label == "red" for result in results)
    assert counters == (60, len(results), 60 - len(results), 0, 0) and counters.dropped >= 30
    # Nothing piles up: the last third waits no longer than the first, however long it goes on.
    waits = [result.timings.queue_ms for result in results]
    third = len(waits) // 3
    assert sorted(waits[-third:])[third // 2] < 2 * 1000.0 / 60 + sorted(waits[:third])[third // 2]


def test_frames_that_come_while_one_is_classified_replace_each_other(classify):
    """The same without a clock: two frames arrive during a classification, the second of them is next."""
    step, busy = threading.Semaphore(0), []

    class Stepped(FrameSource):
        fps = None
        live = True

        def open(self):
            pass

        def read(self):
            step.acquire()
            return np.zeros((8, 8, 3), np.uint8)

        def close(self):
            pass

    def release(camera, count):
        wanted = camera.counters.captured + count
        for _ in range(count):
            step.release()
        deadline = time.time() + 5.0
        while camera.counters.captured < wanted:
            assert time.time() < deadline

    camera = Camera(Stepped())
    try:
        release(camera, 1)
        for result in classify.stream(camera, stop=lambda: len(busy) == 3):
            busy.append(result.frame.number)
            if len(busy) < 3:
                release(camera, 2)
        assert busy == [0, 2, 4] and camera.counters == (5, 3, 2, 0, 0)
    finally:
        step.release()
        camera.close()


class Unplugged(FrameSource):
    """Gives five frames, is away for three attempts, and gives five more."""

    live = True
    fps = None
    name = "unplugged"

    def __init__(self):
        self.count, self.away = 0, 0

    def open(self):
        if self.away:
            self.away -= 1
            raise SourceLostError("not there")

    def read(self):
        if self.count == 5 and not self.away:
            self.away, self.count = 3, 6
            raise SourceLostError("unplugged")
        if self.count == 11:
            return None
        self.count += 1
        time.sleep(0.03)
        return np.full((8, 8, 3), self.count, np.uint8)

    def close(self):
        pass


def test_the_stream_goes_on_when_the_source_is_back(classify):
    with Camera(Unplugged(), backoff=Backoff(0.01)) as camera:
        seen = [int(result.frame.image[0, 0, 0]) for result in classify.stream(camera)]
        assert camera.counters.reconnects == 1
    assert seen[0] == 1 and seen[-1] == 11 and 6 not in seen and any(value > 6 for value in seen)


def test_stop_is_noticed_while_no_frame_comes(classify):
    stopping = threading.Event()
    with Camera("synthetic://64x48@0.1") as camera:
        stream = classify.stream(camera, stop=stopping.is_set)
        next(stream)
        threading.Timer(0.2, stopping.set).start()
        start = time.perf_counter()
        assert list(stream) == []
        assert 0.1 < time.perf_counter() - start < 2.0


class EndsWhileRead:
    """A camera whose source ends between the time-out of a `read` and the next look at `ended`."""

    color = "bgr"

    def __init__(self, last):
        self.ended, self.last = False, last

    def now(self):
        return 1.0

    def read(self, timeout):
        if not self.ended:
            self.ended = True
            return None
        if isinstance(self.last, Exception):
            raise self.last
        last, self.last = self.last, None
        return last


def test_what_came_just_before_the_end_is_not_lost(classify):
    last = Frame(np.zeros((8, 8, 3), np.uint8), 3, 0.5)
    assert [result.frame.number for result in classify.stream(EndsWhileRead(last))] == [3]
    with pytest.raises(BadInputError, match="broken"):
        list(classify.stream(EndsWhileRead(BadInputError("broken"))))


def test_what_is_no_camera_is_refused_with_the_call_that_makes_one(classify):
    with pytest.raises(UsageError, match=r"of a Camera, found str; pass Camera\(ADDRESS\)"):
        classify.stream("/dev/video0")


def test_the_camera_says_what_its_frames_are():
    with Classifier(TINY, color="rgb") as classifier, Camera("synthetic://64x48@30?frames=1&color=red") as camera:
        assert [result.answer[0].label for result in classifier.stream(camera)] == ["red"]
        assert classifier(np.full((8, 8, 3), (255, 0, 0), np.uint8))[0].label == "red"


def test_the_example_runs():
    environment = dict(os.environ, PYTHONPATH=ROOT, LC_ALL="C.UTF-8")
    done = subprocess.run([sys.executable, os.path.join(ROOT, "examples", "camera_app.py"), TINY,
                           "synthetic://64x48@30?frames=40&color=red"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, env=environment, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all(line.startswith("red ") and "ms after the frame" in line for line in lines)
    done = subprocess.run([sys.executable, os.path.join(ROOT, "examples", "camera_app.py"), "none.onnx", "synthetic://"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, env=environment)
    assert done.returncode == 1 and done.stderr.startswith("error: engine not found") and "Traceback" not in done.stderr


def test_ctrl_c_ends_the_example():
    process = subprocess.Popen([sys.executable, os.path.join(ROOT, "examples", "camera_app.py"), TINY, "synthetic://64x48"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                               env=dict(os.environ, PYTHONPATH=ROOT, PYTHONUNBUFFERED="1"))
    assert "ms after the frame" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "")


def test_the_old_name_of_the_answer_works_with_a_warning(classify):
    with Camera("synthetic://64x48@200?frames=1&color=red", every_frame=True) as camera:
        (result,) = classify.stream(camera)
    with pytest.warns(DeprecationWarning, match=r"result\.answer"):
        assert result.predictions is result.answer
    with pytest.warns(DeprecationWarning, match="Camera.*width=64, height=48"):
        Camera("synthetic://", 64, 48).close()
