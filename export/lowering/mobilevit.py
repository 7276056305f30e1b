"""Lowering of MobileViT: each function or class turns one reference block into its lowered form.

The transformers run in the same two forms as EdgeNeXt's MLPs: on maps `[B * 4, d, H / 2, W / 2]` with 1x1
convolutions in layout ``nchw``, on tokens `[B * 4 * N, d]` with Gemms in layout ``tokens``.
"""
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgenext_deploy.export.lowering import algebra
from edgenext_deploy.export.lowering.context import LoweringContext, activation_op, fold_input, named
from edgenext_deploy.export.lowering.dispatch import lower_backbone, lower_network
from edgenext_deploy.export.lowering.elementwise_ops import Add
from edgenext_deploy.export.lowering.norm_behind import lower_linear, lower_norm
from edgenext_deploy.export.lowering.ops import Conv, Gemm, MatMul, MatMulConstant
from edgenext_deploy.export.lowering.shape_ops import Concat, GlobalMean, Reshape, Split, Transpose
from edgenext_deploy.models.definitions.mobilevit import (
    Attention,
    ConvNorm,
    InvertedResidual,
    MobileViT,
    MobileViTBackbone,
    MobileViTBlock,
    TransformerLayer,
)


def lower_conv_norm(
    block: ConvNorm, context: LoweringContext, before: tuple[Tensor, Tensor] | None = None
) -> nn.Sequential:
    """Convolution, BatchNorm, activation: the BatchNorm folds in, and `before`, an affine in front of it."""
    context.fired("batch_norm_folded")
    conv = block.conv
    weight: Tensor = conv.weight.detach()
    bias: Tensor | None = None
    if before is not None:
        weight, bias = algebra.affine_before_conv(weight, bias, *before)
    weight, bias = algebra.affine_after_conv(weight, bias, *algebra.batch_norm_affine(block.bn))
    lowered = Conv(weight, bias, stride=conv.stride[0], padding=int(conv.padding[0]), dilation=conv.dilation[0],
                   groups=conv.groups)
    if isinstance(block.act, nn.Identity):
        return named(conv=lowered)
    return named(conv=lowered, act=activation_op(block.act))


class LoweredInvertedResidual(nn.Module):
    """1x1, depthwise 3x3, 1x1, and the skip where there is one."""

    def __init__(self, block: InvertedResidual, context: LoweringContext) -> None:
        super().__init__()
        self.conv1_1x1 = lower_conv_norm(block.conv1_1x1, context)
        self.conv2_kxk = lower_conv_norm(block.conv2_kxk, context)
        self.conv3_1x1 = lower_conv_norm(block.conv3_1x1, context)
        self.skip = Add() if block.skip else None

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C', H', W']`."""
        y: Tensor = self.conv3_1x1(self.conv2_kxk(self.conv1_1x1(x)))
        return y if self.skip is None else self.skip(x, y)


class LoweredAttention(nn.Module):
    """Self-attention between tokens as MatMul and Softmax, its 1/sqrt(d) folded into the query's projection.

    On maps the scores are kept transposed (`[B, heads, keys, queries]`, softmax over keys), so that neither
    they nor the result need a Transpose.
    """

    def __init__(
        self, attention: Attention, norm: nn.LayerNorm, size: tuple[int, int], context: LoweringContext
    ) -> None:
        super().__init__()
        for rule in ("attention_as_matmul", "norm_affine_folded", "attention_scale_folded"):
            context.fired(rule)
        dim, heads = attention.proj.in_features, attention.heads
        batch, tokens, depth = context.batch, size[0] * size[1], dim // heads
        weight, bias = algebra.affine_before_linear(
            attention.qkv.weight.detach(), attention.qkv.bias.detach(), norm.weight.detach(), norm.bias.detach())
        scale = torch.cat((weight.new_full((dim,), attention.scale), weight.new_ones(2 * dim)))
        self.on_maps = not context.on_tokens
        self.qkv = lower_linear(norm.eps, *algebra.scale_after_linear(weight, bias, scale), context)
        self.split = Split([heads] * 3)
        self.key_transposed = Transpose(0, 1, 3, 2)
        self.scores = MatMul()
        self.mix = MatMul()
        self.heads: nn.Module
        self.merge: nn.Module
        if self.on_maps:
            self.heads = Reshape(batch, 3 * heads, depth, tokens)
            self.softmax = context.softmax(axis=2)
            self.merge = Reshape(*context.stream_shape(dim, size))
        else:
            self.heads = named(
                split=Reshape(batch, tokens, 3 * heads, depth), transpose=Transpose(0, 2, 1, 3))
            self.softmax = context.softmax(axis=3)
            self.merge = named(transpose=Transpose(0, 2, 1, 3), flatten=Reshape(batch * tokens, dim))
        self.proj = context.pointwise(attention.proj.weight.detach(), attention.proj.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Map the token stream to the same shape."""
        query, key, value = self.split(self.heads(self.qkv(x)))
        key = self.key_transposed(key)
        if self.on_maps:
            mixed = self.mix(value, self.softmax(self.scores(key, query)))
        else:
            mixed = self.mix(self.softmax(self.scores(query, key)), value)
        out: Tensor = self.proj(self.merge(mixed))
        return out


class LoweredTransformerLayer(nn.Module):
    """Pre-norm transformer layer, the norms' affines folded into the linear layers after them."""

    def __init__(self, layer: TransformerLayer, size: tuple[int, int], context: LoweringContext) -> None:
        super().__init__()
        context.fired("norm_affine_folded")
        ones = layer.norm1.weight.new_ones(layer.norm1.weight.shape)
        self.norm1 = lower_norm(layer.norm1.eps, ones, context)
        self.attn = LoweredAttention(layer.attn, layer.norm1, size, context)
        self.skip1 = Add()
        self.norm2 = lower_norm(layer.norm2.eps, ones, context)
        self.fc1 = lower_linear(layer.norm2.eps, *algebra.affine_before_linear(
            layer.mlp.fc1.weight.detach(), layer.mlp.fc1.bias.detach(),
            layer.norm2.weight.detach(), layer.norm2.bias.detach()), context)
        self.act = activation_op(layer.mlp.act)
        self.fc2 = context.pointwise(layer.mlp.fc2.weight.detach(), layer.mlp.fc2.bias.detach())
        self.skip2 = Add()

    def forward(self, x: Tensor) -> Tensor:
        """Map the token stream to the same shape."""
        x = self.skip1(x, self.attn(self.norm1(x)))
        out: Tensor = self.skip2(x, self.fc2(self.act(self.fc1(self.norm2(x)))))
        return out


def resize_matrix(length: int, target: int, like: Tensor, align_corners: bool = False) -> Tensor:
    """Return the matrix `[target, length]` that resizes a line linearly, as torch does it."""
    identity = torch.eye(length, dtype=like.dtype)[:, None]
    return F.interpolate(identity, size=target, mode="linear", align_corners=align_corners)[:, 0].T.contiguous()


def lower_resize(
    size: tuple[int, int], target: tuple[int, int], like: Tensor, context: LoweringContext, align_corners: bool = False,
) -> nn.Module:
    """Bilinear resize as a product with a constant on either side: exact, and the same in every parser."""
    if size == target:
        return nn.Identity()
    context.fired("resize_as_matmul")
    return named(
        vertical=MatMulConstant(resize_matrix(size[0], target[0], like, align_corners), left=True),
        horizontal=MatMulConstant(
            resize_matrix(size[1], target[1], like, align_corners).T.contiguous(), left=False))


class LoweredMobileViTBlock(nn.Module):
    """Convolutions, transformer on four interleaved grids, fusion; `size` is that of its maps."""

    def __init__(self, block: MobileViTBlock, size: tuple[int, int], context: LoweringContext) -> None:
        super().__init__()
        self.size = size
        side, dim, batch = block.patch, block.conv_1x1.out_channels, context.batch
        grid = (-(-size[0] // side), -(-size[1] // side))
        whole = (grid[0] * side, grid[1] * side)
        like = block.conv_1x1.weight
        inner = context.with_batch(batch * side * side)
        self.conv_kxk = lower_conv_norm(block.conv_kxk, context)
        self.conv_1x1 = Conv(block.conv_1x1.weight.detach(), None)
        self.enlarge = lower_resize(size, whole, like, context)
        # Pixels with the same place in their patch become one grid: [B, d, h, P, w, P] to [B, P, P, d, h, w].
        self.unfold = named(
            patches=Reshape(batch, dim, grid[0], side, grid[1], side), gather=Transpose(0, 3, 5, 1, 2, 4),
            grids=Reshape(batch * side * side, dim, *grid), tokens=inner.to_tokens(dim, grid))
        self.transformer = nn.Sequential(*(
            LoweredTransformerLayer(layer, grid, inner) for layer in block.transformer
            if isinstance(layer, TransformerLayer)))
        self.norm = inner.channel_norm(block.norm.eps, block.norm.weight.new_ones(dim))
        self.fold = named(
            grids=inner.to_map(dim, grid), patches=Reshape(batch, side, side, dim, *grid),
            scatter=Transpose(0, 3, 4, 1, 5, 2), map=Reshape(batch, dim, *whole))
        self.shrink = lower_resize(whole, size, like, context)
        # The resize keeps constants and treats channels alike, so the norm's affine may pass it.
        context.fired("norm_affine_folded")
        self.conv_proj = lower_conv_norm(
            block.conv_proj, context, before=(block.norm.weight.detach(), block.norm.bias.detach()))
        self.concat = Concat()
        self.conv_fusion = lower_conv_norm(block.conv_fusion, context)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H, W]`."""
        y = self.unfold(self.enlarge(self.conv_1x1(self.conv_kxk(x))))
        y = self.shrink(self.fold(self.norm(self.transformer(y))))
        out: Tensor = self.conv_fusion(self.concat(x, self.conv_proj(y)))
        return out


class LoweredMobileViTBackbone(nn.Module):
    """Stem and five stages as plain operators on fixed shapes.

    Args:
        model: the reference module.
        context: options of the lowering.
        maps: number of the last stages' outputs that `forward` returns.
    """

    # What a block with a transformer becomes; its `size` is that of the map behind it.
    transformer_block: ClassVar[Any] = LoweredMobileViTBlock

    def __init__(self, model: Any, context: LoweringContext, maps: int) -> None:
        super().__init__()
        self.maps = maps
        self.stem = lower_conv_norm(model.stem, context, before=fold_input(context, padded=True))
        size = (-(-context.height // 2), -(-context.width // 2))
        self.stages = nn.ModuleList()
        for stage in model.stages:
            blocks = nn.Sequential()
            for block in stage.children():
                if isinstance(block, InvertedResidual):
                    stride = block.conv2_kxk.conv.stride[0]
                    size = (-(-size[0] // stride), -(-size[1] // stride))
                    blocks.append(LoweredInvertedResidual(block, context))
                else:
                    lowered = self.transformer_block(block, size, context)
                    blocks.append(lowered)
                    size = lowered.size
            self.stages.append(blocks)

    def stage_outputs(self, image: Tensor) -> list[Tensor]:
        """Return every stage's map for `[B, 3, H, W]`."""
        x, outputs = self.stem(image), []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map `[B, 3, H, W]` to the last stages' outputs `[B, C, H / s, W / s]`."""
        return tuple(self.stage_outputs(image)[len(self.stages) - self.maps:])


class LoweredMobileViTClassifier(LoweredMobileViTBackbone):
    """A classifier: stem, stages, mean over the last map, linear layer.

    With `context.features` without the linear layer.
    """

    def __init__(self, model: Any, context: LoweringContext) -> None:
        super().__init__(model, context, maps=0)
        self.pool = GlobalMean()
        self.flatten = Reshape(context.batch, model.head.fc.in_features)
        self.head: nn.Module = nn.Identity()
        if context.features:
            context.fired("classifier_left_out")
        else:
            self.head = Gemm(model.head.fc.weight.detach(), model.head.fc.bias.detach())

    def last_map(self, image: Tensor) -> Tensor:
        """Return the map that the head takes for `[B, 3, H, W]`."""
        return self.stage_outputs(image)[-1]

    def forward(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """Map `[B, 3, H, W]` to logits `[B, classes]`, or with `context.features` to the embedding `[B, C]`."""
        logits: Tensor = self.head(self.flatten(self.pool(self.last_map(image))))
        return logits


class LoweredMobileViT(LoweredMobileViTClassifier):
    """The classifier of the first version, whose last map is widened before the head."""

    def __init__(self, model: MobileViT, context: LoweringContext) -> None:
        super().__init__(model, context)
        self.final_conv = lower_conv_norm(model.final_conv, context)

    def last_map(self, image: Tensor) -> Tensor:
        """Return the map that the head takes for `[B, 3, H, W]`."""
        widened: Tensor = self.final_conv(super().last_map(image))
        return widened


lower_network.register(MobileViT, LoweredMobileViT)
lower_backbone.register(MobileViTBackbone, LoweredMobileViTBackbone)
