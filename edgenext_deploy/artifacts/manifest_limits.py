"""How large the numbers of a manifest may be: it comes from another machine, and memory is taken by what it says."""
from typing import Any, Iterator, Sequence, Tuple

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

# Elements of one input or output: 256 MB in float32, a hundred times what the largest variant has.
MOST_ELEMENTS = 1 << 26
_MOST_SIZES = 8
_MOST_TENSORS = 64
_MOST_LABELS = 100000
_LONGEST_TEXT = 1000
_MOST_BYTES = 1 << 31
_FIX = "export again with edgenext-export, or copy the .json that lies next to the .onnx"


def require_limits(manifest: Any, path: str) -> None:
    """Raise BadInputError, naming the field, for numbers that no export writes.

    Args:
        manifest: a `Manifest`, whose module imports this one.
        path: of its file, for the message.
    """
    for field, problem in _problems(manifest):
        raise BadInputError("{}: {} {}".format(path, field, problem), _FIX)


def require_plain_names(manifest: Any, data: Any, path: str) -> None:
    """Raise BadInputError for a name of a tensor or node that was changed on reading: it would match nothing.

    Args:
        manifest: what was made of `data`, with controls in its texts escaped.
        data: the parsed file.
        path: of the file, for the message.
    """
    pins = data["precision"].get("fp32_pins", {})
    read = [*(spec.name for spec in (*manifest.inputs, *manifest.outputs)),
            *(name for names in manifest.precision.fp32_pins.values() for name in names)]
    given = [*(spec["name"] for spec in (*data["inputs"], *data["outputs"])),
             *(name for names in pins.values() for name in names)]
    for name, original in zip(read, given):
        if name != original:
            raise BadInputError(
                "{}: {} is the name of a tensor or node; one without control characters is expected".format(
                    path, shown(repr(original), 60)), _FIX)


def _problems(manifest: Any) -> Iterator[Tuple[str, str]]:
    graph, golden = manifest.graph, manifest.golden
    for side in ("inputs", "outputs"):
        specs = getattr(manifest, side)
        if len(specs) > _MOST_TENSORS:
            yield side, "has {} tensors, at most {} expected".format(len(specs), _MOST_TENSORS)
        for index, spec in enumerate(specs):
            yield from _shape("{}[{}].shape".format(side, index), spec.shape)
    yield from _shape("golden.output_shape", golden.output_shape)
    for index, more in enumerate(golden.more):
        yield from _shape("golden.more[{}].output_shape".format(index), more.output_shape)
    ranges = [
        ("graph.bytes", graph.bytes, 1, _MOST_BYTES), ("graph.opset", graph.opset, 1, 1000),
        ("graph.ir_version", graph.ir_version, 1, 1000), ("golden.seed", golden.seed, 0, (1 << 31) - 1),
        ("precision.fp16_share", manifest.precision.fp16_share, 0, 1),
        ("precision.casts", manifest.precision.casts, 0, _MOST_BYTES)]
    ranges += [("golden.tolerance." + name, value, 0, 1) for name, value in golden.tolerance.items()]
    if manifest.scores is not None:
        ranges.append(("scores.threshold", manifest.scores.threshold, 0, 1))
    if manifest.detection is not None:
        detection = manifest.detection
        ranges += [("detection.score_threshold", detection.score_threshold, 0, 1),
                   ("detection.iou_threshold", detection.iou_threshold, 0, 1),
                   ("detection.candidates", detection.candidates, 1, _MOST_LABELS),
                   ("detection.keep", detection.keep, 1, _MOST_LABELS)]
    for field, value, low, high in ranges:
        if not low <= value <= high:
            yield field, "is {}; {} to {} expected".format(value, low, high)
    if len(manifest.labels) > _MOST_LABELS:
        yield "labels", "has {} names, at most {} expected".format(len(manifest.labels), _MOST_LABELS)
    for index, label in enumerate(manifest.labels):
        if len(label) > _LONGEST_TEXT:
            yield "labels[{}]".format(index), _long(label)
    texts = [(name, getattr(manifest, name)) for name in
             ("toolkit_version", "task", "variant", "target", "labels_source")]
    texts += [("graph.file", graph.file), ("graph.sha256", graph.sha256), ("golden.input_sha256", golden.input_sha256),
              ("precision.mode", manifest.precision.mode), ("precision.requested", manifest.precision.requested),
              ("weights.sha256", manifest.weights.sha256), ("golden.output_dtype", golden.output_dtype),
              ("preprocessing.fit", manifest.preprocessing.fit),
              ("preprocessing.interpolation", manifest.preprocessing.interpolation)]
    texts += [(side + " name", spec.name + spec.dtype) for side in ("inputs", "outputs")
              for spec in getattr(manifest, side)]
    for field, text in texts:
        if len(text) > _LONGEST_TEXT:
            yield field, _long(text)


def _shape(field: str, shape: Sequence[int]) -> Iterator[Tuple[str, str]]:
    elements = 1
    for size in shape:
        elements *= max(size, 1)
        if not 0 < size <= MOST_ELEMENTS or elements > MOST_ELEMENTS or len(shape) > _MOST_SIZES:
            yield field, "is {}; up to {} sizes with {} elements in all expected".format(
                list(shape[:_MOST_SIZES]), _MOST_SIZES, MOST_ELEMENTS)
            return


def _long(text: str) -> str:
    return "has {} characters, at most {} expected".format(len(text), _LONGEST_TEXT)
