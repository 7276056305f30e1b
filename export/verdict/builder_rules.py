"""What TensorRT-RTX 1.7.1's parser takes and its builder refuses, as small functions by operator.

Each was asked of the builder, with `tests/real/parser_child.py`. Nothing is said here of other releases.
"""
from onnx import TensorProto

from edgenext_deploy.export.verdict.element_types import FOUR_BIT, type_name
from edgenext_deploy.export.verdict.importer_rules import product_of_vector
from edgenext_deploy.export.verdict.nodes import NodeView
from edgenext_deploy.export.verdict.releases import Release
from edgenext_deploy.export.verdict.severities import ERROR, WARNING, Problems, Rule

_REFUSED = "which the builder refuses"
_LOW_BIT = FOUR_BIT | {TensorProto.FLOAT8E4M3FN}
# They take constants of INT8: Q and DQ nodes, and Clip, whose bounds the parser reads itself.
_TAKES_INT8 = frozenset({"Clip", "DequantizeLinear", "QuantizeLinear"})
# Sizes of a head for which there are attention kernels, in FP16 and BF16.
_LEAST_HEAD, _LARGEST_HEAD = 16, 256


def builder_problems(node: NodeView, release: Release) -> Problems:
    """Yield what the builder of TensorRT-RTX refuses; nothing for other releases."""
    if not release.is_rtx:
        return
    for rule in _RULES.get(node.op, ()):
        yield from rule(node, release)
    yield from _low_bit_ends(node)
    yield from _quantised_constants(node)


def _low_bit_ends(node: NodeView) -> Problems:
    ends = [node.type_of(index) for index in range(len(node.inputs)) if node.is_network_input(index)]
    ends += [node.element_type(name) for name in node.outputs if node.is_network_output(name)]
    for found in dict.fromkeys(ends):
        if found in _LOW_BIT:
            yield ERROR, f"a network input or output of {type_name(found)}, {_REFUSED}"


def _quantised_constants(node: NodeView) -> Problems:
    """Only Q and DQ nodes themselves take a constant of INT8, not what moves it on the way to one."""
    if node.op not in _TAKES_INT8 and any(
            node.is_constant(index) and node.type_of(index) == TensorProto.INT8 for index in range(len(node.inputs))):
        yield ERROR, f"a constant of INT8 elsewhere than at a Q or DQ node, {_REFUSED}"


def _attention(node: NodeView, release: Release) -> Problems:
    """There are kernels for heads in FP16 and BF16; without mask and order, another pattern takes some in FP32."""
    queries, keys = node.shape(0), node.shape(1)
    if node.input(6) and queries and queries[-2] in (1, None):  # one step of a decoder
        if queries[-2] is None:
            yield WARNING, "an unknown number of steps; the builder is sure to take nonpad_kv_seqlen with one"
        return
    heads = [_heads(node, "q_num_heads", queries), _heads(node, "kv_num_heads", keys)]
    size = queries[-1] if queries else None
    if size is not None and queries is not None and len(queries) == 3:
        size = size // heads[0] if heads[0] else None
    halves = node.type_of(0) in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    if not node.type_of(0) or (halves and size is not None and _LEAST_HEAD <= size <= _LARGEST_HEAD):
        return
    plain = not (node.input(3) or node.input(6) or node.number("is_causal", 0)) and heads[0] == heads[1]
    split = node.rank(0) == 3 or all(node.made_by(index) == ("Transpose", "Reshape") for index in range(3))
    if not (plain and split and not any(node.is_constant(index) for index in range(3))):
        if halves and size is None:
            yield WARNING, (f"heads of unknown size; the builder has kernels for heads of {_LEAST_HEAD} to "
                            f"{_LARGEST_HEAD}")
            return
        what = f"heads of size {size}" if halves else f"{type_name(node.type_of(0))} tensors"
        yield ERROR, (f"{what}, {_REFUSED}: it has kernels for FP16 and BF16 with heads of {_LEAST_HEAD} to "
                      f"{_LARGEST_HEAD}")


def _heads(node: NodeView, attribute: str, shape: "tuple[int | None, ...] | None") -> int | None:
    return shape[1] if shape and len(shape) == 4 else int(node.number(attribute, 0)) or None


def _no_kernel(node: NodeView, release: Release) -> Problems:
    yield ERROR, f"no kernel, {_REFUSED}; export the network up to its boxes and scores"


def _vector_product(node: NodeView, release: Release) -> Problems:
    """A first axis of 1 is dropped, and the product is right; see `importer_rules`."""
    product = product_of_vector(node)
    if product is None or None not in product:
        return
    what = f"a vector times a tensor of rank {len(product) + 1}"
    if product[0] not in (1, None):
        yield ERROR, f"{what}, {_REFUSED}"
    elif None in product[:-1]:
        yield WARNING, f"{what}; the builder takes it where the tensor has one matrix"


def _scales(index: int) -> Rule:
    """Make a rule: the parser takes scales of unknown number from the network's inputs, and no builder can."""
    def rule(node: NodeView, release: Release) -> Problems:
        shape = node.shape(index)
        if node.depends_on_data(index) and shape is None:
            yield WARNING, "scales come from the network's inputs; a constant may give them"
        elif node.depends_on_data(index) and shape is not None and None in shape:
            yield ERROR, f"scales from the network's inputs, of unknown number, {_REFUSED}; a constant may give them"

    return rule


def _zero_point(node: NodeView, release: Release) -> Problems:
    if node.depends_on_data(2):
        yield ERROR, f"a zero point from the network's inputs, {_REFUSED}"


def _branches(node: NodeView, release: Release) -> Problems:
    """A condition that is known when the engine is built leaves one branch alone."""
    if node.is_constant(0):
        return
    sides = [node.attributes.get(name) for name in ("then_branch", "else_branch")]
    if None in sides:
        return
    for left, right in zip(*(side.output for side in sides if side is not None), strict=False):
        known = [value.type.tensor_type for value in (left, right)]
        if all(kind.HasField("shape") for kind in known) and len(known[0].shape.dim) != len(known[1].shape.dim):
            yield ERROR, (f"branches that give tensors of rank {len(known[0].shape.dim)} and "
                          f"{len(known[1].shape.dim)}, {_REFUSED}")
            return


_RULES: dict[str, tuple[Rule, ...]] = {
    "Attention": (_attention,),
    "DequantizeLinear": (_zero_point,),
    "If": (_branches,),
    "MatMul": (_vector_product,),
    "NonMaxSuppression": (_no_kernel,),
    "QuantizeLinear": (_zero_point,),
    "Resize": (_scales(2),),
    "Upsample": (_scales(1),),
}
