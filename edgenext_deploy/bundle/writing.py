"""Write a bundle: equal weights once, a matrix also where another graph has it transposed."""
import hashlib
import json
import zlib
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.bundle.record import (
    ITEM_BYTES,
    LENGTH_BYTES,
    MAGIC,
    SCHEMA,
    Blob,
    BundleRecord,
    Candidate,
    require_sense,
)
from edgenext_deploy.bundle.weights import find_weights
from edgenext_deploy.files import sha256_of_bytes
from edgenext_deploy.version import __version__


class NamedGraph(NamedTuple):
    """One graph to bundle: the formulation's name, the content of the graph's file, and of its manifest's."""

    name: str
    graph: bytes
    manifest: bytes


def bundle_bytes(variant: str, graphs: Sequence[NamedGraph], left_out: Optional[Mapping[str, str]] = None) -> bytes:
    """Return the content of a bundle; the same graphs give the same bytes.

    Args:
        variant: name of the network.
        graphs: at least one, the most promising first.
        left_out: formulations that take no part, each with the reason.

    Raises:
        BadInputError: names that are no names, or too many graphs.
    """
    blobs = _Blobs()
    candidates = tuple(_candidate(given, blobs) for given in graphs)
    record = BundleRecord(SCHEMA, __version__, variant, candidates, tuple(blobs.records), dict(left_out or {}))
    content = b"".join(blobs.stored)
    require_sense(record, "the new bundle", len(content))
    header = json.dumps(json_records.to_json(record), separators=(",", ":")).encode("ascii")
    return MAGIC + len(header).to_bytes(LENGTH_BYTES, "little") + header + content


class _Blobs:
    """What is stored, and where to find it again by its digest."""

    def __init__(self) -> None:
        self.records: List[Blob] = []
        self.stored: List[bytes] = []
        self._found: Dict[bytes, int] = {}

    def text(self, content: bytes) -> int:
        """Store a manifest or a skeleton, packed; return the index."""
        packed = zlib.compress(content, 9)
        return self._add(content, packed if len(packed) < len(content) else content)

    def weights(self, content: bytes, shape: Tuple[int, ...]) -> Tuple[int, int, int]:
        """Store weights as they are; return the index, and rows and bytes of an element if they stand transposed."""
        rows, columns, item_bytes = _matrix(shape, len(content))
        if rows and _digest(content) not in self._found:
            matrix = np.frombuffer(content, np.dtype((np.void, item_bytes))).reshape(rows, columns)
            transposed = np.ascontiguousarray(matrix.T).tobytes()
            index = self._found.get(_digest(transposed))
            if index is not None:
                return index, columns, item_bytes
        return self._add(content, content), 0, 0

    def _add(self, content: bytes, stored: bytes) -> int:
        key = _digest(content)
        if key not in self._found:
            self._found[key] = len(self.records)
            self.records.append(Blob(len(content), len(stored)))
            self.stored.append(stored)
        return self._found[key]


def _candidate(given: NamedGraph, blobs: _Blobs) -> Candidate:
    skeleton: List[bytes] = []
    placed: List[Tuple[int, ...]] = []
    at = 0
    for found in find_weights(given.graph):
        skeleton.append(given.graph[at:found.start])
        placed.append((found.start - at, *blobs.weights(given.graph[found.start:found.end], found.shape)))
        at = found.end
    skeleton.append(given.graph[at:])
    return Candidate(given.name, sha256_of_bytes(given.graph), len(given.graph), blobs.text(given.manifest),
                     sha256_of_bytes(given.manifest), blobs.text(b"".join(skeleton)), tuple(placed))


def _matrix(shape: Tuple[int, ...], size: int) -> Tuple[int, int, int]:
    """Return rows, columns and bytes of an element of a matrix; a 1x1 convolution's kernel is one. Else zeros."""
    sizes = [length for length in shape if length != 1]
    if len(sizes) != 2 or not sizes[0] * sizes[1] or size % (sizes[0] * sizes[1]):
        return 0, 0, 0
    item_bytes = size // (sizes[0] * sizes[1])
    return (sizes[0], sizes[1], item_bytes) if item_bytes in ITEM_BYTES else (0, 0, 0)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
