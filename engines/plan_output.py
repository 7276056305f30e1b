"""Where a plan is written: whether it may be, and the manifest that lies next to it."""
import os
import shlex
import tempfile
from typing import Dict, Mapping, Sequence

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.artifacts.plan_check import Environment, find_record
from edgenext_deploy.bundle.reading import is_bundle_name
from edgenext_deploy.engines.build_records import BuildRequest
from edgenext_deploy.engines.racing.sources import Source
from edgenext_deploy.errors import EdgeNextError, UsageError
from edgenext_deploy.files import sha256_of_bytes, sha256_of_file
from edgenext_deploy.targets import TENSORRT


def require_writable(path: str) -> None:
    """Raise UsageError now, and not after minutes of building, if the plan cannot be written."""
    if os.path.isdir(path):
        raise UsageError("cannot write {}: there is a folder of that name".format(path), "choose another --output")
    if os.path.splitext(path)[1].lower() not in manifests.PLAN_SUFFIXES:
        # Whatever opens an engine goes by this ending; the plan would be taken for something else.
        raise UsageError("a plan cannot be named {}: a name ending in one of {} expected".format(
            path, " ".join(manifests.PLAN_SUFFIXES)), "for example --output {}".format(
                shlex.quote(os.path.splitext(path)[0] + ".plan")))
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError("cannot write {}: {}".format(path, error.strerror or error),
                         "choose another folder with --output") from error


def require_same_build(path: str, request: BuildRequest, graphs: Sequence[Manifest],
                       environment: Environment) -> None:
    """Raise UsageError if there is anything at `path` but an earlier plan of the same build.

    Args:
        path: path of the plan.
        request: what will be built.
        graphs: manifests of the graphs, one of which will be built.
        environment: this machine.
    """
    if not os.path.lexists(path):
        return
    try:
        record = find_record(path)
    except EdgeNextError:
        record = None
    version = environment.tensorrt if request.runtime == TENSORRT else environment.tensorrt_rtx
    if record is None:
        why = "nothing says what it is"
    elif all(record.onnx_sha256 != manifest.graph.sha256 for manifest in graphs):
        why = "it was built from another ONNX file, {}".format(record.onnx_file)
    elif record.precision != (request.precision or graphs[0].precision.requested):
        why = "it was built in {}".format(record.precision)
    elif (record.flavour, record.tensorrt) != (request.runtime, version):
        why = "it was built with {} {}".format(record.flavour, record.tensorrt)
    else:
        return
    raise UsageError("{} exists already: {}".format(path, why), "replace it with --force, or choose another --output")


def manifest_copies(path: str, source: Source) -> Dict[str, Dict[str, bytes]]:
    """Return, by graph, the manifest that a plan needs next to it, path and content; none where it lies there anyway.

    Args:
        path: of the plan.
        source: the graphs, one of which it will be built from.
    """
    copy = manifests.manifest_path(path)
    beside = os.path.realpath(manifests.find_manifest_path(source.path)) == os.path.realpath(copy)
    if beside and not is_bundle_name(source.path):
        return {name: {} for name in source.manifests}
    return {name: {copy: source.manifest_bytes(name)} for name in source.manifests}


def require_no_foreign_manifest(copies: Mapping[str, Mapping[str, bytes]]) -> None:
    """Raise UsageError if the plan's manifest would replace that of an ONNX file, which could not be used any more.

    Args:
        copies: see `manifest_copies`.
    """
    for files in copies.values():
        for path, content in files.items():
            onnx = os.path.splitext(path)[0] + manifests.ONNX_SUFFIX
            if os.path.lexists(onnx) and os.path.lexists(path) and sha256_of_file(path) != sha256_of_bytes(content):
                raise UsageError("--output would write over the manifest of another graph: {} belongs to {}".format(
                    path, onnx), "choose another --output")


def require_same_manifest(copies: Mapping[str, Mapping[str, bytes]]) -> None:
    """Raise UsageError if the plan would get a manifest in place of one that is none of its graphs'."""
    paths = {path for files in copies.values() for path in files}
    for path in sorted(paths):
        known = [sha256_of_bytes(files[path]) for files in copies.values()]
        if os.path.lexists(path) and sha256_of_file(path) not in known:
            raise UsageError("{} exists already and is another manifest than the plan needs next to it".format(path),
                             "replace it with --force, or choose another --output")
