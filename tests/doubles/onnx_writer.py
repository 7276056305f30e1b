"""Writes small ONNX files without onnx, for tests that also run on Python 3.6; the counterpart of onnx_reader."""
FLOAT, INT64, HALF = 1, 7, 10


def _varint(value):
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode("utf-8") if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def node(op, name, inputs, outputs, **attributes):
    """Return a NodeProto; attributes are integers or lists of them."""
    parts = [_field(1, item) for item in inputs] + [_field(2, item) for item in outputs]
    parts += [_field(3, name), _field(4, op)]
    for key, value in sorted(attributes.items()):
        if isinstance(value, int):
            parts.append(_field(5, _field(1, key) + _field(3, value) + _field(20, 2)))
        else:
            parts.append(_field(5, _field(1, key) + b"".join(_field(8, item) for item in value) + _field(20, 7)))
    return b"".join(parts)


def _value(name, dtype, shape):
    sizes = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, dtype) + _field(2, sizes)))


def _weight(name, dtype, shape):
    count = 1
    for size in shape:
        count *= size
    raw = b"\0" * count * (2 if dtype == HALF else 4)
    return b"".join(_field(1, size) for size in shape) + _field(2, dtype) + _field(8, name) + _field(9, raw)


def model(nodes, inputs, outputs, weights, opset=13):
    """Return a ModelProto; tensors are (name, dtype, shape)."""
    graph = b"".join(_field(1, item) for item in nodes) + _field(2, "test")
    graph += b"".join(_field(5, _weight(*item)) for item in weights)
    graph += b"".join(_field(11, _value(*item)) for item in inputs)
    graph += b"".join(_field(12, _value(*item)) for item in outputs)
    return _field(1, 7) + _field(7, graph) + _field(8, _field(2, opset))
