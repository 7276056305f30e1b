"""What importers refuse though no document says so; tests/real/test_parser_matrix.py asks a real one."""
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402
from verdict_models import FLOAT, HALF, INT64, constant, model, one_node, small_network, tensor  # noqa: E402

from edgenext_deploy.export.verdict import reading  # noqa: E402
from edgenext_deploy.export.verdict.judge import analyse, judge, judge_all, judge_analysis  # noqa: E402

RTX = "rtx-1.7"
INT8, UINT8 = TensorProto.INT8, TensorProto.UINT8


def two_inputs(op, left, right, dtype=FLOAT, **attributes):
    node = helper.make_node(op, ["x", "w"], ["y"], name="n", **attributes)
    return model([node], [tensor("x", left, dtype), tensor("w", right, dtype)], [tensor("y", None, dtype)], opset=17)


def top_k(k):
    return one_node("TopK", (1, 5000), [constant("k", [k], np.int64)], outputs=("y", ""), output_shape=(1, k))


def added(value):
    return one_node("Add", (4,), [constant("c", [value], np.int64)], INT64)


def with_axes_through(op, **attributes):
    nodes = [helper.make_node(op, ["a"], ["axes"], **attributes),
             helper.make_node("ReduceMean", ["x", "axes"], ["y"], name="n")]
    return model(nodes, [tensor("x", (1, 4, 8))], [tensor("y", (1, 1, 8))],
                 [constant("a", [1], np.int32 if attributes else np.int64)], opset=18)


# A graph, the releases of a sample that must refuse it, and a word of why; the others of the sample accept it.
SAMPLE = ("8.2", "10.1", RTX)
CASES = {
    "a type that no release has": (one_node("Identity", dtype=TensorProto.INT16), SAMPLE, "INT16"),
    "a type that came later": (one_node("Identity", dtype=TensorProto.BFLOAT16), ("8.2",), "BF16"),
    "seen to be refused for this operator": (one_node("Concat", dtype=UINT8, axis=0), SAMPLE, "UINT8 tensors"),
    "matrices of integers": (two_inputs("MatMul", (4, 4), (4, 4), TensorProto.INT32), SAMPLE, "INT32 tensors"),
    "K at the limit": (top_k(3840), (), ""),
    "K beyond it": (top_k(3841), SAMPLE, "at most 3840"),
    "INT64 that fits into INT32": (added(2 ** 31 - 1), (), ""),
    "INT64 that does not": (added(2 ** 40), ("8.2",), "beyond INT32"),
    "broadcasting of old": (one_node("Add", extra=[constant("c", [1.0], np.float32)], opset=6), SAMPLE, "opset 7"),
    "Lp of 3": (one_node("LpNormalization", p=3), SAMPLE, "p=3"),
    "Lp of 1": (one_node("LpNormalization", p=1), (), ""),
    "training": (one_node("BatchNormalization", (1, 4, 8, 8), [constant(n, np.ones(4), np.float32) for n in "abcd"],
                          opset=14, training_mode=1), SAMPLE, "training_mode"),
    "fmod of floats": (two_inputs("Mod", (4,), (4,)), (RTX, "10.1"), "fmod=0"),
    "axes through Identity": (with_axes_through("Identity"), ("8.2", "10.1"), "axes"),
    "axes through Cast": (with_axes_through("Cast", to=INT64), ("8.2", "10.1"), "axes"),
    "axes through Neg": (with_axes_through("Neg"), SAMPLE, "axes"),
    "scatter with a reduction": (one_node(
        "ScatterElements", (4,), [constant("i", [1], np.int64), constant("u", [1.0], np.float32)], opset=16,
        reduction="add"), (RTX,), "reduction"),
    "low-bit ends": (one_node("Cast", output_dtype=TensorProto.FLOAT8E4M3FN, opset=19, to=TensorProto.FLOAT8E4M3FN),
                     (RTX, "10.1"), "FP8"),
    "a vector times one matrix with a batch axis": (two_inputs("MatMul", (4,), (1, 4, 4)), (), ""),
    "a vector times two matrices": (two_inputs("MatMul", (4,), (2, 4, 4)), (RTX,), "rank 3"),
    "a product of another shape": (two_inputs("MatMul", (4,), (1, 2, 4, 4)), (RTX,), "another shape"),
    "another domain": (one_node("Relu", domain="my.domain"), (), ""),
    "a plugin of NVIDIA's": (one_node("BatchedNMS_TRT"), (RTX,), "plugin of TensorRT"),
    "opset below the lowest documented": (small_network(opset=8), (), ""),
}
# 8.2 knows fewer operators than these cases are about.
OLD = {"fmod of floats", "low-bit ends", "scatter with a reduction", "a vector times one matrix with a batch axis",
       "a vector times two matrices", "a product of another shape"}


@pytest.mark.parametrize("name", CASES)
def test_who_refuses(name):
    made, refusing, word = CASES[name]
    for release in SAMPLE[1:] if name in OLD else SAMPLE:
        verdict = judge(made, release)
        assert verdict.supported == (release not in refusing), (release, verdict.findings)
        if not verdict.supported:
            assert any(word in finding.reason for finding in verdict.findings if finding.severity == "error")


def test_what_is_not_sure_is_said():
    for made, word in ((one_node("Relu", domain="my.domain"), "may differ"), (small_network(opset=8), "opset 8")):
        assert any(word in finding.reason for finding in judge(made, "10.1").findings)


def test_a_plugin_of_the_users_is_taken_at_their_word():
    made = one_node("MyOwnOperator", domain="mine")
    assert not any(verdict.supported for verdict in judge_all(made).values())
    told = judge_analysis(analyse(made, plugins=["MyOwnOperator"]), "8.2")
    assert told.supported and (told.state, told.who) == ("not verified", "nobody")


def function_model(calls, depth=1, unused=False):
    functions = [helper.make_function("local", "F0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])],
                                      [helper.make_opsetid("", 17)])]
    for level in range(1, depth):
        nodes = [helper.make_node(f"F{level - 1}", ["a"], ["m"], domain="local"),
                 helper.make_node(f"F{level - 1}", ["m"], ["b"], domain="local")]
        functions.append(helper.make_function("local", f"F{level}", ["a"], ["b"], nodes, [
            helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]))
    if unused:
        functions.append(helper.make_function("local", "Unused", ["a"], ["b"], [helper.make_node("Det", ["a"], ["b"])],
                                              [helper.make_opsetid("", 17)]))
    node = helper.make_node(calls, ["x"], ["y"], name="n", domain="local" if calls.startswith("F") else "")
    return model([node], [tensor("x", (2, 2))], [tensor("y", (2, 2))], opset=17, ir_version=8,
                 opset_imports=[helper.make_opsetid("local", 1)], functions=functions)


def test_a_function_that_nobody_calls_does_not_count():
    assert judge(function_model("Relu", unused=True), "8.6").supported
    assert not judge(function_model("F0", unused=True), "8.6").supported
    assert judge(function_model("F0", unused=True), "10.1").supported


def test_functions_in_functions_are_not_written_out():
    analysis = analyse(function_model("F39", depth=40), from_elsewhere=True)
    assert not analysis.typed and len(analysis.nodes) == 80


def test_equal_nodes_are_judged_once_and_each_is_named(monkeypatch):
    from edgenext_deploy.export.verdict import judge as judging

    asked = []
    monkeypatch.setattr(judging, "_about_node", lambda node, *_: asked.append(node.name) or [("error", "no")])
    nodes = [helper.make_node("Relu", ["x"], [f"t{number}"], name=f"n{number}") for number in range(50)]
    found = judge(model(nodes, [tensor("x", (4,))], [tensor("t49", (4,))]), "8.2").findings
    assert asked == ["n0", "n49"]  # the last one gives the output
    assert [finding.node for finding in found] == [f"n{number}" for number in range(50)]


def test_large_weights_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_COPIED_BYTES", 1000)
    weights = constant("w", np.ones((200, 400)), np.float32)
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"], name="n")], [tensor("x", (1, 200))],
                 [tensor("y", (1, 400))], [weights, constant("small", [1, 2], np.int64)])
    path = str(tmp_path / "large.onnx")
    onnx.save(made, path)
    read = reading.load_model(path)
    assert read.ByteSize() < 1000 and [reading.has_data(each) for each in read.graph.initializer] == [False, True]
    assert list(read.graph.initializer[0].dims) == [200, 400] and reading.complaint_of_checker(read) == ""
    assert {name: verdict.findings for name, verdict in judge_all(read).items()} == {
        name: verdict.findings for name, verdict in judge_all(made).items()}


@pytest.mark.parametrize("dtype", [FLOAT, HALF])
def test_a_sequence_as_an_input_is_refused(dtype):
    made = one_node("Identity", dtype=dtype, opset=17)
    made.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", dtype, (4,)))
    found = [finding.reason for finding in judge(made, RTX).findings if finding.severity == "error"]
    assert found == ["network input or output 'x' is a sequence, map or optional, not a tensor"]
