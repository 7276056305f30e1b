"""What an export writes over without being told to: an export of the same weights for the same use."""
import os

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts import nms_plugin
from edgenext_deploy.artifacts.manifest import Manifest, Weights
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.result import paths_of
from edgenext_deploy.files import sha256_of_file, shown

_NUMPY_OF_IO = {"fp32": "float32", "fp16": "float16"}


def require_replaceable(resolved: ResolvedExport, weights: Weights) -> None:
    """Raise UsageError if the export would replace something else than an export of the same network.

    Same are: weights, target, input shape and type, and precision. With ``--force`` everything may be replaced.

    Args:
        resolved: the options.
        weights: those that are exported.
    """
    if resolved.force:
        return
    for stem in (resolved.name, *([resolved.name + nms_plugin.SUFFIX] if resolved.nms_plugin else [])):
        onnx_path, manifest_path = paths_of(resolved.folder, stem)
        found = [path for path in (onnx_path, manifest_path) if os.path.lexists(path)]
        why = _difference(onnx_path, manifest_path, resolved, weights) if found else None
        if why is not None:
            raise UsageError(f"{found[0]} exists already: {why}",
                             "replace it with --force, or choose another --name or --output")


def _difference(onnx_path: str, manifest_path: str, resolved: ResolvedExport, weights: Weights) -> str | None:
    """Return what the files there are, if they are not the same export."""
    try:
        there = manifests.read(manifest_path)
    except BadInputError:
        return "no manifest next to it says what it is" if os.path.lexists(onnx_path) else "it is not a manifest"
    if os.path.isfile(onnx_path) and sha256_of_file(onnx_path) != there.graph.sha256:
        return f"it is not the graph that {manifest_path} describes"
    if there.weights.sha256 != weights.sha256:
        return f"it has other weights, {there.variant} with {shown(there.weights.source)}"
    if there.target != resolved.target.name:
        return f"it is for target {shown(there.target)}"
    shape = there.inputs[0].shape
    if shape != resolved.shape:
        return f"its input is {list(shape)}, and now it would be {list(resolved.shape)}"
    if _precision_of(there) != (resolved.precision.requested, resolved.precision.mode, _NUMPY_OF_IO[resolved.io]):
        requested, mode, dtype = _precision_of(there)
        how = f" ({shown(mode)}, input {shown(dtype)})" if requested == "fp16" else ""
        return f"its precision is {shown(requested).upper()}{how}"
    return None


def _precision_of(manifest: Manifest) -> tuple[str, str, str]:
    return manifest.precision.requested, manifest.precision.mode, manifest.inputs[0].dtype
