"""What memory and threads ONNX Runtime may take, and whose fault it is where it gets none."""
import os
import resource

import numpy as np
import pytest
from onnx_files import onnx_file
from paths import DATA

from edgenext_deploy import open_session
from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.runtime.ort_errors import load_error, run_error

pytest.importorskip("onnxruntime")

TINY = os.path.join(DATA, "tiny_classifier.onnx")


def test_a_node_that_asks_for_a_huge_tensor_is_refused_at_once(tmp_path):
    """A column times itself is a matrix of 4.6 GB."""
    path = onnx_file(tmp_path, [("image", [34000, 1])], [
        ("Transpose", ["image"], ["row"]), ("MatMul", ["image", "row"], ["square"]),
        ("MatMul", ["square", "image"], ["y"])], [("y", [34000, 1])])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_session(path) as session:
        for run in (session.infer, lambda image: (session.submit(image), session.collect())):
            with pytest.raises(BadInputError, match="more memory than there is, or than the 4096 MiB"):
                run(np.zeros((34000, 1), np.float32))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
    with open_session(TINY) as session:  # the allocator is the same for all
        assert session.infer(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 10)


@pytest.mark.parametrize("said", ["std::bad_alloc", "env.cc:327 PosixThread pthread_create failed, error code: 11"])
def test_what_the_system_refuses_onnxruntime_is_no_fault_of_the_graph(said):
    for found in (load_error("x.onnx", "1", RuntimeError(said)), run_error("x.onnx", "1", RuntimeError(said))):
        assert isinstance(found, MissingRuntimeError) and "memory or threads" in found.message
