"""An ONNX file of somebody else's, read whole, with its one image input at a fixed size."""
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto

from edgenext_deploy.artifacts.manifest_limits import MOST_ELEMENTS
from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError
from edgenext_deploy.export.verdict.nodes import tensors_of
from edgenext_deploy.files import read_file, shown

# Protobuf holds no larger message, and the graph is written as one.
_MOST_BYTES = (2 << 30) - (1 << 20)
_ONE_FILE = "export the network again; torch.onnx.export(..., external_data=False) writes one file"
# Before it, every initializer had to be listed as an input, and onnx's converter looks for it there.
_IR_WITH_PLAIN_CONSTANTS = 4
# What makes the graph take another way, or other shapes, from one image to the next.
_CONTROL = {"If": "a branch", "Loop": "a loop", "Scan": "a loop"}
_SHAPE_OF_DATA = frozenset({"NonZero", "NonMaxSuppression", "Unique", "Compress"})
_RANDOM = frozenset({
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"})
_FIXED = "an engine has the same layers and shapes for every image"


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """The input that takes the image.

    Attributes:
        name: in the file.
        shape: as the file's input has it, fixed: `[B, 3, H, W]`, or `[B, H, W, 3]` with `channels_last`.
        channels_last: the channels are the last axis.
    """

    name: str
    shape: tuple[int, int, int, int]
    channels_last: bool

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """The shape as `[B, 3, H, W]`."""
        batch, *rest = self.shape
        channels, height, width = (rest[2], rest[0], rest[1]) if self.channels_last else rest
        return batch, channels, height, width


def read_source(path: str) -> onnx.ModelProto:
    """Read an ONNX file, with weights from a second file in the same folder if it names one.

    Raises:
        BadInputError: missing, not ONNX, over 2 GB, or weights that are not there.
    """
    content = read_file(path, "ONNX file", "give the path of an ONNX file", _MOST_BYTES)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's DecodeError; what else it may raise says no more
        raise BadInputError(f"{shown(path)} is not an ONNX file, or it is truncated ({len(content)} bytes)",
                            "export it again, or copy it again if it was damaged on the way") from error
    if not model.graph.node:
        raise BadInputError(f"{shown(path)} has no graph with nodes", "give an ONNX model")
    return _with_weights(model, path)


def parsed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model that the caller keeps.

    Raises:
        BadInputError: its weights are in another file.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors_of(copy)):
        raise BadInputError("the model's weights are in another file", "give the path of the model, not the model")
    return copy


def _with_weights(model: onnx.ModelProto, path: str) -> onnx.ModelProto:
    external = [tensor for tensor in tensors_of(model) if tensor.data_location == TensorProto.EXTERNAL]
    if not external:
        return model
    total = sum(int(entry.value) for tensor in external for entry in tensor.external_data
                if entry.key == "length" and entry.value.isdigit())
    if total > _MOST_BYTES:
        raise BadInputError(f"{shown(path)}: its weights have {total} bytes, {_MOST_BYTES} is the most", _ONE_FILE)
    folder = Path(path).parent
    for tensor in external:
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        file = folder / location
        # Beside the graph or nowhere: a path may lead to any file of the user's.
        if os.path.basename(location) != location or not location or not file.is_file() or file.is_symlink():
            raise BadInputError(f"{shown(path)} keeps weights in {shown(location)}, which is no file beside it",
                                f"copy that file too, or {_ONE_FILE}")
    try:
        onnx.load_external_data_for_model(model, os.fspath(folder))
    except Exception as error:  # onnx raises several types for a file that is too short
        raise BadInputError(f"{shown(path)}: its weights cannot be read: {shown(str(error), 200)}",
                            "copy both files again") from error
    return model


def image_input(
    model: onnx.ModelProto, named: str | None, shape: tuple[int, ...] | None, image_size: tuple[int, int] | None
) -> ImageInput:
    """Return the input that takes the image, at a fixed size.

    Args:
        model: as given.
        named: the input's name, None for the only one.
        shape: all its sizes, None for those in the file.
        image_size: height and width in pixels, None for those in the file.

    Raises:
        UsageError: a size is missing, or does not fit the file.
        IncompatibleError: the network takes something else than one image of numbers.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    names = ", ".join(shown(value.name) for value in inputs) or "none"
    if named is not None and named not in [value.name for value in inputs]:
        raise UsageError(f"--input {shown(named)}: the inputs are {names}", "give one of them, such as "
                         f"--input {inputs[0].name if inputs else 'image'}=1x3x224x224")
    if not inputs:
        raise IncompatibleError("the network takes no input; one image expected", "export it with its image as input")
    if len(inputs) != 1:
        raise IncompatibleError(f"the network takes {len(inputs)} inputs ({names}); one image expected",
                                "export it with the others as constants")
    (value,) = inputs
    if value.type.WhichOneof("value") != "tensor_type" or value.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise IncompatibleError(f"input {shown(value.name)} is no tensor of float32",
                                "export the network in FP32; FP16 is made here")
    found = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) or (shape or ())
    return _fixed(value.name, found, shape, image_size)


def _fixed(
    name: str, found: tuple[int, ...], shape: tuple[int, ...] | None, image_size: tuple[int, int] | None
) -> ImageInput:
    """Return the input with every size known; 0 in `found` stands for an open one."""
    if len(found) != 4 or (shape is not None and len(shape) != 4):
        raise IncompatibleError(f"input {shown(name)} has {len(found)} axes; an image [B,3,H,W] expected",
                                "export the network for images")
    wanted = list(shape or found)
    channels_last = wanted[3] in (1, 3) and wanted[1] not in (1, 3)
    rows = 1 if channels_last else 2
    if image_size is not None:
        wanted[rows:rows + 2] = image_size
    wanted[0] = wanted[0] or 1
    channels = 3 if channels_last else 1
    wanted[channels] = wanted[channels] or 3
    clash = [axis for axis in range(4) if found[axis] and found[axis] != wanted[axis]]
    if clash:
        raise UsageError(f"{shown(name)} is {_sizes(found)} in the file, and {_sizes(wanted)} is asked for",
                         "leave the size out")
    if not all(wanted):
        raise UsageError(f"{shown(name)} has open sizes: {_sizes(wanted)}",
                         f"give them, such as --input {name}=1x3x224x224")
    if wanted[channels] != 3:
        raise IncompatibleError(f"input {shown(name)} has {wanted[channels]} channels; photos have 3",
                                "export the network with three channels")
    if any(size < 1 for size in wanted) or wanted[0] * wanted[1] * wanted[2] * wanted[3] > MOST_ELEMENTS:
        raise UsageError(f"input {shown(name)} would be {wanted}, which is too large", "give a smaller size")
    return ImageInput(name, (wanted[0], wanted[1], wanted[2], wanted[3]), channels_last)


def _sizes(shape: Sequence[int]) -> str:
    return "[" + ", ".join(str(size or "?") for size in shape) + "]"


def fix_input(model: onnx.ModelProto, image: ImageInput) -> None:
    """Write the fixed size into the model, and leave constants out of its inputs, where old files list them."""
    kept = [value for value in model.graph.input if value.name == image.name]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, _IR_WITH_PLAIN_CONSTANTS)
    tensor = model.graph.input[0].type.tensor_type
    del tensor.shape.dim[:]
    for size in image.shape:
        tensor.shape.dim.add().dim_value = size


def require_one_way(model: onnx.ModelProto) -> None:
    """Raise IncompatibleError if a simplified graph has what depends on the image, or on chance, or is no tensor."""
    yes = {tensor.name for tensor in model.graph.initializer
           if tensor.data_type == TensorProto.BOOL and onnx.numpy_helper.to_array(tensor).any()}
    for node in model.graph.node:
        trains = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in yes
        if node.op_type in _RANDOM or trains:
            raise IncompatibleError(
                f"{_named(node)} {'is in training and ' if trains else ''}gives other values each time: there is "
                "nothing to compare an engine with",
                "export the network in evaluation mode, such as after module.eval()")
        if node.op_type in _CONTROL:
            raise IncompatibleError(
                f"{_named(node)} is {_CONTROL[node.op_type]}: {_FIXED}",
                "export the network with the way fixed, such as by torch.onnx.export of a module in evaluation mode")
        if node.op_type in _SHAPE_OF_DATA:
            raise IncompatibleError(
                f"{_named(node)} gives as many values as it finds: {_FIXED}",
                "export the network up to its boxes and scores; the suppression runs behind the engine")
        if "Sequence" in node.op_type or node.op_type.startswith("Optional"):
            raise IncompatibleError(f"{_named(node)} is about sequences; engines have tensors only",
                                    "export the network with tensors for outputs")
    for value in _unknown(model):
        raise IncompatibleError(f"the shape of {shown(value)} is not known before the network runs: {_FIXED}",
                                "give the input's size with --input, or export the network with fixed shapes")


def _unknown(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the values whose shape cannot be inferred."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: value.type.tensor_type for value in (*inferred.value_info, *inferred.output)}
    for node in inferred.node:
        for name in node.output:
            known = shapes.get(name)
            if name and (known is None or not known.HasField("shape")
                         or not all(dim.HasField("dim_value") for dim in known.shape.dim)):
                yield name


def _named(node: onnx.NodeProto) -> str:
    return f"node {shown(node.name or node.output[0])} ({shown(node.op_type)})"
