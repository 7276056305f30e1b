"""What an export writes over without being told to: an export of the same weights for the same use."""
import os

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts import nms_plugin
from edgenext_deploy.artifacts.manifest import Manifest, Preprocessing, Scores, Weights
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.export.description import Network
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.result import paths_of
from edgenext_deploy.files import sha256_of_file, shown
from edgenext_deploy.preprocess.words import in_words

_NUMPY_OF_IO = {"fp32": "float32", "fp16": "float16"}


def require_replaceable(resolved: ResolvedExport, weights: Weights, network: Network) -> None:
    """Raise UsageError if the export would replace something else than an export of the same network.

    Same are: weights, target, input shape and type, precision, preprocessing, outputs and activation. With ``--force``
    everything may be replaced.

    Args:
        resolved: the options.
        weights: those that are exported.
        network: its preprocessing and activation.
    """
    if resolved.force:
        return
    for stem in (resolved.name, *([resolved.name + nms_plugin.SUFFIX] if resolved.nms_plugin else [])):
        onnx_path, manifest_path = paths_of(resolved.folder, stem)
        found = [path for path in (onnx_path, manifest_path) if os.path.lexists(path)]
        why = _difference(onnx_path, manifest_path, resolved, weights, network) if found else None
        if why is not None:
            raise UsageError(f"{found[0]} exists already: {why}",
                             "replace it with --force, or choose another --name or --output")


def _difference(
    onnx_path: str, manifest_path: str, resolved: ResolvedExport, weights: Weights, network: Network
) -> str | None:
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
    if not there.inputs or not there.outputs:
        return f"{manifest_path} names no input or no output"
    taken = resolved.form.input_spec(resolved.shape)
    if there.inputs[0].shape != taken.shape:
        return f"its input is {list(there.inputs[0].shape)}, and now it would be {list(taken.shape)}"
    if (there.inputs[0].dtype == "uint8") != resolved.form.pixels:
        return f"its input is {shown(there.inputs[0].dtype)}, and now it would be {taken.dtype}"
    dtype = taken.dtype if resolved.form.pixels else _NUMPY_OF_IO[resolved.io]
    if _precision_of(there) != (resolved.precision.requested, resolved.precision.mode, dtype):
        requested, mode, dtype = _precision_of(there)
        how = f" ({shown(mode)}, input {shown(dtype)})" if requested == "fp16" else ""
        return f"its precision is {shown(requested).upper()}{how}"
    if there.preprocessing != network.preprocessing:
        return (f"its preprocessing is {_shown(there.preprocessing)}, and now it would be "
                f"{_shown(network.preprocessing)}")
    if resolved.form.outputs and there.outputs[0].name != resolved.form.outputs:
        return f"it gives {shown(there.outputs[0].name)}, and now it would give {resolved.form.outputs}"
    if there.scores != network.scores:
        return (f"its probabilities are the {_activation(there.scores)}, and now they would be the "
                f"{_activation(network.scores)}")
    return None


def _shown(preprocessing: Preprocessing) -> str:
    return shown(in_words(preprocessing), 200)


def _activation(scores: Scores | None) -> str:
    if scores is None:
        return "softmax"
    return shown(f"{scores.activation}" + (f" with threshold {scores.threshold:g}" * (scores.activation == "sigmoid")))


def _precision_of(manifest: Manifest) -> tuple[str, str, str]:
    return manifest.precision.requested, manifest.precision.mode, manifest.inputs[0].dtype
