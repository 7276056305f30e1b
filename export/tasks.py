"""What differs between the tasks: a graph's outputs, what the reference module answers, how the two are compared."""
from collections.abc import Callable

import onnx
import torch
from onnx import helper
from torch import nn

from edgenext_deploy.artifacts.manifest import Detection, Scores, TensorSpec
from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.checks.parity import Answer
from edgenext_deploy.export.precision.fp32_pins import element_types, value_shapes
from edgenext_deploy.models.definitions.config import SSDLiteConfig
from edgenext_deploy.models.definitions.deeplab import DeepLabV3
from edgenext_deploy.models.definitions.ssdlite import SSDLite
from edgenext_deploy.models.variants.registry import Variant

# Share of the pixels that must be of the same class. Where two classes are all but equally likely, the last bits
# decide, and with random weights that is often.
_LEAST_PIXELS = {"fp32": 0.999, "typed": 0.9}


def output_specs(model: nn.Module, batch: int, height: int, width: int, classes: int) -> tuple[TensorSpec, ...]:
    """Return the outputs of an exported graph, see `manifest.Manifest`."""
    if isinstance(model, SSDLite):
        count = len(model.anchors(model.level_sizes(height, width)))
        return (TensorSpec("boxes", (batch, count, 4), "float32"),
                TensorSpec("scores", (batch, count, classes), "float32"))
    if isinstance(model, DeepLabV3):
        return (TensorSpec("classes", (batch, height, width), "int32"),)
    return (TensorSpec("logits", (batch, classes), "float32"),)


def answer_of(model: nn.Module) -> Callable[[torch.Tensor], Answer]:
    """Return what the reference module says, for comparison: its last outputs are the graph's.

    A segmenter also gives its logits: one class map instead of another does not say how far the graph is off.
    """
    if isinstance(model, SSDLite):
        return model.detect
    if isinstance(model, DeepLabV3):
        def answer(image: torch.Tensor) -> Answer:
            logits = model(image)
            return logits, logits.argmax(1).int()
        return answer
    return model


def observed(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with outputs that correspond to `answer_of`: before a class map, what it is the largest of."""
    largest = [node for node in graph.graph.node if node.op_type == "ArgMax"]
    if not largest:
        return graph
    (node,) = largest
    logits = node.input[0]
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    copy.graph.output.insert(
        0, helper.make_tensor_value_info(logits, element_types(graph)[logits], value_shapes(graph)[logits]))
    return copy


def without_class_map(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph up to the logits of a class map, for analyses of numbers; other graphs as they are."""
    seen = observed(graph)
    if seen is graph:
        return graph
    del seen.graph.output[1:]
    kept = [node for node in seen.graph.node if node.op_type != "ArgMax"]
    needed = {name for node in kept for name in node.output}
    kept = [node for node in kept if node.op_type != "Cast" or node.input[0] in needed]
    del seen.graph.node[:]
    seen.graph.node.extend(kept)
    return seen


def least_agreement(variant: Variant, typed: bool) -> float:
    """Return the share of pixels, 0..1, on which a segmenter's graph must agree; 0 for other tasks."""
    return _LEAST_PIXELS["typed" if typed else "fp32"] if variant.task == "segmentation" else 0.0


def least_agreement_of_pins(variant: Variant) -> float:
    """Return the share, 0..1, of the decisions that ``--auto-pin`` must leave as they are in FP32.

    All of a classifier's; of a detector's anchors and a segmenter's pixels some are ties that the last bits decide.
    """
    return 1.0 if variant.task == "classification" else least_agreement(variant, typed=True)


def detection_of(variant: Variant) -> Detection | None:
    """Return how a detector's outputs become boxes, None for other tasks."""
    head = variant.head
    if not isinstance(head, SSDLiteConfig):
        return None
    return Detection(head.score_threshold, head.iou_threshold, head.candidates, head.keep)


def scores_of(variant: Variant, classes: int, activation: str | None) -> tuple[Scores | None, tuple[str, ...]]:
    """Return how a classifier's logits become probabilities, None for the softmax; also what to say of it.

    Raises:
        UsageError: a softmax of one class, which is 1 whatever the photo.
    """
    if variant.task != "classification" or (classes > 1 and activation != "sigmoid"):
        return None, ()
    if classes > 1:
        return Scores("sigmoid"), ()
    if activation == "softmax":
        raise UsageError("--activation softmax of one class is 1 for every photo",
                         "use --activation sigmoid, or train with a class for what it is not")
    return Scores("sigmoid"), ("one class: its probability is the sigmoid of the logit, from 0 to 1",)
