"""The first bytes of a TensorRT plan, read with no GPU and no TensorRT.

NVIDIA does not document the format. The table says what is known, with its source.

====== ===== ====================================================================================
offset type  meaning
====== ===== ====================================================================================
0      4 B   tag: ``ftrt`` TensorRT 8 and later (trtexec, `printPlanVersion` in sampleEngines.cpp:
             0x74727466 as a little-endian word); ``ptrt`` older ones (Netron, source/tensorrt.js);
             ``vtrt`` TensorRT-RTX (seen in plans built with 1.7.1.116)
4      u32   serialisation version; 0 in ``ftrt`` (trtexec) and ``vtrt`` (seen); 87 … 97 in the
             ``ptrt`` plans that Netron knows
8      u32   number of the engine's serialisation: 205 for TensorRT 8.2.1.8, 213 for 8.4.3.1, 232
             for 8.5.3.1 (NVIDIA/TensorRT#3073, and the error texts of #2041, #2072). Later releases
             have one too, but it does not tell them apart; ``vtrt``: 2 (seen)
16     u64   ``vtrt``: bytes of the whole file (seen in all builds). Netron reads a size here from
             ``ftrt`` as well, but of what is not known, so it is not used
24     4 u8  TensorRT's major, minor, patch, build (trtexec, for 8.6 and later; seen in ``vtrt``)
28     4 B   ``vtrt``: the tag again (seen)
32     u32   ``vtrt``: one bit per compute capability that was built for (seen, by building for each)
====== ===== ====================================================================================

No ``ftrt`` plan says for which GPU it was built (NVIDIA/TensorRT#4233): only the sidecar does.
"""
import os
import struct
from typing import NamedTuple, Optional, Tuple

from edgenext_deploy.errors import BadInputError, Fix
from edgenext_deploy.files import require_file, shown
from edgenext_deploy.targets import TENSORRT, TENSORRT_RTX

RUNTIME_NAMES = {TENSORRT: "TensorRT", TENSORRT_RTX: "TensorRT-RTX"}
OTHER = "other"

HEADER_BYTES = 28
# How much of a file `parse_header` wants to see.
HEAD_BYTES = 256
# No plan of a classifier comes near this; a file that does is not hashed for minutes to find out.
_MAX_PLAN_BYTES = 1 << 30
_MAX_PREFIX_BYTES = 1 << 24
_FIX = "build a plan on this machine: edgenext-build MODEL.onnx"

# Only what was seen in error messages of these releases; "8.2" is all that the number says.
_RELEASE_OF_SERIAL = {205: "8.2", 213: "8.4", 232: "8.5"}
# Of TensorRT 7 and older (Netron, source/tensorrt.js).
_OLD_VERSIONS = (0x2B, 0x57, 0x59, 0x60, 0x61)
_RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")

# Tag, and what a person calls such a file.
_FORMATS = (
    (b"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint or a torch2trt module"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive"),
    (b"\x7fELF", "a program or shared library"),
    (b"version https://git-lfs", "a Git LFS pointer; the file itself was never downloaded (git lfs pull)"),
)


class PlanHeader(NamedTuple):
    """What the first bytes of a plan say.

    Attributes:
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        tensorrt: the release that built it: all four numbers, or only ``8.2`` where nothing but the
            serialisation number is there, or ``7`` for that and everything older; None where it does not say.
        serial: the number at offset 8.
        bytes: size of the whole file.
        compute_capabilities: of the GPUs it was built for, such as ``8.6``, with ``other`` among them where
            the plan names more than this table knows; empty where the header does not say.
    """

    flavour: str
    tensorrt: Optional[str]
    serial: int
    bytes: int
    compute_capabilities: Tuple[str, ...] = ()


def read_header(path: str) -> PlanHeader:
    """Read a plan's first bytes.

    Raises:
        BadInputError: no readable file, not a plan (the message names what it is instead), or cut short.
    """
    name = shown(path)
    try:
        require_file(path, "plan", _FIX)
        size = os.path.getsize(path)
        with open(path, "rb") as stream:
            head = stream.read(HEAD_BYTES)
        return parse_header(head, size, name, path)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise unreadable(name, error, _FIX) from error


def parse_header(head: bytes, size: int, name: str, path: Optional[str] = None) -> PlanHeader:
    """Parse the first bytes of a file.

    Args:
        head: its first bytes, at least 36 of them unless the file is shorter.
        size: bytes of the whole file.
        name: what to call the file in an error.
        path: of the file, to look behind a prefix; None does not.

    Raises:
        BadInputError: see `read_header`.
    """
    tag = head[:4]
    if tag not in (b"ftrt", b"ptrt", b"vtrt"):
        raise BadInputError("{} is not a TensorRT plan: it is {}".format(name, _what_it_is(head, size, path)), _FIX)
    if size < HEADER_BYTES or len(head) < HEADER_BYTES:
        raise BadInputError("{} is cut short: {} bytes found, at least {} expected".format(
            name, size, HEADER_BYTES), _FIX)
    if size > _MAX_PLAN_BYTES:
        raise BadInputError("{} is too large for a plan: {} bytes found, at most {} expected".format(
            name, size, _MAX_PLAN_BYTES), _FIX)
    version, serial = struct.unpack_from("<II", head, 4)
    if tag == b"vtrt":
        return _rtx_header(head, size, name, serial)
    if tag == b"ptrt" or version in _OLD_VERSIONS:
        return PlanHeader(TENSORRT, "7", serial, size)
    if version != 0:
        return PlanHeader(TENSORRT, None, serial, size)
    return PlanHeader(TENSORRT, _RELEASE_OF_SERIAL.get(serial) or _release(head), serial, size)


def unreadable(name: str, error: Exception, fix: Fix) -> BadInputError:
    """Return the error for a file that the system would not read."""
    return BadInputError("{} cannot be read: {}".format(name, getattr(error, "strerror", None) or error), fix)


def _rtx_header(head: bytes, size: int, name: str, serial: int) -> PlanHeader:
    declared = struct.unpack_from("<Q", head, 16)[0]
    if declared != size:
        raise BadInputError("{} is damaged: {} bytes found, {} expected by its header".format(name, size, declared),
                            _FIX)
    capabilities: Tuple[str, ...] = ()
    if len(head) >= 36 and head[28:32] == b"vtrt":
        mask = struct.unpack_from("<I", head, 32)[0]
        capabilities = tuple(
            capability for bit, capability in enumerate(_RTX_CAPABILITIES) if mask >> bit & 1)
        # A build for no named GPU sets bit 6 as well (seen); what it promises is not known.
        if mask >> len(_RTX_CAPABILITIES):
            capabilities += (OTHER,)
    return PlanHeader(TENSORRT_RTX, ".".join(str(number) for number in head[24:28]), serial, size, capabilities)


def _release(head: bytes) -> Optional[str]:
    major, minor, patch, build = head[24:28]
    # Releases before 8.6 have something else in these bytes.
    plausible = (major == 8 and 6 <= minor <= 9) or 9 <= major <= 30
    return "{}.{}.{}.{}".format(major, minor, patch, build) if plausible else None


def _what_it_is(head: bytes, size: int, path: Optional[str]) -> str:
    for tag, what in _FORMATS:
        if head.startswith(tag):
            return what
    if not head.strip(b"\0"):
        return "nothing but zeros, as an interrupted download or a lost write leaves behind"
    if any(tag.startswith(head) for tag in (b"ftrt", b"ptrt", b"vtrt")):
        return "cut short ({} bytes)".format(size)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle, such as an old PyTorch checkpoint"
    if _is_onnx(head):
        return "an ONNX file, from which a plan is built"
    prefix = _json_prefix(head, size)
    if prefix is not None:
        return _behind_prefix(path, prefix)
    if len(head) > 8 and head[8:9] == b"{" and 0 < struct.unpack_from("<Q", head)[0] < size:
        return "a safetensors file"
    if _is_text(head):
        return "a text file"
    return "of an unknown format, beginning with {}".format(" ".join("{:02x}".format(byte) for byte in head[:8]))


def _is_onnx(head: bytes) -> bool:
    """Whether this begins as onnx.proto's ModelProto does: field 1, the IR version, then another of its fields."""
    return len(head) >= 3 and head[0] == 0x08 and 0 < head[1] < 0x40 and head[2] in (
        0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)


def _json_prefix(head: bytes, size: int) -> Optional[int]:
    """Return the length of the JSON that some tools put in front of a plan, behind its length as a 32-bit word."""
    if len(head) < 5 or head[4:5] != b"{":
        return None
    length = int(struct.unpack_from("<I", head)[0])
    return length if 1 < length <= min(size, _MAX_PREFIX_BYTES) else None


def _behind_prefix(path: Optional[str], length: int) -> str:
    tag = b""
    if path is not None:
        with open(path, "rb") as stream:
            stream.seek(4 + length)
            tag = stream.read(4)
    what = "a plan behind" if tag in (b"ftrt", b"ptrt", b"vtrt") else "something behind"
    return "{} {} bytes of JSON, as ultralytics writes it, which TensorRT cannot load".format(what, 4 + length)


def _is_text(head: bytes) -> bool:
    # A character cut at the end of what was read is none of the file's fault.
    text = head.decode("utf-8", "ignore")
    return len(text.encode("utf-8")) >= len(head) - 3 and all(
        character.isprintable() or character in "\t\r\n\f" for character in text)
