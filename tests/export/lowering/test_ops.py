"""Every operator of a lowered module means in ONNX what it means in torch, at every opset that targets use."""
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from operator_cases import CASES, OPSETS, kind_of, module_of, random

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.export.lowering import elementwise_ops, norms, ops, shape_ops
from edgenext_deploy.export.lowering.trace import emit


def test_every_operator_has_a_case():
    known = {cls for module in (ops, norms, elementwise_ops, shape_ops) for cls in vars(module).values()
             if isinstance(cls, type) and issubclass(cls, ops.Op) and not cls.__name__.startswith("_")} - {ops.Op}
    assert known == {type(op) for op, _ in CASES.values()}


@pytest.mark.parametrize("opset, ir_version", OPSETS)
@pytest.mark.parametrize("case", CASES)
def test_onnx_means_what_torch_means(case, opset, ir_version):
    op, shapes = CASES[case]
    inputs = [torch.from_numpy(random(*shape).numpy().astype(np.float32)) for shape in shapes]
    expected = op(*(value.double() for value in inputs))
    expected = list(expected) if isinstance(expected, tuple) else [expected]
    model, _ = emit(
        module_of(op, len(inputs)), tuple(TensorSpec(f"x{i}", shape, "float32") for i, shape in enumerate(shapes)),
        tuple(TensorSpec(f"y{i}", tuple(value.shape), kind_of(value)) for i, value in enumerate(expected)),
        opset, ir_version, case)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {f"x{i}": value.numpy() for i, value in enumerate(inputs)})
    assert len(found) == len(expected)
    for left, right in zip(found, expected):
        np.testing.assert_allclose(left, right.numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("case", ["normalise_map", "l2_normalise"])
def test_reductions_keep_their_axes_where_old_parsers_look(case):
    op, shapes = CASES[case]
    model, _ = emit(module_of(op, 1), (TensorSpec("x", shapes[0], "float32"),),
                 (TensorSpec("y", shapes[0], "float32"),), 13, 7, "g")
    reductions = [node for node in model.graph.node if node.op_type.startswith("Reduce")]
    assert reductions
    for node in reductions:
        named = [attribute.name for attribute in node.attribute if attribute.name == "axes"]
        if node.op_type == "ReduceSum":  # opset 13 has its axes as an input, and this one every parser reads
            assert len(node.input) == 2 and named == []
        else:
            assert len(node.input) == 1 and named == ["axes"]


def test_l2_normalise_of_zeros_is_zero_not_nan():
    op, _ = CASES["l2_normalise"]
    assert torch.equal(op(torch.zeros(1, 2, 3)), torch.zeros(1, 2, 3))


def test_something_that_is_not_an_operator_is_refused():
    class Sneaky(torch.nn.Module):
        def forward(self, a):
            return torch.relu(a)

    with pytest.raises(TypeError, match="relu"):
        emit(Sneaky(), (TensorSpec("x", (2,), "float32"),), (TensorSpec("y", (2,), "float32"),), 13, 7, "g")
