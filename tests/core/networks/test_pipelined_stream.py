"""Classifier.stream(pipeline=1): the answers of a plain stream, while the next frame is prepared."""
import os
import threading
import time

import numpy as np
import pytest
from doubles import gpu, kernel_double
from paths import DATA, PHOTOS, TINY

from edgenext_deploy.camera.reader import Camera
from edgenext_deploy.camera.source import FrameSource
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.networks.classifier import Classifier
from edgenext_deploy.runtime.options import RuntimeOptions

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def classify():
    with Classifier(TINY, runtime=RuntimeOptions(threads=1), top_k=2) as classifier:
        classifier(np.zeros((8, 8, 3), np.uint8))
        yield classifier


class Frames(FrameSource):
    """Gives frames of noise; fails behind the last one if told so."""

    name = "frames"

    def __init__(self, count, error=None):
        self.left, self.error = count, error
        self.fps = None

    def open(self):
        pass

    def read(self):
        if not self.left:
            if self.error is not None:
                raise self.error
            return None
        self.left -= 1
        return np.random.RandomState(self.left).randint(0, 256, (40, 60, 3)).astype(np.uint8)

    def close(self):
        pass


def results_of(classify, source, pipeline, every_frame=True):
    with Camera(source, every_frame=every_frame) as camera:
        return list(classify.stream(camera, pipeline=pipeline))


@pytest.mark.parametrize("source", [lambda: Frames(20), lambda: PHOTOS])
def test_every_frame_has_the_answer_of_a_plain_stream(classify, source):
    plain, pipelined = (results_of(classify, source(), pipeline) for pipeline in (0, 1))
    assert len(plain) == len(pipelined) > 2
    for one, other in zip(plain, pipelined):
        assert one.answer == other.answer and one.frame.number == other.frame.number
        assert np.array_equal(one.frame.image, other.frame.image)
        timings = other.timings
        assert 0.0 < timings.preprocess_ms + timings.inference_ms + timings.postprocess_ms <= timings.latency_ms


def test_a_live_frame_waits_for_one_inference_at_most(classify):
    """While the network is busy one frame is prepared and waits; those that come later replace each other."""
    with Camera("synthetic://64x48@100") as camera:
        seen = []
        for result in classify.stream(camera, pipeline=1):
            time.sleep(0.05)
            seen.append((camera.counters.captured, result.frame.number))
            if len(seen) == 6:
                break
        counters = camera.counters
    assert [number for _, number in seen] == sorted({number for _, number in seen}) and counters.dropped > 5
    # That which is answered next was taken before the one at hand was answered.
    assert all(number <= captured for (captured, _), (_, number) in zip(seen, seen[1:]))


def test_preparation_overlaps_with_inference(classify, monkeypatch):
    """Each inference waits until the next frame was prepared, which a plain stream would do only afterwards."""
    prepared = threading.Semaphore(0)
    prepare, infer = classify.frames.prepare, classify.session._run

    def count(*arguments):
        image = prepare(*arguments)
        prepared.release()
        return image

    waited = []

    def wait(image):
        if len(waited) < 5:
            waited.append(prepared.acquire(timeout=5))
        return infer(image)

    monkeypatch.setattr(classify.frames, "prepare", count)
    monkeypatch.setattr(classify.session, "_run", wait)
    prepared.acquire(blocking=False)
    with Camera(Frames(8), every_frame=True) as camera:
        stream = classify.stream(camera, pipeline=1)
        next(stream)
        prepared.acquire(timeout=5)  # one is ahead from now on
        assert len(list(stream)) == 7 and waited == [True] * 5


def test_what_breaks_comes_after_the_frames_before_it(classify):
    for pipeline in (0, 1):
        seen = []
        with Camera(Frames(3, BadInputError("the file ends")), every_frame=True) as camera, pytest.raises(
                BadInputError, match="the file ends"):
            for result in classify.stream(camera, pipeline=pipeline):
                seen.append(result.frame.number)
        assert seen == [0, 1, 2]


def test_an_end_leaves_nothing_behind(classify):
    results_of(classify, Frames(1), 1)  # the session's own thread stays
    before = threading.active_count()
    with Camera(Frames(50), every_frame=True) as camera:
        stream = classify.stream(camera, stop=lambda: camera.counters.processed > 10, pipeline=1)
        assert 5 < len(list(stream)) <= 12
    with Camera("synthetic://64x48@100") as camera:
        stream = classify.stream(camera, pipeline=1)
        next(stream)
        stream.close()
    assert threading.active_count() == before
    assert len(results_of(classify, Frames(5), 1)) == 5


def test_other_depths_are_refused(classify):
    with pytest.raises(UsageError, match="pipeline must be 0 or 1, found 2"):
        classify.stream(None, pipeline=2)


@pytest.mark.parametrize("where", ["cpu", "gpu"])
def test_plans(machine, tmp_path, monkeypatch, where):
    if where == "gpu" and kernel_double.COMPILER is None:
        pytest.skip("no g++ to compile the kernels with")
    gpu.add_compiler(monkeypatch, machine, tmp_path)
    plan = gpu.write_plan(tmp_path, machine.release, os.path.join(DATA, "tiny_classifier.onnx"), "tiny")
    with Classifier(plan, runtime=RuntimeOptions(preprocess_on=where)) as classify:
        plain, pipelined = (results_of(classify, Frames(6), pipeline) for pipeline in (0, 1))
        assert [result.answer for result in plain] == [result.answer for result in pipelined]
        # The double's kernels take half a millisecond by their own clock, which may be more than the whole call took.
        assert all(result.timings.inference_ms >= (0 if where == "cpu" else -1) for result in pipelined)
    assert machine.allocated_bytes() == 0
