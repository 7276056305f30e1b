"""``--best-of N``: keep the fastest of several builds, which differ because TensorRT times kernels while it builds.

The plans are run to compare them, so this needs the GPU and a TensorRT session.
"""
import time
from typing import Optional, Tuple

from edgenext_deploy.artifacts.plan_check import PlanRecord
from edgenext_deploy.engines.build_records import BuildRequest, BuildResult
from edgenext_deploy.engines.candidate import candidate
from edgenext_deploy.engines.isolated import build_in_child
from edgenext_deploy.errors import MissingRuntimeError

_WARMUP, _RUNS = 10, 50


def keep_fastest(
    first: BuildResult, record: PlanRecord, request: BuildRequest, count: int,
) -> Tuple[BuildResult, Optional[str]]:
    """Build `count` - 1 times more and return the fastest plan, and a note if they could not be compared.

    Args:
        first: the first build.
        record: content of its sidecar; those of the others differ in nothing that a session reads.
        request: how it was built.
        count: number of builds, the first one included.
    """
    try:
        best, best_s = first, _median_s(first, record, request.onnx_path)
    except MissingRuntimeError as error:
        return first, "--best-of has no effect, one plan was built: {}".format(error.message)
    for _ in range(count - 1):
        # The timing cache would give the same kernels again.
        other = build_in_child(request._replace(timing_cache=None))
        seconds = _median_s(other, record, request.onnx_path)
        if seconds < best_s:
            best, best_s = other, seconds
    return best, None


def _median_s(result: BuildResult, record: PlanRecord, onnx_path: str) -> float:
    """Return the median seconds of one inference of the plan."""
    import numpy as np

    from edgenext_deploy.runtime.open import open_session

    with candidate(result.plan, record, onnx_path) as path, open_session(path) as session:
        image = np.zeros(session.inputs[0].shape, session.inputs[0].dtype)
        times = []
        for _ in range(_WARMUP + _RUNS):
            started = time.perf_counter()
            session.infer_all(image)
            times.append(time.perf_counter() - started)
    return sorted(times[_WARMUP:])[_RUNS // 2]
