"""Read a bundle and write its candidates as files, each byte for byte as the workstation had it.

Needs numpy and the standard library alone. The file is never in memory whole: a small board builds from it.
"""
import os
import zlib
from typing import IO, Dict, List, NamedTuple, Tuple, Union

import numpy as np

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import BUNDLE_SUFFIX, Manifest
from edgenext_deploy.bundle.record import (
    FIX,
    LENGTH_BYTES,
    MAGIC,
    MOST_HEADER_BYTES,
    SCHEMA,
    Blob,
    BundleRecord,
    Candidate,
    require_sense,
)
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import open_regular, require_file, sha256_of_bytes, shown, write_files_atomically

# What makes two graphs the same network. How they compute it may differ.
_COMMON = ("task", "variant", "weights", "target", "inputs", "outputs", "preprocessing", "labels", "detection",
           "scores")


class GraphBytes(NamedTuple):
    """One candidate's files: the graph, and the manifest that belongs next to it."""

    graph: bytes
    manifest: bytes


class Bundle:
    """A bundle whose header was read and checked; `open_bundle` makes it.

    Attributes:
        path: of the file.
        record: its header.
        sha256: digest of the header, which names the digest of every graph.
        manifests: those of the candidates, by name.
    """

    def __init__(self, path: str, record: BundleRecord, sha256: str, start: int) -> None:
        self.path, self.record, self.sha256 = path, record, sha256
        self._starts: List[int] = []
        for blob in record.blobs:
            self._starts.append(start)
            start += blob.stored
        with open_regular(path, "bundle", FIX) as stream:
            self.manifests: Dict[str, Manifest] = {
                candidate.name: self._manifest(stream, candidate) for candidate in record.candidates}
        self._require_one_network()

    def files(self, name: str) -> GraphBytes:
        """Return one candidate's files.

        Raises:
            BadInputError: the bundle was changed, or is not what its header says.
        """
        candidate = self._candidate(name)
        with open_regular(self.path, "bundle", FIX) as stream:
            skeleton, at = self._blob(stream, candidate.skeleton), 0
            parts: List[bytes] = []
            for before, index, rows, item_bytes in candidate.weights:
                weights = self._blob(stream, index)
                parts += [skeleton[at:at + before], _transposed(weights, rows, item_bytes) if rows else weights]
                at += before
            graph = b"".join([*parts, skeleton[at:]])
            return GraphBytes(self._proven(graph, candidate.sha256, "candidate " + name),
                              self._manifest_bytes(stream, candidate))

    def write(self, name: str, path: str) -> str:
        """Write one candidate to a path that ends in ``.onnx``, its manifest next to it; return the path.

        Raises:
            BadInputError: see `files`.
            UsageError: the files cannot be written.
        """
        files = self.files(name)
        write_files_atomically({path: files.graph, manifests.manifest_path(path): files.manifest})
        return path

    def _candidate(self, name: str) -> Candidate:
        return next(candidate for candidate in self.record.candidates if candidate.name == name)

    def _manifest_bytes(self, stream: IO[bytes], candidate: Candidate) -> bytes:
        return self._proven(self._blob(stream, candidate.manifest), candidate.manifest_sha256,
                            "the manifest of " + candidate.name)

    def _manifest(self, stream: IO[bytes], candidate: Candidate) -> Manifest:
        where = "{} ({})".format(self.path, candidate.name)
        found = manifests.parse(self._manifest_bytes(stream, candidate), where)
        if found.graph.sha256 != candidate.sha256:
            raise BadInputError("{}: the manifest is that of another graph".format(where), FIX)
        return found

    def _require_one_network(self) -> None:
        first_name, first = next(iter(self.manifests.items()))
        for name, found in self.manifests.items():
            other = [field for field in _COMMON if getattr(found, field) != getattr(first, field)]
            other += ["precision"] * (found.precision.requested != first.precision.requested)
            other += ["golden"] * (found.golden.input_sha256 != first.golden.input_sha256)
            if other:
                raise BadInputError("{}: {} and {} are not the same network: they differ in {}".format(
                    self.path, first_name, name, ", ".join(other)), FIX)

    def _blob(self, stream: IO[bytes], index: int) -> bytes:
        blob = self.record.blobs[index]
        stream.seek(self._starts[index])
        stored = stream.read(blob.stored)
        content = _unpacked(stored, blob) if blob.stored < blob.bytes else stored
        if len(content) != blob.bytes:
            raise BadInputError("{} was changed while it was read".format(self.path), FIX)
        return content

    def _proven(self, content: bytes, sha256: str, what: str) -> bytes:
        found = sha256_of_bytes(content)
        if found != sha256:
            raise BadInputError("{}: {} is damaged: sha256 {}… found, {}… expected".format(
                self.path, what, found[:12], sha256[:12]), FIX)
        return content


def is_bundle_name(path: str) -> bool:
    """Return whether a file's name is that of a bundle; the file need not exist."""
    return os.path.splitext(path)[1].lower() == BUNDLE_SUFFIX


def open_bundle(path: "Union[str, os.PathLike[str]]") -> Bundle:
    """Read and check the header of a bundle, and the manifests of its candidates.

    Args:
        path: of the file that ``edgenext-export --race`` wrote.

    Raises:
        BadInputError: missing, damaged, no bundle, or its candidates are not the same network.
    """
    name = os.fspath(path)
    require_file(name, "bundle", "write one with edgenext-export VARIANT --race")
    try:
        header, start, size = _read_header(name)
    except OSError as error:
        raise BadInputError("{} cannot be read: {}".format(shown(name, 600), error.strerror or error), FIX) from error
    data = json_records.parse_object(header, name, "bundle of a race", FIX)
    if data.get("schema") != SCHEMA:
        raise BadInputError("{}: bundle schema {} found, {} expected".format(
            name, shown(repr(data.get("schema")), 60), SCHEMA), "use the toolkit version that wrote it")
    record = json_records.from_json(BundleRecord, data, os.path.basename(name))
    require_sense(record, name, size - start)
    return Bundle(name, record, sha256_of_bytes(header), start)


def _read_header(path: str) -> Tuple[bytes, int, int]:
    """Return the header, where it ends, and the size of the file."""
    with open_regular(path, "bundle", FIX) as stream:
        size = os.fstat(stream.fileno()).st_size
        begin = stream.read(len(MAGIC) + LENGTH_BYTES)
        length = int.from_bytes(begin[len(MAGIC):], "little")
        start = len(begin) + length
        if begin[:len(MAGIC)] != MAGIC or len(begin) < len(MAGIC) + LENGTH_BYTES:
            raise BadInputError("{} is no bundle of a race".format(shown(path, 600)),
                                "write one with edgenext-export VARIANT --race")
        if length > MOST_HEADER_BYTES or start > size:
            raise BadInputError("{} is cut short, or damaged: a header of {} bytes in a file of {}".format(
                shown(path, 600), length, size), FIX)
        return stream.read(length), start, size


def _transposed(content: bytes, rows: int, item_bytes: int) -> bytes:
    matrix = np.frombuffer(content, np.dtype((np.void, item_bytes))).reshape(rows, -1)
    return bytes(np.ascontiguousarray(matrix.T).tobytes())


def _unpacked(stored: bytes, blob: Blob) -> bytes:
    """Return what zlib packed; never more than one byte beyond what the header says."""
    try:
        return zlib.decompressobj().decompress(stored, blob.bytes + 1)
    except zlib.error:
        return b""
