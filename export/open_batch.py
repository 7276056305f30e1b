"""A graph for one image becomes one for any number of them, as a server needs that gathers requests into batches.

The lowering writes fixed shapes, and so does an adoption. Here the first size of the inputs and outputs gets a name,
and what a constant fixes goes on in relation to its input: the size of a Reshape that has the batch in it is computed,
a Resize scales, and what a Concat puts beside each image, such as a class token, is repeated. The sizes of one image
are compared with those of two, node by node, to know which size that is. Whether the images then stay apart, shapes do
not say. So `open_batch_step` runs the graph with several images.
"""
import math

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export.graph.opset import opset_of
from edgenext_deploy.export.precision.fp32_pins import element_types, value_shapes
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import one_line

# The name of the open size. One name says that every input and output has the same batch.
BATCH = "batch"
CANNOT = "this network's batch cannot be open"
LEAVE_OUT = "leave --max-batch out: the server then runs one image at a time"
_SIZE = "open_batch"
_TWO = 2
# Constants that can be shapes, axes or bounds.
_MOST_VALUES = 64
Shape = tuple[int, ...]


def open_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph for one image whose batch is open.

    Raises:
        IncompatibleError: an input or output whose first size is not 1, or a node that does not take two images.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    shapes = value_shapes(model)
    for info in (*opened.graph.input, *opened.graph.output):
        if shapes[info.name][:1] != (1,):
            raise IncompatibleError(f"{CANNOT}: {info.name} is {list(shapes[info.name])}, and a batch of 1 comes first "
                                    "in what can grow", LEAVE_OUT)
        info.type.tensor_type.shape.dim[0].Clear()
        info.type.tensor_type.shape.dim[0].dim_param = BATCH
    del opened.graph.value_info[:]
    _Opening(opened, shapes, element_types(model)).run()
    return opened


class _Opening:
    """The rewriting of one graph.

    Args:
        model: is changed.
        shapes: of every value, for one image.
        types: ONNX's element type of every value.
    """

    def __init__(self, model: onnx.ModelProto, shapes: dict[str, Shape], types: dict[str, int]) -> None:
        self.model, self.graph, self.shapes, self.types = model, model.graph, shapes, types
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        # Shapes for two images, of the values that depend on the image.
        self.two: dict[str, Shape] = {info.name: (_TWO, *shapes[info.name][1:]) for info in self.graph.input}
        # Where a size is the batch and something more: how much of that is before the batch, in the elements' order.
        self.ahead: dict[str, int] = {}
        self.added: list[onnx.NodeProto] = []

    def run(self) -> None:
        """Rewrite every node that fixes the batch."""
        nodes = list(self.graph.node)
        for node in nodes:
            if self.two.keys().isdisjoint(node.input):
                continue
            if node.op_type == "Reshape" and node.input[1] in self.constants and node.input[0] in self.two:
                self._reshape(node)
            elif node.op_type == "Resize" and len(node.input) > 3 and node.input[3] in self.constants:
                self._resize(node)
            else:
                if node.op_type == "Concat":
                    self._concat(node)
                self._infer(node)
        if self.added:
            del self.graph.node[:]
            self.graph.node.extend([*self._batch_size(), *self.added, *nodes])
        self._drop_unused()

    def _axis(self, name: str) -> int | None:
        """Return the axis of a value that has the batch in it, None where it has none."""
        sizes = zip(self.shapes[name], self.two[name])
        return next((axis for axis, (one, two) in enumerate(sizes) if one != two), None)

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _reshape(self, node: onnx.NodeProto) -> None:
        """Keep all sizes but that with the batch in it, which is what remains."""
        before, after, batch = self.shapes[node.input[0]], self.shapes[node.output[0]], self._axis(node.input[0])
        if batch is None:
            self.two[node.output[0]] = after
            return
        ahead = math.prod(before[:batch]) * self.ahead.get(node.input[0], 1)
        place = _place(before, batch, after, ahead)
        self.ahead[node.output[0]] = max(ahead // math.prod(after[:place]), 1)
        sizes = np.array(after, np.int64)
        # 0: as the input's. It says more than -1, and shape inference gets further with it.
        sizes[place] = 0 if place == batch and before[:place + 1] == after[:place + 1] else -1
        node.input[1] = self._constant(f"{node.name}.open_shape", sizes)
        _drop(node, "allowzero")
        self.two[node.output[0]] = (*after[:place], _TWO * after[place], *after[place + 1:])

    def _resize(self, node: onnx.NodeProto) -> None:
        """Give scales in place of sizes, unless the sizes are of other axes than the batch's."""
        axes = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"), None)
        before, after, batch = self.shapes[node.input[0]], self.shapes[node.output[0]], self._axis(node.input[0])
        self.two[node.output[0]] = tuple(_TWO * size if axis == batch else size for axis, size in enumerate(after))
        axes = list(range(len(before))) if axes is None else axes
        if batch not in [axis % len(before) for axis in axes]:
            return
        scales = np.array([_scale(before[axis], after[axis]) for axis in axes], np.float32)
        del node.input[2:]
        node.input.append(self._constant(f"{node.name}.open_scales", scales))
        _drop(node, "keep_aspect_ratio_policy")

    def _concat(self, node: onnx.NodeProto) -> None:
        """Repeat the constants of one image that are joined with something of each."""
        batch = next(self._axis(name) for name in node.input if name in self.two)
        axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis")
        for index, name in enumerate(node.input):
            shape = self.shapes[name]
            if name in self.two or batch is None or batch == axis % len(shape) or shape[batch] != 1:
                continue
            made = f"{node.name}.open_{index}"
            sizes = [self._constant(f"{made}.ahead", np.array(shape[:batch], np.int64))] if batch else []
            sizes += [_SIZE, self._constant(f"{made}.behind", np.array(shape[batch + 1:], np.int64))]
            self.added += [helper.make_node("Concat", sizes, [f"{made}.shape"], f"{made}.shape", axis=0),
                           helper.make_node("Expand", [name, f"{made}.shape"], [made], made)]
            node.input[index] = made
            self.shapes[made], self.types[made] = shape, self.types[name]
            self.two[made] = (*shape[:batch], _TWO, *shape[batch + 1:])

    def _infer(self, node: onnx.NodeProto) -> None:
        """Note the shapes of a node's outputs for two images."""
        given = {name: helper.make_tensor_type_proto(self.types[name], self.two.get(name, self.shapes[name]))
                 for name in node.input if name}
        values = {name: self.constants[name] for name in node.input
                  if name in self.constants and math.prod(self.shapes[name]) <= _MOST_VALUES}
        try:
            schema = onnx.defs.get_schema(node.op_type, opset_of(self.model), node.domain)
            found = shape_inference.infer_node_outputs(schema, node, given, values,
                                                       opset_imports=list(self.model.opset_import))
        except Exception as error:  # the inference functions of operators raise many types
            raise IncompatibleError(f"{CANNOT}: node {node.name!r} ({node.op_type}) does not take two images: "
                                    f"{shown(one_line(error), 200)}", LEAVE_OUT) from error
        for name in filter(None, node.output):
            one = self.shapes[name]
            sizes = tuple(dim.dim_value for dim in found[name].tensor_type.shape.dim) if name in found else ()
            # What is not inferred is taken to have the batch first.
            self.two[name] = sizes if len(sizes) == len(one) and all(sizes) else (
                *(_TWO * size for size in one[:1]), *one[1:])
            self._carry_ahead(node, name)

    def _carry_ahead(self, node: onnx.NodeProto, output: str) -> None:
        axis = self._axis(output)
        for name in node.input if axis is not None else ():
            batch = self._axis(name) if name in self.ahead else None
            if batch is not None and axis is not None and self.shapes[name][batch] == self.shapes[output][axis]:
                self.ahead[output] = self.ahead[name]

    def _batch_size(self) -> list[onnx.NodeProto]:
        """Return the nodes that give the batch as a tensor of one whole number."""
        bounds = [self._constant(f"{_SIZE}.{name}", np.array([value], np.int64)) for name, value in (
            ("starts", 0), ("ends", 1))]
        return [helper.make_node("Shape", [self.graph.input[0].name], [f"{_SIZE}.all"], f"{_SIZE}.all"),
                helper.make_node("Slice", [f"{_SIZE}.all", *bounds], [_SIZE], _SIZE)]

    def _drop_unused(self) -> None:
        used = {name for node in self.graph.node for name in node.input} | {info.name for info in self.graph.output}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)


def _place(before: Shape, batch: int, after: Shape, ahead: int) -> int:
    """Return which size of a reshaped value has the batch in it.

    In the order of the elements, `ahead` of those of one image come before the batch. Where two sizes meet there, a
    size of one is the batch. The size behind it takes the batch, unless that is what was behind the batch before: then
    the size ahead does, as where ``[T, B, 32]`` becomes ``[T * B, 32]``.
    """
    starts = [math.prod(after[:axis]) for axis in range(len(after))]
    begins = [axis for axis, start in enumerate(starts) if start == ahead]
    ends = [axis for axis, start in enumerate(starts) if start * after[axis] == ahead and after[axis] > 1]
    alone = [axis for axis in begins if after[axis] == 1]
    if alone:
        return alone[0]
    inside = [axis for axis, start in enumerate(starts) if start < ahead < start * after[axis]]
    behind = [math.prod(before[batch + 1:stop]) for stop in range(batch + 2, len(before) + 1)]
    same = bool(begins) and after[begins[0]] in behind
    return next(iter(ends if same and ends else begins or ends or inside), 0)


def _scale(before: int, after: int) -> np.float32:
    """Return the scale whose product with `before` has `after` as its whole part, in float32 as runtimes compute it."""
    scale = np.float32(after) / np.float32(before)
    while int(scale * np.float32(before)) < after:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _drop(node: onnx.NodeProto, name: str) -> None:
    for attribute in [attribute for attribute in node.attribute if attribute.name == name]:
        node.attribute.remove(attribute)
