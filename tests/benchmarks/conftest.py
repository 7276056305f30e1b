"""Fixtures of several tests of the benchmarks."""
import os
import time

import pytest
from bench_doubles import TINY, FakeSession, FakeTime
from plan_samples import written

from edgenext_deploy.runtime.options import RuntimeOptions


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Create engine files on request, and open them as fake sessions."""
    class Fakes:
        def __init__(self):
            self.sessions, self.scripts, self.shape = [], {}, (1, 3, 32, 32)

        def engine(self, name="a.onnx", script=lambda call: time.sleep(0.001)):
            path = str(tmp_path / name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if name.endswith(".plan"):
                written(os.path.dirname(path), os.path.basename(path))
            else:
                with open(path, "wb") as stream:
                    stream.write(name.encode("utf-8"))
            self.scripts[path] = script
            return path

    found = Fakes()

    def open_session(file, *, options=RuntimeOptions(), shapes=None):  # noqa: B008 - immutable
        session = FakeSession(file.path, options.threads, found.shape, found.scripts[file.path])
        session.options = options
        found.sessions.append(session)
        return session

    monkeypatch.setattr("edgenext_deploy.runtime.open.open_session", open_session)
    monkeypatch.setattr("edgenext_deploy.benchmarks.latency.engines.AnyGraphSession", open_session)
    return found


@pytest.fixture
def real(capsys):
    pytest.importorskip("onnxruntime")
    if not os.path.exists(TINY):
        pytest.skip("tests/data/tiny_classifier.onnx is not there")


@pytest.fixture
def fake_time(monkeypatch):
    """Have `measure` go by a clock that only the sessions move."""
    from edgenext_deploy.benchmarks.latency import blocks

    fake = FakeTime()
    monkeypatch.setattr(blocks, "_clock", fake.read)
    monkeypatch.setattr(blocks, "_MS_PER_TICK", 1.0)
    return fake
