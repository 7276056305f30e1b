"""Graphs as other exporters write them, from image to logits: what is written answers as the file does."""
import numpy as np
import onnx
import onnxruntime
import pytest
from adoption_files import adopted, graph
from onnx import helper

from edgenext_deploy import open_session

RNG = np.random.default_rng(0)


def node(op, inputs, *outputs, **attributes):
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def values(*shape, scale=0.2):
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def head(source, channels):
    return ([node("GlobalAveragePool", [source], "pool"), node("Flatten", ["pool"], "flat"),
             node("Gemm", ["flat", "head", "bias"], "y", transB=1)],
            {"head": values(10, channels), "bias": values(10)})


def tensorflow():
    """tf2onnx: channels last, a norm as Mul and Add, ReLU6, mean, Softmax; the batch is open."""
    nodes = [node("Transpose", ["x"], "t", perm=[0, 3, 1, 2]),
             node("Conv", ["t", "w"], "c", strides=[2, 2], pads=[0, 0, 1, 1], kernel_shape=[3, 3]),
             node("Mul", ["c", "s"], "m"), node("Add", ["m", "b"], "a"), node("Clip", ["a", "zero", "six"], "r"),
             node("Conv", ["r", "d"], "dw", group=8, pads=[1, 1, 1, 1]),
             node("ReduceMean", ["dw"], "p", axes=[2, 3], keepdims=0), node("MatMul", ["p", "head"], "g"),
             node("Add", ["g", "bias"], "l"), node("Softmax", ["l"], "y", axis=-1)]
    return nodes, {"w": values(8, 3, 3, 3), "s": values(1, 8, 1, 1), "b": values(1, 8, 1, 1), "zero": np.float32(0),
                   "six": np.float32(6), "d": values(8, 1, 3, 3), "head": values(8, 10), "bias": values(10)}, {
        "shape": ("unk__1", 32, 32, 3), "opset": 13, "result": ("unk__2", 10)}


def paddle():
    """Opset 9: Upsample by scales, places of a MaxPool and a Dropout's mask that nobody takes."""
    nodes = [node("Conv", ["x", "w"], "c", pads=[1, 1, 1, 1]),
             node("BatchNormalization", ["c", "g", "b", "m", "v"], "bn"), node("HardSigmoid", ["bn"], "hs"),
             node("Mul", ["bn", "hs"], "ml"),
             node("MaxPool", ["ml"], "mp", "places", kernel_shape=[2, 2], strides=[2, 2]),
             node("Upsample", ["mp", "scales"], "u", mode="nearest"), node("Dropout", ["u"], "do", "mask", ratio=0.1)]
    end, constants = head("do", 8)
    return [*nodes, *end], {"w": values(8, 3, 3, 3), "g": values(8), "b": values(8), "m": values(8),
                            "v": np.abs(values(8)) + 0.5, "scales": np.array([1, 1, 2, 2], np.float32), **constants}, {
        "opset": 9, "shape": (1, 3, 32, 32)}


def reader(kind, gates, **attributes):
    """A row of columns that a recurrent layer reads in both directions."""
    state = ["", "h0", "c0"] if kind == "LSTM" else ["", "h0"]
    nodes = [node("Conv", ["x", "w"], "c", strides=[32, 4]), node("Squeeze", ["c", "side"], "s"),
             node("Transpose", ["s"], "t", perm=[2, 0, 1]),
             node(kind, ["t", "W", "R", "B", *state], "all", hidden_size=6, direction="bidirectional", **attributes),
             node("Transpose", ["all"], "turned", perm=[2, 0, 1, 3]),
             node("ReduceMean", ["turned"], "mean", axes=[1], keepdims=0), node("Reshape", ["mean", "row"], "flat"),
             node("Gemm", ["flat", "head", "bias"], "y", transB=1)]
    start = np.zeros((2, 1, 6), np.float32)
    return nodes, {"w": values(8, 3, 32, 4, scale=0.05), "side": np.array([2]), "W": values(2, gates * 6, 8),
                   "R": values(2, gates * 6, 6), "B": values(2, 2 * gates * 6), "h0": start,
                   **({"c0": start} if kind == "LSTM" else {}), "row": np.array([0, -1]), "head": values(10, 12),
                   "bias": values(10)}, {"shape": (1, 3, 32, 32)}


def group_norm():
    """PyTorch before opset 21: a group norm by InstanceNormalization; and a mixing of channels by Einsum."""
    nodes = [node("Conv", ["x", "w"], "c", strides=[4, 4]), node("Reshape", ["c", "groups"], "cg"),
             node("InstanceNormalization", ["cg", "one", "zero"], "in"), node("Reshape", ["in", "map"], "gn"),
             node("Mul", ["gn", "s"], "g1"), node("Sigmoid", ["g1"], "gate"), node("Mul", ["g1", "gate"], "sw"),
             node("Einsum", ["sw", "mix"], "e", equation="bchw,cd->bdhw")]
    end, constants = head("e", 12)
    return [*nodes, *end], {"w": values(8, 3, 4, 4), "groups": np.array([0, 2, -1]), "one": np.ones(2, np.float32),
                            "zero": np.zeros(2, np.float32), "map": np.array([1, 8, 8, 8]), "s": values(1, 8, 1, 1),
                            "mix": values(8, 12), **constants}, {"opset": 12, "shape": (1, 3, 32, 32)}


GRAPHS = {"tensorflow": tensorflow(), "paddle": paddle(), "lstm": reader("LSTM", 4),
          "gru": reader("GRU", 3, linear_before_reset=1), "group norm": group_norm()}


@pytest.mark.parametrize("form", GRAPHS)
def test_what_is_written_answers_as_the_file(form, tmp_path):
    nodes, constants, options = GRAPHS[form]
    path = graph(nodes, tmp_path, constants=constants, **options)
    if "result" not in options:
        model = onnx.load(path)
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, (1, 10)))
        onnx.save(model, path)
    image = RNG.standard_normal((1, 3, 32, 32)).astype(np.float32)
    given = image.transpose(0, 2, 3, 1) if form == "tensorflow" else image
    (expected,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": given})
    for target, error in (("nano", 1e-5), ("a100", 5e-3)):
        result = adopted(path, tmp_path, name=target, fp16=True, target=target)
        assert result.manifest.precision.fp16_share == 1
        with open_session(result.onnx_path) as session:
            np.testing.assert_allclose(session.infer(image), expected, atol=error * np.abs(expected).max())
