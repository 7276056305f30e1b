"""Lowering of MobileViT-v2: each function or class turns one reference block into its lowered form.

The transformers run on `[B, d, P * P, N]`, N patches of side P, with 1x1 convolutions as published, in every layout.
"""
from torch import Tensor, nn

from edgenext_deploy.export.lowering import algebra
from edgenext_deploy.export.lowering.context import LoweringContext, activation_op, named
from edgenext_deploy.export.lowering.dispatch import lower_network
from edgenext_deploy.export.lowering.elementwise_ops import Add, Multiply, Relu
from edgenext_deploy.export.lowering.mobilevit import LoweredMobileViTClassifier, lower_conv_norm, lower_resize
from edgenext_deploy.export.lowering.norms import Normalise
from edgenext_deploy.export.lowering.ops import Conv
from edgenext_deploy.export.lowering.shape_ops import Reshape, SumLast, Transpose
from edgenext_deploy.models.definitions.mobilevitv2 import (
    MobileViTV2,
    MobileViTV2Block,
    SeparableAttention,
    TransformerLayer,
)


def _normalise(norm: nn.GroupNorm, context: LoweringContext) -> Normalise:
    """Return a norm over all of an image, its affine left to the convolutions behind it."""
    return context.norm((1, 2, 3), norm.eps, norm.weight.new_ones(norm.num_channels))


def _parameters(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    if conv.bias is None:
        raise TypeError("a convolution with a bias expected")
    return conv.weight.detach(), conv.bias.detach()


def _behind(norm: nn.GroupNorm, weight: Tensor, bias: Tensor, context: LoweringContext) -> Conv:
    """Return a 1x1 convolution with the affine of the norm before it folded in."""
    context.fired("norm_affine_folded")
    return Conv(*algebra.affine_before_conv(weight, bias, norm.weight.detach(), norm.bias.detach()))


class LoweredSeparableAttention(nn.Module):
    """The weights of a sum over patches, the sum, its projection as key, and the product with the values.

    The key's projection comes behind the sum, on one vector for each place in a patch: the weights add up to one, so
    the bias passes through. That saves a third of the attention's multiply-adds.
    """

    def __init__(self, attention: SeparableAttention, norm: nn.GroupNorm, context: LoweringContext) -> None:
        super().__init__()
        context.fired("key_behind_sum")
        sizes = [1, attention.dim, attention.dim]
        weights, biases = (parameter.split(sizes) for parameter in _parameters(attention.qkv_proj))
        self.qkv_query = _behind(norm, weights[0], biases[0], context)
        self.softmax = context.softmax(axis=3)
        self.weigh = Multiply()
        self.sum = SumLast()
        self.qkv_key = _behind(norm, weights[1], biases[1], context)
        self.qkv_value = _behind(norm, weights[2], biases[2], context)
        self.act = Relu()
        self.mix = Multiply()
        self.proj = Conv(*_parameters(attention.out_proj))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, d, P * P, N]` to the same shape."""
        weights = self.softmax(self.qkv_query(x))
        key = self.qkv_key(self.sum(self.weigh(x, weights)))
        out: Tensor = self.proj(self.mix(self.act(self.qkv_value(x)), key))
        return out


class LoweredTransformerLayer(nn.Module):
    """Pre-norm transformer layer, the norms' affines folded into the convolutions after them."""

    def __init__(self, layer: TransformerLayer, context: LoweringContext) -> None:
        super().__init__()
        self.norm1 = _normalise(layer.norm1, context)
        self.attn = LoweredSeparableAttention(layer.attn, layer.norm1, context)
        self.skip1 = Add()
        self.norm2 = _normalise(layer.norm2, context)
        self.fc1 = _behind(layer.norm2, *_parameters(layer.mlp.fc1), context)
        self.act = activation_op(layer.mlp.act)
        self.fc2 = Conv(*_parameters(layer.mlp.fc2))
        self.skip2 = Add()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, d, P * P, N]` to the same shape."""
        x = self.skip1(x, self.attn(self.norm1(x)))
        out: Tensor = self.skip2(x, self.fc2(self.act(self.fc1(self.norm2(x)))))
        return out


class LoweredMobileViTV2Block(nn.Module):
    """Depthwise convolution, then the transformer on unfolded patches; `size` is that of the map that enters."""

    def __init__(self, block: MobileViTV2Block, size: tuple[int, int], context: LoweringContext) -> None:
        super().__init__()
        side, dim, batch = block.patch, block.conv_1x1.out_channels, context.batch
        grid = (-(-size[0] // side), -(-size[1] // side))
        self.size = (grid[0] * side, grid[1] * side)
        self.enlarge = lower_resize(size, self.size, block.conv_1x1.weight, context, align_corners=True)
        self.dwconv = lower_conv_norm(block.conv_kxk, context)
        self.conv_1x1 = Conv(block.conv_1x1.weight.detach(), None)
        # [B, d, h, P, w, P] to [B, d, P, P, h, w].
        self.unfold = named(
            patches=Reshape(batch, dim, grid[0], side, grid[1], side), gather=Transpose(0, 1, 3, 5, 2, 4),
            tokens=Reshape(batch, dim, side * side, grid[0] * grid[1]))
        self.transformer = nn.Sequential(*(
            LoweredTransformerLayer(layer, context) for layer in block.transformer
            if isinstance(layer, TransformerLayer)))
        self.norm = _normalise(block.norm, context)
        self.fold = named(
            patches=Reshape(batch, dim, side, side, *grid), scatter=Transpose(0, 1, 4, 2, 5, 3),
            map=Reshape(batch, dim, *self.size))
        context.fired("norm_affine_folded")
        self.conv_proj = lower_conv_norm(
            block.conv_proj, context, before=(block.norm.weight.detach(), block.norm.bias.detach()))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H', W']`, the sides rounded up to multiples of the patch's."""
        y = self.unfold(self.conv_1x1(self.dwconv(self.enlarge(x))))
        out: Tensor = self.conv_proj(self.fold(self.norm(self.transformer(y))))
        return out


class LoweredMobileViTV2(LoweredMobileViTClassifier):
    """The classifier; its stages are those of the first version with other transformer blocks."""

    transformer_block = LoweredMobileViTV2Block


lower_network.register(MobileViTV2, LoweredMobileViTV2)
