"""A norm whose deviation divides behind the linear layer: the normalised map is never written."""
from torch import Tensor, nn

from edgenext_deploy.export.lowering import algebra
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.elementwise_ops import AddConstant, Divide
from edgenext_deploy.export.lowering.norms import Deviation, NormScaling
from edgenext_deploy.export.lowering.ops import Conv


class LinearOfNorm(nn.Module):
    """`W (x - mean) / deviation + b` as `(W' x) / deviation + b`: the mean over channels is folded into the weight.

    The affine of the norm is in `weight` and `bias` already.
    """

    def __init__(self, eps: float, weight: Tensor, bias: Tensor, context: LoweringContext) -> None:
        super().__init__()
        self.linear = Conv(algebra.centred_rows(weight)[:, :, None, None], None)
        self.norm = Deviation(eps, context.scaled)
        self.scale = Divide()
        self.shift = AddConstant(bias[:, None, None])
        if context.scaled:
            context.scalings.append(LinearScaling(self))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C', H, W]`."""
        out: Tensor = self.shift(self.scale(self.linear(x), self.norm(x)))
        return out


class LinearScaling(NormScaling):
    """Finds the scale of the deviation, and multiplies the linear layer by it too."""

    def __init__(self, layer: LinearOfNorm) -> None:
        super().__init__(layer.norm)
        self._layer = layer

    def apply(self, largest: Tensor) -> None:
        """Choose the power of two, and scale the weight by it."""
        super().apply(largest)
        self._layer.linear.weight = self._layer.linear.weight * self.watched.scale


def lower_norm(eps: float, like: Tensor, context: LoweringContext) -> nn.Module:
    """Return what stands in front of a linear layer for a norm without affine; `like` is any tensor `[C]`."""
    if context.formulation.division == "ahead":
        return context.channel_norm(eps, like.new_ones(like.shape))
    return nn.Identity()


def lower_linear(eps: float, weight: Tensor, bias: Tensor, context: LoweringContext) -> nn.Module:
    """Return the linear layer behind `lower_norm`, `[C', C]`; `eps` is the norm's."""
    if context.formulation.division == "ahead":
        return context.pointwise(weight, bias)
    context.fired("norm_behind_linear")
    return LinearOfNorm(eps, weight, bias, context)
