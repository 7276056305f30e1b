"""From what somebody else's graph gives to what the manifest promises: logits, probabilities, boxes, a class map.

The raw values are chosen in the file as given, so that the reference, which is that file in ONNX Runtime, answers with
the same ones. What comes behind them is written here, once as nodes and once in numpy and torch.
"""
import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.export.adoption.rewriting import Rewriter
from edgenext_deploy.export.graph.fp32_reasons import SIGMOID, SOFTMAX
from edgenext_deploy.files import shown

# Between an activation and the output.
_MOVES = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
_BOXES = "decoding of boxes: near 1, FP16 has steps of a two-thousandth"


@dataclasses.dataclass(frozen=True)
class BoxForm:
    """How a detector's file gives its boxes and scores.

    Attributes:
        corners: the four numbers are left, top, right, bottom; else centre x, centre y, width, height.
        pixels: they are in pixels of the input; else in parts of its sides.
        background: the first score of each box is that of the background.
    """

    corners: bool = True
    pixels: bool = False
    background: bool = False


@dataclasses.dataclass(frozen=True)
class RawValues:
    """The values of the file that the answer is made of.

    Attributes:
        names: of the values, boxes before scores.
        activation: ``softmax`` or ``sigmoid`` if the file itself makes probabilities of them, else None.
    """

    names: tuple[str, ...]
    activation: str | None = None


def choose_values(model: onnx.ModelProto, task: str, named: Sequence[str | None]) -> RawValues:
    """Return the values that the answer is made of.

    Args:
        model: as given.
        task: of the manifest.
        named: outputs that the user named: one, or boxes and scores; None where nothing is said.

    Raises:
        UsageError: no such output, or several and none named.
    """
    outputs = [value.name for value in model.graph.output]
    for name in named:
        if name is not None and name not in outputs:
            raise UsageError(f"no output {shown(name)}; the file has {_list(outputs)}", "give one of them")
    if task == "detection":
        boxes, scores = _boxes_and_scores(model, outputs, *named)
        return RawValues((boxes, scores))
    (name,) = named
    if name is None and len(outputs) > 1:
        raise UsageError(f"the file has the outputs {_list(outputs)}, and {task} has one",
                         f"name it, such as --logits {outputs[0]}")
    value = name or outputs[0]
    producer = {result: node for node in model.graph.node for result in node.output}
    node = producer.get(value)
    while node is not None and node.op_type in (*_MOVES, "Cast"):
        node = producer.get(node.input[0])
    if task == "classification" and node is not None and node.op_type in _ACTIVATIONS:
        return RawValues((node.input[0],), _ACTIVATIONS[node.op_type])
    if task == "segmentation" and node is not None and node.op_type == "ArgMax":
        return RawValues((node.input[0],))
    return RawValues((value,))


def _boxes_and_scores(
    model: onnx.ModelProto, outputs: list[str], boxes: str | None, scores: str | None
) -> tuple[str, str]:
    if boxes is not None and scores is not None:
        return boxes, scores
    last = {value.name: value.type.tensor_type.shape.dim[-1].dim_value if value.type.tensor_type.shape.dim else 0
            for value in model.graph.output}
    fours = [name for name in outputs if last[name] == 4 and name != scores]
    others = [name for name in outputs if name not in fours and name != boxes]
    if (boxes is None and len(fours) != 1) or (scores is None and len(others) != 1):
        raise UsageError(f"it is not clear which of the outputs {_list(outputs)} are boxes and scores",
                         "name both with --boxes NAME --scores NAME")
    return boxes or fours[0], scores or others[0]


def _list(names: list[str]) -> str:
    return ", ".join(map(shown, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


@dataclasses.dataclass(frozen=True)
class Ends:
    """What stands behind the raw values, as nodes and as a reference.

    Attributes:
        task: of the manifest.
        values: the raw ones.
        size: height and width of the input, in pixels.
        boxes: how a detector's boxes are given.
    """

    task: str
    values: RawValues
    size: tuple[int, int]
    boxes: BoxForm = BoxForm()

    def classes(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """Return the number of classes, from the shapes of the raw values.

        Raises:
            IncompatibleError: shapes that no network of this task gives.
        """
        if self.task == "detection":
            boxes, scores = shapes
            if len(boxes) != 3 or boxes[2] != 4 or len(scores) != 3 or scores[:2] != boxes[:2]:
                raise IncompatibleError(f"boxes {list(boxes)} and scores {list(scores)} found; [B,N,4] and "
                                        "[B,N,classes] expected", "export the network with decoded boxes as rows")
            return scores[2] - self.boxes.background
        (shape,) = shapes
        if self.task == "segmentation":
            if len(shape) != 4 or shape[1] < 2:
                raise IncompatibleError(f"output {list(shape)} found; logits [B,classes,H,W] expected",
                                        "name the logits' output with --logits")
            return shape[1]
        count = int(np.prod(shape[1:]))
        if max(shape[1:], default=1) != count:
            raise IncompatibleError(f"output {list(shape)} found; one number for each class, [B,classes], expected",
                                    "say what it is with --task segmentation or --task detection")
        return count

    def specs(self, shapes: Sequence[tuple[int, ...]]) -> tuple[TensorSpec, ...]:
        """Return the graph's outputs."""
        batch, count = shapes[0][0], self.classes(shapes)
        if self.task == "detection":
            boxes = shapes[0][1]
            return (TensorSpec("boxes", (batch, boxes, 4), "float32"),
                    TensorSpec("scores", (batch, boxes, count), "float32"))
        if self.task == "segmentation":
            return (TensorSpec("classes", (batch, *self.size), "int32"),)
        return (TensorSpec(self.output_name, (batch, count), "float32"),)

    @property
    def output_name(self) -> str:
        """Name of the one output of a classifier, or of what gives features."""
        return "features" if self.task == "features" else "probabilities" if self.values.activation else "logits"

    def append(
        self, model: onnx.ModelProto, names: Sequence[str], shapes: Sequence[tuple[int, ...]]
    ) -> dict[str, str]:
        """Write the nodes behind the raw values, by their names there; return the FP32 islands.

        The results become the graph's outputs.
        """
        to = Rewriter(model)
        to.nodes = list(model.graph.node)
        specs = self.specs(shapes)
        if self.task == "detection":
            self._boxes(to, names[0], names[1], specs)
        elif self.task == "segmentation":
            self._class_map(to, names[0], shapes[0])
        else:
            self._row(to, names[0], shapes[0], specs[0])
        del model.graph.output[:]
        kinds = {"float32": onnx.TensorProto.FLOAT, "int32": onnx.TensorProto.INT32}
        model.graph.output.extend(
            helper.make_tensor_value_info(spec.name, kinds[spec.dtype], spec.shape) for spec in specs)
        to.finish()
        return to.islands

    def _row(self, to: Rewriter, value: str, shape: tuple[int, ...], spec: TensorSpec) -> None:
        rows = to.constant("output.shape", list(spec.shape))
        if self.values.activation is None:
            to.node("Reshape", [value, rows], "output", spec.name)
            return
        if shape != spec.shape:
            value = to.node("Reshape", [value, rows], "output")
        kind, reason = ("Softmax", SOFTMAX) if self.values.activation == "softmax" else ("Sigmoid", SIGMOID)
        attributes = {"axis": 1} if kind == "Softmax" else {}
        to.node(kind, [value], self.values.activation, spec.name, reason, **attributes)

    def _class_map(self, to: Rewriter, value: str, shape: tuple[int, ...]) -> None:
        if shape[2:] != self.size:
            sizes = to.constant("output.sizes", [*shape[:2], *self.size])
            value = to.node("Resize", [value, "", "", sizes], "output.resize", mode="linear",
                            coordinate_transformation_mode="half_pixel")
        largest = to.node("ArgMax", [value], "output.classes", axis=1, keepdims=0)
        to.node("Cast", [largest], "output.to_int32", "classes", to=onnx.TensorProto.INT32)

    def _boxes(self, to: Rewriter, boxes: str, scores: str, specs: tuple[TensorSpec, ...]) -> None:
        if not self.boxes.corners:
            half = to.constant("boxes.to_corners", np.array(
                [[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], np.float32))
            boxes = to.node("MatMul", [boxes, half], "boxes.corners", reason=_BOXES)
        scale = self._box_scale()
        boxes = to.node("Mul", [boxes, to.constant("boxes.scale", scale)], "boxes.scaled", "boxes", _BOXES)
        if self.boxes.background:
            limits = [to.constant(f"scores.{name}", [number]) for name, number in (
                ("first", 1), ("end", 1 + specs[1].shape[2]), ("axis", 2))]
            scores = to.node("Slice", [scores, *limits], "scores.classes")
        to.node("Identity", [scores], "scores.output", "scores")

    def _box_scale(self) -> np.ndarray:
        height, width = self.size
        return np.array([1 / width, 1 / height] * 2 if self.boxes.pixels else [1.0] * 4, np.float32)

    def answer(self, raw: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return the reference's answer from the raw values, as `tasks.observed` shows the graph's."""
        if self.task == "detection":
            boxes, scores = raw
            if not self.boxes.corners:
                centre, half = boxes[..., :2], boxes[..., 2:] / 2
                boxes = np.concatenate([centre - half, centre + half], -1)
            return boxes * self._box_scale(), scores[..., 1:] if self.boxes.background else scores
        logits = torch.from_numpy(np.ascontiguousarray(raw[0]))
        if self.task == "segmentation":
            if tuple(logits.shape[2:]) != self.size:
                logits = F.interpolate(logits, self.size, mode="bilinear", align_corners=False)
            return logits.numpy(), logits.argmax(1).int().numpy()
        logits = logits.reshape(len(logits), -1)
        if self.values.activation is None:
            return (logits.numpy(),)
        probabilities = logits.softmax(1) if self.values.activation == "softmax" else logits.sigmoid()
        return logits.numpy(), probabilities.numpy()
