"""Where the weights lie in the file of an ONNX graph, so that two files can share them.

The format is protobuf's; the field numbers are those of onnx.proto.
"""
from typing import Dict, Iterator, List, NamedTuple, Tuple

from edgenext_deploy.artifacts.protobuf_wire import NoMessageError, read_varint

# Of each message: its fields that lead to tensors, by number.
_INSIDE = {"model": {7: "graph"}, "graph": {1: "node", 5: "tensor"}, "node": {5: "attribute"},
           "attribute": {5: "tensor"}}
_DIMS, _RAW_DATA = 1, 9
# What is smaller costs more in the header than it saves.
_LEAST_BYTES = 256


class Weights(NamedTuple):
    """The raw data of one tensor: where it starts and ends in the file, and the tensor's shape."""

    start: int
    end: int
    shape: Tuple[int, ...]


def find_weights(graph: bytes) -> List[Weights]:
    """Return the weights of a graph in the order of the file; none of what is no ONNX.

    Args:
        graph: content of the file.
    """
    try:
        return sorted(_walk("model", memoryview(graph), 0, len(graph)))
    except NoMessageError:
        return []


def _walk(kind: str, content: memoryview, start: int, end: int) -> Iterator[Weights]:
    inside: Dict[int, str] = _INSIDE.get(kind, {})
    shape: List[int] = []
    raw = (0, 0)
    at = start
    while at < end:
        key, at = read_varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == 2:
            size, at = read_varint(content, at)
            if size > end - at:
                raise NoMessageError
            if number in inside:
                yield from _walk(inside[number], content, at, at + size)
            elif kind == "tensor" and number == _DIMS:
                shape += _packed(content, at, at + size)
            elif kind == "tensor" and number == _RAW_DATA:
                raw = (at, at + size)
            at += size
        elif wire == 0:
            value, at = read_varint(content, at)
            if kind == "tensor" and number == _DIMS:
                shape.append(value)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise NoMessageError
    if kind == "tensor" and raw[1] - raw[0] >= _LEAST_BYTES:
        yield Weights(raw[0], raw[1], tuple(shape))


def _packed(content: memoryview, at: int, end: int) -> Iterator[int]:
    while at < end:
        value, at = read_varint(content, at)
        yield value
