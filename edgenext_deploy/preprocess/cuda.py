"""From camera frames to the network's input on the GPU: the kernels of ``kernels.cu``.

The part of the frame that the crop needs is copied to the device as it is, through page-locked memory. Two kernels,
with the taps of `resampling`, write the network's input where the engine reads it; nothing comes back to the processor.

pycuda compiles them with nvcc for the GPU at hand, which takes some seconds once. The result is kept in the folder
``kernels`` of the cache (`files.cache_folder`); another nvcc, GPU or source text makes another file there.
"""
import contextlib
import os
import shutil
import threading
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.files import cache_folder
from edgenext_deploy.preprocess.photo import scale_and_offset
from edgenext_deploy.preprocess.pixel_formats import FrameLayout, frame_layout
from edgenext_deploy.preprocess.placement import place
from edgenext_deploy.preprocess.possible import CHANNEL_ORDERS
from edgenext_deploy.preprocess.taps import Taps, resampling
from edgenext_deploy.runtime import cuda

_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernels.cu")
# JetPack installs nvcc here and does not put it on PATH.
_NVCC = "/usr/local/cuda/bin/nvcc"
_FIX = ("install CUDA's compiler and put it on PATH: export PATH=/usr/local/cuda/bin:$PATH, "
        "or prepare frames on the CPU")
_BLOCK = (32, 8, 1)
# The kernel's number for each dtype of a network's input.
KINDS = {"float32": 0, "float16": 1, "uint8": 2}
# Of `close` for a call that runs: at exit a daemon thread may never return, and a signal's handler interrupts one.
_CLOSE_TIMEOUT_S = 5.0


class CudaPreprocessor:
    """Prepares frames on a GPU; calls from several threads take turns.

    Args:
        preprocessing: the manifest's.
        dtype: of the network's input, a key of `KINDS`.
        device: number of the GPU, that of the session.
        channels_last: the input is `[B, H, W, 3]` and not `[B, 3, H, W]`.

    Raises:
        BadInputError: the manifest's preprocessing is impossible.
        MissingRuntimeError: no pycuda, no GPU, or the kernels cannot be compiled.
    """

    def __init__(self, preprocessing: Preprocessing, dtype: str, device: int = 0, channels_last: bool = False) -> None:
        self._preprocessing = preprocessing
        pixels = preprocessing.height * preprocessing.width
        # Kind of a value, and how many values lie from one pixel, and from one plane, to the next.
        self._form = KINDS[dtype], *((3, 1) if channels_last else (1, pixels))
        self._image_bytes = 3 * pixels * np.dtype(dtype).itemsize
        self._levels = _levels(preprocessing)
        self._lock = threading.Lock()
        # One for each image of a batch: the stream reads them after the next image's frame was written.
        self._buffers: List[_Buffers] = []
        self._module: Any = None
        self._cuda: Optional[cuda.CudaContext] = None
        self._cuda = cuda.acquire(device, self)
        try:
            with self._cuda.active():
                self._module = _compile(self._cuda.compute_capability)
        except BaseException:
            self.close()
            raise

    def infer_all(self, session: Any, frames: Sequence[np.ndarray],
                  color: str = "bgr") -> Tuple[Tuple[np.ndarray, ...], float]:
        """Prepare frames as a session's input, and run the session.

        Args:
            session: a `TensorRTSession` on the same device.
            frames: one to as many as the session's batch, see `pixels.frame_layout`; the last one fills it up.
            color: of all frames: ``bgr``, ``rgb`` or ``nv12``.

        Returns:
            Every output, and the milliseconds from the call of the session until the input was ready on the device.

        Raises:
            BadInputError: the frame is too elongated.
            CudaError: CUDA or TensorRT failed.
            UsageError: a frame of another shape or dtype, an unknown `color`, or something closed.
        """
        layouts = [frame_layout(frame, color) for frame in frames]
        batch = session.inputs[0].shape[0]

        def prepare(driver: Any, stream: Any, address: int) -> None:
            for index in range(batch):
                if index < len(frames):
                    buffers = self._buffers_for(driver, index, layouts[index])
                    buffers.fill(frames[index])
                    buffers.copy(stream)
                self._launch(buffers, stream, address + index * self._image_bytes)

        with self._lock:
            if self._cuda is None:
                raise UsageError("the preprocessing is closed", "open the engine again")
            outputs: Tuple[np.ndarray, ...] = session.infer_prepared(prepare)
            return outputs, float(session.timings.prepare_ms)

    def close(self) -> None:
        """Release the memory and the kernels; twice does no harm."""
        # A call that does not end keeps what it uses; the process ends with it.
        if not self._lock.acquire(timeout=_CLOSE_TIMEOUT_S):
            return
        try:
            context, self._cuda = self._cuda, None
            if context is None:
                return
            if context.can_be_pushed():
                with context.active():
                    for buffers in self._buffers:
                        buffers.free()
                    self._buffers, self._module = [], None
            else:
                context.keep_for_good(self._buffers, self._module)
            context.release()
        finally:
            self._lock.release()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _buffers_for(self, driver: Any, index: int, layout: FrameLayout) -> "_Buffers":
        """Return an image's buffers for frames of a layout; those of another one are freed, no call uses them."""
        if index < len(self._buffers) and self._buffers[index].layout != layout:
            self._buffers.pop(index).free()
            self._buffers.insert(index, _Buffers(driver, layout, self._preprocessing))
        if index == len(self._buffers):
            self._buffers.append(_Buffers(driver, layout, self._preprocessing))
        return self._buffers[index]

    def _launch(self, buffers: "_Buffers", stream: Any, address: int) -> None:
        """Put the two kernels into the stream; the frame is there, or its copy comes before them."""
        rows, columns, placed, pixel = buffers.rows, buffers.columns, buffers.placed, buffers.layout.format
        width, height = self._preprocessing.width, self._preprocessing.height
        shown_width, shown_height = len(columns.starts), len(rows.starts)
        self._module.get_function("resize_rows")(
            _pointer(buffers.frame), np.int32(columns.last - columns.first), np.int32(rows.last - rows.first),
            np.int32(pixel.name == "nv12"), np.int32(pixel.pixel_bytes), *map(np.int32, pixel.offsets),
            *buffers.column_taps, np.int32(shown_width), _pointer(buffers.between),
            block=_BLOCK, grid=_grid(shown_width, rows.last - rows.first), stream=stream)
        self._module.get_function("resize_columns")(
            _pointer(buffers.between), np.int32(shown_width), np.int32(rows.last - rows.first), *buffers.row_taps,
            np.int32(shown_height), np.int32(placed.columns.start), np.int32(placed.rows.start), np.int32(width),
            np.int32(height), *self._levels, *map(np.int32, self._form), np.uintp(address),
            block=_BLOCK, grid=_grid(width, height), stream=stream)


class _Buffers:
    """Memory for frames of one layout, on the host and on the device; every method needs an active context."""

    def __init__(self, driver: Any, layout: FrameLayout, preprocessing: Preprocessing) -> None:
        self.layout = layout
        self.columns, self.rows = resampling(layout.width, layout.height, preprocessing)
        self.placed = place(layout.width, layout.height, preprocessing)
        self._driver = driver
        self._device: List[Any] = []
        self._tables_are_there = False
        width, height = self.columns.last - self.columns.first, self.rows.last - self.rows.first
        pixels = width * height
        frame_bytes = pixels * 3 // 2 if layout.format.name == "nv12" else pixels * layout.format.pixel_bytes
        arrays = _tables(self.columns) + _tables(self.rows)
        try:
            self._staged = driver.pagelocked_empty((frame_bytes,), np.dtype(np.uint8))
            self._tables = driver.pagelocked_empty((sum(array.nbytes for array in arrays),), np.dtype(np.uint8))
            self.frame = self._allocate(frame_bytes)
            self.between = self._allocate(3 * height * len(self.columns.starts))
            self._tables_address = int(self._allocate(self._tables.nbytes))
        except BaseException:
            self.free()
            raise
        addresses, offset = [], 0
        for array in arrays:
            self._tables[offset:offset + array.nbytes] = array.reshape(-1).view(np.uint8)
            addresses.append(np.uintp(self._tables_address + offset))
            offset += array.nbytes
        self.column_taps, self.row_taps = addresses[:3], addresses[3:]

    def fill(self, frame: np.ndarray) -> None:
        """Write the part of a frame that is needed into page-locked memory, without gaps."""
        rows, columns = slice(self.rows.first, self.rows.last), slice(self.columns.first, self.columns.last)
        shape = rows.stop - rows.start, columns.stop - columns.start
        if self.layout.format.name != "nv12":
            np.copyto(self._staged.reshape((*shape, -1)), np.atleast_3d(frame)[rows, columns])
            return
        pixels, below = shape[0] * shape[1], self.layout.height
        np.copyto(self._staged[:pixels].reshape(shape), frame[rows, columns])
        np.copyto(self._staged[pixels:].reshape(shape[0] // 2, shape[1]),
                  frame[below + rows.start // 2:below + rows.stop // 2, columns])

    def copy(self, stream: Any) -> None:
        """Put the copy of the frame, and the first time that of the tables, into the stream."""
        if not self._tables_are_there:
            self._driver.memcpy_htod_async(self._tables_address, self._tables, stream)
            self._tables_are_there = True
        self._driver.memcpy_htod_async(int(self.frame), self._staged, stream)

    def free(self) -> None:
        """Free the memory; what the driver refuses to free goes with the context."""
        while self._device:
            with contextlib.suppress(self._driver.Error):
                self._device.pop().free()

    def _allocate(self, size: int) -> Any:
        self._device.append(self._driver.mem_alloc(size))
        return self._device[-1]


def _compile(capability: Tuple[int, int]) -> Any:
    """Return the compiled module; needs an active context."""
    with open(_SOURCE, encoding="ascii") as stream:
        source = stream.read()
    nvcc = shutil.which("nvcc") or (_NVCC if os.path.exists(_NVCC) else None)
    try:
        from pycuda.compiler import SourceModule

        if nvcc is None:
            raise MissingRuntimeError("nvcc is neither on PATH nor at {}".format(_NVCC))
        return SourceModule(source, nvcc=nvcc, options=["-Wno-deprecated-gpu-targets"], no_extern_c=True,
                            arch="sm_{}{}".format(*capability), cache_dir=_cache())
    except Exception as error:  # of pycuda, of its helpers, of the compiler's start: without a common base
        # Of a CompileError, nvcc's own words; its text begins with the long command line.
        text = " ".join(str(getattr(error, "stderr", None) or getattr(error, "msg", None) or error).split())[:300]
        raise MissingRuntimeError("the preprocessing kernels cannot be compiled: {}".format(
            text or type(error).__name__), _FIX) from error


def _cache() -> Any:
    """Return the folder for compiled kernels, or False, which is pycuda's word for none, where it cannot be made."""
    folder = os.path.join(cache_folder(), "kernels")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return False
    return folder if os.access(folder, os.W_OK) else False


def _levels(preprocessing: Preprocessing) -> List[Any]:
    """Return for each plane of the input its colour (0 is red), scale and offset, and the grey level of its border."""
    factors, border = scale_and_offset(preprocessing), preprocessing.pad_color or (0, 0, 0)
    return [argument for color in CHANNEL_ORDERS[preprocessing.channel_order]
            for argument in (np.int32(color), *factors[color], np.float32(border[color]))]


def _tables(taps: Taps) -> List[np.ndarray]:
    # Transposed, so that neighbouring threads read neighbouring weights.
    return [taps.starts, taps.counts, np.ascontiguousarray(taps.weights.T)]


def _pointer(allocation: Any) -> np.uintp:
    return np.uintp(int(allocation))


def _grid(width: int, height: int) -> Tuple[int, int]:
    return -(-width // _BLOCK[0]), -(-height // _BLOCK[1])
