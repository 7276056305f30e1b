"""JSON to immutable records and back, with the type of every field checked.

A record is a ``typing.NamedTuple``. Sidecars come from other machines and may be damaged, so reading one
either gives a record whose fields all have the declared types, or raises BadInputError naming the field.
Understood field types: ``str``, ``int``, ``float``, ``bool``, ``Any``, ``Optional[X]``, ``Tuple[X, ...]``,
``Dict[str, X]`` and other records. Strings come without controls, see `edgenext_deploy.foreign_text.visible`.
"""
import json
import sys
from typing import Any, Dict, List, Tuple, Type, TypeVar, Union

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import read_file as file_content
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import visible

_MAX_DIGITS = 20
# Of a file that names no limit of its own: the largest are COCO's annotations, 470 MB for its training images.
_MAX_BYTES = 1 << 29

Record = TypeVar("Record", bound=Tuple[Any, ...])


def to_json(value: Any) -> Any:
    """Return `value` with every record replaced by a dictionary and every tuple by a list."""
    if hasattr(value, "_fields"):
        return {name: to_json(getattr(value, name)) for name in value._fields}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def dump(value: Any) -> bytes:
    """Return the record as indented UTF-8 JSON with a final newline; equal records give equal bytes."""
    text = json.dumps(to_json(value), indent=2, sort_keys=False, ensure_ascii=False, allow_nan=False)
    # A name of a file that is not UTF-8 has lone surrogates, which JSON can only hold as escapes.
    return (text + "\n").encode("utf-8", "backslashreplace")


def parse(text: str) -> Any:
    """Parse JSON that may be hostile.

    Raises:
        ValueError: not JSON, NaN or infinity, a field that comes twice (readers differ in which they take), or
            a number of more than 20 digits (before Python 3.11 one of a million takes minutes).
        RecursionError: nested too deeply.
    """
    return json.loads(text, parse_int=_bounded_int, parse_constant=_no_constant, object_pairs_hook=_object)


def read_file(path: str, what: str, fix: str, most_bytes: int = _MAX_BYTES) -> Dict[str, Any]:
    """Return the object that a JSON file holds; the file may be hostile.

    Args:
        path: of the file.
        what: it should be, for an error, such as ``manifest``.
        fix: the command that gives a right one.
        most_bytes: a larger file is not read into a Nano's memory.

    Raises:
        BadInputError: missing, empty, unreadable, too large, not JSON as `parse` takes it, or JSON but not an object.
    """
    return parse_object(read_bytes(path, what, fix, most_bytes), path, what, fix)


def read_bytes(path: str, what: str, fix: str, most_bytes: int = _MAX_BYTES) -> bytes:
    """Return the content of a file, not yet parsed; arguments as for `read_file`.

    Raises:
        BadInputError: missing, empty, unreadable or too large.
    """
    return file_content(path, what, fix, most_bytes)


def parse_object(content: bytes, path: str, what: str, fix: str) -> Dict[str, Any]:
    """Return the object in a JSON file's content; the other arguments as for `read_file`.

    Raises:
        BadInputError: not JSON as `parse` takes it, or JSON but not an object.
    """
    try:
        data = parse(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInputError("{}: not a {}: {}".format(path, what, shown(str(error))), fix) from error
    if not isinstance(data, dict):
        raise BadInputError("{}: not a {}: {} found, an object expected".format(
            path, what, type(data).__name__), fix)
    return data


def _bounded_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number of {} digits".format(len(digits)))
    return int(digits)


def _no_constant(name: str) -> float:
    raise ValueError("{} is not JSON".format(name))


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a field that comes twice")
    return made


def from_json(record: Type[Record], data: Any, where: str) -> Record:
    """Build `record` from parsed JSON.

    Args:
        record: a NamedTuple class.
        data: what ``json.loads`` returned.
        where: what to call the data in an error, such as a file name.

    Raises:
        BadInputError: a field is missing or has another type; the message names it.
    """
    value: Record = _convert(record, data, where)
    return value


def _convert(kind: Any, data: Any, where: str) -> Any:
    if kind is Any:
        return _visible(data)
    if hasattr(kind, "_fields"):
        return _convert_record(kind, data, where)
    origin = getattr(kind, "__origin__", None)
    if origin is Union:  # Optional[X]
        inner = [item for item in kind.__args__ if item is not type(None)]
        return None if data is None else _convert(inner[0], data, where)
    if origin in (tuple, Tuple):
        if not isinstance(data, list):
            raise _mismatch(where, "a list", data)
        if kind.__args__[0] is str and all(type(item) is str and item.isprintable() for item in data):
            return tuple(data)  # the names of a graph's nodes, by the thousand
        return tuple(
            _convert(kind.__args__[0], item, "{}[{}]".format(where, index)) for index, item in enumerate(data)
        )
    if origin in (dict, Dict):
        if not isinstance(data, dict):
            raise _mismatch(where, "an object", data)
        return {visible(key): _convert(kind.__args__[1], item, "{}.{}".format(where, key))
                for key, item in data.items()}
    if kind is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        # Python's JSON reader also takes NaN, 1e999 and integers beyond any float; `dump` writes none.
        if not abs(data) <= sys.float_info.max:
            raise _mismatch(where, "a finite number", data)
        return float(data)
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise _mismatch(where, kind.__name__, data)
    return visible(data) if kind is str else data


def _visible(data: Any) -> Any:
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, list):
        return [_visible(item) for item in data]
    if isinstance(data, dict):
        return {visible(key): _visible(item) for key, item in data.items()}
    return data


def _convert_record(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _mismatch(where, "an object", data)
    defaults = getattr(kind, "_field_defaults", {})
    values: Dict[str, Any] = {}
    for name in kind._fields:
        if name in data:
            values[name] = _convert(kind.__annotations__[name], data[name], "{}.{}".format(where, name))
        elif name not in defaults:
            raise BadInputError("{}: field {!r} is missing".format(shown(where, 300), name))
    # Unknown fields are ignored: a newer toolkit may add some, and `schema` says when that is not enough.
    return kind(**values)


def _mismatch(where: str, expected: str, found: Any) -> BadInputError:
    return BadInputError("{}: expected {}, found {} ({})".format(
        shown(where, 300), expected, type(found).__name__, shown(repr(found), 60)))
