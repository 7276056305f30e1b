"""onnx-simplifier is kept at arm's length: whatever it does, the export goes on with a good graph."""
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.export.graph.simplify import simplify
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.models.factory import create_model, randomise


def foldable():
    import numpy as np

    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"], name="constant_sum"),
        helper.make_node("Mul", ["x", "sum"], ["y"], name="product"),
    ]
    constants = [numpy_helper.from_array(np.ones(3, np.float32), name) for name in "ab"]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def test_constants_are_folded():
    result = simplify(foldable())
    assert result.warning is None
    assert [node.name for node in result.model.graph.node] == ["product"]


def test_the_lowered_graph_keeps_every_node_and_its_pad():
    model = randomise(create_model("xxs", num_classes=10), 0)
    emitted, _ = emit(lower(model, LoweringContext(1, 64, 64)), (TensorSpec("image", (1, 3, 64, 64), "float32"),),
                   (TensorSpec("logits", (1, 10), "float32"),), 13, 7, "xxs")
    result = simplify(emitted)
    assert result.warning is None
    assert [node.name for node in result.model.graph.node] == [node.name for node in emitted.graph.node]
    assert any(node.op_type == "Pad" for node in result.model.graph.node)
    assert result.model.ir_version == 7 and result.model.opset_import[0].version == 13


CHANGE = "import sys, onnx; m = onnx.load(sys.argv[1]); {}; onnx.save(m, sys.argv[2])"
CHILDREN = {
    "crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "code -11"),
    "error": ("raise RuntimeError('no such pass')", "no such pass"),
    "hang": ("import time; time.sleep(60)", "more than 1 s"),
    "rubbish": ("import sys; open(sys.argv[2], 'wb').write(b'rubbish')", "broken file"),
    "nothing": ("pass", "broken file"),
    "new node": (CHANGE.format("m.graph.node[0].name = 'invented'"), "invented"),
    "opset": (CHANGE.format("m.opset_import[0].version = 14"), "opset_import"),
}


@pytest.mark.parametrize("child", CHILDREN)
def test_a_simplifier_that_misbehaves_costs_a_warning_only(child, tmp_path):
    code, expected = CHILDREN[child]
    script = tmp_path / "child.py"
    script.write_text(code)
    model = foldable()
    result = simplify(model, timeout_s=1 if child == "hang" else 30, child=script)
    assert expected in result.warning
    assert result.model == model
    onnx.checker.check_model(result.model)
