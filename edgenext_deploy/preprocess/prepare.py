"""Prepare frames for a session, one or a batch: on the processor or the GPU, the fast way or the exact one.

The rule: a camera's frame (an array) goes the fast way: with `preprocess.cuda` where the session is on the GPU
and the kernels can be compiled, else with `preprocess.cpu`. A photo (a path or a PIL image) goes the exact way,
`preprocess`, on the processor. All agree within one grey level.
"""
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.preprocess.input_form import as_input, is_channels_last
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.preprocess.pixel_formats import check_color
from edgenext_deploy.preprocess.possible import require_possible
from edgenext_deploy.runtime.options import PREPARED_ON
from edgenext_deploy.runtime.session import Session

if TYPE_CHECKING:
    from edgenext_deploy.preprocess.cpu import CpuPreprocessor
    from edgenext_deploy.preprocess.cuda import CudaPreprocessor
    from edgenext_deploy.preprocess.photo import Source

_LOG = logging.getLogger(__name__)


class FrameTimings(NamedTuple):
    """Milliseconds of one call, both together what the caller waited.

    `preprocess_ms`: until the network's input was ready, where the network reads it if that is on the GPU; a photo's
    decoding is included. `inference_ms`: the rest.
    """

    preprocess_ms: float
    inference_ms: float


class FramePreparer:
    """Prepares photos and frames for a session, and runs it.

    Attributes:
        where: ``cpu`` or ``gpu``: where frames are prepared. None as long as ``auto`` has not decided, which it does
            at the first frame: compiling takes seconds that photos need not wait for.
        timings: of the last `infer`, None before the first.

    Args:
        preprocessing: the manifest's.
        session: the caller closes it after this object.
        color: of frames, unless a call says otherwise: ``bgr`` (OpenCV's), ``rgb`` or ``nv12``.
        where: ``gpu``, ``cpu``, or ``auto``: on the GPU if the session is there and the kernels can be compiled,
            else on the processor, with a line in the log if only the compiler is missing.

    Raises:
        BadInputError: the manifest's preprocessing is impossible.
        MissingRuntimeError: ``gpu`` is asked for, and the kernels cannot be compiled.
        UsageError: an unknown `color` or `where`, or ``gpu`` for a session that is not there.
    """

    def __init__(self, preprocessing: Preprocessing, session: Session, color: str = "bgr", where: str = "auto") -> None:
        check_color(color)
        if where not in PREPARED_ON:
            raise UsageError("frames are prepared on one of {}, found {!r}".format(", ".join(PREPARED_ON), where))
        on_gpu = session.takes_prepared
        if where == "gpu" and not on_gpu:
            raise UsageError("frames can be prepared on the GPU only for a plan", "leave it to 'auto', or pass a .plan")
        self.where: Optional[str] = "cpu" if where == "cpu" or not on_gpu else None
        self.timings: Optional[FrameTimings] = None
        self._preprocessing = preprocessing
        # Any: `infer_prepared` and `device` exist only where `takes_prepared`.
        self._session: Any = session
        self._color = color
        require_possible(preprocessing)
        # Made for the first frame: photos need none.
        self._cpu: "Optional[CpuPreprocessor]" = None
        self._gpu: "Optional[CudaPreprocessor]" = None
        self._deciding = threading.Lock()
        if where == "gpu":
            self._open_gpu()

    def prepare(self, source: "Source", color: Optional[str] = None,
                size: Optional[Tuple[int, int]] = None) -> np.ndarray:
        """Return one image of the session's input for a path, a PIL image or a frame, made on the processor.

        Args:
            source: see `preprocess.preprocess`.
            color: of this frame; by default what the preparer was made with.
            size: see `preprocess.preprocess`.

        Returns:
            `[1, 3, height, width]` of the session's dtype, or `[1, height, width, 3]` if that is its input.

        Raises:
            BadInputError: the photo cannot be read, or is too elongated.
            UsageError: a frame of another shape or dtype, or an unknown `color`.
        """
        if isinstance(source, np.ndarray):
            image = self._for_frames()(source, color or self._color)
        else:
            image = preprocess(source, self._preprocessing, size=size)
        return as_input(image, self._session.inputs[0])

    def infer(self, sources: "Sequence[Source]", color: Optional[str] = None) -> Tuple[np.ndarray, ...]:
        """Run the session on paths, PIL images or frames and return every output.

        Args:
            sources: one to as many as the session's batch; with fewer the last one fills it up, and outputs of those
                behind `sources` mean nothing.
            color: of the frames; by default what the preparer was made with.

        Raises:
            BadInputError: the photo cannot be read, or is too elongated.
            UsageError: a frame of another shape or dtype, an unknown `color`, or a closed session.
            CudaError: CUDA or TensorRT failed.
        """
        start = time.perf_counter()
        frames = [source for source in sources if isinstance(source, np.ndarray)]
        gpu = self._choose() if len(frames) == len(sources) else None
        if gpu is not None:
            chosen = time.perf_counter()
            outputs, prepare_ms = gpu.infer_all(self._session, frames, color or self._color)
            preprocess_ms = (chosen - start) * 1e3 + prepare_ms
        else:
            image = self.filled([self.prepare(source, color) for source in sources])
            preprocess_ms = (time.perf_counter() - start) * 1e3
            outputs = self._session.infer_all(image)
        self.timings = FrameTimings(preprocess_ms, (time.perf_counter() - start) * 1e3 - preprocess_ms)
        return outputs

    def on_gpu(self) -> bool:
        """Return whether frames are prepared on the GPU; decides it if that is not decided yet."""
        return self._choose() is not None

    def filled(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return the session's input for as many prepared images as it takes, or fewer; the last one fills it up."""
        missing = self._session.inputs[0].shape[0] - len(images)
        return np.concatenate([*images, *[images[-1]] * missing]) if len(images) + missing > 1 else images[0]

    def close(self) -> None:
        """Release what is on the GPU; before the session is closed, twice does no harm."""
        gpu, self._gpu = self._gpu, None
        if gpu is not None:
            gpu.close()

    def _for_frames(self) -> "CpuPreprocessor":
        with self._deciding:
            if self._cpu is None:
                from edgenext_deploy.preprocess.cpu import CpuPreprocessor

                self._cpu = CpuPreprocessor(self._preprocessing)
            return self._cpu

    def _choose(self) -> "Optional[CudaPreprocessor]":
        with self._deciding:
            if self.where is None:
                try:
                    self._open_gpu()
                except MissingRuntimeError as error:
                    self.where = "cpu"
                    _LOG.warning("frames are prepared on the CPU: %s", error)
            return self._gpu

    def _open_gpu(self) -> None:
        from edgenext_deploy.preprocess.cuda import CudaPreprocessor

        taken = self._session.inputs[0]
        self._gpu = CudaPreprocessor(self._preprocessing, taken.dtype, self._session.device, is_channels_last(taken))
        self.where = "gpu"
