"""Lowering of cross-covariance attention (XCA): the attention between channels that EdgeNeXt's SDTA blocks have."""
import torch
from torch import Tensor, nn

from edgenext_deploy.export.lowering import algebra
from edgenext_deploy.export.lowering.context import LoweringContext, named
from edgenext_deploy.export.lowering.elementwise_ops import Multiply, MultiplyConstant
from edgenext_deploy.export.lowering.norms import InverseNorm, L2Normalise, row_scale
from edgenext_deploy.export.lowering.ops import MatMul
from edgenext_deploy.export.lowering.scales import Scaled
from edgenext_deploy.export.lowering.shape_ops import Reshape, Split, Transpose
from edgenext_deploy.models.definitions.edgenext import XCA

_TEMPERATURE = "temperature times scores: it multiplies their rounding errors"


class LoweredXCA(nn.Module):
    """Cross-covariance attention as MatMul and Softmax on `[B, heads, C / heads, N]`.

    Query and key are normalised together: they lie next to each other after the split.
    """

    def __init__(
        self, xca: XCA, qkv: nn.Module, gamma: Tensor, size: tuple[int, int], context: LoweringContext
    ) -> None:
        super().__init__()
        context.fired("attention_as_matmul")
        context.fired("layer_scale_folded")
        channels, heads = xca.proj.in_features, xca.heads
        batch, tokens, depth = context.batch, size[0] * size[1], channels // heads
        self.qkv = qkv
        self.channels_first = nn.Identity() if not context.on_tokens else named(
            unflatten=Reshape(batch, tokens, 3 * channels), transpose=Transpose(0, 2, 1))
        self.heads = Reshape(batch, 3 * heads, depth, tokens)
        self.split_value = Split([2 * heads, heads])
        self.split_key = Split([heads, heads])
        self.key_transposed = Transpose(0, 1, 3, 2)
        self.scores = MatMul()
        self._add_norms(xca, context)
        self.softmax = context.softmax(axis=3)
        self.mix = MatMul()
        self.merge = Reshape(*context.stream_shape(channels, size)) if not context.on_tokens else named(
            merge=Reshape(batch, channels, tokens), transpose=Transpose(0, 2, 1),
            flatten=Reshape(batch * tokens, channels))
        self.proj = context.pointwise(*algebra.scale_after_linear(
            xca.proj.weight.detach(), xca.proj.bias.detach(), gamma))

    def _add_norms(self, xca: XCA, context: LoweringContext) -> None:
        self.normalise: nn.Module = L2Normalise(fp16=context.scaled)
        self.temperature = MultiplyConstant(
            xca.temperature.detach()[None], fp32=None if context.scaled else _TEMPERATURE)

    def _normalised_scores(self, query_key: Tensor) -> Tensor:
        """Map Q and K `[B, 2 * heads, d, N]` to `[B, heads, d, d]`."""
        query, key = self.split_key(self.normalise(query_key))
        scores: Tensor = self.temperature(self.scores(query, self.key_transposed(key)))
        return scores

    def forward(self, x: Tensor) -> Tensor:
        """Map the residual stream to the same shape."""
        query_key, value = self.split_value(self.heads(self.channels_first(self.qkv(x))))
        out: Tensor = self.proj(self.merge(self.mix(self.softmax(self._normalised_scores(query_key)), value)))
        return out


class ScoreDividingXCA(LoweredXCA):
    """The same with the scores of Q and K as they are divided by the norms of both: d numbers a head, not d * N.

    The temperature is in the numerator of Q's factor.
    """

    def _add_norms(self, xca: XCA, context: LoweringContext) -> None:
        context.fired("norms_on_scores")
        heads, depth = xca.heads, xca.proj.in_features // xca.heads
        temperature = xca.temperature.detach()
        self.normalise = InverseNorm(torch.cat((temperature, torch.ones_like(temperature))), fp16=context.scaled)
        self.split_norms = Split([heads, heads])
        self.transpose_norms = Reshape(context.batch, heads, 1, depth)
        pin = None if context.scaled else _TEMPERATURE
        self.divide_query, self.divide_key = Multiply(pin), Multiply(pin)

    def _normalised_scores(self, query_key: Tensor) -> Tensor:
        query, key = self.split_key(query_key)
        query_norms, key_norms = self.split_norms(self.normalise(query_key))
        scores = self.divide_query(self.scores(query, self.key_transposed(key)), query_norms)
        divided: Tensor = self.divide_key(scores, self.transpose_norms(key_norms))
        return divided


class RowScaling(Scaled):
    """Multiplies the rows of Q and K in an attention's projection by powers of two; the norms divide them out again."""

    def __init__(self, attention: LoweredXCA) -> None:
        self.watched = attention.normalise
        self._projection = attention.qkv

    def measure(self, x: Tensor) -> Tensor:
        """Return the largest norms over a batch of Q and K `[B, 2 * heads, d, N]`, `[2 * C]`."""
        return x.square().sum(-1).amax(0).sqrt().reshape(-1)

    def apply(self, largest: Tensor) -> None:
        """Scale every parameter of the projection along its axis of Q, K and V."""
        scale = torch.cat((row_scale(largest), largest.new_ones(len(largest) // 2)))
        for module in self._projection.modules():
            for name, parameter in module.named_buffers(recurse=False):
                axis = list(parameter.shape).index(len(scale))
                shape = [-1 if place == axis else 1 for place in range(parameter.dim())]
                setattr(module, name, parameter * scale.reshape(shape))


def lower_xca(
    xca: XCA, qkv: nn.Module, gamma: Tensor, size: tuple[int, int], context: LoweringContext
) -> LoweredXCA:
    """Return the attention in the form that the context asks for.

    Args:
        xca: of the reference module.
        qkv: its lowered projection.
        gamma: layer scale `[C]` of its result.
        size: of the map.
        context: options of the lowering.
    """
    form = ScoreDividingXCA if context.formulation.attention == "scores" else LoweredXCA
    lowered = form(xca, qkv, gamma, size, context)
    if context.scaled:
        context.fired("rows_scaled")
        context.scalings.append(RowScaling(lowered))
    return lowered
