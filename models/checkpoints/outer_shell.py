"""The outer shell of a weights file, looked at before any library reads it: its kind, its zip, its pickle's opcodes.

A few bytes of a pickle can hash or print for hours, and a few kilobytes of a zip can become gigabytes. torch notices
neither, and Ctrl-C does not reach into it.
"""
import errno
import json
import os
import pickletools
import struct
import zipfile
from typing import IO, Any, NamedTuple

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

SAFETENSORS, ZIP, PICKLE = "safetensors", "zip", "pickle"
# A training checkpoint of the largest network has about 2,000 tensors, at some 40 opcodes and one member each.
_MOST_TENSORS = 20_000
_MOST_OPCODES = 1_000_000
_MOST_SAFETENSORS_HEADER_BYTES = 400 * _MOST_TENSORS
_LONGEST_KEY = 1000
_LARGEST_KEY = 100
_LARGEST_OBJECT = 10_000_000
_DEEPEST_OBJECT = 200
_MAX_PICKLE_BYTES = 256 << 20
# In torch's old format: magic number, version, the writer's machine, content, keys of the storages.
_PICKLES = 5
_END_OF_DIRECTORY = struct.Struct("<4s4H2IH")


def require_weights(path: str) -> str:
    """Return the kind of a weights file: `SAFETENSORS`, `ZIP` or `PICKLE`, both of ``torch.save``.

    The content decides, not the name. Nothing is unpacked.

    Raises:
        BadInputError: not a checkpoint, cut off, or built to exhaust who reads it; the message does not name the file.
        OSError: the file cannot be read.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        head = stream.read(64)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            _check_zip(stream, size)
            return ZIP
        header = int.from_bytes(head[:8], "little")
        if head[8:9] == b"{" and header <= 100_000_000:  # the format's own limit
            if header + 8 > size:
                raise BadInputError(
                    f"is a safetensors file that is cut off: {size} bytes, and its header alone has {header}")
            if header > _MOST_SAFETENSORS_HEADER_BYTES:
                raise BadInputError(
                    f"has a header of {header} bytes, at most {_MOST_SAFETENSORS_HEADER_BYTES} expected")
            stream.seek(8)
            _check_tensors(stream.read(header), size - 8 - header)
            return SAFETENSORS
        if head.startswith(b"\x80"):
            stream.seek(0)
            left = _MOST_OPCODES
            for _ in range(_PICKLES):
                left = _check_pickle(stream, size, left)
            return PICKLE
    if head.startswith(b"version https://git-lfs"):
        raise BadInputError("is a Git LFS pointer, not the weights it points to", "run: git lfs pull")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise BadInputError("is a web page, not weights", "download the file itself, or use --pretrained")
    raise BadInputError(
        f"is not a checkpoint: it starts with {head[:8]!r}; a torch.save or safetensors file is expected")


def _check_tensors(header: bytes, size: int) -> None:
    """Raise BadInputError unless the tensors of a safetensors header end where the file does."""
    try:
        tensors = [value for name, value in json.loads(header).items() if name != "__metadata__"]
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise BadInputError(
            f"is a safetensors file that is cut off or damaged: its header is no list of tensors "
            f"({type(error).__name__})") from error
    if end != size:
        raise BadInputError(
            f"is a safetensors file that is cut off or damaged: {size} bytes of tensors found, {end} expected")


def _check_zip(stream: IO[bytes], size: int) -> None:
    """Raise BadInputError unless an archive is as torch.save writes it: members side by side, none compressed."""
    cut = f"is a zip archive that is cut off or damaged: {size} bytes found, and no directory at their end"
    if _entries(stream, size) > _MOST_TENSORS:
        raise BadInputError(f"is a zip archive with more than {_MOST_TENSORS} members")
    try:
        archive = zipfile.ZipFile(stream)
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    except Exception as error:  # a damaged directory fails in many ways, not only as BadZipFile
        raise_if_unreadable(error)
        raise BadInputError(cut) from error
    names = [member.filename.rsplit("/", 1)[-1] for member in members]
    if "data.pkl" not in names:
        raise BadInputError("is a zip archive, not a checkpoint: no data.pkl found in it")
    if "constants.pkl" in (name.lower() for name in names):
        raise BadInputError("is a TorchScript program; a file of weights is expected",
                            "save the model's state_dict() with torch.save")
    if names.count("data.pkl") > 1 or len({member.filename for member in members}) < len(members):
        raise BadInputError("is a zip archive with two members of one name")
    ends = [member.header_offset for member in members[1:]] + [archive.start_dir]
    for member, end in zip(members, ends, strict=True):
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise BadInputError(f"is a zip archive with compressed members, such as {shown(member.filename, 60)}; "
                                "torch.save compresses nothing", "save the weights again with torch.save")
        if member.header_offset + zipfile.sizeFileHeader + member.file_size > end:  # type: ignore[attr-defined]
            raise BadInputError(f"is a zip archive whose members overlap, such as {shown(member.filename, 60)}")
    (content,) = [member for member, name in zip(members, names, strict=True) if name == "data.pkl"]
    if content.file_size > _MAX_PICKLE_BYTES:
        raise BadInputError(f"has a data.pkl of {content.file_size} bytes, at most {_MAX_PICKLE_BYTES} expected")
    try:
        opened = archive.open(content)
    except Exception as error:  # the member's own header is damaged
        raise_if_unreadable(error)
        raise BadInputError(cut) from error
    with opened:
        _check_pickle(opened, size, _MOST_OPCODES)


def raise_if_unreadable(error: Exception) -> None:
    """Raise an error of the disk again; a place before the file's start, which a damaged file may name, is none."""
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
        raise error


def _entries(stream: IO[bytes], size: int) -> int:
    """Return how many members an archive's end claims; reading its directory costs a thousand times its bytes."""
    stream.seek(max(size - (1 << 16) - _END_OF_DIRECTORY.size, 0))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + _END_OF_DIRECTORY.size:
        return 0
    claimed, directory = _END_OF_DIRECTORY.unpack_from(tail, at)[4:6]
    if directory != 0xFFFFFFFF and claimed != 0xFFFF:
        return max(int(claimed), int(directory) // 1000)  # an entry has 46 bytes, a name and seldom more
    record = tail.rfind(b"PK\x06\x06", 0, at)  # the 64-bit one, which torch.save always writes
    if record < 0 or len(tail) < record + 48:
        return 0
    claimed, directory = struct.unpack_from("<2Q", tail, record + 32)
    return max(int(claimed), int(directory) // 1000)


class _Node(NamedTuple):
    """What stands for an object on a pickle's stack.

    Attributes:
        size: number of objects in it, each counted as often as it is reached.
        depth: of the deepest of them.
        value: a string or number as it is, a short tuple of them; None for everything else.
    """

    size: int
    depth: int
    value: Any = None


def _check_pickle(stream: IO[bytes], size: int, most: int) -> int:
    """Raise BadInputError if what a pickle makes is far larger or deeper than weights are, or has too many opcodes.

    Its opcodes are followed with the sizes of the objects in place of these. A mutable object that grows after another
    one took it counts as it was; only what is hashed or compared must be exact, and that is immutable.

    Returns:
        How many of the `most` opcodes are left.
    """
    stack: list[Any] = []
    memo: dict[int, _Node] = {}
    count = 0
    try:
        for opcode, arg, _ in pickletools.genops(stream):
            count += 1
            if count > most:
                raise BadInputError(f"has more than {_MOST_OPCODES} opcodes in its pickle")
            _follow(opcode, arg, stack, memo, size)
    except BadInputError:
        raise
    except MemoryError as error:
        raise BadInputError("is cut off or damaged: its pickle claims more bytes than memory has") from error
    except Exception as error:  # damaged in any way, or no pickle any more; torch's own reader says how
        raise_if_unreadable(error)
    return most - count


def _follow(opcode: Any, arg: Any, stack: list[Any], memo: dict[int, _Node], size: int) -> None:
    name = opcode.name
    if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
        memo[len(memo) if arg is None else int(arg)] = stack[-1]
        return
    if name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[int(arg)])
        return
    if name == "DUP":
        stack.append(stack[-1])
        return
    below, items = list(opcode.stack_before), []
    if pickletools.markobject in below:
        below = below[:below.index(pickletools.markobject)]
        item = stack.pop()
        while item is not pickletools.markobject:
            items.append(item)
            item = stack.pop()
        items.reverse()
    owner = [stack.pop() for _ in below][::-1]
    for key in items[0::2] if name == "SETITEMS" else owner[1:2] if name == "SETITEM" else items if \
            name in ("ADDITEMS", "FROZENSET") else ():
        _check_key(key)
    if name == "BINPERSID":
        _check_storage(owner[0].value, size)
    for pushed in opcode.stack_after:
        stack.append(pushed if pushed is pickletools.markobject else _combined(name, arg, owner, items))


def _combined(name: str, arg: Any, owner: list[_Node], items: list[_Node]) -> _Node:
    parts = [*owner, *items]
    if not parts:
        return _Node(1, 0, arg if isinstance(arg, (str, int, bytes)) else None)
    size = 1 + sum(part.size for part in parts)
    grows = name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")
    inside = max((part.depth for part in (parts[1:] if grows else parts)), default=0) + 1
    depth = max(owner[0].depth, inside) if grows else inside
    if size > _LARGEST_OBJECT or depth > _DEEPEST_OBJECT:
        raise BadInputError(
            f"makes an object of more than {_LARGEST_OBJECT} parts or {_DEEPEST_OBJECT} levels from its pickle; "
            "weights have no need of that")
    values = tuple(part.value for part in parts) if name.startswith("TUPLE") and len(parts) <= 8 else None
    return _Node(size, depth, values)


def _check_key(key: _Node) -> None:
    if key.size > _LARGEST_KEY or (isinstance(key.value, (str, bytes)) and len(key.value) > _LONGEST_KEY):
        raise BadInputError(
            f"has a key of more than {_LARGEST_KEY} parts or {_LONGEST_KEY} characters in its pickle; names expected")


def _check_storage(value: Any, size: int) -> None:
    """Raise BadInputError if a storage claims more elements than the file has bytes: torch takes memory for all."""
    numbers = [part for part in value or () if isinstance(part, int)]
    if any(not 0 <= number <= size for number in numbers):
        raise BadInputError(f"is cut off or damaged: it claims a storage of {max(numbers, key=abs)} elements in a file "
                            f"of {size} bytes")
