"""Just enough of ONNX's protobuf to feed the TensorRT double: no onnx needed, so it works on Python 3.6.

Field numbers are those of onnx.proto. Shapes are propagated through the few operators of the test graphs; a
tensor whose shape is not known has none.
"""
import struct
from collections import namedtuple

Node = namedtuple("Node", "name op inputs outputs attributes")
Tensor = namedtuple("Tensor", "dtype shape")
Graph = namedtuple("Graph", "nodes inputs outputs initializers tensors")

FLOAT, INT64, HALF = 1, 7, 10


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """Yield (field number, value) of one message: int for varints, bytes for everything else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("a field of {} bytes ends behind the message".format(length))
            value, at = data[at:at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = data[at:at + length], at + length
        else:
            raise ValueError("wire type {}".format(kind))
        yield number, value


def _all(message, number):
    return [value for found, value in message if found == number]


def _text(message, number):
    found = _all(message, number)
    return found[-1].decode("utf-8") if found else ""


def _integers(message, number):
    """Repeated int64, packed or not."""
    found = []
    for value in _all(message, number):
        if isinstance(value, int):
            found.append(value)
        else:
            at = 0
            while at < len(value):
                integer, at = _varint(value, at)
                found.append(integer)
    return found


def _attribute(data):
    message = list(fields(data))
    name = _text(message, 1)
    ints = _integers(message, 8)
    single = [value for value in _all(message, 3) if isinstance(value, int)]
    reals = [struct.unpack("<f", value)[0] for value in _all(message, 2)]
    return name, ints or (single[-1] if single else reals[-1] if reals else None)


def _node(data):
    message = list(fields(data))
    return Node(_text(message, 3), _text(message, 4), [value.decode() for value in _all(message, 1)],
                [value.decode() for value in _all(message, 2)], dict(_attribute(value) for value in _all(message, 5)))


def _value_info(data):
    message = list(fields(data))
    types = list(fields(_all(message, 2)[0])) if _all(message, 2) else []
    tensor = list(fields(_all(types, 1)[0])) if _all(types, 1) else []
    shape = [list(fields(dim)) for dim in _all(list(fields(_all(tensor, 2)[0])), 1)] if _all(tensor, 2) else []
    sizes = tuple((_all(dim, 1) or [-1])[0] for dim in shape)
    return _text(message, 1), Tensor((_all(tensor, 1) or [FLOAT])[0], sizes)


def _initializer(data):
    message = list(fields(data))
    return _text(message, 8), Tensor((_all(message, 2) or [FLOAT])[0], tuple(_integers(message, 1)))


def read(data):
    """Return the graph of an ONNX file's bytes, raising ValueError on anything else."""
    try:
        model = list(fields(data))
        graph = list(fields(_all(model, 7)[0]))
        nodes = [_node(value) for value in _all(graph, 1)]
        initializers = dict(_initializer(value) for value in _all(graph, 5))
        inputs = dict(_value_info(value) for value in _all(graph, 11))
        outputs = dict(_value_info(value) for value in _all(graph, 12))
        known = dict(_value_info(value) for value in _all(graph, 13))
    except (IndexError, AttributeError, TypeError, struct.error) as error:
        raise ValueError("not an ONNX file: {}".format(error)) from error
    tensors = dict(known)
    tensors.update(initializers)
    tensors.update(inputs)
    for node in nodes:
        first = tensors.get(node.inputs[0]) if node.inputs else None
        for name in node.outputs:
            tensors.setdefault(name, Tensor(_dtype(node, first), _shape(node, tensors)))
    tensors.update(outputs)
    return Graph(nodes, inputs, outputs, initializers, tensors)


def _dtype(node, first):
    if node.op == "Cast":
        return node.attributes["to"]
    if node.op in ("Shape", "ArgMax"):
        return INT64
    return first.dtype if first is not None else FLOAT


def _shape(node, tensors):
    shapes = [tensors[name].shape for name in node.inputs if name in tensors]
    if not shapes:
        return ()
    if node.op == "GlobalAveragePool":
        return (*shapes[0][:2], 1, 1)
    if node.op == "Conv":
        pads = node.attributes.get("pads") or [0, 0, 0, 0]
        strides = node.attributes.get("strides") or [1, 1]
        kernel = shapes[1][2:]
        return (shapes[0][0], shapes[1][0], *(
            (shapes[0][2 + i] + pads[i] + pads[2 + i] - kernel[i]) // strides[i] + 1 for i in range(2)))
    if node.op == "MatMul":
        return shapes[0][:-1] + shapes[1][-1:]
    if node.op == "Flatten":
        size = 1
        for value in shapes[0][1:]:
            size *= value
        return (shapes[0][0], size)
    return max(shapes, key=len)
