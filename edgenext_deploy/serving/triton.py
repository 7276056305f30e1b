"""A model repository for NVIDIA's Triton Inference Server.

Layout and fields are those of Triton's model_repository.md and model_configuration.md
(https://github.com/triton-inference-server/server, docs/user_guide) and of its ``model_config.proto``, by which
the tests read them. The batch of our exports is fixed, so ``max_batch_size`` is 0: shapes have the batch in them, and a
request has exactly that many images. With a graph whose batch is open, Triton batches dynamically: ``max_batch_size``
is then its largest batch, and shapes are those of one image.
"""
import json
from typing import Any, Dict, List, Optional, Tuple

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
# How long a request waits for others to fill a batch of a preferred size: less than the inference itself takes.
_QUEUE_DELAY_US = 100
_Message = List[Tuple[str, Any]]


def triton_files(manifest: Manifest, name: str, kind: str, graph: bytes,
                 max_batch: Optional[int] = None) -> Dict[str, bytes]:
    """Return the content of each file by its path below the repository.

    Args:
        manifest: of the graph.
        name: of the model in the server.
        kind: one of `KINDS`; a plan is built into its place afterwards, on the machine that serves it.
        graph: the ONNX file.
        max_batch: the most images of one inference, where the batch of `graph` is open; None where it is the
            manifest's.

    Raises:
        IncompatibleError: an input or output of a type that Triton has not.
    """
    runs, file = KINDS[kind]
    taken = manifest.inputs[0]
    pixels = golden_batch(manifest.golden.seed, image_shape(taken))
    image = as_input(normalise(pixels, manifest.preprocessing), taken)
    config = "name: {}\n{}\nmax_batch_size: {}\n{}".format(
        _quoted(name), runs, max_batch or 0, _text(_config(manifest, max_batch)))
    files = {"config.pbtxt": config.encode("utf-8"), "warmup/" + _WARM_UP: image.tobytes()}
    if kind == "triton":
        files[_VERSION + "/" + file] = graph
    if manifest.labels:
        files[_LABELS] = ("\n".join(manifest.labels) + "\n").encode("utf-8")
    return {name + "/" + path: content for path, content in files.items()}


def plan_path(name: str) -> str:
    """Return where a plan goes, below the repository."""
    return "{}/{}/{}".format(name, _VERSION, KINDS["triton-tensorrt"][1])


def _config(manifest: Manifest, max_batch: Optional[int]) -> _Message:
    taken, outer = manifest.inputs[0], max_batch is not None
    # Triton attaches names to the classes of an output that lists them: a classifier's.
    labelled = bool(manifest.labels) and manifest.task == "classification"
    return [
        *[("input", _tensor(spec, outer)) for spec in manifest.inputs],
        *[("output", _tensor(spec, outer) + ([("label_filename", _quoted(_LABELS))] if labelled else []))
          for spec in manifest.outputs],
        ("instance_group", [("count", 1), ("kind", "KIND_AUTO")]),
        *([] if max_batch is None else [("dynamic_batching", [
            ("preferred_batch_size", "[{}]".format(", ".join(map(str, _preferred(max_batch))))),
            ("max_queue_delay_microseconds", _QUEUE_DELAY_US)])]),
        *[_warm_up(taken, batch, outer) for batch in sorted({1, max_batch or 1})]]


def _preferred(max_batch: int) -> List[int]:
    """Return the batches that Triton sends off at once: the powers of two below the largest, and that."""
    return [1 << power for power in range(1, max_batch.bit_length()) if 1 << power < max_batch] + [max_batch]


def _warm_up(taken: TensorSpec, batch: int, outer: bool) -> Tuple[str, _Message]:
    """Return a first request: the golden input, which Triton repeats to fill a batch."""
    return "model_warmup", [
        ("name", _quoted("{} x {}".format(_WARM_UP, batch))), ("batch_size", batch), ("inputs", [
            ("key", _quoted(taken.name)), ("value", [
                *_tensor(taken, outer)[1:], ("input_data_file", _quoted(_WARM_UP))])])]


def _tensor(spec: TensorSpec, outer: bool) -> _Message:
    """Return a tensor; `outer`: the batch is no size of its own."""
    if spec.dtype not in _TYPES:
        raise IncompatibleError("Triton has no type for {} {}".format(spec.name, spec.dtype),
                                "export with float32, float16 or uint8")
    return [("name", _quoted(spec.name)), ("data_type", _TYPES[spec.dtype]),
            ("dims", "[{}]".format(", ".join(map(str, spec.shape[1:] if outer else spec.shape))))]


def _quoted(text: str) -> str:
    """Return a string of protobuf's text format, whose parser in Python takes no pair of escapes for one letter."""
    return json.dumps(text, ensure_ascii=False)


def _text(message: _Message, depth: int = 0) -> str:
    """Return protobuf's text format of a message."""
    indent, lines = "  " * depth, []
    for key, value in message:
        if isinstance(value, list):
            lines.append("{}{} {{\n{}{}}}\n".format(indent, key, _text(value, depth + 1), indent))
        else:
            lines.append("{}{}: {}\n".format(indent, key, value))
    return "".join(lines)
