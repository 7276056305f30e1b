"""What the parsers' importers refuse though no document says so, as small functions by operator.

Sources: onnxOpCheckers.cpp and importerUtils.cpp of onnx-tensorrt where a rule holds for every release; TensorRT-RTX
1.7.1's parser, asked about the models in the onnx package and variants of them, where a rule asks for `is_rtx`.
tests/real/test_parser_matrix.py compares the two.
"""
import numpy as np
from onnx import TensorProto

from edgenext_deploy.export.verdict.element_types import FOUR_BIT, type_name
from edgenext_deploy.export.verdict.nodes import NodeView
from edgenext_deploy.export.verdict.releases import Release
from edgenext_deploy.export.verdict.severities import ERROR, WARNING, Problems, Rule

# These bring their inputs to one rank, by a function that refuses graphs below this opset.
BROADCASTING_OPSET = 7
BROADCASTING = frozenset({
    "Add", "And", "Div", "Equal", "Gemm", "Greater", "Less", "Max", "Mean", "Min", "Mul", "Or", "PRelu", "Pow", "Sub",
    "Sum", "Xor"})
_COMPUTING = BROADCASTING | {"Equal", "Gather", "Mod", "Neg", "Where"}
_INT32 = np.iinfo(np.int32)
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
_WHOLE = frozenset({TensorProto.INT32, TensorProto.INT64})


def importer_problems(node: NodeView, release: Release) -> Problems:
    """Yield what the importer of a node's operator refuses, or reads as something else."""
    for rule in _RULES.get(node.op, ()):
        yield from rule(node, release)
    if release.before(9) and node.op in _COMPUTING:
        yield from _beyond_int32(node)


def _beyond_int32(node: NodeView) -> Problems:
    """8.x clamps INT64 to INT32: right for an "up to the end" of a Slice, wrong for a number to compute with."""
    for index in range(len(node.inputs)):
        value = node.value(index) if node.type_of(index) == TensorProto.INT64 else None
        if value is not None and value.size and (value.max() > _INT32.max or value.min() < _INT32.min):
            yield ERROR, "an INT64 constant beyond INT32, which 8.x clamps with no error"
            return


def _attention(node: NodeView, release: Release) -> Problems:
    if node.number("softcap", 0.0):
        yield ERROR, "softcap is not supported"
    if "softmax_precision" in node.attributes:
        yield ERROR, "softmax_precision is not supported"
    if len(node.outputs) > 1 or node.input(4) or node.input(5):
        yield ERROR, "the key-value cache and qk_matmul_output are not supported"
    if node.input(6) and not release.is_rtx:
        yield ERROR, "nonpad_kv_seqlen is not supported"
    if node.number("is_causal", 0) and node.input(3):
        yield ERROR, "is_causal together with a mask; give one of the two"
    keys, values = node.shape(1), node.shape(2)
    if keys and values and None not in (*keys, *values) and keys != values:
        yield ERROR, f"K of shape {list(keys)} and V of shape {list(values)}; they must be equal"
    mask = node.shape(3) if node.input(3) else None
    if mask and keys and None not in (mask[-1], keys[-2]) and mask[-1] != keys[-2]:
        yield ERROR, f"a mask for {mask[-1]} keys, where K has {keys[-2]}"


def _batch_normalization(node: NodeView, release: Release) -> Problems:
    if node.number("training_mode", 0):
        yield ERROR, "training_mode=1 is not supported"
    elif any(node.outputs[1:]):
        yield (WARNING if release.before(10) else ERROR), "outputs of training are not supported, only Y"


def _power(node: NodeView, release: Release) -> Problems:
    if node.number("p", 2) not in (1, 2):
        yield ERROR, f"p={node.number('p', 2):g}; it must be 1 or 2"


def _mod(node: NodeView, release: Release) -> Problems:
    if node.type_of(0) and node.type_of(0) not in _WHOLE and not node.number("fmod", 0):
        yield ERROR, f"fmod=0 with {type_name(node.type_of(0))} tensors; it needs INT32 or INT64"


def _random(node: NodeView, release: Release) -> Problems:
    if node.number("dtype", TensorProto.FLOAT) not in _FLOATS:
        yield ERROR, f"dtype {type_name(int(node.number('dtype', 1)))}; it must be FP32 or FP16"


def _clip(node: NodeView, release: Release) -> Problems:
    lower = node.input(1) and (node.input(2) or node.is_constant(1))
    if release.is_rtx and not lower and node.type_of(0) == TensorProto.INT8:
        yield ERROR, "INT8 tensors without both min and max, or with a min alone that is no constant"


def _scatter_elements(node: NodeView, release: Release) -> Problems:
    reduction = node.text("reduction", "none")
    if release.is_rtx and reduction != "none":
        yield ERROR, f"reduction={reduction!r} needs a plugin that TensorRT-RTX does not have"


def _tensor_scatter(node: NodeView, release: Release) -> Problems:
    if node.text("mode", "linear") != "linear":
        yield ERROR, f"mode {node.text('mode', '')!r}; it must be 'linear'"
    if node.rank(0) not in (4, None):
        yield ERROR, f"a cache of rank {node.rank(0)}; it must be 4"


def _cast(node: NodeView, release: Release) -> Problems:
    output = node.output(0)
    inside = node.element_type(output) == TensorProto.UINT8 and not node.is_network_output(output)
    if inside and not release.before(8, 5):
        yield ERROR, "UINT8 tensors are for network inputs and outputs only"


def _dequantize(node: NodeView, release: Release) -> Problems:
    shape = node.shape(0)
    if shape and None not in shape and node.type_of(0) in FOUR_BIT and all(size and size % 2 for size in shape):
        yield ERROR, "an odd number of 4-bit values; they are packed in pairs"


def _known_scale(node: NodeView, release: Release) -> Problems:
    if release.is_rtx and None in (node.shape(1) or ()):
        yield ERROR, "a scale of unknown size"


def _quantize(node: NodeView, release: Release) -> Problems:
    wanted = int(node.number("output_dtype", 0))
    if release.is_rtx and wanted and not release.has_type(wanted):
        yield ERROR, f"output_dtype {type_name(wanted)}, a type that TensorRT does not have"


def _matmul(node: NodeView, release: Release) -> Problems:
    """The first axis of the product is dropped, where ONNX drops the vector's, which is the last but one."""
    product = product_of_vector(node) if release.is_rtx else None
    if product is None:
        return
    if None not in product and product[0] != 1:
        yield ERROR, f"a vector times a tensor of rank {len(product) + 1}"
    elif product[0] == 1 and any(size not in (1, None) for size in product[1:-1]):
        yield ERROR, (f"a vector times a tensor of rank {len(product) + 1}: the product gets another shape, with no "
                      "error")


def product_of_vector(node: NodeView) -> "tuple[int | None, ...] | None":
    """Return the product's shape where a vector is multiplied by several matrices; else None."""
    left, right = node.shape(0), node.shape(1)
    several = left is not None and len(left) == 1 and right is not None and len(right) > 2
    return (*right[:-2], right[-1]) if several and right is not None else None


def _range(node: NodeView, release: Release) -> Problems:
    if release.is_rtx and node.type_of(0) in {TensorProto.FLOAT16, TensorProto.BFLOAT16}:
        yield ERROR, f"{type_name(node.type_of(0))} tensors; it must be INT32, INT64 or FP32"
    elif release.is_rtx and node.type_of(0) and node.type_of(0) not in _WHOLE and any(
            node.is_network_input(index) for index in range(3)):
        yield ERROR, "a floating-point network input decides the length"


def _resize(node: NodeView, release: Release) -> Problems:
    if node.text("coordinate_transformation_mode", "half_pixel") == "tf_half_pixel_for_nn" \
            and node.text("nearest_mode", "round_prefer_floor") != "round_prefer_floor":
        yield ERROR, "tf_half_pixel_for_nn with another nearest_mode than round_prefer_floor"


def _scales(index: int) -> Rule:
    """Make a rule: scales decide a shape, and TensorRT-RTX has no shape tensors of floating point."""
    def rule(node: NodeView, release: Release) -> Problems:
        if release.is_rtx and node.depends_on_data(index) and None not in (node.shape(index) or (None,)):
            yield ERROR, "scales come from the network's inputs; a constant may give them"

    return rule


def _rotary_embedding(node: NodeView, release: Release) -> Problems:
    shape = node.shape(0)
    if release.is_rtx and shape and None in (shape[1] if len(shape) > 3 else 0, shape[-1]):
        yield ERROR, "heads of unknown number or size"


def _gather_nd(node: NodeView, release: Release) -> Problems:
    indices = node.shape(1)
    if indices and indices[-1] is None:
        yield ERROR, "indices whose last size is unknown, so that the rank of the output is"


def _not_from_data(index: int, what: str) -> Rule:
    """Make a rule: input `index` decides shapes and may not depend on the network's inputs."""
    def rule(node: NodeView, release: Release) -> Problems:
        if release.is_rtx and node.depends_on_data(index):
            yield ERROR, f"{what} from the network's inputs; constants and shapes may decide it"

    return rule


def _known_length(index: int, what: str) -> Rule:
    """Make a rule: shape tensor `index` has a length that is known at build time, as TensorRT's guide asks for."""
    def rule(node: NodeView, release: Release) -> Problems:
        shape = node.shape(index)
        if node.depends_on_data(index) and shape is not None and None in shape:
            yield ERROR, f"{what} from the network's inputs, of unknown length"

    return rule


def _known_kernel(node: NodeView, release: Release) -> Problems:
    kernel = node.shape(1)
    if kernel is not None and None in kernel and not node.is_shape_arithmetic(node.input(1)):
        yield ERROR, "a weight of unknown size"


def _no_rtx_plugin(node: NodeView, release: Release) -> Problems:
    if release.is_rtx:
        yield ERROR, "needs a plugin that TensorRT-RTX does not have"


def _non_max_suppression(node: NodeView, release: Release) -> Problems:
    if release.is_rtx and any(None in (node.shape(index) or ()) for index in (0, 1)):
        yield ERROR, "boxes or scores of unknown size, on which TensorRT-RTX 1.7.1 crashes"


_RULES: dict[str, tuple[Rule, ...]] = {
    "Attention": (_attention,),
    "BatchNormalization": (_batch_normalization,),
    "Cast": (_cast,),
    "CastLike": (_cast,),
    "CausalConvWithState": (_no_rtx_plugin,),
    "Clip": (_clip,),
    "ConstantOfShape": (_known_length(0, "the shape comes"),),
    "Conv": (_known_kernel,),
    "ConvTranspose": (_known_kernel,),
    "DequantizeLinear": (_dequantize, _known_scale),
    "Expand": (_known_length(1, "the shape comes"),),
    "GatherND": (_gather_nd,),
    "LinearAttention": (_no_rtx_plugin,),
    "LpNormalization": (_power,),
    "LpPool": (_power,),
    "MatMul": (_matmul,),
    "Mod": (_mod,),
    "NonMaxSuppression": (_non_max_suppression,),
    "NonZero": (_no_rtx_plugin,),
    "OneHot": (_not_from_data(1, "depth comes"),),
    "Pad": (_known_length(1, "pads come"),),
    "QuantizeLinear": (_quantize, _known_scale),
    "RandomNormal": (_random,),
    "RandomNormalLike": (_random,),
    "RandomUniform": (_random,),
    "RandomUniformLike": (_random,),
    "Range": (_range,),
    "Reshape": (_known_length(1, "the shape comes"),),
    "Resize": (_resize, _scales(2), _known_length(3, "sizes come")),
    "RoiAlign": (_no_rtx_plugin,),
    "RotaryEmbedding": (_rotary_embedding,),
    "ScatterElements": (_scatter_elements,),
    "Slice": (_known_length(1, "starts come"),),
    "Squeeze": (_not_from_data(1, "axes come"),),
    "TensorScatter": (_tensor_scatter,),
    "TopK": (_known_length(1, "K comes"),),
    "Unsqueeze": (_not_from_data(1, "axes come"),),
    "Upsample": (_scales(1),),
}
