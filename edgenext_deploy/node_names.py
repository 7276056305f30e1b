"""Which part of the network a layer belongs to, and its kind, read from its name.

The lowering names every node by its path in the lowered module (``stages.2.5.xca.scores``), with the parts of one
operator behind a slash (``stages.0.1.mlp.norm/variance``). Runtimes keep these names: ONNX Runtime adds suffixes,
TensorRT joins the names of what it fuses. TensorRT's profile has nothing but names, so the kind is in the name: the
innermost word of the path that `register_words` knows decides.
"""
import re
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

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
_DIGITS = "0123456789"
_MOVES = frozenset((
    "Transpose", "Reshape", "Split", "Concat", "Slice", "Gather", "Pad", "Cast", "Squeeze", "Unsqueeze", "Flatten",
    "Expand", "ReorderInput", "ReorderOutput", "MemcpyToHost", "MemcpyFromHost", "Identity"))
_ACTIVATIONS = frozenset((
    "Erf", "Gelu", "FastGelu", "BiasGelu", "QuickGelu", "HardSwish", "HardSigmoid", "Sigmoid", "Relu", "Clip", "Tanh"))
_NORMS = frozenset((
    "LayerNormalization", "SkipLayerNormalization", "BatchNormalization", "SimplifiedLayerNormalization",
    "InstanceNormalization"))
_CONVOLUTIONS = frozenset(("Conv", "FusedConv", "NhwcConv"))
_PRODUCTS = frozenset(("Gemm", "FusedGemm", "MatMul", "FusedMatMul"))
_WORDS: Dict[str, str] = {}


def register_words(kind: str, *words: str) -> None:
    """Say which kind the layers called by these words are of; for the lowering of a family that has words of its own.

    Args:
        kind: one of `KINDS`.
        words: names of modules of a lowering, in lower case. A number at the end and what runtimes append with an
            underscore need no word of their own.

    Raises:
        ValueError: no such kind, or a word that has another kind already.
    """
    if kind not in KINDS:
        raise ValueError("unknown kind {!r}; the kinds are {}".format(kind, ", ".join(KINDS)))
    for word in words:
        if _WORDS.setdefault(word, kind) != kind:
            raise ValueError("the word {!r} is registered as {}".format(word, _WORDS[word]))


register_words(DEPTHWISE, "dwconv", "split_convs", "conv2_kxk")
register_words(CONVOLUTION, "downsample_layers", "stem", "conv_kxk", "conv_fusion")
register_words(
    POINTWISE, "pwconv", "qkv", "proj", "fc", "head", "conv_1x1", "conv1_1x1", "conv3_1x1", "conv_proj", "final_conv",
    "project", "project_pooled", "token_projection", "classifier", "enlarge", "shrink")
register_words(ATTENTION, "xca", "attn")
register_words(NORM, "norm", "norm_xca", "bn")
register_words(ACTIVATION, "act", "sigmoid")
register_words(ELEMENTWISE, "sums", "scale", "shift", "pool")
register_words(
    REFORMAT, "split", "concat", "join", "heads", "merge", "transpose", "key_transposed", "channels_first", "unfold",
    "fold", "flatten", "pad", "to_map", "to_maps", "to_tokens", "rows", "neighbours", "patches", "cells_last",
    "corners", "without_background", "cast")

# The backbone's parts are named alike in a classifier and in a detector, and so are what stands behind it.
_BACKBONE = "backbone."
_HEAD = frozenset((
    "head", "pool", "flatten", "classifier", "resize", "classes", "join", "split", "softmax", "sigmoid",
    "without_background"))


class NetworkPart(NamedTuple):
    """A part of the network: the stage, such as ``stages.2``, and the block in it, such as ``stages.2.5``."""

    stage: str
    block: str


def part_of(name: str) -> Optional[NetworkPart]:
    """Return which part a node belongs to; None for a name that no lowering has given."""
    own = name[len(_BACKBONE):] if name.startswith(_BACKBONE) else name
    parts = own.split("/")[0].split(".")
    if parts[0] in _HEAD:
        return NetworkPart("head", "head")
    if parts[0] == "stages" and len(parts) > 2 and parts[1].isdigit() and parts[2].isdigit():
        return NetworkPart(".".join(parts[:2]), ".".join(parts[:3]))
    if len(parts) > 1 and parts[1].isdigit():
        stage = ".".join(parts[:2])
        return NetworkPart(stage, stage)
    if parts[0] in ("stem", "norm", "final_conv") or (len(parts) > 1 and parts[0].isidentifier()):
        return NetworkPart(parts[0], parts[0])
    return None


def part_of_several(names: Sequence[str]) -> Optional[NetworkPart]:
    """Return the part that holds all nodes of a fused layer, None if no name is known."""
    parts_found = [part for part in map(part_of, names) if part is not None]
    if not parts_found:
        return None
    stages, blocks = {part.stage for part in parts_found}, {part.block for part in parts_found}
    if len(stages) > 1:
        return NetworkPart(SEVERAL, SEVERAL)
    stage = parts_found[0].stage
    return NetworkPart(stage, parts_found[0].block if len(blocks) == 1 else "{} ({})".format(stage, SEVERAL))


def kind_of(name: str, operator: str = "") -> str:
    """Return the kind of a node, one of `KINDS`.

    Args:
        name: of the node.
        operator: its ONNX operator where that is known; the name alone is enough for exported graphs.
    """
    if operator in _MOVES or name.startswith("Reformatting CopyNode"):
        return REFORMAT
    if operator in _NORMS:
        return NORM
    if operator in _ACTIVATIONS:
        return ACTIVATION
    kind = _kind_by_words(name)
    if operator in _CONVOLUTIONS or operator in _PRODUCTS:
        if kind in (DEPTHWISE, CONVOLUTION, POINTWISE, ATTENTION):
            return kind
        return CONVOLUTION if operator in _CONVOLUTIONS else POINTWISE
    if operator:
        return kind if kind in (NORM, ACTIVATION, ATTENTION) else ELEMENTWISE
    return kind or (ELEMENTWISE if part_of(name) is not None else OTHER)


def _kind_by_words(name: str) -> str:
    """Return the kind of the innermost known word in a name, empty if it has none."""
    path = name if name.startswith("/") else name.split("/")[0]
    for word in reversed(re.split("[./]", path.lower())):
        while word:
            kind = _WORDS.get(word) or _WORDS.get(word.rstrip(_DIGITS))
            if kind is not None:
                return kind
            word = word.rpartition("_")[0]
    return ""


def kind_of_several(names: Sequence[str]) -> str:
    """Return the kind of a fused layer: that of the heaviest of its nodes."""
    kinds: Tuple[str, ...] = tuple(map(kind_of, names)) or (OTHER,)
    return min(kinds, key=KINDS.index)
