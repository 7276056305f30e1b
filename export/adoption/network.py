"""An adopted network as the export takes one: a variant that stands in no registry, with the file as its reference."""
import dataclasses
import functools

import numpy as np
import onnx
from torch import nn

from edgenext_deploy.artifacts.manifest import ADOPTED, Preprocessing, Scores, Weights
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export.adoption.ends import Ends
from edgenext_deploy.export.adoption.islands import find_islands
from edgenext_deploy.export.adoption.normal_form import at_target
from edgenext_deploy.export.adoption.rewriting import Rewriter
from edgenext_deploy.export.adoption.source_file import ImageInput
from edgenext_deploy.export.adoption.source_session import SourceSession, with_outputs
from edgenext_deploy.export.checks.parity import Run
from edgenext_deploy.export.emission import Emitted
from edgenext_deploy.export.graph.simplify import Simplified, simplify
from edgenext_deploy.export.precision.fp32_pins import pins_of, value_shapes
from edgenext_deploy.export.request import Progress
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.export.verdict.releases import get_release
from edgenext_deploy.export.weights import Reference
from edgenext_deploy.files import shown
from edgenext_deploy.models.definitions.config import DeepLabConfig, SSDLiteConfig
from edgenext_deploy.models.variants.families import Family, register_family
from edgenext_deploy.models.variants.registry import Variant

_QUANTISATION = ("QuantizeLinear", "DequantizeLinear")
_HEADS: dict[str, SSDLiteConfig | DeepLabConfig] = {"detection": SSDLiteConfig(), "segmentation": DeepLabConfig()}


@dataclasses.dataclass(frozen=True)
class AdoptedConfig:
    """The config of every adopted network: its file says the rest."""


def _no_module(config: AdoptedConfig, num_classes: int) -> nn.Module:
    raise TypeError("an adopted network has no module")


register_family(Family(ADOPTED, "Adopted network", AdoptedConfig, _no_module))


def adopted_variant(name: str, task: str) -> Variant:
    """Return what the export must know of a network that is not ours."""
    return Variant(name, AdoptedConfig(), head=_HEADS.get(task))


class AdoptedNetwork:
    """A file that is being adopted: `load` and `emit` take the places of an export's own.

    Args:
        model: prepared, see `normal_form.prepare`, with a fixed input; changed in place.
        source: the file in ONNX Runtime, with the raw values as its outputs.
        ends: what stands behind the raw values.
        digest: of the file, 64 hexadecimal digits.
        file: its name, for people.
        notes: what to say of it.
    """

    def __init__(self, model: onnx.ModelProto, source: SourceSession, ends: Ends, digest: str, file: str,
                 notes: tuple[str, ...] = ()) -> None:
        self.source, self.image, self.ends, self.digest, self.file = source, source.image, ends, digest, file
        self.notes = notes
        self._model = with_outputs(model, ends.values.names)

    def load(self, resolved: ResolvedExport, progress: Progress) -> Reference:
        """Run the file once, which tells its classes; simplify it and write it for the target.

        Raises:
            IncompatibleError: an engine cannot have what the file has.
            BadInputError: ONNX Runtime, or onnx, refuses the file.
        """
        self.raw_shapes = [value.shape for value in self._raw(np.zeros(self.image.image_shape, np.float32))]
        progress("simplifying the file")
        model = self._model
        self._raw_names = [_as_float32(model, name, self.source.type_of(name)) for name in self.ends.values.names]
        del model.graph.output[:]
        model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
                                 for name, shape in zip(self._raw_names, self.raw_shapes))
        self.simplified, self.spelled_out, self.rules = at_target(
            model, resolved.target.opset, resolved.target.ir_version, functools.partial(simplify, may_add=True))
        _require_no_int8_flag(self.simplified.model, resolved)
        weights = Weights(f"{self.file} ({ADOPTED})", False, self.digest)
        return Reference(nn.Identity(), weights, resolved.variant.crop_pct, self.ends.classes(self.raw_shapes))

    def emit(
        self, resolved: ResolvedExport, reference: Reference, preprocessing: Preprocessing, scores: Scores | None
    ) -> Emitted:
        """Return the FP32 graph with the names that the manifest promises, and the file itself as its reference."""
        graph, specs = self.simplified.model, self.ends.specs(self.raw_shapes)
        renamed = _free_names(graph, {"image", *(spec.name for spec in specs)} - {self.image.name})
        _name_input(graph, self.image)
        end_islands = self.ends.append(
            graph, [renamed.get(name, name) for name in self._raw_names], self.raw_shapes)
        graph.graph.name = resolved.variant.name
        onnx.checker.check_model(graph, full_check=True)
        value_shapes(graph)
        islands = pins_of(graph, {**find_islands(graph), **self.spelled_out, **end_islands})
        return Emitted(graph, islands, {ADOPTED: 1, **self.rules}, (resolved.form.input_spec(resolved.shape),),
                       specs, self._reference())

    def as_simplified(self, model: onnx.ModelProto) -> Simplified:
        """Return the graph that `emit` gave: it was simplified before, when its shapes were not yet known."""
        return Simplified(model, self.simplified.warning)

    def _reference(self) -> Run:
        return lambda image: self.ends.answer(self._raw(image))

    def _raw(self, image: np.ndarray) -> tuple[np.ndarray, ...]:
        return self.source.run(image, self.ends.values.names)


def _require_no_int8_flag(model: onnx.ModelProto, resolved: ResolvedExport) -> None:
    """Raise IncompatibleError for Q and DQ nodes where the builder needs a flag for them, which we do not set."""
    if resolved.typed or all(not get_release(name).before(11) for name in resolved.target.tensorrt):
        return
    node = next((node for node in model.graph.node if node.op_type in _QUANTISATION), None)
    if node is not None:
        raise IncompatibleError(
            f"node {shown(node.name)} ({node.op_type}) computes in INT8, and edgenext-build asks the builder of "
            f"{resolved.target.name} for FP32 and FP16 alone",
            "export the network before its quantisation, or choose a --target with typed graphs and --fp16")


def _as_float32(model: onnx.ModelProto, name: str, kind: str) -> str:
    """Return the name of a value as float32, behind a Cast where it is of another type."""
    if kind == "tensor(float)":
        return name
    to = Rewriter(model)
    to.nodes = list(model.graph.node)
    result = to.node("Cast", [name], f"{name}.float32", to=onnx.TensorProto.FLOAT)
    to.finish()
    return result


def _free_names(model: onnx.ModelProto, taken: set[str]) -> dict[str, str]:
    """Rename the values that have names of the graph's ends; return the new names."""
    inside = {value for node in model.graph.node for value in (*node.input, *node.output)}
    renamed = {name: next(free for free in (f"{name}.{number}" for number in range(1, 1 << 20)) if free not in inside)
               for name in taken & inside}
    for node in model.graph.node:
        for field in (node.input, node.output):
            for index, value in enumerate(field):
                field[index] = renamed.get(value, value)
    for tensor in model.graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    return renamed


def _name_input(model: onnx.ModelProto, image: ImageInput) -> None:
    """Call the input ``image``, `[B, 3, H, W]`; a file with the channels last gets a Transpose behind it."""
    inner = "image"
    if image.channels_last:
        inner = image.name if image.name != "image" else "image.channels_last"
        node = onnx.helper.make_node("Transpose", ["image"], [inner], name="image.channels_last", perm=[0, 2, 3, 1])
    for taker in model.graph.node:
        for index, value in enumerate(taker.input):
            if value == image.name:
                taker.input[index] = inner
    if image.channels_last:
        model.graph.node.insert(0, node)
    del model.graph.input[:]
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, image.image_shape))
