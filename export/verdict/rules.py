"""What can be checked of the parsers' written restrictions and silent traps, as small functions by operator.

A rule looks at one node and one release and yields ``(severity, reason)``. Reasons do not name the node or
the release, so that equal findings can be shown together; they do name the release that lifts a limit.
Sources: docs/operators.md of each onnx-tensorrt branch for the restrictions, its importer source for the
traps (`traps` in the shipped table), TensorRT-RTX 1.7.1 where a rule says so.
"""
import numpy as np
from onnx import TensorProto

from edgenext_deploy.export.verdict.nodes import NodeView
from edgenext_deploy.export.verdict.releases import Release
from edgenext_deploy.export.verdict.severities import ERROR, NOTE, WARNING, Problems, Rule

_START = (0,)
_END = (1000,)


def problems_of(node: NodeView, release: Release) -> Problems:
    """Yield what is wrong with a node of an operator that the release has, types aside."""
    rules = _RULES.get(node.op)
    if rules is None:
        notes = _documented_limits(node, release)
        if notes:
            yield NOTE, f"not checked: {notes}"
        return
    for rule in rules:
        yield from rule(node, release)


def _constant_input(index: int, what: str, since: tuple[int, ...] = _START, until: tuple[int, ...] = _END,
                    severity: str = ERROR) -> Rule:
    """Make a rule: input `index` must be constant, from release `since` up to but without `until`."""
    lifted = "" if until == _END else " before " + ".".join(map(str, until))

    def rule(node: NodeView, release: Release) -> Problems:
        if since <= release.version < until and not node.is_constant(index):
            yield severity, f"{what} is computed in the graph; it must be a constant{lifted}"

    return rule


def _static_shape(index: int, since: tuple[int, ...] = _START, until: tuple[int, ...] = _END) -> Rule:
    def rule(node: NodeView, release: Release) -> Problems:
        shape = node.shape(index)
        if since <= release.version < until and (shape is None or None in shape):
            yield ERROR, "needs an input of static shape"

    return rule


def _documented_limits(node: NodeView, release: Release) -> str:
    """Return the written restrictions; TensorRT-RTX has none, and was seen to take more than 11 documents."""
    return release.operators[node.op].notes


def _reduce(node: NodeView, release: Release) -> Problems:
    """Before 10.0 only ReduceSum reads an axes input; the others reduce over everything."""
    if node.input(1):
        if node.op != "ReduceSum" and release.before(10):
            yield ERROR, ("axes given as an input are not read before 10.0: reduces over every axis with no "
                          "error; give them as an attribute (opset 17 or lower)")
        elif not release.before(10) and not node.is_constant(1) and not (
                release.is_rtx and node.is_constant_behind_casts(1)):
            yield ERROR, "axes are computed in the graph; they must be a constant"
    elif node.op != "ReduceSum" and node.number("noop_with_empty_axes", 0) and release.before(10) \
            and not node.items("axes"):
        yield ERROR, "noop_with_empty_axes is not read before 10.0: reduces over every axis with no error"


def _clip(node: NodeView, release: Release) -> Problems:
    bounds = [index for index in (1, 2) if node.input(index)]
    if release.before(8, 5) and any(node.element_type(node.input(i)) == TensorProto.FLOAT16 for i in bounds):
        yield ERROR, "FP16 min/max are read as FP32 before 8.5: wrong bounds with no error; use an FP32 graph"
    if release.before(8, 2) and not all(node.is_constant(index) for index in bounds):
        yield ERROR, "min/max are computed in the graph; they must be constants before 8.2"


def _pad(node: NodeView, release: Release) -> Problems:
    if release.before(9) and node.element_type(node.input(2)) == TensorProto.FLOAT16:
        yield ERROR, "an FP16 padding value is read as FP32 by 8.x: wrong with no error; use an FP32 graph"
    if release.before(8, 2):
        value = node.value(2)
        filled = node.number("value", 0.0) if value is None or value.size != 1 else float(value.reshape(()))
        pads = node.value(1) if node.input(1) else np.array(node.items("pads"), np.int64)
        if node.text("mode", "constant") != "constant" or filled != 0:
            yield ERROR, "pads with anything but zeros, which needs 8.2"
        if pads is None:
            yield ERROR, "pads are computed in the graph; they must be a constant before 8.2"
        else:
            begin_end = np.ravel(pads)
            half = begin_end.size // 2
            if np.count_nonzero(np.abs(begin_end[:half]) + np.abs(begin_end[half:2 * half])) > 2:
                yield ERROR, "pads more than two axes, which needs 8.2"
    if not release.before(10) and release.before(10, 4) and not node.is_constant(3):
        yield ERROR, "axes are computed in the graph; they must be a constant before 10.4"


def _split(node: NodeView, release: Release) -> Problems:
    if "num_outputs" in node.attributes and release.before(10):
        yield ERROR, ("num_outputs is not read before 10.0, which splits evenly over the node's outputs; "
                      "give the sizes instead")
    if release.before(8, 2) and not node.is_constant(1):
        yield ERROR, "split sizes are computed in the graph; they must be a constant before 8.2"


def _spatial(node: NodeView, release: Release, what: str) -> Problems:
    rank = node.rank(0)
    if rank is None:
        yield NOTE, f"not checked, the input's rank is not known: {what} is 2-D or 3-D"
    elif rank - 2 not in (1, 2, 3):
        yield ERROR, f"{rank - 2}-D {what}; TensorRT has 2-D and 3-D"
    elif rank == 3 and "2-D" in _documented_limits(node, release):
        # Importers from 8.0 on add an axis of size 1, and TensorRT-RTX 1.7.1 builds both in 1-D.
        yield WARNING, f"1-D {what}; the document says 2-D and 3-D only, though the importers expand it"


def _convolution(node: NodeView, release: Release) -> Problems:
    yield from _spatial(node, release, "convolution")
    if not release.before(9) or node.is_constant(1):
        return
    if node.produced_by(1) == "DequantizeLinear":
        yield WARNING, "the weight comes out of DequantizeLinear: 8.x takes that in an INT8 network only"
    elif release.before(8, 5):
        yield ERROR, "the weight is computed in the graph (a Cast counts); 8.5 and later take that"
    else:
        yield WARNING, "the weight is computed in the graph; 8.x is sure to take an initializer only"


def _pooling(node: NodeView, release: Release) -> Problems:
    yield from _spatial(node, release, "pooling")
    if any(value != 1 for value in node.items("dilations")):
        yield ERROR, "dilated pooling; TensorRT's pooling layer has no dilation"
    if node.op == "MaxPool" and node.output(1):
        yield ERROR, "the Indices output does not exist in TensorRT"


def _gemm(node: NodeView, release: Release) -> Problems:
    scaled = node.number("alpha", 1.0) != 1 or (node.number("beta", 1.0) != 1 and bool(node.input(2)))
    if scaled and release.before(9) and node.element_type(node.input(0)) == TensorProto.FLOAT16:
        # Read in the source of 8.2; the neighbours have the same code as far as it could be read.
        severity = ERROR if release.documented_as == "8.2" else WARNING
        yield severity, "alpha or beta other than 1 becomes an FP32 constant in an FP16 graph"


def _einsum(node: NodeView, release: Release) -> Problems:
    if not release.before(10, 12):
        return
    terms = node.text("equation", "").replace(" ", "").split("->")[0].split(",")
    if any("." in term for term in terms):
        yield ERROR, "the equation has an ellipsis, which needs 10.12"
        return
    if any(len(set(term)) < len(term) for term in terms):
        yield ERROR, "the equation takes a diagonal, which needs 10.12"
    sizes: dict[str, set[int]] = {}
    for index, term in enumerate(terms):
        for letter, size in zip(term, node.shape(index) or (), strict=False):
            if size is not None:
                sizes.setdefault(letter, set()).add(size)
    if any(len(found) > 1 for found in sizes.values()):
        yield ERROR, "the operands broadcast against each other, which needs 10.12"


# ITopKLayer's limit; TensorRT-RTX 1.7.1 builds 3840 and refuses 3841.
_MOST_TOP_K = 3840
_RESIZE_COORDINATES = frozenset(
    {"half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"})
_RESIZE_NEAREST = frozenset({"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"})


def _resize(node: NodeView, release: Release) -> Problems:
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    mode = node.text("mode", "nearest")
    nearest = node.text("nearest_mode", "round_prefer_floor")
    if coordinates not in _RESIZE_COORDINATES:
        yield ERROR, f"coordinate_transformation_mode {coordinates!r} is not one of the parser's"
    if mode == "cubic":
        # The documents to 11.x list nearest and linear; TensorRT-RTX 1.7.1 builds a cubic one.
        if release.before(8, 5):
            yield ERROR, "cubic interpolation, which needs 8.5"
        elif _documented_limits(node, release):
            yield WARNING, "cubic interpolation; the document lists nearest and linear only"
    if mode == "nearest" and nearest not in _RESIZE_NEAREST:
        yield ERROR, f"nearest_mode {nearest!r} is not one of the parser's"
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        yield ERROR, "keep_aspect_ratio_policy other than 'stretch' is not supported"
    if node.number("antialias", 0):
        yield ERROR, "antialias is not supported"


def _top_k(node: NodeView, release: Release) -> Problems:
    if release.before(8, 6) and not node.is_constant(1):
        yield ERROR, "K is computed in the graph; it must be a constant before 8.6"
    if not release.before(10, 1) and _documented_limits(node, release) and node.number("sorted", 1) != 1:
        yield ERROR, "sorted=0 is not supported"
    k = node.value(1) if node.input(1) else np.array(node.number("k", 0))
    if k is not None and (k > _MOST_TOP_K).any():
        yield ERROR, f"K is {k.max():g}; TensorRT has at most {_MOST_TOP_K}"


def _instance_normalization(node: NodeView, release: Release) -> Problems:
    if not release.before(8, 6):
        return
    if not (node.is_constant(1) and node.is_constant(2)):
        yield ERROR, "scale or bias is computed in the graph; they must be constants before 8.6"
    rank = node.rank(0)
    if rank is not None and not 3 <= rank <= 5:
        yield ERROR, f"input of rank {rank}; it must be 3 to 5 before 8.6"


def _layer_normalization(node: NodeView, release: Release) -> Problems:
    if not release.before(10, 1) and (node.output(1) or node.output(2)):
        yield ERROR, "outputs Mean and InvStdDev are not supported, only Y"


def _zero_point(node: NodeView, release: Release) -> Problems:
    value = node.value(2)
    if value is not None and value.any():
        yield ERROR, "the zero point is not 0"
    elif value is None and node.input(2):
        yield WARNING, "the zero point must be 0, and its value is not known here"


def _dropout(node: NodeView, release: Release) -> Problems:
    training = node.value(2)
    if not release.before(10, 1) and node.input(2) and (training is None or bool(training.any())):
        yield ERROR, "training_mode must be a constant false"


def _recurrent(node: NodeView, release: Release) -> Problems:
    activations = node.items("activations", bytes)
    half = len(activations) // 2
    if node.text("direction", "forward") == "bidirectional" and activations[:half] != activations[half:]:
        yield ERROR, "forward and reverse activations differ"
    if node.op == "LSTM" and not release.before(10, 1) and _documented_limits(node, release):
        if node.number("input_forget", 0):
            yield ERROR, "input_forget=1 is not supported"
        if node.number("layout", 0):
            yield ERROR, "layout=1 is not supported"


def _gather(node: NodeView, release: Release) -> Problems:
    if not release.before(8, 2):
        return
    indices = node.value(1)
    if indices is None:
        yield NOTE, "not checked, the indices are not known: they must not be negative before 8.2"
    elif (indices < 0).any():
        yield ERROR, "negative indices, which need 8.2"


def _grid_sample(node: NodeView, release: Release) -> Problems:
    rank = node.rank(0)
    if rank is not None and rank != 4 and not release.before(10, 1) and release.before(11, 2, 1):
        yield ERROR, f"input of rank {rank}; it must be 4 before 11.2.1"


def _non_max_suppression(node: NodeView, release: Release) -> Problems:
    if not release.before(8, 5):
        return
    if not all(node.is_constant(index) for index in (2, 3, 4)):
        yield ERROR, "the count or a threshold is computed in the graph; they must be constants before 8.5"
    yield NOTE, "experimental before 8.5; the output is padded to [max_output_boxes_per_class, 3]"


def _range(node: NodeView, release: Release) -> Problems:
    integer = (TensorProto.INT32, TensorProto.INT64)
    constant = all(node.is_constant(index) for index in (0, 1, 2))
    if release.before(8, 4) and not constant and node.element_type(node.input(0)) not in integer:
        yield ERROR, "a floating-point range must have constant start, limit and delta before 8.4"


def _scatter_nd(node: NodeView, release: Release) -> Problems:
    reduction = node.text("reduction", "none")
    if reduction != "none":
        if release.before(10):
            yield NOTE, f"not checked: whether the importer reads reduction={reduction!r} is not documented"
        else:
            yield ERROR, f"reduction={reduction!r} is not supported"


def _attention(node: NodeView, release: Release) -> Problems:
    if not _documented_limits(node, release):
        return
    ranks = [node.rank(index) for index in range(4) if node.input(index)]
    if any(rank is not None and rank != 4 for rank in ranks):
        yield ERROR, "Q, K, V and attn_mask must have rank 4"


def _constant(node: NodeView, release: Release) -> Problems:
    if not release.before(10, 1) and {"sparse_value", "value_string", "value_strings"} & set(node.attributes):
        yield ERROR, "sparse and string constants are not supported"


_REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
               "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare")

_RULES: dict[str, tuple[Rule, ...]] = {
    "Attention": (_attention,),
    "AveragePool": (_pooling,),
    "Clip": (_clip,),
    "Constant": (_constant,),
    "Conv": (_convolution,),
    "ConvTranspose": (_convolution,),
    "CumSum": (_constant_input(1, "axis", until=(10, 15)),
               _constant_input(1, "axis", since=(10, 15), severity=WARNING)),
    "DequantizeLinear": (_zero_point,),
    "Dropout": (_dropout,),
    "Einsum": (_einsum,),
    "EyeLike": (_static_shape(0, since=(10, 1)),),
    "GRU": (_recurrent,),
    "Gather": (_gather,),
    "GatherElements": (_gather,),
    "Gemm": (_gemm,),
    "GridSample": (_grid_sample,),
    "InstanceNormalization": (_instance_normalization,),
    "LSTM": (_recurrent,),
    "LayerNormalization": (_layer_normalization,),
    "LpPool": (_pooling,),
    "MaxPool": (_pooling,),
    "NonMaxSuppression": (_non_max_suppression,),
    "OneHot": (_constant_input(1, "depth", since=(9,), severity=WARNING),),
    "Pad": (_pad,),
    "QuantizeLinear": (_zero_point,),
    "RNN": (_recurrent,),
    "Range": (_range,),
    "Resize": (_resize,),
    "ReverseSequence": (_static_shape(0, until=(8, 6)),),
    "STFT": (_constant_input(1, "frame_step"), _constant_input(2, "window")),
    "ScatterND": (_scatter_nd,),
    "Slice": (_constant_input(3, "axes", until=(10, 3)),),
    "Split": (_split,),
    "Squeeze": (_constant_input(1, "axes", until=(10, 15)),
                _constant_input(1, "axes", since=(10, 15), severity=WARNING)),
    "TopK": (_top_k,),
    "Unsqueeze": (_constant_input(1, "axes", until=(10, 15)),
                  _constant_input(1, "axes", since=(10, 15), severity=WARNING)),
    **dict.fromkeys(_REDUCTIONS, (_reduce,)),
}
