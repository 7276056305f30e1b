"""The protocol of a frame source."""
import abc
from typing import Optional

import numpy as np

from edgenext_deploy.errors import BadInputError


class SourceLostError(BadInputError):
    """A live source gives no frame any more, or cannot be opened just now."""


class SourceRefusedError(SourceLostError):
    """A live source is there and does not let us in: waiting for it does not help."""


class BadFrameError(BadInputError):
    """One frame cannot be read; the next one may."""


class FrameSource(abc.ABC):
    """Something that gives frames one by one; used by one thread at a time.

    Attributes:
        name: for messages, without passwords.
        live: whether it is opened again after a failure. What is not live ends.
        fps: frames a second; None if unknown or meaningless.
        color: of the frames that `read` gives, ``bgr`` or ``nv12``; see `pixel_formats.frame_layout`.
        position_s: of the last frame in seconds, by the source's own clock; None if it has none.
        file: name of the file that the last frame is, for a source of photos.
        every_frame: set before `open`: whether the consumer takes each frame when it likes, instead of at its time.
        paced: set by `open`: `read` itself waits until a frame is due.
        open_limit_s: seconds in which `open` has to return or raise.
        silence_limit_s: seconds without a frame after which `read` raises if the source is live.
    """

    name: str = "source"
    live: bool = False
    fps: Optional[float] = None
    color: str = "bgr"
    position_s: Optional[float] = None
    file: Optional[str] = None
    every_frame: bool = False
    paced: bool = False
    open_limit_s: float = 10.0
    silence_limit_s: float = 4.0

    @abc.abstractmethod
    def open(self) -> None:
        """Open it; also used again after `close`.

        Raises:
            BadInputError: it is not there, or gives no frames.
            MissingRuntimeError: what it needs is not installed.
        """

    @abc.abstractmethod
    def read(self) -> Optional[np.ndarray]:
        """Wait for the next frame and return it, or None at the end. It belongs to the caller.

        Its dtype is uint8, its shape that of `color`: BGR `[H, W, 3]`, NV12 `[H * 3 / 2, W]`.

        Raises:
            SourceLostError: it is live, and failed.
            BadFrameError: this frame cannot be read.
            BadInputError: a file that cannot be read.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Release it; twice does no harm."""

    def interrupt(self) -> None:  # noqa: B027 - a source that never waits long needs none
        """Have an `open` or `read` that waits end soon, with any error; called from another thread before the end."""
