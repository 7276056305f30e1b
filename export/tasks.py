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
from edgenext_deploy.export.resolved import GraphForm
from edgenext_deploy.models.definitions.config import SSDLiteConfig
from edgenext_deploy.models.definitions.deeplab import DeepLabV3
from edgenext_deploy.models.definitions.ssdlite import SSDLite
from edgenext_deploy.models.variants.registry import Variant
from edgenext_deploy.networks.classifier import PROBABILITIES

# Output of a segmenter.
_CLASSES = "classes"
# Share of the pixels that must be of the same class. Where two classes are all but equally likely, the last bits
# decide, and with random weights that is often.
_LEAST_PIXELS = {"fp32": 0.999, "typed": 0.9}


def output_specs(
    model: nn.Module, shape: tuple[int, int, int, int], classes: int, form: GraphForm
) -> tuple[TensorSpec, ...]:
    """Return the outputs of a graph that is exported for images of `shape`, see `manifest.Manifest`."""
    batch, _, height, width = shape
    if isinstance(model, SSDLite):
        count = len(model.anchors(model.level_sizes(height, width)))
        return (TensorSpec("boxes", (batch, count, 4), "float32"),
                TensorSpec("scores", (batch, count, classes), "float32"))
    if isinstance(model, DeepLabV3):
        return (TensorSpec(_CLASSES, (batch, height, width), "int32"),)
    if form.outputs == "features":
        with torch.no_grad():
            example = _embedding(model)(torch.zeros(1, *shape[1:]))
        return (TensorSpec("features", (batch, *example.shape[1:]), "float32"),)
    return (TensorSpec(form.outputs, (batch, classes), "float32"),)


def answer_of(model: nn.Module, scores: Scores | None, features: bool) -> Callable[[torch.Tensor], Answer]:
    """Return what the reference module says, for comparison: its last outputs are the graph's.

    A segmenter also gives its logits, and so does a classifier whose graph gives probabilities: one class map instead
    of another does not say how far the graph is off, and a softmax hides it.

    Raises:
        UsageError: `features` of a module without an embedding.
    """
    if features:
        return _embedding(model)
    if scores is not None and scores.in_graph:
        activation = torch.sigmoid if scores.activation == "sigmoid" else _softmax

        def probabilities(image: torch.Tensor) -> Answer:
            logits = model(image)
            return logits, activation(logits)

        return probabilities
    if isinstance(model, SSDLite):
        return model.detect
    if isinstance(model, DeepLabV3):
        def answer(image: torch.Tensor) -> Answer:
            logits = model(image)
            return logits, logits.argmax(1).int()
        return answer
    return model


def _embedding(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    embed: Callable[[torch.Tensor], torch.Tensor] | None = getattr(model, "embed", None)
    if embed is None:
        raise UsageError(f"--outputs features: {type(model).__name__} has no embedding",
                         "leave it out, or see docs/extending.md")
    return embed


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(1)


def _behind_logits(graph: onnx.ModelProto) -> onnx.NodeProto | None:
    """Return the node that makes a class map or probabilities of logits, None for a graph that gives logits."""
    name = graph.graph.output[-1].name
    if name not in (PROBABILITIES, _CLASSES):
        return None
    by_output: dict[str, onnx.NodeProto] = {value: node for node in graph.graph.node for value in node.output}
    last = by_output[name]
    return by_output[last.input[0]] if last.op_type == "Cast" else last


def observed(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with outputs that correspond to `answer_of`: also the logits behind which it goes on."""
    node = _behind_logits(graph)
    if node is None:
        return graph
    logits = node.input[0]
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    copy.graph.output.insert(
        0, helper.make_tensor_value_info(logits, element_types(graph)[logits], value_shapes(graph)[logits]))
    return copy


def up_to_logits(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return an FP32 graph up to its logits, for analyses of numbers; one that gives numbers as it is."""
    behind, seen = _behind_logits(graph), observed(graph)
    if behind is None:
        return graph
    del seen.graph.output[1:]
    gone = {behind.name} | {node.name for node in seen.graph.node if behind.output[0] in node.input}
    kept = [node for node in seen.graph.node if node.name not in gone]
    del seen.graph.node[:]
    seen.graph.node.extend(kept)
    return seen


def least_agreement(task: str, typed: bool) -> float:
    """Return the share of pixels, 0..1, on which a segmenter's graph must agree; 0 for other tasks."""
    return _LEAST_PIXELS["typed" if typed else "fp32"] if task == "segmentation" else 0.0


def least_agreement_of_pins(variant: Variant, task: str) -> float:
    """Return the share, 0..1, of the decisions that ``--auto-pin`` must leave as they are in FP32.

    An embedding decides nothing. All of a classifier's; of a detector's anchors and a segmenter's pixels some are ties
    that the last bits decide.
    """
    if task == "features":
        return 0.0
    return 1.0 if task == "classification" else least_agreement(variant.task, typed=True)


def detection_of(variant: Variant) -> Detection | None:
    """Return how a detector's outputs become boxes, None for other tasks."""
    head = variant.head
    if not isinstance(head, SSDLiteConfig):
        return None
    return Detection(head.score_threshold, head.iou_threshold, head.candidates, head.keep)


def scores_of(
    form: GraphForm, classes: int, activation: str | None, threshold: float | None
) -> tuple[Scores | None, tuple[str, ...]]:
    """Return how a classifier's logits become probabilities, None for the usual way; also what to say of it.

    Raises:
        UsageError: a softmax of one class, which is 1 whatever the photo; or a threshold of a softmax.
    """
    if form.outputs not in ("logits", PROBABILITIES):
        return None, ()
    in_graph = form.outputs == PROBABILITIES
    least = Scores._field_defaults["threshold"] if threshold is None else threshold
    if classes > 1:
        usual = activation != "sigmoid"
        if usual and threshold is not None:
            raise UsageError("--threshold is for classes that do not exclude each other; of a softmax one always wins",
                             "add --activation sigmoid, or leave it out")
        if usual:
            return (Scores("softmax", in_graph) if in_graph else None), ()
        return Scores("sigmoid", in_graph, least), ()
    if activation == "softmax":
        raise UsageError("--activation softmax of one class is 1 for every photo",
                         "use --activation sigmoid, or train with a class for what it is not")
    return Scores("sigmoid", in_graph, least), ("one class: its probability is the sigmoid of the logit, from 0 to 1",)
