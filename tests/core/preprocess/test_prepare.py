"""Where and how frames and photos are prepared, up to the classifier; plans run on doubles."""
import contextlib
import logging

import numpy as np
import pytest
from doubles import gpu, kernel_double
from frame_samples import frame_of, gradient, noise, photo
from PIL import Image
from trt_cases import in_thread

from edgenext_deploy import Classifier
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.camera.reader import Camera
from edgenext_deploy.data import path_of
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.preprocess import cuda
from edgenext_deploy.preprocess.cpu import CpuPreprocessor
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.preprocess.prepare import FramePreparer
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.trt import TensorRTSession

pytest.importorskip("onnxruntime")

PREPROCESSING = open_engine_file(gpu.TINY).manifest().preprocessing
RED = {"bgr": np.full((48, 64, 3), (0, 0, 255), np.uint8), "rgb": np.full((48, 64, 3), (255, 0, 0), np.uint8),
       "nv12": np.concatenate([np.full((48, 64), 81), np.tile([90, 240], (24, 32))]).astype(np.uint8)}


# Release of TensorRT, whether pycuda has primary contexts, and whether the GPU shares the processor's memory.
@pytest.fixture(params=[("8.2", False, False), ("8.2", True, True), ("10.3", True, False)],
                ids=["8.2-old-pycuda", "8.2-integrated", "10.3"])
def machine(request, monkeypatch, tmp_path):
    """A double of a machine with a GPU and, if there is a g++ for it, nvcc."""
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cuda.shutil, "which", lambda name: "/cuda/bin/" + name)
    made = gpu.install(monkeypatch, request.param[0], primary=request.param[1], compiler=True,
                       integrated=request.param[2])
    made.release = request.param[0]
    yield made
    assert made.violations == [] and made.allocated_bytes() == 0
    assert made.driver_stack == [] and made.pycuda_stack == []


needs_kernels = pytest.mark.skipif(kernel_double.COMPILER is None, reason="no g++ to compile the kernels with")


class Recorder:
    """A session that keeps what it was given."""

    inputs = open_engine_file(gpu.TINY).manifest().inputs
    timings, takes_prepared = None, False

    def infer_all(self, image):
        self.image = image
        return (image,)


def test_arrays_go_the_fast_way_and_photos_the_exact_one():
    frames = FramePreparer(PREPROCESSING, Recorder())
    rgb = gradient(300, 400)
    frame, image = frame_of("bgr", rgb), Image.fromarray(rgb)
    assert np.array_equal(frames.infer([frame])[0], CpuPreprocessor(PREPROCESSING)(frame))
    for source in (image, path_of("photos", "cat.jpg")):
        assert np.array_equal(frames.infer([source])[0], preprocess(source, PREPROCESSING))
    assert np.abs(frames.prepare(frame) - frames.prepare(image)).max() * 255 * max(PREPROCESSING.std) <= 1.001
    assert frames.where == "cpu"


def test_color_is_of_the_preparer_or_of_the_call():
    for color, frame in RED.items():
        for frames, arguments in ((FramePreparer(PREPROCESSING, Recorder(), color), ()),
                                  (FramePreparer(PREPROCESSING, Recorder()), (color,))):
            image = frames.prepare(frame, *arguments)
            assert np.abs(image - CpuPreprocessor(PREPROCESSING)(RED["rgb"], "rgb")).max() < 0.05


def test_what_is_refused():
    for options in ({"color": "hsv"}, {"where": "fpga"}, {"where": "gpu"}):
        with pytest.raises(UsageError):
            FramePreparer(PREPROCESSING, Recorder(), **options)
    with pytest.raises(UsageError, match="only for a plan"):
        Classifier(gpu.TINY, runtime=RuntimeOptions(preprocess_on="gpu"))


def test_input_has_the_sessions_dtype():
    session = Recorder()
    session.inputs = (session.inputs[0]._replace(dtype="float16"),)
    image = FramePreparer(PREPROCESSING, session).prepare(noise(40, 40))
    assert image.dtype == np.float16


@needs_kernels
def test_a_classifier_on_a_plan_prepares_frames_with_the_kernels(machine, tmp_path):
    path = gpu.write_plan(tmp_path, machine.release)
    with Classifier(path) as classify, Classifier(gpu.TINY) as reference:
        assert classify.frames.where is None
        for color, frame in RED.items():
            assert classify(frame, color)[0].label == reference(frame, color)[0].label == "red"
        for name, color in (("bgr", "bgr"), ("rgbx", "rgb"), ("grey", "bgr"), ("nv12", "nv12")):
            frame = frame_of(name, photo("coffee.jpg")[:398])
            for found, expected in zip(classify(frame, color), reference(frame, color)):
                assert found.label == expected.label and abs(found.probability - expected.probability) < 0.01
        assert classify.frames.where == "gpu" and reference.frames.where == "cpu"
        # Mapped to the clock of the double: two copies and two launches before the network.
        apart_ms = []
        for _ in range(5):  # the least of several: between two clocks the machine may do something else
            classify(frame, color)
            assert classify.timings.preprocess_ms >= 2 * kernel_double.LAUNCH_MS
            apart_ms.append(abs(classify.session.timings.prepare_ms - classify.timings.preprocess_ms))
        assert min(apart_ms) < 1.0
        assert classify.session.timings.host_to_device_ms is None


@needs_kernels
def test_a_photo_of_another_thread_takes_no_frames_timings_away(machine, tmp_path, monkeypatch):
    call, photos = TensorRTSession._call, []

    @contextlib.contextmanager
    def interrupted(session):
        with call(session):
            yield
        if not photos:  # between the end of a frame's inference and the look at its timings
            photos.append(True)
            in_thread(lambda: classify(path_of("photos", "cat.jpg")))

    with Classifier(gpu.write_plan(tmp_path, machine.release), runtime=RuntimeOptions(preprocess_on="gpu")) as classify:
        monkeypatch.setattr(TensorRTSession, "_call", interrupted)
        assert classify(RED["bgr"])[0].label == "red" and photos == [True]
        assert classify.session.timings.prepare_ms >= 2 * kernel_double.LAUNCH_MS
        seen = []
        in_thread(lambda: seen.append(classify.session.timings))
        assert seen[0].prepare_ms is None  # that of the last one at all, which was the photo's


@needs_kernels
def test_photos_do_not_wait_for_the_compiler(machine, tmp_path):
    with Classifier(gpu.write_plan(tmp_path, machine.release)) as classify:
        classify(path_of("photos", "cat.jpg"))
        assert classify.frames.where is None and classify.session.timings.prepare_ms is None


@needs_kernels
def test_a_plan_can_be_kept_to_the_processor_or_held_to_the_gpu(machine, tmp_path):
    path = gpu.write_plan(tmp_path, machine.release)
    with Classifier(path, runtime=RuntimeOptions(preprocess_on="cpu")) as classify:
        assert classify(RED["bgr"])[0].label == "red" and classify.session.timings.prepare_ms is None
        assert classify.frames.where == "cpu"
    with Classifier(path, runtime=RuntimeOptions(preprocess_on="gpu")) as classify:
        assert classify.frames.where == "gpu"


def test_without_nvcc_a_line_in_the_log_says_so_once(machine, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cuda.shutil, "which", lambda name: None)
    monkeypatch.setattr(cuda, "_NVCC", "/none/nvcc")
    path = gpu.write_plan(tmp_path, machine.release)
    with Classifier(path) as classify, caplog.at_level(logging.WARNING, logger="edgenext_deploy"):
        for _ in range(3):
            assert classify(RED["bgr"])[0].label == "red"
        assert classify.frames.where == "cpu"
    (record,) = [record for record in caplog.records if "nvcc" in record.getMessage()]
    assert "on the CPU" in record.getMessage() and "PATH=/usr/local/cuda/bin" in record.getMessage()
    with pytest.raises(MissingRuntimeError, match="nvcc"):
        Classifier(path, runtime=RuntimeOptions(preprocess_on="gpu"))


@needs_kernels
def test_a_stream_goes_through_the_kernels(machine, tmp_path):
    with Classifier(gpu.write_plan(tmp_path, machine.release)) as classify, \
            Camera("synthetic://64x48@200?frames=5&color=blue", every_frame=True) as camera:
        results = list(classify.stream(camera))
        assert classify.frames.where == "gpu"
    assert [result.answer[0].label for result in results] == ["blue"] * 5
    assert all(0.0 < result.timings.preprocess_ms < result.timings.latency_ms + 2 * kernel_double.LAUNCH_MS
               for result in results)


@needs_kernels
def test_closed_in_any_order_and_left_open(machine, tmp_path):
    classify = Classifier(gpu.write_plan(tmp_path, machine.release))
    classify(RED["bgr"])
    classify.session.close()
    classify.close()
    classify.close()
    with pytest.raises(UsageError, match="closed"):
        classify(RED["bgr"])
    classify = Classifier(gpu.write_plan(tmp_path, machine.release))
    classify(RED["bgr"])
    del classify
