"""Every call of our code to TensorRT, on the real bindings of every release: calls_builder.py and calls_runtime.py."""
import os

import pytest
from real.nvidia import children, places

pytestmark = pytest.mark.real

FILES = [os.path.join(places.HERE, name) for name in ("calls_builder.py", "calls_runtime.py")]
LEAST = 20


@pytest.mark.parametrize("release, pycuda, python", children.COMBINATIONS)
def test_calls(release, pycuda, python, tmp_path):
    code, counts, text = children.run_pytest((release, pycuda, python), tmp_path, *FILES)
    assert code == 0, text[-6000:]
    assert counts["passed"] >= LEAST, text[-2000:]
