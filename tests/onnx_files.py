"""ONNX files of a few nodes, for tests that have the library onnx."""
import pytest


def onnx_file(tmp_path, inputs, nodes, outputs=(("y", None),)):
    """Write a graph of FP32 nodes at opset 13; return its path."""
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node(*node) for node in nodes], "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    path = tmp_path / "made.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)
