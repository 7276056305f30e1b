"""A frame source in one file: it counts, in shades of grey, as often as its address says."""
import numpy as np

from edgenext_deploy import FrameSource, register_source


class CountingSource(FrameSource):
    """Frames uint8 BGR `[48, 64, 3]`, each a shade lighter than the one before it."""

    def __init__(self, address, *, fps=None, **_):
        self.name, self.fps = "toy://" + address.target, fps
        self._last, self._next = int(address.target), 0

    def open(self):
        pass

    def read(self):
        self._next += 1
        return None if self._next > self._last else np.full((48, 64, 3), self._next, np.uint8)

    def close(self):
        pass


register_source("toy", form="toy://10", starts=["toy://"], pattern="toy://([0-9]{1,3})", make=CountingSource)
