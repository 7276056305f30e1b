"""A machine with a GPU and a release of TensorRT, for commands that build in a child process."""
import json
import sys

import pytest
from doubles import tensorrt_double
from paths import TESTS

from edgenext_deploy.engines import onnx_to_plan
from edgenext_deploy.machine.environment import Environment

# What the child finds as `tensorrt`: the double of the release that the environment names.
STAND_IN = """
import json, os, signal, sys
sys.path.insert(0, {tests!r})
behaviour = json.loads(os.environ["TENSORRT_DOUBLE"])
if behaviour.pop("die", None):
    os.kill(os.getpid(), signal.SIGKILL)
if behaviour.pop("bug", None):
    raise ZeroDivisionError("a bug")
if behaviour.pop("chatter", None):
    os.write(1, b"native code writes to standard output\\n")
from doubles.tensorrt_double import make
sys.modules["tensorrt"] = make(**behaviour)
"""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Return a function that makes this machine one with a GPU and a release of TensorRT (a double)."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "tensorrt.py").write_text(STAND_IN.format(tests=TESTS))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(site))

    def equip(release="8.2", capability="5.3", **behaviour):
        monkeypatch.setenv("TENSORRT_DOUBLE", json.dumps(dict(behaviour, release=release)))
        monkeypatch.setattr(onnx_to_plan, "present_environment", lambda: Environment(
            "linux-aarch64", tensorrt=tensorrt_double.RELEASES[release], gpu="Double", compute_capability=capability))

    yield equip
    sys.modules.pop("tensorrt", None)
