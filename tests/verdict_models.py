"""Small ONNX models for the tests of the verdict, of ``check`` and of TensorRT-RTX."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, HALF, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64


def constant(name, value, dtype=None):
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def tensor(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, initializers=(), opset=13, ir_version=7, **more):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid("", opset), *more.pop("opset_imports", ())]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, **more)


def one_node(op, shape=(1, 4, 8, 8), extra=(), dtype=FLOAT, output_shape=None, opset=13, ir_version=7,
             outputs=("y",), output_dtype=None, domain="", **attributes):
    """A graph of the one node `n`: `x` first, then the constants of `extra` (None leaves an input out)."""
    names = [item.name if item is not None else "" for item in extra]
    node = helper.make_node(op, ["x", *names], list(outputs), name="n", domain=domain, **attributes)
    infos = [tensor(name, output_shape or shape, output_dtype or dtype) for name in outputs if name]
    return model([node], [tensor("x", shape, dtype)], infos, [item for item in extra if item is not None],
                 opset=opset, ir_version=ir_version)


def small_network(opset=13, ir_version=7, dtype=FLOAT):
    """Convolution with ReLU on `[1, 3, 16, 16]`."""
    numpy_dtype = {FLOAT: np.float32, HALF: np.float16}[dtype]
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(numpy_dtype)
    nodes = [helper.make_node("Conv", ["image", "stem.weight"], ["stem"], name="stem"),
             helper.make_node("Relu", ["stem"], ["features"], name="relu")]
    return model(nodes, [tensor("image", (1, 3, 16, 16), dtype)], [tensor("features", (1, 4, 14, 14), dtype)],
                 [constant("stem.weight", weight)], opset, ir_version)


def mean_with_axes_input(opset=18):
    """The planted defect: before TensorRT 10.0 the axes of this node are not read."""
    axes = constant("axes", [1], np.int64)
    return one_node("ReduceMean", extra=[axes], output_shape=(1, 1, 8, 8), opset=opset)


def save(folder, made, name="model.onnx"):
    path = str(folder / name)
    onnx.save(made, path)
    return path
