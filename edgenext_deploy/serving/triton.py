"""A model repository for NVIDIA's Triton Inference Server.

Layout and fields are those of Triton's model_repository.md and model_configuration.md
(https://github.com/triton-inference-server/server, docs/user_guide) and of its ``model_config.proto``, by which
the tests read them. The batch of our graphs is fixed, so ``max_batch_size`` is 0: shapes have the batch in them, a
request has exactly that many images, and Triton's dynamic batching, which needs an open batch, is not used.
"""
import json
from typing import Any, Dict, List, Tuple

from edgenext_deploy.artifacts.golden import golden_batch
from edgenext_deploy.artifacts.manifest import Manifest, TensorSpec
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.preprocess.input_form import as_input, image_shape
from edgenext_deploy.preprocess.photo import normalise

# Of each kind of engine: how Triton runs it, and its file's name.
KINDS = {"triton": ('backend: "onnxruntime"', "model.onnx"),
         "triton-tensorrt": ('platform: "tensorrt_plan"', "model.plan")}
_TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "uint8": "TYPE_UINT8", "int8": "TYPE_INT8",
          "int32": "TYPE_INT32", "int64": "TYPE_INT64", "bool": "TYPE_BOOL"}
_VERSION = "1"
_LABELS, _WARM_UP = "labels.txt", "golden"
_Message = List[Tuple[str, Any]]


def triton_files(manifest: Manifest, name: str, kind: str, graph: bytes) -> Dict[str, bytes]:
    """Return the content of each file by its path below the repository.

    Args:
        manifest: of the graph.
        name: of the model in the server.
        kind: one of `KINDS`; a plan is built into its place afterwards, on the machine that serves it.
        graph: the ONNX file.

    Raises:
        IncompatibleError: an input or output of a type that Triton has not.
    """
    runs, file = KINDS[kind]
    taken = manifest.inputs[0]
    pixels = golden_batch(manifest.golden.seed, image_shape(taken))
    image = as_input(normalise(pixels, manifest.preprocessing), taken)
    config = "name: {}\n{}\nmax_batch_size: 0\n{}".format(json.dumps(name), runs, _text(_config(manifest)))
    files = {"config.pbtxt": config.encode("utf-8"), "warmup/" + _WARM_UP: image.tobytes()}
    if kind == "triton":
        files[_VERSION + "/" + file] = graph
    if manifest.labels:
        files[_LABELS] = ("\n".join(manifest.labels) + "\n").encode("utf-8")
    return {name + "/" + path: content for path, content in files.items()}


def plan_path(name: str) -> str:
    """Return where a plan goes, below the repository."""
    return "{}/{}/{}".format(name, _VERSION, KINDS["triton-tensorrt"][1])


def _config(manifest: Manifest) -> _Message:
    taken = manifest.inputs[0]
    # Triton attaches names to the classes of an output that lists them: a classifier's.
    labelled = bool(manifest.labels) and manifest.task == "classification"
    return [
        *[("input", _tensor(spec)) for spec in manifest.inputs],
        *[("output", _tensor(spec) + ([("label_filename", json.dumps(_LABELS))] if labelled else []))
          for spec in manifest.outputs],
        ("instance_group", [("count", 1), ("kind", "KIND_AUTO")]),
        ("model_warmup", [("name", json.dumps(_WARM_UP)), ("batch_size", 1), ("inputs", [
            ("key", json.dumps(taken.name)), ("value", [
                *_tensor(taken)[1:], ("input_data_file", json.dumps(_WARM_UP))])])])]


def _tensor(spec: TensorSpec) -> _Message:
    if spec.dtype not in _TYPES:
        raise IncompatibleError("Triton has no type for {} {}".format(spec.name, spec.dtype),
                                "export with float32, float16 or uint8")
    return [("name", json.dumps(spec.name)), ("data_type", _TYPES[spec.dtype]),
            ("dims", "[{}]".format(", ".join(map(str, spec.shape))))]


def _text(message: _Message, depth: int = 0) -> str:
    """Return protobuf's text format of a message."""
    indent, lines = "  " * depth, []
    for key, value in message:
        if isinstance(value, list):
            lines.append("{}{} {{\n{}{}}}\n".format(indent, key, _text(value, depth + 1), indent))
        else:
            lines.append("{}{}: {}\n".format(indent, key, value))
    return "".join(lines)
