"""FP32 islands by their form: norms however an exporter writes them, and nothing that only looks like one."""
import numpy as np
import onnx
import pytest
from adoption_files import classifier
from onnx import helper

from edgenext_deploy.export.adoption.islands import find_islands


def node(op, inputs, output, **attributes):
    return helper.make_node(op, list(inputs), [output], name=output, **attributes)


def islands(folder, nodes, constants=()):
    return find_islands(onnx.load(classifier(folder, before=nodes, source=nodes[-1].output[0], constants=constants)))


CENTRED = [node("ReduceMean", ("x",), "mean", axes=[-1]), node("Sub", ("x", "mean"), "centred")]
EPS = {"eps": np.float32(1e-5), "two": np.float32(2), "half": np.float32(0.5)}
ROOT = [node("ReduceMean", ("square",), "variance", axes=[-1]), node("Add", ("variance", "eps"), "biased"),
        node("Sqrt", ("biased",), "deviation")]


@pytest.mark.parametrize("square", [node("Mul", ("centred", "centred"), "square"),
                                    node("Pow", ("centred", "two"), "square")])
@pytest.mark.parametrize("end", [
    [node("Div", ("centred", "deviation"), "quotient")],
    [node("Reciprocal", ("deviation",), "inverse"), node("Mul", ("centred", "inverse"), "quotient")]])
def test_a_layer_norm_in_primitives(square, end, tmp_path):
    found = islands(tmp_path, [*CENTRED, square, *ROOT, *end], EPS)
    names = {one.name for one in (*CENTRED, square, *ROOT, *end)}
    assert set(found) == names and all("norm" in reason for reason in found.values())


def test_a_root_mean_square_and_an_l2_norm(tmp_path):
    nodes = [node("Mul", ("x", "x"), "square"), *ROOT, node("Div", ("x", "deviation"), "quotient")]
    assert set(islands(tmp_path, nodes, EPS)) == {one.name for one in nodes}
    nodes = [node("Mul", ("x", "x"), "square"), node("ReduceSum", ("square",), "total"),
             node("Sqrt", ("total",), "norm"), node("Clip", ("norm", "eps"), "floor"),
             node("Expand", ("floor", "shape"), "spread"),
             node("Div", ("x", "spread"), "quotient")]
    assert set(islands(tmp_path, nodes, {**EPS, "shape": np.array([1, 3, 8, 8])})) == {one.name for one in nodes}


def test_a_power_of_a_half_is_a_root(tmp_path):
    nodes = [node("Mul", ("x", "x"), "square"), node("ReduceMean", ("square",), "mean", axes=[1]),
             node("Pow", ("mean", "half"), "root"), node("Div", ("x", "root"), "quotient")]
    assert set(islands(tmp_path, nodes, EPS)) == {one.name for one in nodes}


def test_the_temperature_of_a_softmax_and_its_mask(tmp_path):
    nodes = [node("MatMul", ("x", "x"), "scores"), node("Mul", ("scores", "half"), "scaled"),
             node("Add", ("scaled", "eps"), "masked"), node("Softmax", ("masked",), "weights"),
             node("MatMul", ("weights", "x"), "mixed")]
    assert set(islands(tmp_path, nodes, EPS)) == {"scaled", "masked", "weights"}


@pytest.mark.parametrize("nodes", [
    [node("Mul", ("x", "x"), "square"), node("Relu", ("square",), "end")],  # a squared activation
    [node("Mul", ("x", "x"), "square"), node("ReduceMean", ("square",), "mean"), node("Mul", ("x", "mean"), "end")],
    [node("GlobalAveragePool", ("x",), "pool"), node("Sigmoid", ("pool",), "gate"), node("Mul", ("x", "gate"), "end")],
])
def test_what_is_no_norm(nodes, tmp_path):
    assert islands(tmp_path, nodes) == {}
