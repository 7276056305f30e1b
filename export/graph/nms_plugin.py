"""The NMS plugin behind a detector's graph, for an engine that gives detections and not every anchor."""
import onnx
from onnx import helper

from edgenext_deploy.artifacts.manifest import Detection
from edgenext_deploy.artifacts.nms_plugin import DOMAIN, OP, plugin_outputs

_TYPES = {"float32": onnx.TensorProto.FLOAT, "int32": onnx.TensorProto.INT32}


def with_nms_plugin(graph: onnx.ModelProto, settings: Detection) -> onnx.ModelProto:
    """Return a copy of a detector's graph that ends in the plugin.

    Args:
        graph: outputs `boxes` `[B, anchors, 4]` and `scores` `[B, anchors, classes]`, both float32.
        settings: `candidates` has no counterpart in the plugin.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    batch = graph.graph.output[0].type.tensor_type.shape.dim[0].dim_value
    outputs = plugin_outputs(batch, settings)
    # `class_agnostic` is left out: it came after 8.2, which does not know it, and class by class is its default.
    model.graph.node.append(helper.make_node(
        OP, ["boxes", "scores"], [spec.name for spec in outputs], name="nms", domain=DOMAIN, plugin_version="1",
        background_class=-1, max_output_boxes=settings.keep, score_threshold=settings.score_threshold,
        iou_threshold=settings.iou_threshold, score_activation=0, box_coding=0))
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(spec.name, _TYPES[spec.dtype], spec.shape) for spec in outputs)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    onnx.checker.check_model(model, full_check=True)
    return model
