"""Models of the onnx package behind one image: pixels move their inputs, and their outputs are one row."""
import functools
import random
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 16
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
# ONNX Runtime, the judge, has no kernels for a lower one.
LOWEST_OPSET = 7
# The types of 8 bits and fewer have bytes of their own.
PLAIN_TYPES = range(1, 17)


@functools.lru_cache(maxsize=1)
def cases():
    """Return a function for each model, by name, that gives the model and its first inputs."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = collect_testcases(None)
    found = {"node/" + case.name: functools.partial(_of_case, case) for case in nodes}
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for folder in ("simple", "pytorch-operator", "pytorch-converted"):
        for path in sorted((data / folder).rglob("*.onnx")):
            found[str(path.relative_to(data))] = functools.partial(_of_file, path)
    return found


def _of_case(case):
    return case.model, list(case.data_sets[0][0]) if case.data_sets else []


def _of_file(path):
    model = onnx.load(path)
    files = [path.parent / "test_data_set_0" / f"input_{number}.pb" for number in range(len(model.graph.input))]
    return model, [onnx.load_tensor(file) for file in files if file.is_file()]


class _Wrapper:
    """The nodes in front of a model's inputs."""

    def __init__(self, draw):
        self.draw, self.nodes, self.constants, self.moved, self.place = draw, [], [], 0, 0

    def add(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def image(self, product):
        """Lay the pixels in a row, behind a convolution where FP16 must have something to do."""
        start = "wrap.image"
        if product:
            weight = np.eye(3, dtype=np.float32)[:, :, None, None] * np.float32(0.9) + np.float32(0.03)
            start = self.add("Conv", [start, self.constant("wrap.weight", weight)], "wrap.felt")
        self.add("Flatten", [start], "wrap.flat", axis=1)
        self.add("Gather", ["wrap.flat", self.constant("wrap.zero", np.int64(0))], "wrap.row", axis=0)

    def feed(self, name, kind, value, last):
        """Give an input its own value, moved by pixels for the first one, and for some of the others."""
        take = value.size and ((kind in FLOATS and (self.moved == 0 or self.draw.random() < 0.5))
                               or (self.moved == 0 and last))
        if not take:
            self.constant(name, value)
            return
        self.moved += 1
        places = (np.arange(value.size) + self.place) % (3 * SIDE * SIDE)
        self.place += value.size
        own = self.constant(name + ".own", value)
        pixels = self.add("Gather", ["wrap.row", self.constant(name + ".places", places.reshape(value.shape))],
                          name + ".pixels", axis=0)
        if kind in FLOATS:
            scale = np.full(value.shape, self.draw.choice([1.0, 0.1, 0.01]), np.float32)
            small = self.add("Mul", [pixels, self.constant(name + ".scale", scale)], name + ".small")
            self.add("Add", [self.add("Cast", [small], name + ".cast", to=kind), own], name)
            return
        zeros = self.constant(name + ".zeros", np.zeros(value.shape, np.float32))
        bright = self.add("Greater", [pixels, zeros], name + ".bright")
        if kind == TensorProto.BOOL:
            self.add("Xor", [bright, own], name)
        else:
            self.add("Sub", [own, self.add("Cast", [bright], name + ".one", to=kind)], name)


def wrapped(name, seed, product=False):
    """Return a model that takes `[1, 3, SIDE, SIDE]` and gives one row; None where pixels can move nothing.

    Args:
        name: of `cases`.
        seed: decides which inputs are moved and how far, and which outputs are taken.
        product: a convolution stands in front.
    """
    draw = random.Random(seed)
    model, values = cases()[name]()
    graph, constants = model.graph, {tensor.name for tensor in model.graph.initializer}
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    infos = [info for info in graph.input if info.name not in constants]
    outputs = [info for info in graph.output if info.type.tensor_type.elem_type not in (0, TensorProto.STRING)]
    if opset < LOWEST_OPSET or not outputs or len(values) < len(infos):
        return None
    front = _Wrapper(draw)
    front.image(product)
    for index, (info, value) in enumerate(zip(infos, values)):
        kind = info.type.tensor_type.elem_type
        array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
        plain = kind in PLAIN_TYPES and isinstance(array, (np.ndarray, np.generic)) and array.dtype.kind not in "OUS"
        if not plain or helper.np_dtype_to_tensor_dtype(array.dtype) != kind:
            return None
        front.feed(info.name, kind, array, index == len(infos) - 1)
    if not front.moved:
        return None
    back = []
    for index, info in enumerate(outputs[:draw.choice([1, 1, 8])]):
        back.append(helper.make_node("Cast", [info.name], [f"wrap.out{index}"], to=TensorProto.FLOAT))
        back.append(helper.make_node("Flatten", [f"wrap.out{index}"], [f"wrap.row{index}"], axis=0))
    rows = [node.output[0] for node in back[1::2]]
    back.append(helper.make_node("Concat", rows, ["wrap.all"], axis=1))
    made = helper.make_graph(
        [*front.nodes, *graph.node, *back], "wrapped",
        [helper.make_tensor_value_info("wrap.image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("wrap.all", TensorProto.FLOAT, None)],
        [*graph.initializer, *front.constants])
    made.sparse_initializer.extend(graph.sparse_initializer)
    return helper.make_model(made, opset_imports=list(model.opset_import), functions=list(model.functions),
                             ir_version=min(max(model.ir_version, 4), 10))
