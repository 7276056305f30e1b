import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402
from verdict_models import (  # noqa: E402
    FLOAT,
    HALF,
    INT64,
    constant,
    mean_with_axes_input,
    model,
    one_node,
    small_network,
    tensor,
)

from edgenext_deploy.errors import IncompatibleError  # noqa: E402
from edgenext_deploy.export.verdict.findings import group_findings, summary  # noqa: E402
from edgenext_deploy.export.verdict.judge import judge, judge_all, require  # noqa: E402
from edgenext_deploy.export.verdict.releases import documented_releases  # noqa: E402
from edgenext_deploy.targets import get_target  # noqa: E402

INT = np.int64
F32 = np.float32


def errors(made, release):
    return [finding for finding in judge(made, release).findings if finding.severity == "error"]


def reasons(made, release, severity="error"):
    findings = judge(made, release).findings
    return " | ".join(finding.reason for finding in findings if finding.severity == severity)


def test_a_plain_network_runs_everywhere_without_a_finding():
    for release, verdict in judge_all(small_network()).items():
        assert verdict.supported, release
        assert verdict.findings == (), release


# Each case: a graph of one node `n`, a release that must refuse it, a word of the reason, one that must not.
CASES = {
    "axes input": (mean_with_axes_input(13), "9.3", "every axis", "10.0"),
    "noop without axes": (one_node("ReduceMax", noop_with_empty_axes=1), "8.6", "every axis", "10.0"),
    "LayerNormalization": (
        one_node("LayerNormalization", extra=[constant("g", np.ones(8, F32))], opset=17, ir_version=8),
        "8.5", "before TensorRT 8.6", "8.6"),
    "Gelu": (one_node("Gelu", opset=20, ir_version=9), "8.6", "before TensorRT 10.0", "10.0"),
    "HardSwish": (one_node("HardSwish", opset=14), "8.2", "before TensorRT 8.4", "8.4"),
    "FP16 Clip": (
        one_node("Clip", dtype=HALF, extra=[constant("lo", 0, np.float16), constant("hi", 6, np.float16)]),
        "8.2", "FP16 min/max", "8.5"),
    "FP16 Clip without a lower bound": (
        one_node("Clip", dtype=HALF, extra=[None, constant("hi", 6, np.float16)]),
        "8.4", "FP16 min/max", "8.5"),
    "FP16 Pad": (
        one_node("Pad", dtype=HALF, output_shape=(1, 4, 10, 10),
                 extra=[constant("pads", [0, 0, 1, 1] * 2, INT), constant("value", 0, np.float16)]),
        "8.6", "FP16 padding", "10.0"),
    "Pad with a value": (
        one_node("Pad", output_shape=(1, 4, 10, 10),
                 extra=[constant("pads", [0, 0, 1, 1] * 2, INT), constant("value", 1, F32)]),
        "8.0", "zeros", "8.2"),
    "Pad on three axes": (
        one_node("Pad", output_shape=(1, 6, 10, 10), extra=[constant("pads", [0, 1, 1, 1] * 2, INT)]),
        "8.0", "two axes", "8.2"),
    "Split": (
        one_node("Split", outputs=("y", "z"), output_shape=(1, 2, 8, 8), axis=1, num_outputs=2, opset=18),
        "9.3", "num_outputs", "10.0"),
    "scaled FP16 Gemm": (
        one_node("Gemm", (2, 4), [constant("b", np.ones((4, 4)), np.float16)], HALF, alpha=0.5),
        "8.2", "FP32 constant", "10.0"),
    "Einsum ellipsis": (one_node("Einsum", equation="...ij->...ji"), "10.11", "ellipsis", "10.12"),
    "Einsum diagonal": (
        one_node("Einsum", (4, 4), output_shape=(4,), equation="ii->i"), "8.2", "diagonal", "11.x"),
    "Einsum broadcast": (
        one_node("Einsum", (1, 4), [constant("b", np.ones((4, 4)), F32)], output_shape=(4, 4),
                 equation="ij,ij->ij"),
        "8.6", "broadcast", "10.15"),
    "cubic Resize": (
        one_node("Resize", extra=[None, constant("s", [1, 1, 2, 2], F32)], output_shape=(1, 4, 16, 16),
                 mode="cubic"),
        "8.2", "cubic", "8.6"),
    "negative Gather": (
        one_node("Gather", extra=[constant("i", [-1], INT)], axis=1, output_shape=(1, 1, 8, 8)),
        "8.0", "negative", "8.2"),
    "sorted TopK": (
        one_node("TopK", extra=[constant("k", [2], INT)], outputs=("y", ""), output_shape=(1, 4, 8, 2),
                 sorted=0),
        "10.1", "sorted", "8.6"),
    "InstanceNormalization rank": (
        one_node("InstanceNormalization", (1, 4),
                 [constant("s", np.ones(4), F32), constant("b", np.ones(4), F32)]),
        "8.5", "rank 2", "8.6"),
    "LayerNormalization mean": (
        one_node("LayerNormalization", extra=[constant("g", np.ones(8), F32)], outputs=("y", "mean"),
                 opset=17),
        "10.1", "Mean", "8.6"),
    "ScatterND add": (
        one_node("ScatterND", (4, 4), [constant("i", [[0]], INT), constant("u", np.ones((1, 4)), F32)],
                 reduction="add", opset=16), "10.0", "reduction", "8.6"),
    "5-D GridSample": (
        one_node("GridSample", (1, 2, 4, 4, 4), [constant("g", np.zeros((1, 4, 4, 4, 3)), F32)], opset=20),
        "11.2", "rank 5", "11.2.1"),
    "rank-3 Attention": (
        one_node("Attention", (1, 8, 16), [constant("k", np.ones((1, 8, 16)), F32)], q_num_heads=2, opset=23),
        "11.x", "rank 4", "rtx-1.7"),
    "string Constant": (
        model([helper.make_node("Constant", [], ["y"], name="n", value_string="a")], [],
              [tensor("y", (), TensorProto.STRING)]), "10.1", "string constants", "10.0"),
    "Dropout in training": (
        one_node("Dropout", extra=[constant("r", 0.5, F32), constant("t", True)]),
        "10.1", "training_mode", "10.0"),
    "EyeLike of unknown size": (one_node("EyeLike", ("n", "n")), "10.1", "static shape", "10.0"),
    "ReverseSequence of unknown size": (
        one_node("ReverseSequence", ("n", 4), [constant("l", [1, 1], INT)]), "8.5", "static shape", "8.6"),
    "LSTM layout": (
        one_node("LSTM", (1, 3, 4),
                 [constant("w", np.ones((1, 8, 4)), F32), constant("r", np.ones((1, 8, 2)), F32)],
                 hidden_size=2, layout=1, opset=14),
        "10.1", "layout", "10.0"),
    "negative GatherElements": (
        one_node("GatherElements", (4,), [constant("i", [-1, 0, 0, 0], INT)]), "8.0", "negative", "8.2"),
    "unknown opset": (small_network(opset=17), "8.2", "opset 17", "8.4"),
    "BF16": (one_node("Softmax", dtype=TensorProto.BFLOAT16), "8.6", "BF16 tensors", "9.3"),
    "INT64 Pow": (
        one_node("Pow", extra=[constant("p", 2, INT)], dtype=INT64), "10.1", "INT64 tensors", "10.15"),
}


@pytest.mark.parametrize("name", CASES)
def test_planted_defects(name):
    made, refusing, word, accepting = CASES[name]
    found = errors(made, refusing)
    assert any(word in finding.reason for finding in found), found
    assert not judge(made, refusing).supported
    assert word not in reasons(made, accepting)
    if not word.startswith("opset"):
        places = {(finding.node, finding.op) for finding in found if finding.op}
        assert places == {("n", made.graph.node[0].op_type)}


@pytest.mark.parametrize(("made", "word"), [
    (one_node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2], output_shape=(1, 4, 6, 6)), "dilat"),
    (one_node("MaxPool", kernel_shape=[2, 2], outputs=("y", "idx"), output_shape=(1, 4, 7, 7)), "Indices"),
    (one_node("AveragePool", (1, 4, 3, 3, 3, 3), kernel_shape=[1] * 4), "4-D pooling"),
    (one_node("Conv", (1, 1, 3, 3, 3, 3), [constant("w", np.ones((1,) * 6), F32)]), "4-D convolution"),
    (one_node("Resize", extra=[None, constant("s", [1, 1, 2, 2], F32)], output_shape=(1, 4, 16, 16),
              coordinate_transformation_mode="tf_crop_and_resize"), "tf_crop_and_resize"),
    (one_node("DequantizeLinear", (4,), [constant("s", 0.5, F32), constant("z", 3, np.int8)],
              TensorProto.INT8, output_dtype=FLOAT), "zero point"),
    (one_node("QuantizeLinear", (4,), [constant("s", 0.5, F32), constant("z", 3, np.int8)],
              output_dtype=TensorProto.INT8), "zero point"),
    (one_node("LpPool", kernel_shape=[2, 2], dilations=[2, 2], output_shape=(1, 4, 6, 6), opset=18), "dilat"),
    *[(one_node(op, (1, 3, 4), outputs=("y",), direction="bidirectional", hidden_size=2,
                activations=["Tanh", "Relu"] if op == "RNN" else ["Sigmoid", "Tanh", "Relu", "Tanh"]),
       "activations differ") for op in ("RNN", "GRU")],
    (one_node("Det", (4, 4), output_shape=()), "any documented"),
    (one_node("Swirl", domain="com.example"), "com.example"),
    (one_node("FusedConv", domain="com.microsoft"), "com.microsoft"),
])
def test_defects_that_no_release_takes(made, word):
    for release in documented_releases():
        assert word in reasons(made, release), release


@pytest.mark.parametrize("op", ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                                "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"])
def test_every_reduction_but_the_sum_needs_its_axes_as_an_attribute(op):
    as_input = one_node(op, extra=[constant("axes", [1], INT)], output_shape=(1, 1, 8, 8))
    as_attribute = one_node(op, axes=[1], output_shape=(1, 1, 8, 8))
    assert "every axis" in reasons(as_input, "8.2")
    assert judge(as_attribute, "8.2").findings == ()


def test_reduce_sum_reads_its_axes_input():
    made = one_node("ReduceSum", extra=[constant("axes", [1], INT)], output_shape=(1, 1, 8, 8))
    assert judge(made, "8.2").supported
    assert judge(made, "8.0").supported


def computed_input(op, index, value, arity, shape=(1, 4, 8, 8), dtype=INT64, **attributes):
    """A graph whose node `n` takes input `index` from a graph input instead of a constant."""
    inputs = ["x"] + ["" for _ in range(1, arity)]
    inputs[index] = "given"
    node = helper.make_node(op, inputs, ["y"], name="n", **attributes)
    return model([node], [tensor("x", shape), tensor("given", np.shape(value), dtype)], [tensor("y", None)])


@pytest.mark.parametrize(("made", "refusing", "accepting"), [
    (computed_input("Slice", 3, [1], 4), "10.2", "10.3"),
    (computed_input("Squeeze", 1, [0], 2), "10.1", "10.15"),
    (computed_input("Unsqueeze", 1, [0], 2), "8.2", "10.15"),
    (computed_input("CumSum", 1, 1, 2), "9.3", "11.x"),
    (computed_input("TopK", 1, [1], 2), "8.5", "8.6"),
    (computed_input("Pad", 3, [1], 4), "10.3", "10.4"),
    (computed_input("ReduceSum", 1, [1], 2), "10.0", "9.3"),
    (computed_input("Split", 1, [2, 2], 2), "8.0", "8.2"),
    (computed_input("Clip", 1, 0.0, 2, dtype=FLOAT), "8.0", "8.2"),
    (computed_input("Conv", 1, np.zeros((4, 4, 1, 1)), 2, dtype=FLOAT), "8.4", "8.5"),
    (computed_input("ConvTranspose", 1, np.zeros((4, 4, 1, 1)), 2, dtype=FLOAT), "8.4", "8.5"),
    (computed_input("NonMaxSuppression", 3, 0.0, 5, (1, 5, 4), FLOAT), "8.4", "8.5"),
    (computed_input("STFT", 1, 1, 3, (1, 8, 1)), "11.x", None),
])
def test_what_must_be_a_constant_and_is_computed(made, refusing, accepting):
    assert "computed in the graph" in reasons(made, refusing)
    if accepting:
        assert judge(made, accepting).supported, judge(made, accepting).findings


def test_a_computed_depth_of_one_hot_is_a_warning():
    assert "computed in the graph" in reasons(computed_input("OneHot", 1, 1, 3), "9.3", "warning")


@pytest.mark.parametrize(("dtype", "supported"), [(FLOAT, False), (TensorProto.INT32, True)])
def test_a_floating_point_range_of_computed_bounds_needs_8_4(dtype, supported):
    made = model([helper.make_node("Range", ["a", "b", "c"], ["y"], name="n")],
                 [tensor(name, (), dtype) for name in "abc"], [tensor("y", ("n",), dtype)])
    assert judge(made, "8.2").supported is supported
    assert judge(made, "8.4").supported


@pytest.mark.parametrize("before", ["Cast", "Identity"])
def test_a_weight_behind_another_node_is_no_initializer_for_8_2(before):
    attributes = {"to": FLOAT} if before == "Cast" else {}
    nodes = [helper.make_node(before, ["w"], ["weight"], **attributes),
             helper.make_node("Conv", ["x", "weight"], ["y"], name="stem")]
    made = model(nodes, [tensor("x", (1, 3, 8, 8))], [tensor("y", (1, 4, 8, 8))],
                 [constant("w", np.ones((4, 3, 1, 1)), F32)])
    assert [finding.node for finding in errors(made, "8.2")] == ["stem"]
    assert judge(made, "10.0").supported


def test_the_output_of_a_constant_node_counts_as_a_constant():
    nodes = [helper.make_node("Constant", [], ["w"], value=constant("v", np.ones((4, 3, 1, 1)), F32)),
             helper.make_node("Conv", ["x", "w"], ["y"])]
    made = model(nodes, [tensor("x", (1, 3, 8, 8))], [tensor("y", (1, 4, 8, 8))])
    assert judge(made, "8.2").findings == ()


def test_a_node_without_a_name_goes_by_its_first_output():
    made = one_node("Det", (4, 4), output_shape=())
    made.graph.node[0].ClearField("name")
    assert [finding.node for finding in errors(made, "8.2")] == ["y"]


def conditional(then_op):
    """An If whose `then` branch holds one node `inner`."""
    branches = {}
    for branch, op in (("then_branch", then_op), ("else_branch", "Neg")):
        node = helper.make_node(op, ["x"], [branch + "_y"], name="inner")
        branches[branch] = helper.make_graph([node], branch, [], [tensor(branch + "_y", (4, 4))])
    return model([helper.make_node("If", ["flag"], ["y"], name="choice", **branches)],
                 [tensor("x", (4, 4)), tensor("flag", (), TensorProto.BOOL)], [tensor("y", (4, 4))])


def test_subgraphs_are_walked():
    assert judge(conditional("Relu"), "8.2").supported
    found = errors(conditional("HardSwish"), "8.2")
    assert [(finding.node, finding.op) for finding in found] == [("choice/inner", "HardSwish")]


def test_subgraphs_of_subgraphs_see_the_tensors_around_them():
    reduce = helper.make_node("ReduceMax", ["x", "axes"], ["m"], name="deep")
    inner = helper.make_graph([reduce], "inner", [], [tensor("m", (1, 4))])
    middle = helper.make_graph([helper.make_node("If", ["flag"], ["i"], name="b", then_branch=inner,
                                                 else_branch=inner)], "middle", [], [tensor("i", (1, 4))])
    made = model([helper.make_node("If", ["flag"], ["y"], name="a", then_branch=middle, else_branch=middle)],
                 [tensor("x", (4, 4)), tensor("flag", (), TensorProto.BOOL)], [tensor("y", (1, 4))],
                 [constant("axes", [0], INT)])
    assert {finding.node for finding in errors(made, "8.2")} == {"a/b/deep"}
    # 10.0 wants the axes to be a constant: they are, two levels further out.
    assert judge(made, "10.0").supported


def test_local_functions():
    def calling(op):
        body = helper.make_node(op, ["a"], ["b"], name="body")
        function = helper.make_function("local", "Twice", ["a"], ["b"], [body], [helper.make_opsetid("", 17)])
        return model([helper.make_node("Twice", ["x"], ["y"], name="call", domain="local")],
                     [tensor("x", (4, 4))], [tensor("y", (4, 4))], opset=17, ir_version=8,
                     opset_imports=[helper.make_opsetid("local", 1)], functions=[function])

    assert [finding.node for finding in errors(calling("Relu"), "8.6")] == ["call"]
    assert judge(calling("Relu"), "9.3").supported
    assert [finding.node for finding in errors(calling("Det"), "10.0")] == ["Twice/body"]


def test_types_of_index_tensors_are_notes_and_doubles_are_warnings():
    gather = one_node("Gather", extra=[constant("i", [0], INT)], axis=1, output_shape=(1, 1, 8, 8))
    verdict = judge(gather, "8.2")
    assert verdict.supported
    assert {finding.severity for finding in verdict.findings} == {"note"}
    double = one_node("Add", extra=[constant("b", 1.0, np.float64)], dtype=TensorProto.DOUBLE)
    assert judge(double, "8.2").supported
    assert "FP64" in reasons(double, "8.2", "warning")
    assert "FP64" in reasons(double, "11.x", "warning")


def test_integer_arithmetic_on_shapes_is_a_note_and_on_data_an_error():
    on_shapes = model(
        [helper.make_node("Shape", ["x"], ["s"]),
         helper.make_node("ReduceProd", ["s"], ["y"], name="n", keepdims=0)],
        [tensor("x", (2, 3))], [tensor("y", (), INT64)])
    on_data = one_node("ReduceProd", (2, 3), dtype=INT64, keepdims=0, output_shape=())
    assert judge(on_shapes, "8.2").supported
    assert "shapes and constants" in reasons(on_shapes, "8.2", "note")
    assert "INT64 tensors" in reasons(on_data, "8.2")


def test_ir_version_beyond_the_parser_is_a_warning():
    made = small_network(ir_version=10)
    assert judge(made, "8.2").supported
    assert "IR version 10" in reasons(made, "8.2", "warning")
    assert judge(made, "11.x").findings == ()


def test_an_operator_that_only_the_source_has_is_not_documented():
    verdict = judge(one_node("Reciprocal"), "8.2")
    assert verdict.supported
    assert verdict.state == "not documented"
    assert judge(one_node("Reciprocal"), "8.4").findings == ()


def test_what_cannot_be_checked_is_a_note():
    made = one_node("RandomNormalLike")
    assert "seed ignored" in reasons(made, "8.4", "note")
    assert judge(made, "8.4").supported


def test_a_graph_whose_types_cannot_be_inferred_is_still_judged():
    made = one_node("Swirl", domain="com.example")  # com.example is not imported
    verdict = judge(made, "8.2")
    assert "com.example" in reasons(made, "8.2")
    assert any("could not be inferred" in finding.reason for finding in verdict.findings)


def test_external_data_is_not_loaded():
    made = one_node("TopK", extra=[constant("k", [9999], INT)], outputs=("y", ""), output_shape=(1, 4, 8, 2))
    stored = made.graph.initializer[0]
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="does-not-exist.bin")
    # Its value, which 11.x refuses, is not known; that it is a constant is.
    assert judge(made, "8.2").supported
    assert judge(made, "11.x").supported


def test_a_release_between_the_documents_says_by_which_it_was_judged():
    verdict = judge(small_network(), "10.13.3")
    assert (verdict.release, verdict.documented_as) == ("10.13.3", "10.1")


def test_require_names_node_operator_release_and_reason():
    with pytest.raises(IncompatibleError) as caught:
        require(mean_with_axes_input(), get_target("nano"))
    assert caught.value.exit_code == 4
    for part in ("nano", "'n'", "ReduceMean", "8.2", "every axis", "opset 18"):
        assert part in caught.value.message


def test_require_counts_what_it_does_not_name():
    missing = ("Det", "Gelu", "HardSwish", "Mish", "IsInf")
    nodes = [helper.make_node(op, ["x"], [op], name=op.lower()) for op in missing]
    made = model(nodes, [tensor("x", (4, 4))], [tensor("Gelu", (4, 4))], opset=20)
    with pytest.raises(IncompatibleError) as caught:
        require(made, get_target("nano"))
    assert "'det'" in caught.value.message
    assert "'mish'" not in caught.value.message
    assert "and 3 more" in caught.value.message


def test_require_holds_the_graph_to_the_targets_own_opset_and_ir_version():
    require(small_network(13, 7), get_target("nano"))
    with pytest.raises(IncompatibleError, match="opset 17 found, 13"):
        require(small_network(17, 7), get_target("xavier"))  # its parser documents 17; the target keeps to 13
    with pytest.raises(IncompatibleError, match="IR version 8 found, 7"):
        require(small_network(13, 8), get_target("nano"))


def test_a_target_without_tensorrt_is_held_to_opset_and_ir_version_only():
    target = get_target("onnxruntime")
    require(one_node("Det", (4, 4), output_shape=()), target)
    with pytest.raises(IncompatibleError, match="opset 21"):
        require(small_network(21, 7), target)


def test_equal_findings_are_grouped():
    names = ["x", "y0", "y1", "y2", "y3", "y4"]
    nodes = [helper.make_node("Gelu", [names[i]], [names[i + 1]], name=f"act{i}") for i in range(5)]
    made = model(nodes, [tensor("x", (4,))], [tensor("y4", (4,))], opset=20)
    groups = [group for group in group_findings(judge_all(made).values()) if group.op == "Gelu"]
    assert len(groups) == 1
    assert groups[0].nodes == ("act0", "act1", "act2", "act3", "act4")
    assert groups[0].releases == ("8.0", "8.2", "8.4", "8.5", "8.6", "9.3")
    assert str(groups[0]) == "Gelu node 'act0' and 4 more: not an operator before TensorRT 10.0"


def test_summary_is_json_and_short():
    nodes = [helper.make_node("Gelu", ["x"], [f"y{i}"], name=f"act{i}") for i in range(500)]
    made = model(nodes, [tensor("x", (4,))], [tensor("y0", (4,))], opset=20)
    data = summary(judge_all(made))
    text = json.dumps(data)
    assert json.loads(text) == data
    assert len(text) < 10_000
    assert tuple(data) == documented_releases()
    assert data["10.0"] == {
        "supported": True, "state": "supported", "said_by": "table", "documented_as": "10.0", "findings": []}
    finding = data["8.2"]["findings"][-1]
    assert finding["nodes"] == ["act0", "act1", "act2"]
    assert finding["count"] == 500
