"""What must be known of an ONNX file before any runtime reads it, on machines without the library onnx too.

Weights in other files (external data) are refused: nothing vouches for them, their path may lead anywhere, and a pipe
there hangs whoever opens it. So are graphs whose inputs or outputs would not fit into memory.

The format is protobuf's: https://protobuf.dev/programming-guides/encoding; the field numbers are those of onnx.proto.
"""
import contextlib
from typing import Iterator, List, Tuple, Union

from edgenext_deploy.artifacts.manifest_limits import MOST_ELEMENTS
from edgenext_deploy.artifacts.protobuf_wire import NoMessageError, read_varint
from edgenext_deploy.errors import BadInputError

_FIX = "export it with edgenext-export, which writes one file with fixed shapes"
_DEEPEST = 100
_EXTERNAL = 1
# Of each message: its fields that lead to others, by number.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "inner value", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "inner graph", 10: "tensor", 11: "inner graph", 22: "sparse", 23: "sparse"},
    "inner graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "value": {2: "type"},
    "type": {1: "tensor type"},
    "tensor type": {2: "shape"},
    "shape": {1: "size"},
}
_Field = Tuple[int, Union[int, memoryview]]


def require_plain_graph(content: bytes, path: str) -> None:
    """Raise BadInputError if a graph keeps data in other files, or its inputs or outputs are too large.

    What is no ONNX at all passes: the runtime says so in its own words.

    Args:
        content: of the file.
        path: of the file, for the message.
    """
    with contextlib.suppress(NoMessageError):
        _check("model", memoryview(content), path, 0)


def _check(kind: str, message: memoryview, path: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise BadInputError("{} has graphs inside of graphs, more than {} deep".format(path, _DEEPEST), _FIX)
    inside = _INSIDE.get(kind, {})
    sizes: List[int] = []
    for number, value in _fields(message):
        if kind == "tensor" and ((number == 14 and value == _EXTERNAL) or number == 13):
            raise BadInputError(
                "{} keeps weights in a second file (external data), which nothing vouches for".format(path), _FIX)
        if kind == "shape" and number == 1 and isinstance(value, memoryview):
            sizes += [size for field, size in _fields(value) if field == 1 and isinstance(size, int)]
        elif number in inside and isinstance(value, memoryview):
            _check(inside[number], value, path, depth + 1)
    elements = 1
    for size in sizes:
        elements *= size
        if not (0 <= size <= MOST_ELEMENTS and elements <= MOST_ELEMENTS):
            raise BadInputError("{} has an input or output of the shape {}; at most {} elements expected".format(
                path, [size - (1 << 64) if size >> 63 else size for size in sizes], MOST_ELEMENTS), _FIX)


def _fields(message: memoryview) -> Iterator[_Field]:
    """Yield number and value of each field; numbers of fixed width are passed over."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(message, at)
            if size > end - at:
                raise NoMessageError
            yield number, message[at:at + size]
            at += size
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise NoMessageError


def _varint(message: memoryview, at: int) -> Tuple[int, int]:
    if at < len(message) and message[at] < 0x80:  # nearly all of them
        return message[at], at + 1
    value, at = read_varint(message, at)
    return value & (2 ** 64 - 1), at
