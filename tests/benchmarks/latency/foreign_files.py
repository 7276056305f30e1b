"""ONNX files from anywhere, for tests of what is measured without a manifest.

They are checked in, as Python 3.6 has no onnx. Run this file to write them again.
"""
import os

from paths import DATA

FOLDER = os.path.join(DATA, "foreign")


def foreign(name):
    """Return the path of a file."""
    return os.path.join(FOLDER, name + ".onnx")


def models():
    """Return the models by name."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    def model(nodes, inputs, outputs, weights=(), opset=13):
        graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(array, name)
                                                                for name, array in weights])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)

    node = helper.make_node
    floats, longs, bools = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
    string = TensorProto.STRING
    table = np.arange(20, dtype=np.float32).reshape(5, 4)
    tokens = [node("Gather", ["table", "ids"], ["rows"]), node("Cast", ["mask"], ["kept"], to=floats),
              node("Unsqueeze", ["kept", "last"], ["column"]), node("Mul", ["rows", "column"], ["masked"]),
              node("Mul", ["masked", "scale"], ["y"])]
    weights = [("table", table), ("last", np.array([2], np.int64))]
    sequence = helper.make_tensor_sequence_value_info("x", floats, [2])
    optional = helper.make_value_info("x", helper.make_optional_type_proto(helper.make_tensor_type_proto(floats, [2])))
    return {
        # Token ids, a mask and a scalar; batch and length are open.
        "tokens": model(tokens, [value("ids", longs, ["batch", "length"]), value("mask", bools, ["batch", "length"]),
                                 value("scale", floats, [])], [value("y", floats, ["batch", "length", 4])], weights),
        "tokens_fixed": model(tokens, [value("ids", longs, [1, 8]), value("mask", bools, [1, 8]),
                                       value("scale", floats, [])], [value("y", floats, [1, 8, 4])], weights),
        "picture": model([node("GlobalAveragePool", ["image"], ["y"])],
                         [value("image", floats, [None, 3, None, None])], [value("y", floats, None)]),
        "batch_open": model([node("Relu", ["image"], ["y"])], [value("image", floats, ["N", 3, 8, 8])],
                            [value("y", floats, ["N", 3, 8, 8])]),
        "string": model([node("Identity", ["x"], ["y"])], [value("x", string, [2])], [value("y", string, [2])]),
        "bfloat": model([node("Cast", ["x"], ["y"], to=floats)], [value("x", TensorProto.BFLOAT16, [2])],
                        [value("y", floats, [2])]),
        "sequence": model([node("SequenceAt", ["x", "first"], ["y"])], [sequence], [value("y", floats, None)],
                          [("first", np.array(0, np.int64))]),
        "sequence_out": model([node("SequenceConstruct", ["x"], ["y"])], [value("x", floats, [2])],
                              [helper.make_tensor_sequence_value_info("y", floats, [2])]),
        "optional": model([node("OptionalHasElement", ["x"], ["y"])], [optional], [value("y", bools, [])], opset=15),
        "huge": model([node("Relu", ["x"], ["y"])], [value("x", floats, [1 << 62])], [value("y", floats, [1 << 62])]),
        "huge_open": model([node("Relu", ["x"], ["y"])], [value("x", floats, ["n"])], [value("y", floats, ["n"])]),
        "empty": model([node("Relu", ["x"], ["y"])], [value("x", floats, [0, 3])], [value("y", floats, [0, 3])]),
        "no_input": model([node("Relu", ["x"], ["y"])], [], [value("y", floats, [2])],
                          [("x", np.zeros(2, np.float32))]),
        "count": model([node("TopK", ["x", "k"], ["y", "at"])], [value("x", floats, [1, 6]), value("k", longs, [1])],
                       [value("y", floats, [1, None]), value("at", longs, [1, None])]),
    }


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    for key, made in models().items():
        with open(foreign(key), "wb") as stream:
            stream.write(made.SerializeToString())
