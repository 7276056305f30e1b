"""What TensorRT-RTX's builder refuses; tests/real/test_parser_matrix.py asks the builder about the same graphs."""
import pytest

onnx = pytest.importorskip("onnx")

from builder_cases import CASES  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from edgenext_deploy.export.verdict.judge import analyse, judge, target_problems  # noqa: E402
from edgenext_deploy.targets import get_target  # noqa: E402


@pytest.mark.parametrize("case", CASES)
def test_the_builders_answer(case):
    model, builds = CASES[case]
    verdict = judge(model, "rtx-1.7")
    errors = [finding.reason for finding in verdict.findings if finding.severity == "error"]
    assert verdict.supported == builds, errors
    assert builds or all("which the builder refuses" in reason for reason in errors)
    assert not any("which the builder refuses" in finding.reason for finding in judge(model, "11.x").findings)


def picture(*sizes):
    made = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


@pytest.mark.parametrize(("sizes", "told"), [
    (("?", 3, "?", "?"), True), (("b", 3, "s", "s"), True), (("n", 3, "h", "w"), False), ((1, 3, 8, 8), False)])
def test_sizes_of_one_name_must_be_equal_when_it_runs(sizes, told):
    for release, knows in (("8.2", False), ("8.6", True), ("rtx-1.7", True)):
        verdict = judge(picture(*sizes), release)
        assert verdict.supported
        assert any("only where these are equal" in finding.reason for finding in verdict.findings) == (told and knows)


@pytest.mark.parametrize(("kind", "target", "words"), [
    (TensorProto.FLOAT8E4M3FN, "orin", "FP8 tensors, which need compute capability 8.9; orin has 8.7"),
    (TensorProto.FLOAT8E4M3FN, "thor", ""), (TensorProto.FLOAT4E2M1, "h100", "need compute capability 10.0"),
    (TensorProto.FLOAT4E2M1, "thor", "")])
def test_types_that_an_architecture_has_no_kernels_for(kind, target, words):
    weight = helper.make_tensor("w", kind, [16, 16], [1.0] * 256)
    made = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), helper.make_node("MatMul", ["x", "d"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, 16])],
        [weight, helper.make_tensor("s", TensorProto.FLOAT, [], [0.5])])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    problems = " ".join(target_problems(analyse(model), get_target(target)))
    assert (words in problems) if words else "compute capability" not in problems
