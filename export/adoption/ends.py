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
        output: what the file makes of them, a class map or probabilities; None where they are outputs themselves.
    """

    names: tuple[str, ...]
    activation: str | None = None
    output: str | None = None


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
        return RawValues((node.input[0],), _ACTIVATIONS[node.op_type], value)
    if task == "segmentation" and node is not None and node.op_type == "ArgMax":
        return RawValues((node.input[0],), None, value)
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
        image: shape of the images, `[B, 3, H, W]`, in pixels.
        boxes: how a detector's boxes are given.
        class_axis: of a segmenter's logits, 1 or 3.
    """

    task: str
    values: RawValues
    image: tuple[int, int, int, int]
    boxes: BoxForm = BoxForm()
    class_axis: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        return self.image[2:]

    def seen(self, raw: Sequence[np.ndarray], made: np.ndarray | None) -> "Ends":
        """Return the ends as the file's own answers show them.

        Args:
            raw: the raw values for one input.
            made: what the file makes of them there, if `values.output` names it.

        Raises:
            IncompatibleError: integers where numbers are expected, or a class map that is no ArgMax of the classes.
        """
        for name, value in zip(self.values.names, raw):
            if value.dtype.kind != "f":
                raise IncompatibleError(f"output {shown(name)} holds {value.dtype}; floating point expected",
                                        "name the output in front of it with --logits, or export the network with it")
        if self.task == "segmentation" and raw[0].ndim == 4:
            ends = dataclasses.replace(self, class_axis=self._class_axis(raw[0].shape))
            if made is None:
                return ends
            for axis in (ends.class_axis, 4 - ends.class_axis):
                if np.array_equal(raw[0].argmax(axis).ravel(), made.ravel()):
                    return dataclasses.replace(self, class_axis=axis)
            raise IncompatibleError(f"output {shown(self.values.output or '')} is no ArgMax over the classes of "
                                    f"{list(raw[0].shape)}", "export the network up to its logits")
        if made is not None and self.values.activation is not None:
            fits = raw[0].shape[:1] == self.image[:1] and raw[0].size == made.size
            expected = self._activated(raw[0].reshape(len(raw[0]), -1)) if fits else made
            if not fits or not np.allclose(expected.ravel(), made.ravel(), atol=1e-4):
                # It goes along another axis, or the file does more to it.
                return dataclasses.replace(self, values=RawValues((self.values.output or "",)))
        return self

    def _class_axis(self, shape: tuple[int, ...]) -> int:
        """Return the axis whose two others look like the sides of the image."""
        height, width = self.size
        last = shape[1] * width == shape[2] * height
        first = shape[2] * width == shape[3] * height
        return 3 if last and not first else 1

    def _activated(self, logits: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(np.ascontiguousarray(logits))
        return (rows.softmax(1) if self.values.activation == "softmax" else rows.sigmoid()).numpy()

    def classes(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """Return the number of classes, from the shapes of the raw values.

        Raises:
            IncompatibleError: shapes that no network of this task gives.
        """
        for name, found in zip(self.values.names, shapes):
            if not found or (found[0] != self.image[0] and len(found) > 1):
                raise IncompatibleError(f"output {shown(name)} is {list(found)} for {self.image[0]} images; its first "
                                        "axis must be theirs", "export the network with the batch as the first axis")
        if self.task == "detection":
            boxes, scores = shapes
            if len(boxes) != 3 or boxes[2] != 4 or len(scores) != 3 or scores[:2] != boxes[:2]:
                raise IncompatibleError(f"boxes {list(boxes)} and scores {list(scores)} found; [B,N,4] and "
                                        "[B,N,classes] expected", "export the network with decoded boxes as rows")
            return scores[2] - self.boxes.background
        (shape,) = shapes
        if self.task == "segmentation":
            if len(shape) != 4 or shape[self.class_axis] < 2:
                raise IncompatibleError(f"output {list(shape)} found; logits [B,classes,H,W] expected",
                                        "name the logits' output with --logits")
            return shape[self.class_axis]
        rows = shape[1:] if len(shape) > 1 else shape
        count = int(np.prod(rows)) if shape[0] == self.image[0] or self.image[0] == 1 else 0
        if count < 1 or max(rows, default=1) != count:
            raise IncompatibleError(f"output {list(shape)} found; one number for each class, [B,classes], expected",
                                    "say what it is with --task segmentation or --task detection")
        return count

    def specs(self, shapes: Sequence[tuple[int, ...]]) -> tuple[TensorSpec, ...]:
        """Return the graph's outputs."""
        batch, count = self.image[0], self.classes(shapes)
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
        if self.class_axis == 3:
            value = to.node("Transpose", [value], "output.channels_first", perm=[0, 3, 1, 2])
            shape = (shape[0], shape[3], *shape[1:3])
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
        logits = torch.from_numpy(np.ascontiguousarray(np.moveaxis(raw[0], 3, 1) if self.class_axis == 3 else raw[0]))
        if self.task == "segmentation":
            if tuple(logits.shape[2:]) != self.size:
                logits = F.interpolate(logits, self.size, mode="bilinear", align_corners=False)
            return logits.numpy(), logits.argmax(1).int().numpy()
        rows = logits.reshape(self.image[0], -1).numpy()
        return (rows,) if self.values.activation is None else (rows, self._activated(rows))
