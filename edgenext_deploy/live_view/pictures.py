"""The newest frame as a JPEG with the answer drawn in."""
import os
import tempfile
from typing import Optional

from edgenext_deploy.live_view.state import LiveState

_QUALITY = 80
# A browser shows no more of it, and a camera of 4K would fill the network.
_LONGEST_SIDE = 1280
# A file there is memory on Linux.
_MEMORY = "/dev/shm"


class Pictures:
    """Encodes frames, one at a time.

    Args:
        state: has the newest frame.
    """

    def __init__(self, state: LiveState) -> None:
        self._state = state
        self._folder = _MEMORY if os.path.isdir(_MEMORY) and os.access(_MEMORY, os.W_OK) else None
        self._encoded: Optional[int] = None

    def next(self) -> Optional[bytes]:
        """Return the newest frame as a JPEG file, None if it was returned already or there is none yet."""
        from edgenext_deploy.preprocess.photo import to_image

        newest, camera = self._state.newest, self._state.camera
        if newest is None or camera is None or newest.result.frame.number == self._encoded:
            return None
        self._encoded = newest.result.frame.number
        picture = to_image(newest.result.frame.image, camera.color)
        if not newest.drawn:
            picture = self._state.presenter.picture(picture, newest.result.answer)
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        # Into a file and not into memory: only there Pillow encodes without holding Python's lock, for which the run
        # would wait (6 ms in place of 17 at 1280x720 on a PC).
        with tempfile.TemporaryFile(dir=self._folder) as stream:
            picture.save(stream, "JPEG", quality=_QUALITY)
            stream.seek(0)
            return stream.read()
