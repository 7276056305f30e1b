"""TensorRT's `EfficientNMS_TRT` plugin: the operator and its outputs.

Names, types and meaning are those of NVIDIA's plugin (github.com/NVIDIA/TensorRT, plugin/efficientNMSPlugin/README.md)
and of its EfficientDet sample (samples/python/efficientdet). It came with TensorRT 8.0.1.
"""
from typing import Iterable, Tuple

from edgenext_deploy.artifacts.manifest import Detection, TensorSpec

OP = "EfficientNMS_TRT"
# ONNX has no such operator, so its node needs a domain of its own; TensorRT goes by the operator's name alone.
DOMAIN = "TRT"
# Before the ending of a graph with the plugin: s_ssdlite.nms.onnx next to s_ssdlite.onnx.
SUFFIX = ".nms"


def plugin_outputs(batch: int, settings: Detection) -> Tuple[TensorSpec, ...]:
    """Return the outputs of a graph that ends in the plugin, in the plugin's order.

    Of the `keep` rows of each image only the first ``num_detections`` mean anything.
    """
    keep = settings.keep
    return (TensorSpec("num_detections", (batch, 1), "int32"),
            TensorSpec("detection_boxes", (batch, keep, 4), "float32"),
            TensorSpec("detection_scores", (batch, keep), "float32"),
            TensorSpec("detection_classes", (batch, keep), "int32"))


def ends_in_plugin(outputs: Iterable[TensorSpec]) -> bool:
    """Return whether outputs are those of the plugin, by their names."""
    return {spec.name for spec in outputs} == _NAMES


_NAMES = {spec.name for spec in plugin_outputs(1, Detection(0.0, 0.0, 1, 1))}
