"""Every operator of ONNX between two reshapes, its batch opened: refused with a reason, or right for other images too.

onnx's own node tests, with the image as their first input. Their shapes are of all kinds, so the batch comes to lie in
any size.
"""
import sys
import warnings
from pathlib import Path

import numpy as np
import paths
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.export.checks.parity import compare, runtime_function
from edgenext_deploy.export.open_batch import open_batch
from edgenext_deploy.export.open_batch_step import image_by_image
from edgenext_deploy.export.precision.fp32_pins import value_shapes

sys.path.insert(0, str(Path(paths.ROOT, "tests", "real")))

from onnx_models import node_cases

pytestmark = pytest.mark.sweep
PIXELS, LARGEST = 3 * 8 * 8, 20000


def images(seed, count):
    return np.random.RandomState(seed).normal(size=(count, 3, 8, 8)).astype(np.float32)


def around(case):
    """Return a graph for one image around a node test; raise ValueError where there is none."""
    graph, (given, _) = case.model.graph, case.data_sets[0]
    first, value = graph.input[0], given[0]
    floats = isinstance(value, np.ndarray) and value.dtype == np.float32
    if not floats or not 1 < value.size < LARGEST or not all(isinstance(other, np.ndarray) for other in given):
        raise ValueError("its first input is no image")
    weight = np.random.RandomState(0).normal(size=(PIXELS, value.size)).astype(np.float32) / 10
    constants = {"weight": weight, "shape": np.array(value.shape, np.int64), "row": np.array([1, -1], np.int64),
                 **{info.name: other for info, other in list(zip(graph.input, given))[1:]}}
    nodes = [helper.make_node("Flatten", ["image"], ["pixels"], "pixels"),
             helper.make_node("MatMul", ["pixels", "weight"], ["mixed"], "mixed"),
             helper.make_node("Reshape", ["mixed", "shape"], [first.name], "in"), *graph.node,
             helper.make_node("Reshape", [graph.output[0].name, "row"], ["out"], "out")]
    made = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [*graph.initializer, *(numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items())])
    model = helper.make_model(made, opset_imports=list(case.model.opset_import), ir_version=8)
    model = shape_inference.infer_shapes(model, strict_mode=True)
    if len(value_shapes(model)["out"]) != 2 or 0 in value_shapes(model)["out"]:
        raise ValueError("its output has no fixed shape")
    runtime_function(model)(images(0, 1))
    return model


def test_every_operator_is_refused_or_right():
    opened, refused, wrong = 0, 0, []
    for case in node_cases():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = around(case)
        except Exception:  # of onnx and ONNX Runtime, about graphs that no export writes
            continue
        one = image_by_image(runtime_function(model))
        if not all(np.isfinite(output).all() for output in one(images(1, 3))):
            continue
        try:
            several = runtime_function(open_batch(model))
            compare(one, several, [images(1, count) for count in (1, 2, 3)], 1e-4)
        except EdgeNextError as error:
            assert error.fix
            refused += 1
            continue
        opened += 1
        for left, right in zip(one(images(2, 3)), several(images(2, 3))):
            if np.abs(left - right).max() > 1e-3 * max(float(np.abs(left).max()), 1e-9):
                wrong.append(case.name)
    assert opened > 300 and refused > 100
    assert wrong == []
