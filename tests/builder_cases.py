"""Graphs that TensorRT-RTX's parser takes, with what its builder says for compute capability 8.6, which was asked."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, HALF, BFLOAT, INT8, INT64 = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.INT64)
CONSTANTS = {"c": np.ones((2, 2), np.int8), "scale": np.float32(0.1), "zero": np.int8(0),
             "heads": np.array([1, 16, 4, -1]), "most": np.array([5]), "iou": np.array([0.5], np.float32),
             "least": np.array([0.1], np.float32)}


def node(op, inputs, output="y", **attributes):
    return helper.make_node(op, list(inputs), [output], **attributes)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def graph(nodes, inputs, output, opset=17, constants=CONSTANTS):
    used = {name for one in nodes for name in one.input}
    made = helper.make_graph(nodes, "g", inputs, [output], [
        numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items() if name in used])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def attention(kind, size, mask=False, keys=4, rank=4, split=False, steps=16, **attributes):
    """Return attention of 4 heads of `size` over 16 tokens."""
    shapes = {"q": [1, 4, steps, size], "k": [1, keys, 16, size], "v": [1, keys, 16, size]}
    if rank == 3:
        shapes = {name: [1, shape[2], shape[1] * size] for name, shape in shapes.items()}
        attributes.update(q_num_heads=4, kv_num_heads=keys)
    nodes, names = [], list(shapes)
    if split:
        nodes = [node("Reshape", [name, "heads"], "r" + name) for name in names]
        nodes += [node("Transpose", ["r" + name], "t" + name, perm=[0, 2, 1, 3]) for name in names]
        shapes = {name: [1, shape[2], shape[1] * size] for name, shape in shapes.items()}
        names = ["t" + name for name in names]
    inputs = [value(name, kind, shape) for name, shape in shapes.items()]
    if mask:
        names.append("m")
        inputs.append(value("m", kind, [1, 1, steps, 16]))
    return graph([*nodes, node("Attention", names, **attributes)], inputs, value("y", kind, None), opset=23)


def branches(left, right):
    sides = [helper.make_graph([node("Constant", [], name, value=numpy_helper.from_array(np.zeros(shape, np.float32)))],
                               name, [], [value(name, FLOAT, shape)]) for name, shape in (("l", left), ("r", right))]
    return graph([node("If", ["yes"], then_branch=sides[0], else_branch=sides[1])],
                 [value("yes", TensorProto.BOOL, [])], value("y", FLOAT, None))


def quantised(*between, zero="zero"):
    """Return a constant of INT8 that reaches DQ behind these operators."""
    names = ["c", *(f"m{index}" for index in range(len(between)))]
    nodes = [node(op, [names[index]], names[index + 1]) for index, op in enumerate(between)]
    return graph([*nodes, node("DequantizeLinear", [names[-1], "scale"], "d"), node("Add", ["d", "f"])],
                 [value("f", FLOAT, [2, 2])], value("y", FLOAT, [2, 2]))


def with_zero_point(inputs=()):
    name = inputs[0].name if inputs else "zero"
    return graph([node("QuantizeLinear", ["f", "scale", name], "q"), node("DequantizeLinear", ["q", "scale", name])],
                 [value("f", FLOAT, [2, 2]), *inputs], value("y", FLOAT, [2, 2]))


def suppression():
    return graph([node("NonMaxSuppression", ["b", "s", "most", "iou", "least"])],
                 [value("b", FLOAT, [1, 64, 4]), value("s", FLOAT, [1, 3, 64])], value("y", INT64, ["n", 3]))


def product(left, right):
    return graph([node("MatMul", ["a", "b"])], [value("a", FLOAT, left), value("b", FLOAT, right)],
                 value("y", FLOAT, None))


def resized(*scales):
    return graph([node("Resize", ["x", "", "s"], mode="nearest")],
                 [value("x", FLOAT, [1, 1, 4, 4]), value("s", FLOAT, scales)], value("y", FLOAT, None))


def heads_of_unknown_size():
    model = attention(HALF, 64, is_causal=1)
    for info in model.graph.input:
        info.type.tensor_type.shape.dim[-1].dim_param = info.name + "_64"
    return model


# Name: the graph, and whether the builder builds it; an unknown size is built at the number behind its name.
CASES = {
    "attention, FP16, heads of 64": (attention(HALF, 64, is_causal=1), True),
    "attention, BF16, heads of 16 with a mask": (attention(BFLOAT, 16, mask=True), True),
    "attention, FP16, heads of 256, grouped": (attention(HALF, 256, keys=2), True),
    "attention, FP16, heads of 8": (attention(HALF, 8, is_causal=1), False),
    "attention, FP16, heads of 264": (attention(HALF, 264, is_causal=1), False),
    "attention, FP32": (attention(FLOAT, 64), False),
    "attention, FP32 from projections": (attention(FLOAT, 64, split=True), True),
    "attention, FP32 from projections, with order": (attention(FLOAT, 64, split=True, is_causal=1), False),
    "attention, FP32 of rank 3": (attention(FLOAT, 8, rank=3), True),
    "attention, FP32 of rank 3, with a mask": (attention(FLOAT, 8, rank=3, mask=True), False),
    "attention, FP32 of rank 3, grouped": (attention(FLOAT, 8, rank=3, keys=2), False),
    "branches of one rank": (branches((2,), (3,)), True),
    "branches of unequal rank": (branches((2,), (2, 2)), False),
    "an INT8 constant at DQ": (quantised(), True),
    "an INT8 constant behind Identity": (quantised("Identity"), False),
    "an INT8 constant behind Transpose": (quantised("Transpose"), False),
    "a sum with an INT8 constant": (graph([node("Add", ["x", "c"])], [value("x", INT8, [2, 2])],
                                          value("y", INT8, [2, 2])), False),
    "an INT8 constant as a bound": (graph([node("Clip", ["x", "zero", "zero"])], [value("x", INT8, [2, 2])],
                                          value("y", INT8, [2, 2])), True),
    "a constant zero point": (with_zero_point(), True),
    "a zero point from outside": (with_zero_point([value("z", INT8, [])]), False),
    "suppression": (suppression(), False),
    "attention, FP16, heads of unknown size": (heads_of_unknown_size(), True),
    "a vector times one matrix": (product([3], [1, 3, 4]), True),
    "a vector times an unknown number of matrices": (product([3], ["n_1", 3, 4]), True),
    "a vector times two matrices of unknown size": (product([3], [2, 3, "columns_4"]), False),
    "scales of unknown number": (resized("n_4"), False),
}
