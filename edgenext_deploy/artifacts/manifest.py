"""The manifest: one JSON sidecar that says everything about an exported ONNX file.

It lies next to the ONNX file under the same name (``xxs.onnx``, ``xxs.json``) and travels with it to the
device, where neither torch nor onnx exists. `read` checks types and digest before anything is trusted.
"""
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts.manifest_limits import require_limits, require_plain_names
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import find_beside, shown

# The newest that this release writes and reads. 1 is written wherever it says everything, so that older releases read
# it; `schema_needed` decides. Schema 2 has what an older release would ignore, and so run wrongly.
SCHEMA = 2
ONNX_SUFFIX = ".onnx"
# Of a file with several graphs, see `edgenext_deploy.bundle.record`.
BUNDLE_SUFFIX = ".race"
PLAN_SUFFIXES = (".plan", ".engine", ".trt")
# In `Manifest.lowering`, among the rules: the graph was taken over as somebody's file has it.
ADOPTED = "adopted"
# A manifest is some 20 kB; anything far larger is not one.
_MAX_BYTES = 32 << 20
_FIX = "export again with edgenext-export, or copy the .json that lies next to the .onnx"
_FIX_MISSING = ("copy the .json that lies next to the .onnx; a file of another tool gets one from "
                "edgenext-export adopt FILE.onnx")
# Fields that came with schema 2, by the record that has them; left out of the file where they have their defaults.
_OF_SCHEMA_2 = {"": ("scores",), "preprocessing": ("channel_order", "pad_color")}


class TensorSpec(NamedTuple):
    """Name, shape (`[1, 3, 256, 256]`) and numpy dtype name of one graph input or output."""

    name: str
    shape: Tuple[int, ...]
    dtype: str


class Preprocessing(NamedTuple):
    """From a photo to the network's input; see `edgenext_deploy.preprocess.photo` for the exact steps.

    `mean` and `std` are in units of the 0..1 range, RGB order. `folded` means that the graph itself
    normalises: it takes pixels as they are, in 0..255. `fit` is ``crop`` (scale the shorter side, cut out the centre;
    for classifiers), ``stretch`` (the whole image, whatever its aspect, `crop_pct` is 1) or ``letterbox`` (the whole
    image in its own aspect in the middle of `pad_color`, `crop_pct` is 1).

    `interpolation` is ``bicubic``, ``bilinear``, ``nearest`` or ``lanczos``, Pillow's filters. `channel_order` is that
    of the network's input, ``rgb`` or ``bgr``; `mean`, `std` and `pad_color` (0..255) are in RGB order even then.
    """

    height: int
    width: int
    crop_pct: float
    interpolation: str
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    folded: bool
    fit: str = "crop"
    channel_order: str = "rgb"
    pad_color: Tuple[int, ...] = ()


class Weights(NamedTuple):
    """Where the parameters came from.

    Attributes:
        source: in words.
        random: not trained.
        sha256: over all parameter names and values as loaded.
        published: the file that the variant's accuracy was published with, whole; what ``--pretrained`` takes.
    """

    source: str
    random: bool
    sha256: str
    published: bool = False


class GraphFile(NamedTuple):
    """The ONNX file this manifest belongs to; `file` is a name without folder."""

    file: str
    sha256: str
    bytes: int
    opset: int
    ir_version: int


class Precision(NamedTuple):
    """What ``--fp16`` means for this graph.

    `requested` is ``fp32`` or ``fp16``. `mode` is ``flag`` (FP32 graph, the builder gets the FP16 flag and
    pins the nodes of `fp32_pins` by name), ``typed`` (the graph's own dtypes decide) or ``none``. `fp32_pins`
    maps a reason to the nodes that compute in FP32 because of it. `fp16_share` is the share of
    multiply-adds in FP16, 0..1; `casts` counts the Cast nodes of a typed graph.
    """

    requested: str
    mode: str
    fp32_pins: Dict[str, Tuple[str, ...]] = {}
    fp16_share: float = 0.0
    casts: int = 0


class GoldenOutput(NamedTuple):
    """A further output of the golden input; the fields are those of `Golden`."""

    output_shape: Tuple[int, ...]
    output_base64: str
    output_dtype: str = "float32"


class Golden(NamedTuple):
    """A known input and the reference module's answer, for a self-test anywhere.

    The input is `edgenext_deploy.artifacts.golden.golden_input(seed, shape)` after preprocessing, exact on every
    machine; `input_sha256` proves it. `output_base64` holds the first output, little-endian, in the numpy type
    `output_dtype`; `more` the others, in order. Tolerances are relative to the largest magnitude of an output of
    numbers; in one of classes, they are the share of the elements that may differ.
    """

    seed: int
    input_sha256: str
    output_shape: Tuple[int, ...]
    output_base64: str
    tolerance: Dict[str, float]
    output_dtype: str = "float32"
    more: Tuple[GoldenOutput, ...] = ()


class Parity(NamedTuple):
    """The exported file in ONNX Runtime against the reference module, worst over `inputs` inputs.

    Errors are relative to the largest magnitude of the same output. For a segmenter they are of the logits that its
    class map is the largest of. `top1_agreement` is the share of images, anchors or pixels whose most probable class
    is the same.
    """

    inputs: int
    max_absolute_error: float
    max_relative_error: float
    min_cosine: float
    top1_agreement: float
    tolerance: float


class Detection(NamedTuple):
    """How a detector's outputs become boxes; see `edgenext_deploy.networks.detector`.

    Its graph gives ``boxes`` `[B, anchors, 4]` (left, top, right, bottom, in parts of the input's width and height,
    decoded, not clipped) and ``scores`` `[B, anchors, classes]` (softmax probabilities, the background left out).
    `score_threshold`: boxes need a higher score. `candidates`: largest number of boxes per class that go into the
    class-wise suppression at `iou_threshold`. `keep`: largest number of detections in all.
    """

    score_threshold: float
    iou_threshold: float
    candidates: int
    keep: int


class Scores(NamedTuple):
    """How a classifier's output becomes probabilities, where that is not the usual softmax outside the graph.

    `activation` is ``softmax`` (classes exclude each other) or ``sigmoid`` (each class for itself, which is also the
    only reading of one class). `in_graph`: the output is already probabilities. `threshold`: the probability from which
    a class of a sigmoid counts as present.
    """

    activation: str
    in_graph: bool = False
    threshold: float = 0.5


class Manifest(NamedTuple):
    """Everything about one exported graph.

    `task` is ``classification`` (output ``logits``, or with `Scores.in_graph` ``probabilities``, `[B, classes]`),
    ``detection`` (see `Detection`, which is None for every other task), ``segmentation`` (output ``classes`` int32
    `[B, H, W]`, the most probable class of each pixel) or ``features`` (output ``features`` `[B, C]`, the embedding in
    front of a classifier; no labels).

    The input ``image`` is `[B, 3, H, W]`, float32 or float16. Where the graph normalises, it may be pixels as uint8,
    also `[B, H, W, 3]`; see `edgenext_deploy.preprocess.input_form`.
    """

    schema: int
    toolkit_version: str
    task: str
    variant: str
    weights: Weights
    target: str
    graph: GraphFile
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    preprocessing: Preprocessing
    labels: Tuple[str, ...]
    labels_source: str
    precision: Precision
    lowering: Dict[str, Any]
    verdicts: Dict[str, Any]
    parity: Parity
    golden: Golden
    detection: Optional[Detection] = None
    scores: Optional[Scores] = None


def is_adopted(manifest: Manifest) -> bool:
    """Return whether the network is none of ours: ``edgenext-export adopt`` took it from somebody's ONNX file."""
    rules = manifest.lowering.get("rules")
    return isinstance(rules, dict) and ADOPTED in rules


def schema_needed(manifest: Manifest) -> int:
    """Return the lowest schema whose readers understand the whole manifest."""
    if any(spec.dtype == "uint8" for spec in manifest.inputs):
        return 2
    return 2 if _set_of_schema_2(manifest) else 1


def _set_of_schema_2(manifest: Manifest) -> List[str]:
    """Return the fields of schema 2 that do not have their defaults."""
    found = []
    for part, names in _OF_SCHEMA_2.items():
        record = getattr(manifest, part) if part else manifest
        found += [name for name in names if getattr(record, name) != type(record)._field_defaults[name]]
    return found


def manifest_path(engine_path: str) -> str:
    """Return the path of the manifest next to an ONNX file or plan, where it is written."""
    return os.path.splitext(engine_path)[0] + ".json"


def find_manifest_path(engine_path: str) -> str:
    """Return the path of an engine's manifest to read: of a link to an engine, it may lie next to the engine."""
    return find_beside(engine_path, manifest_path)


def dump(manifest: Manifest) -> bytes:
    """Return the manifest as JSON; the same manifest gives the same bytes."""
    data = json_records.to_json(manifest)
    kept = _set_of_schema_2(manifest)
    for part, names in _OF_SCHEMA_2.items():
        for name in set(names) - set(kept):
            del (data[part] if part else data)[name]
    return json_records.dump(data)


def read(path: str) -> Manifest:
    """Read and check a manifest.

    Raises:
        BadInputError: missing, not JSON, another schema, or a field of another type or beyond its range.
    """
    return parse(read_bytes(path), path)


def read_bytes(path: str) -> bytes:
    """Return the content of a manifest's file, not yet parsed.

    Raises:
        BadInputError: missing, unreadable or too large.
    """
    return json_records.read_bytes(path, "manifest", _FIX if os.path.exists(path) else _FIX_MISSING, _MAX_BYTES)


def parse(content: bytes, path: str) -> Manifest:
    """Check the content of a manifest.

    Args:
        content: of the file.
        path: of the file, for the messages.

    Raises:
        BadInputError: see `read`.
    """
    data = json_records.parse_object(content, path, "manifest", _FIX)
    if "schema" not in data:
        raise BadInputError("{}: not a manifest: it has no field 'schema'".format(path), _FIX)
    if data["schema"] not in (1, SCHEMA):  # `True`, which equals 1, is for `from_json` to refuse
        raise BadInputError("{}: manifest schema {} found, 1 or {} expected".format(
            path, shown(repr(data["schema"]), 60), SCHEMA),
            "use the toolkit version {} that wrote it, or export again".format(
                shown(str(data.get("toolkit_version", "(unknown)")), 60)))
    manifest = json_records.from_json(Manifest, data, os.path.basename(path))
    if manifest.schema < schema_needed(manifest):
        raise BadInputError("{}: manifest schema {} with fields of schema {}: {}".format(
            path, manifest.schema, SCHEMA, ", ".join(_set_of_schema_2(manifest)) or "a uint8 input"), _FIX)
    require_limits(manifest, path)
    require_plain_names(manifest, data, path)
    return manifest
