"""The operators around a lowered network: from pixels to its input, and from logits to probabilities."""
from torch import Tensor

from edgenext_deploy.artifacts.manifest import Scores
from edgenext_deploy.export.graph.fp32_reasons import SIGMOID
from edgenext_deploy.export.lowering.elementwise_ops import AddConstant, MultiplyConstant, Sigmoid, ToFloat
from edgenext_deploy.export.lowering.ops import Op, Softmax
from edgenext_deploy.export.lowering.shape_ops import Transpose
from edgenext_deploy.export.pixel_input import CAST
from edgenext_deploy.export.resolved import GraphForm

# A name, which becomes that of the node, and the operator.
NamedOp = tuple[str, Op]
_NORMALISATION = "normalisation of pixels: a difference of numbers of one size"


def front_of(form: GraphForm, affine: tuple[Tensor, Tensor] | None) -> tuple[NamedOp, ...]:
    """Return the operators in front of the network, none for a graph that takes prepared numbers.

    Args:
        form: of the graph.
        affine: scale and shift `[3]` of each channel, None where the stem has them.
    """
    if not form.pixels:
        return ()
    operators: list[NamedOp] = [(CAST, ToFloat())]
    if form.channels_last:
        operators.append(("input.channels_first", Transpose(0, 3, 1, 2)))
    if affine is not None:
        scale, shift = (value[:, None, None] for value in affine)
        operators += [("input.scale", MultiplyConstant(scale, _NORMALISATION)),
                      ("input.shift", AddConstant(shift, _NORMALISATION))]
    return tuple(operators)


def end_of(scores: Scores | None) -> tuple[NamedOp, ...]:
    """Return the operators behind the network, none where the graph gives logits, as other tasks' graphs do."""
    if scores is None or not scores.in_graph:
        return ()
    return (("softmax", Softmax(axis=1)),) if scores.activation == "softmax" else (("sigmoid", Sigmoid(SIGMOID)),)
