"""Where in the network a layer belongs and of what kind it is, read from its name.

The exported graphs name every node in the checkpoint's words (``stages.2.5.xca.scores``,
``stages.0.1.mlp.norm/variance``), and runtimes keep these names: ONNX Runtime adds suffixes, TensorRT joins the
names of what it fuses.
"""
import re
from typing import NamedTuple, Optional, Sequence, Tuple

DEPTHWISE = "depthwise convolution"
CONVOLUTION = "other convolution"
POINTWISE = "pointwise and linear"
ATTENTION = "attention"
NORM = "norm"
ACTIVATION = "activation"
ELEMENTWISE = "elementwise"
REFORMAT = "reformat and transpose"
OTHER = "other"
# Heaviest first: a fused layer is of the kind of the heaviest layer in it.
KINDS = (DEPTHWISE, CONVOLUTION, POINTWISE, ATTENTION, NORM, ACTIVATION, ELEMENTWISE, REFORMAT, OTHER)

SEVERAL = "several"
_MOVES = frozenset((
    "Transpose", "Reshape", "Split", "Concat", "Slice", "Gather", "Pad", "Cast", "Squeeze", "Unsqueeze", "Flatten",
    "Expand", "ReorderInput", "ReorderOutput", "MemcpyToHost", "MemcpyFromHost", "Identity"))
_ACTIVATIONS = frozenset((
    "Erf", "Gelu", "FastGelu", "BiasGelu", "QuickGelu", "HardSwish", "HardSigmoid", "Sigmoid", "Relu", "Clip", "Tanh"))
_NORMS = frozenset((
    "LayerNormalization", "SkipLayerNormalization", "BatchNormalization", "SimplifiedLayerNormalization"))
_MATRIX = frozenset(("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "NhwcConv"))
_ATTENTION_WORD = re.compile(r"\.(xca|attn)[./]")
_LINEAR_WORD = re.compile(r"\.(qkv|proj)\b")
# Not the root of attention's L2 norm, which is named normalise/norm.
_NORM_WORD = re.compile(r"(^|[./])(?<!normalise/)(norm|norm_xca|bn)\d*($|[./])")
# In the heads of detection and segmentation layers have numbers for names: SSDLite projects at strides 16 and 32
# (heads 0 and 1), then predicts by a depthwise and a pointwise convolution, at the last level by a pointwise one alone.
_ACTIVATION_WORD = re.compile(
    r"([./]act\d*($|[./])|^extra\.\d\.2$|^heads\.[01]\.predict\.1$|^aspp\.(branches\.\d|pooled)\.1$)")
_DEPTHWISE_WORD = re.compile(
    r"(dwconv|split_convs\.convs\.\d+|conv2_kxk|^extra\.[0-2]\.0$|^heads\.([01]\.predict\.2|[2-4]\.predict\.0)$)")
_POINTWISE_WORD = re.compile(
    r"(^head$|pwconv\d|\bqkv\b|\bproj\b|\bfc\d*\b|conv_?\d?_1x1|conv_proj|token_projection|^final_conv\b"
    r"|^extra\.\d\.1$|^heads\.\d\.predict\.\d$|^aspp\.(branches\.0\.0|pooled\.0|project|project_pooled)$|^classifier$)")
_CONVOLUTION_WORD = re.compile(r"(\bconv\b|conv_kxk|conv_fusion|\bstem\b|^aspp\.branches\.[1-3]\.0$)")
_MOVE_WORD = re.compile(
    r"(\.(split|concat|heads|merge|split_key|split_value|key_transposed|unfold|fold|pad|flatten|cells_last|rows|corners)"
    r"\b|transpose|^(flatten|join|split|without_background|classes)$)", re.IGNORECASE)
# The backbone's parts are named alike in a classifier and in a detector, and so are what stands behind it.
_BACKBONE = "backbone."
_HEAD = frozenset((
    "head", "pool", "flatten", "classifier", "resize", "classes", "join", "split", "softmax", "without_background"))


class Place(NamedTuple):
    """A part of the network: the stage, such as ``stages.2``, and the block in it, such as ``stages.2.5``."""

    stage: str
    block: str


def place_of(name: str) -> Optional[Place]:
    """Return where a node belongs; None when its name has no word of the checkpoint in it."""
    own = name[len(_BACKBONE):] if name.startswith(_BACKBONE) else name
    parts = own.split("/")[0].split(".")
    if parts[0] in _HEAD:
        return Place("head", "head")
    if parts[0] == "stages" and len(parts) > 2 and parts[1].isdigit() and parts[2].isdigit():
        return Place(".".join(parts[:2]), ".".join(parts[:3]))
    if len(parts) > 1 and parts[1].isdigit():
        stage = ".".join(parts[:2])
        return Place(stage, stage)
    if parts[0] in ("stem", "norm", "final_conv") or (len(parts) > 1 and parts[0].isidentifier()):
        return Place(parts[0], parts[0])
    return None


def place_of_several(names: Sequence[str]) -> Optional[Place]:
    """Return where a layer fused of several nodes belongs: the part that holds all of them."""
    places = [place for place in map(place_of, names) if place is not None]
    if not places:
        return None
    stages, blocks = {place.stage for place in places}, {place.block for place in places}
    if len(stages) > 1:
        return Place(SEVERAL, SEVERAL)
    stage = places[0].stage
    return Place(stage, places[0].block if len(blocks) == 1 else "{} ({})".format(stage, SEVERAL))


def kind_of(name: str, operator: str = "") -> str:
    """Return the kind of a node, one of `KINDS`.

    Args:
        name: of the node.
        operator: its ONNX operator where that is known; the name alone is enough for exported graphs.
    """
    if operator in _MOVES or name.startswith("Reformatting CopyNode"):
        return REFORMAT
    if operator in _NORMS or _NORM_WORD.search(name):
        return NORM
    if operator in _ACTIVATIONS or _ACTIVATION_WORD.search(name):
        return ACTIVATION
    if operator and operator not in _MATRIX:
        return ATTENTION if _ATTENTION_WORD.search(name) else ELEMENTWISE
    if _MOVE_WORD.search(name):
        return REFORMAT
    if _ATTENTION_WORD.search(name) and not _LINEAR_WORD.search(name):
        return ATTENTION
    for kind, word in ((DEPTHWISE, _DEPTHWISE_WORD), (POINTWISE, _POINTWISE_WORD), (CONVOLUTION, _CONVOLUTION_WORD)):
        if word.search(name):
            return kind
    if operator in ("Conv", "FusedConv", "NhwcConv"):
        return CONVOLUTION
    if operator in _MATRIX:
        return POINTWISE
    return ELEMENTWISE if place_of(name) is not None else OTHER


def kind_of_several(names: Sequence[str]) -> str:
    """Return the kind of a layer fused of several nodes: that of the heaviest of them."""
    kinds: Tuple[str, ...] = tuple(map(kind_of, names)) or (OTHER,)
    return min(kinds, key=KINDS.index)
