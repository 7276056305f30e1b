"""The layers of a built engine as TensorRT lists them, in one form for all releases.

TensorRT has three such lists, which differ only in spelling:

- the engine inspector's JSON (8.2 on). A tensor's type is in ``Format/Datatype`` as ``Row major linear FP16
  format`` or ``Half``, and in newer releases apart, as ``Datatype: Half``;
- the builder's verbose log of TensorRT 11 and TensorRT-RTX, ``Name: …, LayerType: …, Inputs: [ {…} ]``,
  which needs no GPU;
- the builder's verbose log of 8.0, ``Layer(CaskConvolution): a + b, Tactic: 1, x[Half(1,3)] -> y[Half(1,3)]``.
"""
import json
import re
from typing import Any, Dict, List, NamedTuple, Tuple

from edgenext_deploy.errors import VerificationError
from edgenext_deploy.tensorrt_api.builder_api import nodes_in_metadata

FP16, FP32 = "fp16", "fp32"


class EngineLayer(NamedTuple):
    """One layer of an engine; many layers of the network may be fused in it.

    Attributes:
        name: TensorRT's name for it.
        kind: TensorRT's type of layer, such as ``CaskConvolution``, ``Reformat`` or ``kgen``.
        nodes: names of network layers and ONNX nodes found in its name and metadata.
        inputs: element types of its inputs: ``fp16``, ``fp32``, or ``other``.
        outputs: the same of its outputs.
        weights: element type of its largest weight, empty if it has none or does not say.
    """

    name: str
    kind: str
    nodes: Tuple[str, ...]
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    weights: str

    @property
    def is_reformat(self) -> bool:
        """Whether it only copies a tensor into another layout or type."""
        return self.kind.lower() == "reformat" or self.name.startswith("Reformatting CopyNode")


def from_inspector(text: str) -> List[EngineLayer]:
    """Read the engine inspector's JSON.

    Raises:
        VerificationError: it is not JSON, or it holds names without details.
    """
    try:
        layers = list(json.loads(text)["Layers"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise VerificationError("the engine inspector's answer cannot be read: {}".format(error)) from error
    if any(not isinstance(layer, dict) for layer in layers):
        raise VerificationError("the engine was built without details of its layers, so its precision cannot be shown",
                                "build it again with edgenext-build")
    return [_from_fields(layer) for layer in layers]


def from_builder_log(text: str) -> List[EngineLayer]:
    """Read the list of layers that the builder wrote to its log; empty if there is none in `text`."""
    lines = text.splitlines()
    return [_from_old_line(line) for line in lines if line.startswith("Layer(")] + [
        _from_fields(_fields_of_line(line)) for line in lines if line.startswith("Name: ")]


def element_type(text: str) -> str:
    """Return ``fp16``, ``fp32`` or ``other`` for any of TensorRT's spellings."""
    lowered = text.lower()
    if "half" in lowered or "fp16" in lowered:
        return "other" if "bfloat" in lowered else FP16
    if "float" in lowered or "fp32" in lowered:
        return "other" if "bfloat" in lowered or "float8" in lowered else FP32
    return "other"


def nodes_in_name(name: str) -> Tuple[str, ...]:
    """Return the network layers in a fused layer's name: ``a + b``, ``PWN(PWN(a), b)``, ``{ForeignNode[a...b]}``."""
    return tuple(token for token in re.split(r"\.\.\.|[\s,+(){}\[\]]+", name) if token)


def _from_fields(fields: Dict[str, Any]) -> EngineLayer:
    name = str(fields.get("Name", ""))
    nodes = nodes_in_name(name) + tuple(nodes_in_metadata(str(fields.get("Metadata", ""))))
    return EngineLayer(name, str(fields.get("LayerType", "")), tuple(dict.fromkeys(nodes)),
                       _types(fields.get("Inputs")), _types(fields.get("Outputs")), _weights_type(fields))


def _types(tensors: Any) -> Tuple[str, ...]:
    listed = tensors if isinstance(tensors, list) else []
    return tuple(_type_of(tensor) for tensor in listed if isinstance(tensor, dict))


def _type_of(tensor: Dict[str, Any]) -> str:
    for key in ("Datatype", "DataType", "Format/Datatype"):
        if key in tensor:
            return element_type(str(tensor[key]))
    return "other"


def _weights_type(fields: Dict[str, Any]) -> str:
    weights = fields.get("Weights")
    if isinstance(weights, dict) and weights.get("Count"):
        return element_type(str(weights.get("Type", "")))
    listed = fields.get("Constants")
    constants = [tensor for tensor in listed if isinstance(tensor, dict)] if isinstance(listed, list) else []
    # One dimension above 1 is a bias or a scale, not a kernel.
    kernels = [tensor for tensor in constants if sum(size > 1 for size in _sizes(tensor)) > 1]
    if not kernels:
        return ""
    return _type_of(max(kernels, key=lambda tensor: _product(_sizes(tensor))))


def _sizes(tensor: Dict[str, Any]) -> List[int]:
    """Return a tensor's sizes, as far as they are whole numbers; they come from a log or a library."""
    sizes = tensor.get("Dimensions")
    return [size for size in sizes if isinstance(size, int)] if isinstance(sizes, list) else []


def _product(sizes: List[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _fields_of_line(line: str) -> Dict[str, Any]:
    """Turn one line of the newer log into what the inspector's JSON holds."""
    fields: Dict[str, Any] = {}
    for key in ("Name", "LayerType"):
        found = re.search(r"(?:^|, ){}: (.*?), ".format(key), line)
        fields[key] = found.group(1) if found else ""
    for key in ("Inputs", "Constants", "Outputs"):
        pattern = r", {}: \[(.*?)\](?=, (?:Constants|Outputs|TacticName|StreamId|Metadata): |$)"
        found = re.search(pattern.format(key), line)
        fields[key] = [_tensor_of_text(part) for part in re.findall(r"\{(.*?)\}", found.group(1))] if found else []
    fields["Metadata"] = line.partition(", Metadata: ")[2]
    return fields


def _tensor_of_text(text: str) -> Dict[str, Any]:
    sizes = re.search(r"Dimensions: \[((?:-?\d{1,18}(?:,|(?=\])))*)\]", text)
    kind = re.search(r"Data[tT]ype: (\w+)", text)
    return {"Dimensions": [int(size) for size in sizes.group(1).split(",") if size] if sizes else [],
            "Datatype": kind.group(1) if kind else ""}


def _from_old_line(line: str) -> EngineLayer:
    kind, _, rest = line[len("Layer("):].partition("): ")
    name, _, tensors = rest.partition(", Tactic: ")
    inputs, _, outputs = tensors.partition(" -> ")
    found = [tuple(element_type(kind_of) for kind_of in re.findall(r"\[(\w+)\(", part)) for part in (inputs, outputs)]
    return EngineLayer(name, kind, nodes_in_name(name), found[0], found[1], "")
