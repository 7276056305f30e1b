"""Any ONNX file, read without its weights: a verdict needs their types and shapes, not their values.

The file is mapped, and what is copied of it leaves large tensors' data out, so that a network of 2 GB costs little
more than one of 2 MB. The format is protobuf's: https://protobuf.dev/programming-guides/encoding; the field numbers
are those of onnx.proto.
"""
import contextlib
import mmap
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgenext_deploy.artifacts.protobuf_wire import NoMessageError, read_varint
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import open_regular, require_file
from edgenext_deploy.foreign_text import one_line

if TYPE_CHECKING:
    import onnx

_FIX = "export it again, or copy it again if it was damaged on the way"
# Smaller messages are copied whole. A constant that a rule reads has at most 4096 values of 8 bytes.
_SMALL_BYTES = 64 << 10
_COPIED_BYTES = 32 << 20
# Protobuf itself reads 100 messages inside of each other; a graph in a node in a graph takes three.
_DEEPEST = 96
# onnx.proto: the fields of each message that may hold large tensors.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# TensorProto: float_data, int32_data, string_data, int64_data, raw_data, double_data, uint64_data.
_DATA = frozenset({4, 5, 6, 7, 9, 10, 11})
# What protobuf holds in one message; a larger file can only be damaged.
_MOST_BYTES = (2 << 30) - 1


def load_model(path: str) -> "onnx.ModelProto":
    """Read an ONNX model without the data of its large tensors, and without data in other files.

    Args:
        path: the ``.onnx`` file.

    Raises:
        BadInputError: missing, empty, a folder, truncated, not ONNX, over 2 GB, or nested too deep.
    """
    what, fix = "ONNX file", "give the path of an ONNX file"
    require_file(path, what, fix)
    size_bytes = os.path.getsize(path)
    if size_bytes > _MOST_BYTES:
        raise BadInputError(f"{path} has {size_bytes} bytes; an ONNX file has at most {_MOST_BYTES}", _FIX)
    broken = f"{path} is not an ONNX file, or it is truncated ({size_bytes} bytes)"
    try:
        with open_regular(path, what, fix) as stream:
            # Not closed by name: parts of it are in use until the last message is.
            model = _parse(memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)), path)
    except PermissionError as error:
        raise BadInputError(f"{path} cannot be read: permission denied", _FIX) from error
    except BadInputError:
        raise
    # Protobuf's own DecodeError; what else it may raise says no more.
    except Exception as error:
        raise BadInputError(broken, _FIX) from error
    if not model.HasField("graph") or not model.graph.node:
        raise BadInputError(f"{path}: no graph found; it is not an ONNX model, or it is truncated", _FIX)
    return model


def complaint_of_checker(model: "onnx.ModelProto") -> str:
    """Return what ONNX's own checker has to say against a model from `load_model`, empty if nothing.

    Weights without data are inputs there: the checker would miss the data.
    """
    import onnx

    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    del checked.graph.initializer[:]
    given = {info.name for info in model.graph.input}
    for tensor in model.graph.initializer:
        if has_data(tensor):
            checked.graph.initializer.add().CopyFrom(tensor)
        elif tensor.name not in given:
            checked.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    try:
        onnx.checker.check_model(checked, full_check=True)
    # The checker and the inference functions behind it raise many types.
    except Exception as error:
        text = one_line(error)
        return text[:240] + "…" if len(text) > 240 else text
    return ""


def has_data(tensor: "onnx.TensorProto") -> bool:
    """Whether the values of a tensor are in the message."""
    import onnx

    return tensor.data_location != onnx.TensorProto.EXTERNAL and (
        0 in tensor.dims or any(field.number in _DATA for field, _ in tensor.ListFields()))


def _parse(content: memoryview, path: str) -> "onnx.ModelProto":
    import onnx

    if len(content) <= _COPIED_BYTES:
        with contextlib.suppress(Exception):
            return onnx.load_model_from_string(bytes(content))
    # Too large to hold, or refused: then this finds what is nested too deep.
    return onnx.load_model_from_string(bytes(_Slimmer(path, len(content) <= _COPIED_BYTES).slim("model", content, 0)))


class _Slimmer:
    """Copies messages without the data of large tensors.

    Args:
        path: of the file, for the message.
        deep: look into small messages too, for how deep they go.
    """

    def __init__(self, path: str, deep: bool) -> None:
        self._path, self._deep = path, deep

    def slim(self, kind: str, message: memoryview, depth: int) -> bytes | memoryview:
        """Return the message without the data of large tensors below it."""
        if depth > _DEEPEST:
            raise BadInputError(f"{self._path} has graphs inside of graphs, more than {_DEEPEST // 3} deep",
                                "export it again without control flow inside of control flow")
        inside = _INSIDE.get(kind, {})
        if not inside and kind != "tensor":
            return message
        if len(message) <= _SMALL_BYTES and not self._deep:
            return message
        parts: list[bytes | memoryview] = []
        for number, start, at, end in _fields(message):
            if number in inside:
                below = self.slim(inside[number], message[at:end], depth + 1)
                parts += [_varint_bytes(number << 3 | 2), _varint_bytes(len(below)), below]
            elif kind != "tensor" or number not in _DATA:
                parts.append(message[start:end])
        return b"".join(parts)


def _fields(message: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield of each field: its number, and where it, its content and the next one start."""
    at, end = 0, len(message)
    while at < end:
        start = at
        key, at = read_varint(message, at)
        wire = key & 7
        if wire == 2:
            size, at = read_varint(message, at)
            stop = at + size
        elif wire == 0:
            _, stop = read_varint(message, at)
        elif wire in (1, 5):
            stop = at + (8 if wire == 1 else 4)
        else:
            raise NoMessageError
        if stop > end:
            raise NoMessageError
        # A number where a message belongs is passed on, for protobuf to refuse.
        yield (key >> 3 if wire == 2 else 0), start, at, stop
        at = stop


def _varint_bytes(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
