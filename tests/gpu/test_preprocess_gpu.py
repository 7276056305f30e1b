"""The preprocessing kernels on a real GPU: what they compute, and how long they take. Needs pycuda and nvcc."""
import time

import numpy as np
import pytest
from frame_samples import (
    COLORS,
    EDGENEXT,
    ODD_SIZES,
    OPTIONS,
    SIZES,
    STRETCHED,
    check_close,
    frame_of,
    noise,
    photo,
    sized,
)

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.preprocess.cpu import CpuPreprocessor
from edgenext_deploy.preprocess.cuda import CudaPreprocessor
from edgenext_deploy.preprocess.input_form import as_input
from edgenext_deploy.runtime import cuda
from edgenext_deploy.runtime.session import SessionTimings

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def context():
    try:
        found = cuda.acquire()
    except MissingRuntimeError as error:
        pytest.skip(str(error))
    yield found
    found.release()


class Reader:
    """A session whose network hands back its input."""

    def __init__(self, context, size, dtype="float32", shape=None):
        self.context = context
        self.shape, self.dtype = shape or (1, 3, size, size), np.dtype(dtype)
        self.inputs = (TensorSpec("image", self.shape, dtype),)
        with context.active() as driver:
            self.stream = driver.Stream()
            self.host = driver.pagelocked_empty(self.shape, self.dtype)
            self.memory = driver.mem_alloc(self.host.nbytes)
            self.marks = [driver.Event() for _ in range(2)]

    def infer_prepared(self, prepare):
        with self.context.active() as driver:
            self.marks[0].record(self.stream)
            prepare(driver, self.stream, int(self.memory))
            self.marks[1].record(self.stream)
            driver.memcpy_dtoh_async(self.host, int(self.memory), self.stream)
            self.stream.synchronize()
            self.timings = SessionTimings(1.0, prepare_ms=self.marks[1].time_since(self.marks[0]))
        return (self.host.copy(),)

    def close(self):
        with self.context.active():
            self.memory.free()
            self.marks = self.stream = self.host = None


def open_preprocessor(preprocessing, dtype="float32", channels_last=False):
    try:
        return CudaPreprocessor(preprocessing, dtype, channels_last=channels_last)
    except MissingRuntimeError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("preprocessing", [
    sized(EDGENEXT, 64), sized(STRETCHED, 64), *(sized(way, 64) for way in OPTIONS.values())],
    ids=["crop", "stretch", *OPTIONS])
@pytest.mark.parametrize("name", sorted(COLORS))
def test_every_format_and_size(context, name, preprocessing):
    preprocess, reader = open_preprocessor(preprocessing), Reader(context, 64)
    for seed, (width, height) in enumerate(SIZES + ([] if name == "nv12" else ODD_SIZES)):
        frame = frame_of(name, noise(height, width, seed=seed), seed)
        (result,), _ = preprocess.infer_all(reader, [frame], COLORS[name])
        reference = CpuPreprocessor(preprocessing)(frame, COLORS[name])
        check_close(result, name, frame, preprocessing, reference=reference)
    reader.close()
    preprocess.close()


def test_half_precision(context):
    preprocess, reader = open_preprocessor(EDGENEXT, "float16"), Reader(context, 256, "float16")
    frame = frame_of("bgr", photo("coffee.jpg"))
    (result,), _ = preprocess.infer_all(reader, [frame])
    check_close(result, "bgr", frame, EDGENEXT, rounding=0.07)
    reader.close()
    preprocess.close()


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_batch_of_frames_as_bytes(context, channels_last):
    preprocessing = sized(EDGENEXT, 64)._replace(folded=True)
    shape = (3, 64, 64, 3) if channels_last else (3, 3, 64, 64)
    reader = Reader(context, 64, "uint8", shape)
    preprocess, reference = open_preprocessor(preprocessing, "uint8", channels_last), CpuPreprocessor(preprocessing)
    frames = [noise(90, 120), noise(70, 80, seed=1)]
    (result,), _ = preprocess.infer_all(reader, frames)
    for image, frame in zip(result, [*frames, frames[1]]):  # the last one fills the batch up
        off = np.abs(image.astype(int) - as_input(reference(frame), reader.inputs[0])[0])
        assert off.max() <= 1 and (off == 0).mean() > 0.999
    reader.close()
    preprocess.close()


@pytest.mark.parametrize("name", ["bgr", "bgrx", "nv12"])
def test_time(context, name):
    """The median of a 1280x720 frame, upload included, is below that of the CPU's fast way; `-s` prints both."""
    preprocess, reader, reference = open_preprocessor(EDGENEXT), Reader(context, 256), CpuPreprocessor(EDGENEXT)
    frame = frame_of(name, noise(720, 1280))
    on_gpu, on_cpu = [], []
    for _ in range(60):
        on_gpu.append(preprocess.infer_all(reader, [frame], COLORS[name])[1])
        start = time.perf_counter()
        reference(frame, COLORS[name])
        on_cpu.append((time.perf_counter() - start) * 1e3)
    gpu_ms, cpu_ms = np.median(on_gpu[10:]), np.median(on_cpu[10:])
    print("{}, {}: {:.3f} ms on the GPU, {:.3f} ms on the CPU".format(context.name, name, gpu_ms, cpu_ms))  # noqa: T201
    assert gpu_ms < cpu_ms
    reader.close()
    preprocess.close()
