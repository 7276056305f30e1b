"""An engine file, its sidecar and its manifest, each read once: what was checked is what runs.

A file that is replaced between the check and a second reading would run unchecked. So the session gets the bytes that
were checked, and reports show their digest.
"""
import contextlib
import os
from typing import TYPE_CHECKING, Iterator, Optional, Union

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.artifacts.missing_engine import engine_fix
from edgenext_deploy.artifacts.onnx_shell import require_plain_graph
from edgenext_deploy.errors import BadInputError, Fix
from edgenext_deploy.files import (
    open_regular,
    read_file,
    require_file,
    settled,
    sha256_of_bytes,
    sha256_of_file,
    shown,
)

# What is needed for plans alone is imported there: a graph's first answer need not wait for it.
if TYPE_CHECKING:
    from edgenext_deploy.artifacts.plan_header import PlanHeader
    from edgenext_deploy.artifacts.plan_sidecar import PlanRecord

# Protobuf has no larger messages; the largest variant's graph has 75 MB.
_MOST_BYTES = 1 << 30
# Smaller files are told apart by their digests.
_SMALL_BYTES = 1 << 26

Path = Union[str, "os.PathLike[str]"]


class EngineFile:
    """A plan or graph that was read and checked; `open_engine_file` makes it.

    Attributes:
        path: of the file.
        bytes: its size.
        sha256: digest of its content, as 64 hexadecimal digits.
        header: of a plan, what its first bytes say; None for a graph.
        record: of a plan, its sidecar; None for a graph, and for a plan that is trusted without one.
        manifest_sha256: digest of the manifest's file; None before `manifest`.
    """

    def __init__(self, path: str, data: bytes, header: "Optional[PlanHeader]" = None,
                 record: "Optional[PlanRecord]" = None) -> None:
        self.path = path
        self.bytes = len(data)
        self.sha256 = sha256_of_bytes(data)
        self.header = header
        self.record = record
        self.manifest_sha256: Optional[str] = None
        self._data: Optional[bytes] = data
        self._manifest: Optional[Manifest] = None

    def plan_header(self) -> "PlanHeader":
        """Return `header`, which a session for plans cannot do without.

        Raises:
            BadInputError: this is not a plan.
        """
        if self.header is None:
            raise BadInputError("{} is not a TensorRT plan".format(self.path), "pass a .plan file")
        return self.header

    def take_data(self) -> bytes:
        """Return the content and forget it: a board with 4 GB has no room for a second copy.

        Raises:
            ValueError: it was taken before.
        """
        data, self._data = self._data, None
        if data is None:
            raise ValueError("the content of {} was taken already".format(self.path))
        return data

    def manifest(self) -> Manifest:
        """Return the manifest next to the file, once it is known to describe exactly this file.

        A plan's sidecar vouches for the manifest, by digest; for a plan that is trusted without one, nothing does.

        Raises:
            BadInputError: no manifest, a broken one, or one for another file.
        """
        if self._manifest is None:
            try:
                self._manifest = self._checked_manifest()
            except BadInputError:
                with settled(manifests.find_manifest_path(self.path), self._digest_now):
                    self._read_graph_again()
                    self._manifest = self._checked_manifest()
        return self._manifest

    def find_manifest(self) -> Optional[Manifest]:
        """Return what `manifest` returns, or None when there is no such file."""
        return self.manifest() if os.path.exists(manifests.find_manifest_path(self.path)) else None

    def _digest_now(self) -> str:
        return self.sha256 if self._data is None else sha256_of_file(self.path)

    def _checked_manifest(self) -> Manifest:
        path = manifests.find_manifest_path(self.path)
        data = manifests.read_bytes(path)
        found = manifests.parse(data, path)
        self.manifest_sha256 = sha256_of_bytes(data)
        if self.header is None:
            self._require_graph_of(found)
        elif self.record is not None:
            self._require_plan_of(found, self.record)
        return found

    def _read_graph_again(self) -> None:
        """Take the graph that lies there now: with its manifest it was replaced after it was read."""
        if self.header is None and self._data is not None:
            self._data = _read_graph(self.path)
            self.bytes, self.sha256 = len(self._data), sha256_of_bytes(self._data)

    def _require_graph_of(self, manifest: Manifest) -> None:
        if self.sha256 != manifest.graph.sha256:
            raise BadInputError(
                "{} is not the file its manifest describes: sha256 {}… found, {}… expected".format(
                    self.path, self.sha256[:12], manifest.graph.sha256[:12]),
                "export again, or copy .onnx and .json together")

    def _require_plan_of(self, manifest: Manifest, record: "PlanRecord") -> None:
        from edgenext_deploy.artifacts.plan_sidecar import rebuild_command

        pairs = [("the ONNX file", manifest.graph.sha256, record.onnx_sha256)]
        if record.manifest_sha256 is not None:
            pairs.append(("the manifest", str(self.manifest_sha256), record.manifest_sha256))
        for what, found, expected in pairs:
            if found != expected:
                raise BadInputError(
                    "{} is not the manifest that {} was built with: sha256 {}… of {} found, {}… expected".format(
                        manifests.find_manifest_path(self.path), self.path, found[:12], what, expected[:12]),
                    "build the plan again ({}), or copy .plan, .plan.json and .json together".format(
                        rebuild_command(self.path)))


def open_engine_file(path: Path, *, trust: bool = False) -> EngineFile:
    """Read a plan or graph once, and check a plan against its sidecar. Nothing of it is run.

    Args:
        path: of the file; one that ends in .plan, .engine or .trt has to be a plan.
        trust: accept a plan without a sidecar. One with a sidecar that does not fit is refused all the same.

    Raises:
        BadInputError: no readable file, or of a plan: not a plan, cut short, changed, without a sidecar, or with that
            of another plan.
    """
    name = os.fspath(path)
    ending = os.path.splitext(name)[1].lower()
    return open_plan(name, trust=trust) if ending in manifests.PLAN_SUFFIXES else open_graph(name)


def open_graph(path: Path) -> EngineFile:
    """Read a file that is not a plan, such as an ONNX file; see `open_engine_file`."""
    name = os.fspath(path)
    require_file(name, "engine", lambda: engine_fix(name))
    with _reading(name, lambda: engine_fix(name)):
        try:
            _require_size(name)
        except BadInputError:
            with settled(manifests.find_manifest_path(name), lambda: sha256_of_file(name)):
                _require_size(name)
    return EngineFile(name, _read_graph(name))


def _read_graph(name: str) -> bytes:
    with _reading(name, lambda: engine_fix(name)):
        data = read_file(name, "engine", lambda: engine_fix(name), _MOST_BYTES)
    if os.path.splitext(name)[1].lower() == manifests.ONNX_SUFFIX:
        require_plain_graph(data, name)
    return data


def _require_size(path: str) -> None:
    """Raise BadInputError if a graph has another size than its manifest says: it is not read, let alone hashed."""
    size, beside = os.path.getsize(path), manifests.find_manifest_path(path)
    if size <= _SMALL_BYTES or not os.path.isfile(beside):
        return
    try:
        expected = manifests.read(beside).graph.bytes
    except BadInputError:  # said where the manifest is needed
        return
    if size != expected:
        raise BadInputError("{} is not the file its manifest describes: {} bytes found, {} expected".format(
            path, size, expected), "export again, or copy .onnx and .json together")


def open_plan(path: Path, *, trust: bool = False) -> EngineFile:
    """Read a plan, whatever its name ends in; see `open_engine_file`."""
    from edgenext_deploy.artifacts.plan_sidecar import find_sidecar_path

    name = os.fspath(path)
    try:
        return _open_plan(name, trust)
    except BadInputError:
        if "\0" in name or not os.path.isfile(name):
            raise
        # Both names may be about to change: see `settled`.
        with settled(find_sidecar_path(name), lambda: sha256_of_file(name)):
            return _open_plan(name, trust)


def _open_plan(name: str, trust: bool) -> EngineFile:
    from edgenext_deploy.artifacts.plan_check import record_for, require_digest
    from edgenext_deploy.artifacts.plan_header import HEAD_BYTES, parse_header
    from edgenext_deploy.artifacts.plan_sidecar import rebuild_command

    fix = "build the plan again: " + rebuild_command(name)
    with _reading(name, fix):
        missing = "build a plan on this machine: edgenext-build MODEL.onnx"
        require_file(name, "plan", missing)
        with open_regular(name, "plan", missing) as stream:
            head = stream.read(HEAD_BYTES)
            header = parse_header(head, os.fstat(stream.fileno()).st_size, shown(name), name)
            # Before the rest is read: a file of another size than its sidecar says may be a large one.
            record = record_for(name, header, trust)
            stream.seek(0)
            data = stream.read(header.bytes + 1)
    if len(data) != header.bytes or data[:HEAD_BYTES] != head:
        raise BadInputError("{} was changed while it was read".format(shown(name)), fix)
    file = EngineFile(name, data, header, record)
    if record is not None:
        require_digest(name, record, file.sha256)
    return file


@contextlib.contextmanager
def _reading(path: str, fix: Fix) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        from edgenext_deploy.artifacts.plan_header import unreadable

        raise unreadable(shown(path), error, fix) from error
