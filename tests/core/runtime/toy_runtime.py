"""A runtime in one file: it runs ``.toy`` files, a matrix from an image's mean colour to logits."""
import io
import time

import numpy as np

from edgenext_deploy import Session, SessionTimings, register_runtime


class ToySession(Session):
    """An open ``.toy`` file: float32 `[3, classes]`, as numpy.save writes it."""

    def __init__(self, engine, *, options=None):
        manifest = engine.manifest()
        self.inputs, self.outputs = manifest.inputs, manifest.outputs
        self._matrix = np.load(io.BytesIO(engine.take_data()))
        self._waiting = []

    def infer_all(self, image):
        self.check_input(image)
        started = time.perf_counter()
        logits = image.mean(axis=(2, 3)) @ self._matrix
        self.timings = SessionTimings(wall_ms=1e3 * (time.perf_counter() - started))
        return (logits,)

    def submit(self, image):
        self._waiting.append(self.infer_all(image))

    def collect(self):
        return self._waiting.pop(0)

    def describe(self):
        return {"runtime": "toy", "version": "1.0", "provider": "CPU", "threads": 1}

    def close(self):
        pass


register_runtime("toy", title="Toy runtime", endings=(".toy",), session=ToySession)
