"""Files for NVIDIA's DeepStream: nvinfer's configuration, labels, and an application's configuration.

Keys and values are those that ``gstnvinfer_property_parser.cpp`` and ``deepstream_config_file_parser.c`` of DeepStream
6.0 read, which are the tables in the pages Gst-nvinfer and deepstream-app of its documentation
(https://docs.nvidia.com/metropolis/deepstream/6.0/dev-guide/text/DS_plugin_gst-nvinfer.html); those of 9.1
(https://github.com/NVIDIA/DeepStream) read them alike. What nvinfer would compute otherwise than the manifest says is
refused, not approximated. It makes ``net-scale-factor * (pixel - offset)`` in float32: one factor for all channels, and
offsets in the order of the network's channels (``nvdsinfer_conversion.cu``). It builds plans without FP32 pins, so it
gets the plan of edgenext-build, and no ONNX file to fall back on.
"""
from typing import Any, Dict, List, Optional, Sequence, Tuple

from edgenext_deploy.artifacts.manifest import Manifest, Preprocessing
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.networks.classifier import activation_of, threshold_of
from edgenext_deploy.preprocess.possible import CHANNEL_ORDERS

_CLASSIFIER, _OTHER = 1, 100
_FP32, _FP16 = 0, 2
_COLORS = {"rgb": 0, "bgr": 1}
_SEPARATOR = ";"
_Pairs = Sequence[Tuple[str, Any]]


def deepstream_files(manifest: Manifest, name: str) -> Dict[str, bytes]:
    """Return the content of each file by its name.

    Args:
        manifest: of the graph.
        name: stem of the graph's and the plan's names.

    Raises:
        IncompatibleError: nvinfer cannot do what the manifest says.
    """
    config, labels = name + ".nvinfer.txt", name + ".labels.txt"
    files = {config: _text([("property", _properties(manifest, name, labels))]),
             name + ".deepstream.txt": _text(_application(manifest, config))}
    if _is_classifier(manifest):
        files[labels] = (_SEPARATOR.join(_labels(manifest)) + "\n").encode("utf-8")
    return files


def _properties(manifest: Manifest, name: str, labels: str) -> _Pairs:
    preprocessing = manifest.preprocessing
    found: List[Tuple[str, Any]] = [
        ("gpu-id", 0), ("gie-unique-id", 1), ("process-mode", 1), ("model-engine-file", name + ".plan"),
        ("batch-size", manifest.inputs[0].shape[0]),
        ("network-mode", _FP16 if manifest.precision.requested == "fp16" else _FP32),
        ("infer-dims", "3;{};{}".format(preprocessing.height, preprocessing.width)),
        ("model-color-format", _COLORS[preprocessing.channel_order]), *_scaling(manifest), *_placing(preprocessing)]
    if not _is_classifier(manifest):
        # nvinfer has no parser for these outputs: the application gets the tensors.
        return [*found, ("network-type", _OTHER), ("output-tensor-meta", 1)]
    if manifest.scores is None or not manifest.scores.in_graph:
        raise IncompatibleError("nvinfer takes a classifier's outputs for probabilities, and this graph gives logits",
                                "export with --outputs probabilities")
    if manifest.outputs[0].dtype != "float32":
        raise IncompatibleError("nvinfer reads a classifier's outputs as float32, and this graph gives {}".format(
            manifest.outputs[0].dtype), "export without --io fp16")
    threshold = threshold_of(manifest, len(_labels(manifest)))
    return [*found, ("network-type", _CLASSIFIER), ("labelfile-path", labels),
            ("classifier-threshold", "{:g}".format(threshold or 0.0))]


def _scaling(manifest: Manifest) -> _Pairs:
    preprocessing = manifest.preprocessing
    if manifest.inputs[0].dtype != "float32":
        raise IncompatibleError("nvinfer hands over float32, and this graph takes {}".format(manifest.inputs[0].dtype),
                                "export without --input uint8 and without --io fp16")
    if preprocessing.folded:
        return [("net-scale-factor", 1)]
    if len(set(preprocessing.std)) != 1:
        raise IncompatibleError(
            "nvinfer divides all channels by one number, and this network's std is {}".format(
                ", ".join("{:g}".format(std) for std in preprocessing.std)), "export with --fold-normalization")
    means = [preprocessing.mean[channel] * 255 for channel in CHANNEL_ORDERS[preprocessing.channel_order]]
    # Digits enough that reading them gives the same double.
    return [("net-scale-factor", repr(1.0 / (255.0 * preprocessing.std[0]))),
            ("offsets", _SEPARATOR.join(map(repr, means)))]


def _placing(preprocessing: Preprocessing) -> _Pairs:
    if preprocessing.fit == "stretch":
        return [("maintain-aspect-ratio", 0)]
    if preprocessing.fit == "letterbox":
        if any(preprocessing.pad_color):
            raise IncompatibleError("nvinfer pads with black, and this network's border is {}".format(
                ", ".join(map(str, preprocessing.pad_color))), "export with --pad-color 0,0,0")
        return [("maintain-aspect-ratio", 1), ("symmetric-padding", 1)]
    raise IncompatibleError("nvinfer scales whole frames, and this network sees the middle of them",
                            "export with --fit stretch or --fit letterbox, if the network was trained so or bears it")


def _is_classifier(manifest: Manifest) -> bool:
    return manifest.task == "classification"


def _labels(manifest: Manifest) -> Tuple[str, ...]:
    """Return the names of the classes; raise for one that nvinfer would take for two."""
    classes = manifest.outputs[0].shape[1]
    activation_of(manifest, classes)
    names = manifest.labels or tuple("class {}".format(index) for index in range(classes))
    wrong: Optional[str] = next((label for label in names if _SEPARATOR in label or "\n" in label), None)
    if wrong is not None:
        raise IncompatibleError("the label {!r} has a {!r}, which separates labels in nvinfer's file".format(
            wrong, _SEPARATOR), "export with --labels FILE, whose names have none")
    return names


def _application(manifest: Manifest, config: str) -> Sequence[Tuple[str, _Pairs]]:
    batch = manifest.inputs[0].shape[0]
    return [
        ("application", [("enable-perf-measurement", 1), ("perf-measurement-interval-sec", 5)]),
        # 3: a file, network stream or several of them, by their address.
        ("source0", [("enable", 1), ("type", 3), ("uri", "file:///path/to/video.mp4"), ("num-sources", 1),
                     ("gpu-id", 0)]),
        ("streammux", [("gpu-id", 0), ("batch-size", batch), ("batched-push-timeout", 40000), ("width", 1280),
                       ("height", 720)]),
        ("primary-gie", [("enable", 1), ("gpu-id", 0), ("gie-unique-id", 1), ("batch-size", batch),
                         ("config-file", config)]),
        ("osd", [("enable", 1), ("gpu-id", 0)]),
        # 1: shown nowhere, as fast as it goes.
        ("sink0", [("enable", 1), ("type", 1), ("sync", 0)])]


def _text(groups: Sequence[Tuple[str, _Pairs]]) -> bytes:
    """Return GLib's key file with these groups, their keys and values."""
    blocks = ["[{}]\n".format(group) + "".join("{}={}\n".format(*pair) for pair in pairs) for group, pairs in groups]
    return "\n".join(blocks).encode("utf-8")
