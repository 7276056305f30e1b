"""What this processor can do at most: the rate of one large matrix product, and what it makes of a network's work."""
import os
import time
from typing import Optional

from edgenext_deploy.artifacts.engine_file import open_graph
from edgenext_deploy.benchmarks.latency.engines import open_engine
from edgenext_deploy.graph_work import work_of
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.scratch import scratch_folder

# A square product of this side takes some 20 ms on a core.
_SIDE = 1024
_SECONDS = 1.0


def limit_line(variant: str, path: str, threads: Optional[int]) -> str:
    """Return a sentence: how long a graph's convolutions and matrix products alone take at the measured peak.

    Args:
        variant: what the graph is called.
        path: of the ONNX file, with fixed shapes.
        threads: of ONNX Runtime; None for its choice.
    """
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(open_graph(path).take_data())).graph
    work = sum(kernel.multiply_adds for stage in work_of(graph, path) for kernel in stage.kernels)
    peak = peak_multiply_adds_per_s(threads)
    return ("limit of {}: {:.2f} ms for {:.0f} M multiply-adds at the {:.1f} G a second of a matrix product of side {} "
            "(ONNX Runtime, {})".format(variant, 1e3 * work / peak, work / 1e6, peak / 1e9, _SIDE,
                                        "threads: {}".format(threads) if threads else "its own threads"))


def peak_multiply_adds_per_s(threads: Optional[int]) -> float:
    """Return the rate of ONNX Runtime's matrix product in FP32, the best of a second of calls."""
    with scratch_folder() as folder:
        path = os.path.join(folder, "product.onnx")
        _write_product(path)
        with open_engine(path, "product", RuntimeOptions(threads=threads)) as engine:
            best, until = float("inf"), time.perf_counter() + _SECONDS
            while time.perf_counter() < until:
                started = time.perf_counter()
                engine.session.infer_all(engine.image)
                best = min(best, time.perf_counter() - started)
    return float(_SIDE**3 / best)


def _write_product(path: str) -> None:
    import numpy as np
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.ones((_SIDE, _SIDE), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, kind, [_SIDE, _SIDE]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "product", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
