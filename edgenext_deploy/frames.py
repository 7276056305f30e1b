"""Frames into a session: the choice between the processor and the GPU, between the fast way and the exact one.

The rule: a camera's frame (an array) goes the fast way, on the GPU where the session is there too, else with
`preprocess_cpu`. A photo (a path or a PIL image) goes the exact way, `preprocess`. The two agree within one grey level.
"""
import time
from typing import TYPE_CHECKING, NamedTuple, Optional, Tuple

import numpy as np

from edgenext_deploy.manifest import Preprocessing
from edgenext_deploy.pixels import check_color
from edgenext_deploy.preprocess import preprocess
from edgenext_deploy.preprocess_cpu import CpuPreprocessor
from edgenext_deploy.runtime.session import Session

if TYPE_CHECKING:
    from edgenext_deploy.preprocess import Source


class FrameTimings(NamedTuple):
    """Milliseconds of one call: until the network's input was ready (decoding of a photo included), and the rest."""

    preprocess_ms: float
    inference_ms: float


class FramePreparer:
    """Prepares photos and frames for a session, and runs it.

    Attributes:
        where: ``cpu`` or ``gpu``: where frames are prepared.
        timings: of the last `infer`, None before the first.

    Args:
        preprocessing: the manifest's.
        session: stays the caller's, who closes it after this.
        color: of frames, unless a call says otherwise: ``bgr`` (OpenCV's), ``rgb`` or ``nv12``.

    Raises:
        BadInputError: the manifest's preprocessing is impossible.
        UsageError: an unknown `color`.
    """

    def __init__(self, preprocessing: Preprocessing, session: Session, color: str = "bgr") -> None:
        check_color(color)
        self.where = "cpu"
        self.timings: Optional[FrameTimings] = None
        self._preprocessing = preprocessing
        self._session = session
        self._color = color
        self._cpu = CpuPreprocessor(preprocessing)

    def prepare(self, source: "Source", color: Optional[str] = None) -> np.ndarray:
        """Return the session's input for a path, a PIL image or a frame, made on the processor.

        Args:
            source: see `preprocess.preprocess`.
            color: of this frame; by default what the preparer was made with.

        Returns:
            `[1, 3, height, width]` of the session's dtype.

        Raises:
            BadInputError: the photo cannot be read, or is too elongated.
            UsageError: a frame of another shape or dtype, or an unknown `color`.
        """
        if isinstance(source, np.ndarray):
            image = self._cpu(source, color or self._color)
        else:
            image = preprocess(source, self._preprocessing)
        return image.astype(self._session.inputs[0].dtype, copy=False)

    def infer(self, source: "Source", color: Optional[str] = None) -> Tuple[np.ndarray, ...]:
        """Run the session on a path, a PIL image or a frame and return every output; raises what `prepare` raises."""
        start = time.perf_counter()
        image = self.prepare(source, color)
        prepared = time.perf_counter()
        outputs = self._session.infer_all(image)
        self.timings = FrameTimings((prepared - start) * 1e3, (time.perf_counter() - prepared) * 1e3)
        return outputs

    def close(self) -> None:
        """Release what is on the GPU; before the session is closed."""
