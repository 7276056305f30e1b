"""Operators and forms of newer opsets, written for opset 13: ONNX Runtime gives the same for both."""
import collections
import time

import numpy as np
import onnx
import pytest
from adoption_files import adopted, classifier
from onnx import helper

from edgenext_deploy import open_session
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export.adoption.normal_form import prepare

RNG = np.random.default_rng(0)
ROW = RNG.standard_normal(8, dtype=np.float32)
THREE = RNG.standard_normal(3, dtype=np.float32)
SIX = RNG.standard_normal(6, dtype=np.float32)


def node(op, inputs=("x",), output="z", **attributes):
    return helper.make_node(op, list(inputs), [output], **attributes)


def ints(*values):
    return np.array(values, np.int64)


# The opset of the file, its nodes between x and z, its constants, and an operator that must be gone.
CASES = {
    "layer norm": (17, [node("LayerNormalization", ("x", "s", "b"), axis=-1, epsilon=1e-4)], {"s": ROW, "b": ROW * 2}),
    "layer norm of two axes": (17, [node("LayerNormalization", ("x", "s"), axis=-2)], {"s": np.stack([ROW] * 8)}),
    "group norm": (21, [helper.make_node("Concat", ["x", "x"], ["six"], axis=1),
                        node("GroupNormalization", ("six", "s", "b"), "n", num_groups=2),
                        node("Slice", ("n", "zero", "three", "one"))],
                   {"s": SIX, "b": SIX * 2, "zero": ints(0), "three": ints(3), "one": ints(1)}),
    "rms norm": (23, [node("RMSNormalization", ("x", "s"), epsilon=1e-4)], {"s": ROW}),
    "gelu": (20, [node("Gelu")], {}),
    "gelu by tanh": (20, [node("Gelu", approximate="tanh")], {}),
    "hard swish": (14, [node("HardSwish")], {}),
    "mish": (18, [node("Mish")], {}),
    "mean": (18, [node("ReduceMean", ("x", "a"), "m"), node("Add", ("x", "m"))], {"a": ints(-1, 2)}),
    "mean of all": (18, [node("ReduceMean", ("x",), "m"), node("Add", ("x", "m"))], {}),
    "mean of none": (18, [node("ReduceMean", ("x",), noop_with_empty_axes=1)], {}),
    "largest": (18, [node("ReduceMax", ("x", "a"), "m"), node("Add", ("x", "m"))], {"a": ints(3)}),
    "split": (18, [helper.make_node("Split", ["x"], ["p", "q"], axis=1, num_outputs=2),
                   helper.make_node("Concat", ["q", "p"], ["z"], axis=1)], {}),
    "pads of two axes": (18, [node("Pad", ("x", "p", "", "a"))], {"p": ints(1, 2, 0, 1), "a": ints(3, -2)}),
    "reshape": (19, [node("Reshape", ("x", "s"), allowzero=1)], {"s": ints(1, 3, 4, 16)}),
    "cast": (19, [node("Cast", ("x",), "h", to=10), node("Cast", ("h",), to=1)], {}),
    "cast like": (19, [node("CastLike", ("x", "of"), "h"), node("CastLike", ("h", "x"))], {"of": np.float16(1)}),
    "resize of two axes": (18, [node("Resize", ("x", "", "", "s"), mode="linear", axes=[3, 2])], {"s": ints(12, 10)}),
    "resize by scales of one axis": (18, [node("Resize", ("x", "", "f"), axes=[-1])], {"f": np.array([2], np.float32)}),
    "places that nobody takes": (12, [helper.make_node("MaxPool", ["x"], ["p", "places"], kernel_shape=[2, 2]),
                                      helper.make_node("Dropout", ["p"], ["z", "mask"])], {}),
    "old softmax": (11, [node("Flatten", ("x",), "f"), node("Softmax", ("f",), "g", axis=1),
                         node("Reshape", ("g", "s"))], {"s": ints(1, 3, 8, 8)}),
    "old clip": (9, [node("Clip", ("x",), min=-0.5, max=0.25)], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_at_opset_13(case, tmp_path):
    opset, nodes, constants = CASES[case]
    path = classifier(tmp_path, before=nodes, source="z", constants=constants, opset=opset)
    model = onnx.load(path)
    model.ir_version = 10
    onnx.save(model, path)
    result = adopted(path, tmp_path)
    written = onnx.load(result.onnx_path)
    assert written.opset_import[0].version == 13
    onnx.checker.check_model(written, full_check=True)
    newer = {"LayerNormalization", "GroupNormalization", "RMSNormalization", "Gelu", "HardSwish", "Mish"}
    assert not newer & {one.op_type for one in written.graph.node}
    assert result.manifest.parity.max_relative_error < 1e-5
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 8), dtype=np.float32) * 3
    with open_session(result.onnx_path) as session:
        import onnxruntime

        given = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": image})[0]
        np.testing.assert_allclose(session.infer(image), given, rtol=1e-5, atol=1e-6)


def test_what_is_spelled_out_is_counted_and_pinned(tmp_path):
    opset, nodes, constants = CASES["layer norm"]
    result = adopted(classifier(tmp_path, before=nodes, source="z", constants=constants, opset=opset), tmp_path,
                     fp16=True)
    assert result.manifest.lowering["rules"] == {"adopted": 1, "norm_spelled_out": 1}
    pinned = {name for names in result.manifest.precision.fp32_pins.values() for name in names}
    operators = collections.Counter(one.op_type for one in onnx.load(result.onnx_path).graph.node if one.name in pinned)
    assert operators >= collections.Counter({"ReduceMean": 2, "Sub": 1, "Mul": 1, "Sqrt": 1, "Div": 1})


@pytest.mark.parametrize(("opset", "nodes", "words"), [
    (16, [node("GridSample", ("x", "g"))], "no such operator"),
    (20, [node("GridSample", ("x", "g"))], "no such operator"),
    (19, [node("AveragePool", kernel_shape=[2, 2], dilations=[2, 2])], "no attribute dilations"),
    (19, [node("Pad", ("x", "p"), mode="wrap")], "wraps around"),
])
def test_what_opset_13_cannot_say_is_refused_by_name(opset, nodes, words, tmp_path):
    path = classifier(tmp_path, before=nodes, source="z", opset=opset, constants={
        "g": np.zeros((1, 8, 8, 2), np.float32), "p": ints(0, 0, 1, 1, 0, 0, 1, 1)})
    with pytest.raises(IncompatibleError, match=words):
        adopted(path, tmp_path)
    assert adopted(path, tmp_path, target="onnxruntime").manifest.graph.opset == opset


@pytest.mark.parametrize(("mode", "older"), [("linear", b"bilinear"), ("cubic", b"bicubic")])
def test_samples_on_a_grid_have_other_names_before_opset_20(mode, older, tmp_path):
    grid = RNG.uniform(-1, 1, (1, 5, 6, 2)).astype(np.float32)
    path = classifier(tmp_path, before=[node("GridSample", ("x", "g"), mode=mode, padding_mode="border")], source="z",
                      constants={"g": grid}, opset=20)
    result = adopted(path, tmp_path, target="orin")
    (sample,) = [one for one in onnx.load(result.onnx_path).graph.node if one.op_type == "GridSample"]
    assert older in [entry.s for entry in sample.attribute] and result.manifest.parity.max_relative_error < 1e-5


def test_an_element_type_that_the_opset_lacks_is_refused(tmp_path):
    nodes = [node("Cast", ("x",), "i", to=5), node("Mul", ("i", "i"), "p"), node("Cast", ("p",), to=1)]
    with pytest.raises(IncompatibleError, match=r"at opset 13: .*int16"):
        adopted(classifier(tmp_path, before=nodes, source="z", opset=17), tmp_path)


@pytest.mark.parametrize("name", ["", "same"])
def test_names_are_found_at_once_for_many_nodes(name):
    values = [f"v{index}" for index in range(3001)]
    nodes = [helper.make_node("Relu", [a], [b], name=name) for a, b in zip(values, values[1:])]
    one, last = (helper.make_tensor_value_info(value, 1, [1]) for value in (values[0], values[-1]))
    model = helper.make_model(helper.make_graph(nodes, "g", [one], [last]), opset_imports=[helper.make_opsetid("", 13)])
    start = time.process_time()
    names = [node.name for node in prepare(model).graph.node]
    assert len(set(names)) == 3000 and names[1] == ("same.2" if name else "Relu_1")
    assert time.process_time() - start < 2.0
