"""The preprocessing kernels: their source, compiled as C++, on the device memory of the doubles.

Nothing here says that nvcc takes it, but for the last test; nor how fast a GPU is.
"""
import gc
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from doubles import gpu, kernel_double
from frame_samples import (
    COLORS,
    EDGENEXT,
    ODD_SIZES,
    OPTIONS,
    SIZES,
    STRETCHED,
    check_close,
    frame_of,
    gradient,
    grey_levels,
    noise,
    photo,
    sized,
)
from paths import TESTS

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import BadInputError, MissingRuntimeError, UsageError
from edgenext_deploy.preprocess import cuda as preprocess_cuda
from edgenext_deploy.preprocess.cpu import CpuPreprocessor
from edgenext_deploy.preprocess.cuda import CudaPreprocessor
from edgenext_deploy.preprocess.input_form import as_input
from edgenext_deploy.runtime import cuda
from edgenext_deploy.runtime.session import SessionTimings

pytestmark = pytest.mark.skipif(kernel_double.COMPILER is None, reason="no g++ to compile the kernels with")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A double of a machine with nvcc; nothing may be left on it."""
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(preprocess_cuda.shutil, "which", lambda name: "/cuda/bin/" + name)
    made = gpu.install(monkeypatch, compiler=True)
    yield made
    assert made.violations == [] and made.allocated_bytes() == 0 and made.page_locked_bytes() == 0
    assert made.driver_stack == [] and made.pycuda_stack == []


class Reader:
    """A session whose network hands back its input."""

    timings = SessionTimings(1.0, prepare_ms=0.5)

    def __init__(self, shape, dtype="float32"):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.inputs = (TensorSpec("image", shape, dtype),)

    def infer_prepared(self, prepare):
        context = cuda.acquire()
        try:
            with context.active() as driver:
                stream = driver.Stream()
                size = int(np.prod(self.shape)) * self.dtype.itemsize
                memory = driver.mem_alloc(size)
                prepare(driver, stream, int(memory))
                stream.synchronize()
                result = np.frombuffer(bytes(context.driver.Context.machine.at(int(memory), size)), self.dtype)
                memory.free()
                del stream
            return (result.reshape(self.shape),)
        finally:
            context.release()


def prepared(preprocess, frame, color, preprocessing, dtype="float32"):
    reader = Reader((1, 3, preprocessing.height, preprocessing.width), dtype)
    (result,), _ = preprocess.infer_all(reader, [frame], color)
    return result


@pytest.mark.parametrize("whole", [EDGENEXT, STRETCHED, OPTIONS["letterbox"]], ids=["crop", "stretch", "letterbox"])
@pytest.mark.parametrize("name", sorted(COLORS))
def test_every_format_and_size(machine, name, whole):
    preprocessing = sized(whole, 64)
    preprocess, reference = CudaPreprocessor(preprocessing, "float32"), CpuPreprocessor(preprocessing)
    for seed, (width, height) in enumerate(SIZES + ([] if name == "nv12" else ODD_SIZES)):
        frame = frame_of(name, noise(height, width, seed=seed), seed)
        result = prepared(preprocess, frame, COLORS[name], preprocessing)
        check_close(result, name, frame, preprocessing)
        same = np.abs(result - reference(frame, COLORS[name])) < 1e-5
        assert same.mean() > 0.999  # the two fast ways round alike
    preprocess.close()


@pytest.mark.parametrize("picture", [gradient(480, 640), photo("coffee.jpg")], ids=["gradient", "photo"])
@pytest.mark.parametrize("preprocessing", [
    EDGENEXT, STRETCHED, EDGENEXT._replace(folded=True), EDGENEXT._replace(height=128, width=320), *OPTIONS.values()],
    ids=["crop", "stretch", "folded", "wide", *OPTIONS])
def test_pictures(machine, picture, preprocessing):
    preprocess = CudaPreprocessor(preprocessing, "float32")
    frame = frame_of("bgr", picture)
    check_close(prepared(preprocess, frame, "bgr", preprocessing), "bgr", frame, preprocessing)
    preprocess.close()


def test_half_precision(machine):
    frame = noise(90, 120)
    for preprocessing, rounding in ((sized(EDGENEXT, 64), 0.07), (sized(EDGENEXT, 64)._replace(folded=True), 1e-6)):
        preprocess = CudaPreprocessor(preprocessing, "float16")
        result = prepared(preprocess, frame, "bgr", preprocessing, "float16")
        check_close(result, "bgr", frame, preprocessing, rounding=rounding)
        exactly = CpuPreprocessor(preprocessing)(frame).astype(np.float16)
        assert (result == exactly).mean() > 0.99
        preprocess.close()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("way", ["letterbox", "plain"])
def test_pixels_as_bytes(machine, channels_last, way):
    whole = OPTIONS["letterbox"] if way == "letterbox" else EDGENEXT
    preprocessing = sized(whole, 64)._replace(folded=True)
    preprocess = CudaPreprocessor(preprocessing, "uint8", channels_last=channels_last)
    spec = TensorSpec("image", (2, 64, 64, 3) if channels_last else (2, 3, 64, 64), "uint8")
    frames = [noise(90, 120), noise(70, 80, seed=1)]
    (result,), _ = preprocess.infer_all(Reader(spec.shape, spec.dtype), frames, "bgr")
    for image, frame in zip(result, frames):
        expected = as_input(CpuPreprocessor(preprocessing)(frame), spec)[0]
        off = np.abs(image.astype(int) - expected)
        assert off.max() <= 1 and (off == 0).mean() > 0.999
    preprocess.close()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_batch_of_frames_of_several_sizes(machine, count):
    preprocessing = sized(EDGENEXT, 48)
    preprocess, reference = CudaPreprocessor(preprocessing, "float32"), CpuPreprocessor(preprocessing)
    for sizes in (((90, 120), (60, 50), (90, 120)), ((60, 50), (60, 50), (45, 61))):
        frames = [noise(*size, seed=index) for index, size in enumerate(sizes)][:count]
        (result,), _ = preprocess.infer_all(Reader((3, 3, 48, 48)), frames)
        for index in range(3):  # the last one fills the batch up
            expected = reference(frames[min(index, count - 1)])
            assert (np.abs(result[index] - expected[0]) < 1e-5).mean() > 0.999
    preprocess.close()


def test_views_and_alternating_sizes_and_colors(machine):
    preprocessing = sized(EDGENEXT, 48)
    preprocess = CudaPreprocessor(preprocessing, "float32")
    frame, grid = noise(90, 120), noise(180, 120, 0)
    for view, color in ((frame[10:70, 20:100], "bgr"), (frame[::-1], "rgb"), (frame[:, ::-1], "bgr"),
                        (frame[::2, ::2], "bgr"), (frame[:, :, 0], "bgr"), (frame[:, :, :1], "bgr"),
                        (grid[::2], "nv12"), (frame, "bgr")):
        expected = CpuPreprocessor(preprocessing)(view, color)
        result = prepared(preprocess, view, color, preprocessing)
        assert np.abs(grey_levels(result, preprocessing) - grey_levels(expected, preprocessing)).max() <= 1.001
        assert (np.abs(result - expected) < 1e-5).mean() > 0.999
    preprocess.close()


def test_the_tables_are_copied_once_and_every_frame_is_new(machine):
    preprocessing = sized(EDGENEXT, 32)
    preprocess = CudaPreprocessor(preprocessing, "float32")
    before = None
    for level in (0, 80, 255):
        frame = np.full((64, 64, 3), level, np.uint8)
        result = prepared(preprocess, frame, "bgr", preprocessing)
        assert np.abs(grey_levels(result, preprocessing) - level).max() < 1e-3
        allocated = machine.allocated_bytes()
        assert before in (None, allocated)
        before = allocated
    preprocess.close()
    preprocess.close()
    with pytest.raises(UsageError, match="closed"):
        preprocess.infer_all(Reader((1, 3, 32, 32)), [frame])


def test_bad_frames_leave_nothing_behind(machine):
    preprocess = CudaPreprocessor(EDGENEXT, "float32")
    reader = Reader((1, 3, 256, 256))
    with pytest.raises(UsageError, match="uint8"):
        preprocess.infer_all(reader, [np.zeros((4, 4, 3), np.float32)])
    with pytest.raises(BadInputError, match="elongated"):
        preprocess.infer_all(reader, [np.zeros((1, 20000, 3), np.uint8)])
    machine.memory_bytes = machine.allocated_bytes() + 1000000
    with pytest.raises(Exception, match="out of memory"):
        preprocess.infer_all(reader, [np.zeros((720, 1280, 3), np.uint8)])
    machine.memory_bytes = 1 << 30
    assert prepared(preprocess, noise(48, 64), "bgr", EDGENEXT).shape == (1, 3, 256, 256)
    preprocess.close()
    with pytest.raises(BadInputError, match="preprocessing"):
        CudaPreprocessor(EDGENEXT._replace(crop_pct=0.0), "float32")


def test_how_it_is_compiled(machine, tmp_path, monkeypatch):
    preprocess = CudaPreprocessor(EDGENEXT, "float32")
    compiler = sys.modules["pycuda.compiler"].SourceModule
    assert compiler.compiled == (("/cuda/bin/nvcc", ("-Wno-deprecated-gpu-targets",)),)
    assert os.listdir(str(tmp_path / "cache" / "kernels")) == ["kernel.cubin"]
    preprocess.close()
    # A service may have no home that can be written.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "file"))
    CudaPreprocessor(EDGENEXT, "float32").close()


def test_without_a_compiler(machine, monkeypatch):
    monkeypatch.setattr(preprocess_cuda.shutil, "which", lambda name: None)
    monkeypatch.setattr(preprocess_cuda, "_NVCC", "/none/nvcc")
    with pytest.raises(MissingRuntimeError, match="nvcc is neither on PATH") as caught:
        CudaPreprocessor(EDGENEXT, "float32")
    assert "PATH=" in caught.value.fix
    monkeypatch.setattr(preprocess_cuda, "_NVCC", sys.executable)
    CudaPreprocessor(EDGENEXT, "float32").close()
    monkeypatch.delitem(sys.modules, "pycuda.compiler")
    with pytest.raises(MissingRuntimeError, match="cannot be compiled: No module named"):
        CudaPreprocessor(EDGENEXT, "float32")


def test_the_gpus_lasting_error_aborts_nothing_when_the_kernels_are_dropped(machine):
    preprocessing = sized(EDGENEXT, 30)
    preprocess = CudaPreprocessor(preprocessing, "float32")
    prepared(preprocess, noise(45, 61), "bgr", preprocessing)
    gc.collect()  # the session, while it can be
    machine.fail("an illegal memory access was encountered")
    with pytest.raises(cuda.CudaError), cuda.acquire(0).active():
        pass
    preprocess.close()
    del preprocess
    gc.collect()
    assert machine.violations == []
    machine.sticky = None
    machine.device_memory.clear()
    machine.host_memory.clear()


def test_a_source_that_nvcc_refuses(machine, monkeypatch, tmp_path):
    broken = tmp_path / "broken.cu"
    broken.write_text('extern "C" __global__ void resize_rows(int x) { y = x; }')
    monkeypatch.setattr(preprocess_cuda, "_SOURCE", str(broken))
    with pytest.raises(MissingRuntimeError, match=r"cannot be compiled: .*error: .y. was not declared"):
        CudaPreprocessor(EDGENEXT, "float32")


def test_source_is_plain_ascii_without_includes():
    with open(preprocess_cuda._SOURCE, "rb") as stream:
        source = stream.read().decode("ascii")
    assert "#include" not in source


def test_the_double_notices_a_kernel_that_writes_outside(machine, monkeypatch, tmp_path):
    with open(preprocess_cuda._SOURCE) as stream:
        source = stream.read()
    for before, after in (("if (x >= width || y >= size)", "if (x >= width)"), ("x >= size || ", "")):
        assert before in source
        (tmp_path / "bad.cu").write_text(source.replace(before, after))
        monkeypatch.setattr(preprocess_cuda, "_SOURCE", str(tmp_path / "bad.cu"))
        preprocessing = sized(EDGENEXT, 30)
        preprocess = CudaPreprocessor(preprocessing, "float32")
        with pytest.raises(cuda.CudaError, match="illegal memory access"):
            prepared(preprocess, noise(45, 61), "bgr", preprocessing)
        preprocess.close()
        machine.violations.clear()  # of the session, which `prepared` makes and does not close
        machine.sticky = None
        machine.device_memory.clear()
        machine.host_memory.clear()
        cuda._contexts.clear()


READS = """
import ctypes, sys
sys.path[:0] = {paths!r}
import numpy as np
from doubles import kernel_double
from edgenext_deploy.preprocess import cuda as preprocess_cuda
from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.preprocess.taps import make_taps
source = open(preprocess_cuda._SOURCE).read()
library = ctypes.CDLL({library!r})
def at(array):
    return np.uintp(array.ctypes.data)
for nv12, pixel, width, height, size in ((1, 1, 38, 26, 31), (0, 3, 37, 27, 33), (0, 4, 5, 3, 64), (0, 1, 90, 70, 33)):
    frame = np.zeros(width * height * 3 // 2 if nv12 else width * height * pixel, np.uint8)
    columns, rows = (make_taps(length, length * size // min(width, height), 0, size) for length in (width, height))
    tables = [preprocess_cuda._tables(taps) for taps in (columns, rows)]
    between = np.zeros(3 * height * size, np.uint8)
    whole = size + 2 * nv12  # with a border around it
    result = np.zeros(3 * whole * whole, np.float32)
    levels = preprocess_cuda._levels(Preprocessing(8, 8, 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3, False))
    offsets = [0, 0, 0] if pixel == 1 else [2, 1, 0]
    grid = -(-whole // 32), -(-max(height, whole) // 8)
    kernel_double.run(library, "resize_rows", (*grid, 32, 8), [at(frame), *map(np.int32, (width, height, nv12, pixel,
        *offsets)), *map(at, tables[0]), np.int32(size), at(between)])
    kernel_double.run(library, "resize_columns", (*grid, 32, 8), [at(between), np.int32(size), np.int32({height}),
        *map(at, tables[1]), *map(np.int32, (size, nv12, nv12, whole, whole)), *levels,
        *map(np.int32, (0, 1, whole * whole)), at(result)])
print("done")
"""


@pytest.mark.parametrize("height, outcome", [("height", "done"), ("height + 40", "heap-buffer-overflow")])
def test_no_access_is_outside_by_the_compilers_own_check(height, outcome):
    """AddressSanitizer sees reads outside of an array too; it is shown one, so that it is known to look."""
    found = subprocess.run([kernel_double.COMPILER, "-print-file-name=libasan.so"], stdout=subprocess.PIPE)
    sanitizer = found.stdout.decode().strip()
    if not os.path.isabs(sanitizer):
        pytest.skip("no AddressSanitizer")
    with open(preprocess_cuda._SOURCE) as stream:
        library = kernel_double.build(stream.read(), "-fsanitize=address")
    code = READS.format(paths=[TESTS, os.path.dirname(TESTS)], library=library, height=height)
    environment = dict(os.environ, LD_PRELOAD=sanitizer, ASAN_OPTIONS="detect_leaks=0")
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert outcome in (done.stdout + done.stderr).decode(), done.stderr.decode()


def test_nvcc_compiles_it_without_a_warning(tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on PATH")
    listed = subprocess.run([nvcc, "--list-gpu-code"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    known = listed.stdout.decode().split() if listed.returncode == 0 else []
    target = next((name for name in ("sm_53", "sm_75", "sm_87", "sm_90") if name in known), None)
    done = subprocess.run([nvcc, *(["-arch", target] if target else []), "-cubin", "-Werror", "all-warnings", "-o",
                           str(tmp_path / "out.cubin"), preprocess_cuda._SOURCE, "-Wno-deprecated-gpu-targets"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()
    assert (tmp_path / "out.cubin").stat().st_size > 1000
