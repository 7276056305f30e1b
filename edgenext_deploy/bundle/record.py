"""What a bundle's header says, and whether it can be: a bundle comes from another machine.

The file is `MAGIC`, the length of the header in eight bytes (little-endian), the header as JSON, and the content of the
blobs one after the other. A graph is a skeleton, which is the file without its weights, with weights put in between.
"""
import re
from typing import Dict, Iterator, NamedTuple, Tuple

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

SCHEMA = 1
MAGIC = b"EDGENEXT-RACE-1\n"
LENGTH_BYTES = 8
# Eight candidates of the largest variant have a header of some 100 kB.
MOST_HEADER_BYTES = 4 << 20
MOST_CANDIDATES = 64
# As for a single graph, see `artifacts.engine_file`.
_MOST_BYTES = 1 << 30
# What is packed is taken into memory whole: manifests and skeletons, of which the largest has 2 MB.
_MOST_PACKED_BYTES = 32 << 20
# Weights of one graph, and bytes of a graph for each byte of the bundle: more would only fill the memory.
_MOST_WEIGHTS = 20000
_MOST_GROWTH = 4
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,79}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
# Of an element of a matrix that is stored transposed.
ITEM_BYTES = (1, 2, 4, 8)
FIX = "export again with edgenext-export --race, or copy the file again"


class Blob(NamedTuple):
    """Bytes that stand in the file once.

    Attributes:
        bytes: their number.
        stored: their number in the file; less than `bytes` if zlib packed them.
    """

    bytes: int
    stored: int


class Candidate(NamedTuple):
    """One graph.

    Attributes:
        name: of the formulation, such as ``tokens-gemm``.
        sha256: digest of the graph's file.
        bytes: size of the graph's file.
        manifest: index of the blob with the manifest's file.
        manifest_sha256: digest of that file.
        skeleton: index of the blob with all that is no weight.
        weights: where weights go, each as four numbers: bytes of the skeleton in front of it, index of its blob, and
            for a matrix that stands transposed in the blob the rows there and the bytes of an element; else 0 and 0.
    """

    name: str
    sha256: str
    bytes: int
    manifest: int
    manifest_sha256: str
    skeleton: int
    weights: Tuple[Tuple[int, ...], ...] = ()


class BundleRecord(NamedTuple):
    """The header.

    Attributes:
        schema: of this record.
        toolkit_version: that wrote it.
        variant: name of the network.
        candidates: graphs that compute the same, the most promising first.
        blobs: the file's content behind the header, in order.
        left_out: formulations that take no part, each with the reason.
    """

    schema: int
    toolkit_version: str
    variant: str
    candidates: Tuple[Candidate, ...]
    blobs: Tuple[Blob, ...]
    left_out: Dict[str, str] = {}


def require_sense(record: BundleRecord, path: str, content_bytes: int) -> None:
    """Raise BadInputError for a header that no export writes.

    Args:
        record: the header.
        path: of the file, for the message.
        content_bytes: bytes of the file behind the header.
    """
    for problem in _problems(record, content_bytes):
        raise BadInputError("{}: not a bundle of a race: {}".format(path, problem), FIX)


def _problems(record: BundleRecord, content_bytes: int) -> Iterator[str]:
    if not 1 <= len(record.candidates) <= MOST_CANDIDATES:
        yield "{} candidates, 1 to {} expected".format(len(record.candidates), MOST_CANDIDATES)
    for index, blob in enumerate(record.blobs):
        packed = blob.stored < blob.bytes
        if not 0 < blob.stored <= blob.bytes <= (_MOST_PACKED_BYTES if packed else _MOST_BYTES):
            yield "blob {} of {} bytes, stored in {}".format(index, blob.bytes, blob.stored)
    stored = sum(blob.stored for blob in record.blobs)
    if stored != content_bytes:
        yield "{} bytes behind the header, {} expected".format(content_bytes, stored)
    names = [candidate.name for candidate in record.candidates]
    for candidate in record.candidates:
        if not _NAME.match(candidate.name) or names.count(candidate.name) > 1:
            yield "{!r} is the name of a candidate".format(shown(candidate.name, 90))
        for problem in _problems_of(candidate, record.blobs, _MOST_GROWTH * content_bytes + _MOST_PACKED_BYTES):
            yield "candidate {}: {}".format(candidate.name, problem)


def _problems_of(candidate: Candidate, blobs: Tuple[Blob, ...], most_bytes: int) -> Iterator[str]:
    if not (_DIGEST.match(candidate.sha256) and _DIGEST.match(candidate.manifest_sha256)):
        yield "a digest that is none"
    if len(candidate.weights) > _MOST_WEIGHTS:
        yield "{} weights, at most {} expected".format(len(candidate.weights), _MOST_WEIGHTS)
    used = [candidate.manifest, candidate.skeleton, *(part[1] for part in candidate.weights if len(part) == 4)]
    if any(len(part) != 4 for part in candidate.weights) or not all(0 <= index < len(blobs) for index in used):
        yield "it names blobs that are not there"
        return
    for before, index, rows, item_bytes in candidate.weights:
        size = blobs[index].bytes
        is_matrix = rows > 0 and item_bytes in ITEM_BYTES and size % (rows * item_bytes) == 0
        if before < 0 or not (is_matrix or (rows, item_bytes) == (0, 0)):
            yield "blob {} of {} bytes as {} rows of elements of {} bytes".format(index, size, rows, item_bytes)
    skeleton = blobs[candidate.skeleton].bytes
    if sum(part[0] for part in candidate.weights) > skeleton:
        yield "weights behind the end of the graph"
    total = skeleton + sum(blobs[part[1]].bytes for part in candidate.weights)
    if total != candidate.bytes or total > min(most_bytes, _MOST_BYTES):
        yield "a graph of {} bytes, {} expected".format(total, candidate.bytes)
