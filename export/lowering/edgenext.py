"""Lowering of EdgeNeXt: each function turns one reference block into its lowered form."""
import torch
from torch import Tensor, nn

from edgenext_deploy.export.lowering import algebra
from edgenext_deploy.export.lowering.context import LoweringContext, activation_op, fold_input, named
from edgenext_deploy.export.lowering.dispatch import lower_backbone, lower_network
from edgenext_deploy.export.lowering.edgenext_xca import lower_xca
from edgenext_deploy.export.lowering.elementwise_ops import Add, AddConstant, MultiplyConstant
from edgenext_deploy.export.lowering.norm_behind import lower_linear, lower_norm
from edgenext_deploy.export.lowering.ops import Conv, Gemm
from edgenext_deploy.export.lowering.shape_ops import Concat, GlobalMean, Pad, Reshape, Split, Transpose
from edgenext_deploy.models.definitions.edgenext import (
    LAYER_NORM_EPS,
    ChannelsFirstLayerNorm,
    ConvEncoder,
    EdgeNeXt,
    EdgeNeXtBackbone,
    SDTAEncoder,
)

_EXPLICIT_PADDING_KERNEL = 9


class LoweredEdgeNeXtBackbone(nn.Module):
    """Stem and stages as plain operators on fixed shapes.

    Between blocks the residual stream is what `LoweringContext.stream_shape` says.

    Args:
        model: the reference module.
        context: options of the lowering.
        maps: number of the last stages' outputs that `forward` returns, as maps.
    """

    def __init__(self, model: EdgeNeXtBackbone, context: LoweringContext, maps: int) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        self.sizes: list[tuple[int, int]] = []
        size = (context.height, context.width)
        for index, (downsample, stage) in enumerate(zip(model.downsample_layers, model.stages)):
            lower = lower_stem if index == 0 else lower_downsample
            size = _convolved(size, downsample)
            self.downsample_layers.append(lower(downsample, size, context))
            blocks = nn.Sequential()
            for block in stage.children():
                blocks.append(lower_block(block, size, context))
                size = _convolved(size, block)
            self.stages.append(blocks)
            self.sizes.append(size)
        self.to_maps = nn.ModuleList(
            context.to_map(model.config.dims[stage], self.sizes[stage]) for stage in range(4 - maps, 4))

    def streams(self, image: Tensor) -> list[Tensor]:
        """Return the residual stream after every stage for `[B, 3, H, W]`."""
        streams: list[Tensor] = []
        for downsample, stage in zip(self.downsample_layers, self.stages):
            streams.append(stage(downsample(streams[-1] if streams else image)))
        return streams

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map `[B, 3, H, W]` to the last stages' outputs `[B, C, H / s, W / s]`."""
        wanted = self.streams(image)[4 - len(self.to_maps):]
        return tuple(to_map(stream) for to_map, stream in zip(self.to_maps, wanted))


class LoweredEdgeNeXt(LoweredEdgeNeXtBackbone):
    """The classifier: backbone and head."""

    def __init__(self, model: EdgeNeXt, context: LoweringContext) -> None:
        super().__init__(model, context, maps=0)
        self.head = LoweredHead(model, self.sizes[-1], context)

    def forward(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """Map `[B, 3, H, W]` to logits `[B, classes]`."""
        logits: Tensor = self.head(self.streams(image)[-1])
        return logits


def _convolved(size: tuple[int, int], module: nn.Module) -> tuple[int, int]:
    """Return height and width behind a downsampling module or an encoder; its own convolutions are in a row."""
    height, width = size
    for conv in module.children():
        if isinstance(conv, nn.Conv2d):
            height, width = (
                (length + 2 * int(conv.padding[0]) - conv.kernel_size[0]) // conv.stride[0] + 1
                for length in (height, width))
    return height, width


def lower_block(block: nn.Module, size: tuple[int, int], context: LoweringContext) -> nn.Module:
    """Return the lowered form of one encoder; `size` is that of the map that enters it."""
    if isinstance(block, SDTAEncoder):
        return LoweredSDTAEncoder(block, size, context)
    if isinstance(block, ConvEncoder):
        return LoweredConvEncoder(block, size, context)
    raise TypeError(f"no lowering for {type(block).__name__}")


def _conv_parameters(conv: nn.Module) -> tuple[Tensor, Tensor | None]:
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"Conv2d expected, {type(conv).__name__} found")
    return conv.weight.detach(), None if conv.bias is None else conv.bias.detach()


def lower_stem(stem: nn.Module, size: tuple[int, int], context: LoweringContext) -> nn.Sequential:
    """Convolution of stride 4, then its norm: BatchNorm folds away, LayerNorm keeps its affine.

    The stem's output is the residual stream, so there is no linear layer for the affine to go to. `size` is
    the output's.
    """
    conv, norm = stem.children()
    weight, bias = _conv_parameters(conv)
    assert isinstance(conv, nn.Conv2d)
    padding = int(conv.padding[0])
    normalisation = fold_input(context, padded=padding > 0)
    if normalisation is not None:
        weight, bias = algebra.affine_before_conv(weight, bias, *normalisation)
    if isinstance(norm, ChannelsFirstLayerNorm):
        last: nn.Module = context.channel_norm(norm.eps, norm.weight.detach(), norm.bias.detach())
    else:
        context.fired("batch_norm_folded")
        weight, bias = algebra.affine_after_conv(weight, bias, *algebra.batch_norm_affine(norm))
        last = nn.Identity()
    return named(
        conv=Conv(weight, bias, stride=4, padding=padding),
        to_tokens=context.to_tokens(weight.shape[0], size), norm=last)


def lower_downsample(downsample: nn.Module, size: tuple[int, int], context: LoweringContext) -> nn.Module:
    """Norm, then 2x2 convolution without padding: the norm's affine folds forward, exactly.

    On tokens the convolution is one Gemm: four neighbours lie side by side after one Transpose whose
    rows are contiguous, and its result is tokens again. `size` is the output's. Where the stage's first block
    downsamples there is nothing to do.
    """
    if isinstance(downsample, nn.Identity):
        return nn.Identity()
    norm, conv = downsample.children()
    weight, bias = _conv_parameters(conv)
    if isinstance(conv, nn.Conv2d) and conv.padding[0] != 0:
        return _lower_padded_downsample(norm, conv, size, context)
    if isinstance(norm, ChannelsFirstLayerNorm):
        context.fired("norm_affine_folded")
        weight, bias = algebra.affine_before_conv(weight, bias, norm.weight.detach(), norm.bias.detach())
        first: nn.Module = context.channel_norm(norm.eps, weight.new_ones(weight.shape[1]))
    else:
        context.fired("batch_norm_folded")
        weight, bias = algebra.affine_before_conv(weight, bias, *algebra.batch_norm_affine(norm))
        first = nn.Identity()
    channels = weight.shape[1]
    if not context.on_tokens:
        return named(norm=first, to_map=context.to_map(channels, (2 * size[0], 2 * size[1])),
                     conv=Conv(weight, bias, stride=2), to_tokens=context.to_tokens(weight.shape[0], size))
    context.fired("downsample_as_gemm")
    return named(
        norm=first,
        rows=Reshape(context.batch, size[0], 2, size[1], 2 * channels),
        neighbours=Transpose(0, 1, 3, 2, 4),
        patches=Reshape(context.batch * size[0] * size[1], 4 * channels),
        conv=Gemm(weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1), bias))


def _lower_padded_downsample(
    norm: nn.Module, conv: nn.Conv2d, size: tuple[int, int], context: LoweringContext
) -> nn.Sequential:
    """The same with stride 1 and padding 1: the border is zero behind the norm, so its affine stays where it is."""
    weight, bias = _conv_parameters(conv)
    before = (size[0] - 1, size[1] - 1)
    convolution = Conv(weight, bias, padding=int(conv.padding[0]))
    parts: dict[str, nn.Module] = {}
    if isinstance(norm, ChannelsFirstLayerNorm):
        parts["norm"] = context.channel_norm(norm.eps, norm.weight.detach(), norm.bias.detach())
    parts["to_map"] = context.to_map(weight.shape[1], before)
    if isinstance(norm, nn.BatchNorm2d):
        scale, shift = (value[None, :, None, None] for value in algebra.batch_norm_affine(norm))
        parts.update(scale=MultiplyConstant(scale), shift=AddConstant(shift))
    return named(**parts, conv=convolution, to_tokens=context.to_tokens(weight.shape[0], size))


def lower_depthwise(conv: nn.Module, norm: nn.Module, context: LoweringContext) -> nn.Sequential:
    """Depthwise convolution; a BatchNorm after it folds in, the 9x9 one gets its padding as a node."""
    assert isinstance(conv, nn.Conv2d)
    weight, bias = _conv_parameters(conv)
    if isinstance(norm, nn.BatchNorm2d):
        context.fired("batch_norm_folded")
        weight, bias = algebra.affine_after_conv(weight, bias, *algebra.batch_norm_affine(norm))
    padding, kernel, stride = int(conv.padding[0]), conv.kernel_size[0], conv.stride[0]
    if kernel == _EXPLICIT_PADDING_KERNEL and context.formulation.padding == "node":
        context.fired("explicit_padding")
        return named(pad=Pad(padding), conv=Conv(weight, bias, stride, groups=conv.groups))
    return named(conv=Conv(weight, bias, stride, padding, groups=conv.groups))


def _fold_norm(norm: nn.Module, linear: nn.Linear, context: LoweringContext) -> tuple[Tensor, Tensor]:
    """Return the linear layer's parameters with the affine of the norm before it folded in."""
    weight, bias = linear.weight.detach(), linear.bias.detach()
    if isinstance(norm, nn.BatchNorm2d):
        context.fired("batch_norm_folded")
        return algebra.affine_before_linear(weight, bias, *algebra.batch_norm_affine(norm))
    if not isinstance(norm, nn.LayerNorm):
        raise TypeError(f"BatchNorm2d or LayerNorm expected, {type(norm).__name__} found")
    context.fired("norm_affine_folded")
    return algebra.affine_before_linear(weight, bias, norm.weight.detach(), norm.bias.detach())


class LoweredMlp(nn.Module):
    """Norm, linear, activation, linear: affine and layer scale folded into the two linear layers."""

    def __init__(self, block: ConvEncoder | SDTAEncoder, norm_folded: bool, context: LoweringContext) -> None:
        super().__init__()
        if norm_folded:
            first = (block.pwconv1.weight.detach(), block.pwconv1.bias.detach())
        else:
            first = _fold_norm(block.norm, block.pwconv1, context)
        context.fired("layer_scale_folded")
        second = algebra.scale_after_linear(
            block.pwconv2.weight.detach(), block.pwconv2.bias.detach(), block.gamma.detach())
        if block.batch_norm:
            self.norm: nn.Module = nn.Identity()
            self.pwconv1 = context.pointwise(*first)
        else:
            self.norm = lower_norm(LAYER_NORM_EPS, first[0][0], context)
            self.pwconv1 = lower_linear(LAYER_NORM_EPS, *first, context)
        self.act = activation_op(block.act)
        self.pwconv2 = context.pointwise(*second)

    def forward(self, x: Tensor) -> Tensor:
        """Map the residual stream to the same shape."""
        y: Tensor = self.pwconv2(self.act(self.pwconv1(self.norm(x))))
        return y


class LoweredConvEncoder(nn.Module):
    """Depthwise convolution, MLP, skip; `size` is that of the map that enters."""

    def __init__(self, block: ConvEncoder, size: tuple[int, int], context: LoweringContext) -> None:
        super().__init__()
        self.skip_behind_dwconv = block.skip_behind_dwconv
        if block.batch_norm and block.skip_behind_dwconv:
            raise TypeError("no lowering for a BatchNorm behind the start of a skip: it cannot fold")
        self.to_map = context.to_map(block.dwconv.in_channels, size)
        self.dwconv = lower_depthwise(block.dwconv, block.norm, context)
        self.to_tokens = context.to_tokens(block.dwconv.out_channels, _convolved(size, block))
        self.mlp = LoweredMlp(block, norm_folded=block.batch_norm, context=context)
        if not block.batch_norm and not block.skip_behind_dwconv:
            context.scale_in(self.dwconv.get_submodule("conv"))
        self.skip = Add()

    def forward(self, x: Tensor) -> Tensor:
        """Map the residual stream to the same shape, or to that of the downsampled map."""
        y = self.to_tokens(self.dwconv(self.to_map(x)))
        out: Tensor = self.skip(y if self.skip_behind_dwconv else x, self.mlp(y))
        return out


class LoweredSplitConvs(nn.Module):
    """The chain of depthwise convolutions over channel splits."""

    def __init__(self, block: SDTAEncoder, channels: int) -> None:
        super().__init__()
        count = len(block.convs)
        widths = [block.width] * count + [channels - count * block.width]
        self.split = Split(widths)
        self.convs = nn.ModuleList(
            Conv(*_conv_parameters(conv), padding=block.kernel // 2, groups=block.width) for conv in block.convs)
        self.sums = nn.ModuleList(Add() for _ in range(count - 1))
        self.concat = Concat()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H, W]`."""
        parts = self.split(x)
        outputs = [self.convs[0](parts[0])]
        for index, add in enumerate(self.sums, start=1):
            outputs.append(self.convs[index](add(outputs[-1], parts[index])))
        out: Tensor = self.concat(*outputs, parts[len(self.convs)])
        return out


class LoweredSDTAEncoder(nn.Module):
    """Split convolutions, position constant, attention and MLP, with one skip around all."""

    def __init__(self, block: SDTAEncoder, size: tuple[int, int], context: LoweringContext) -> None:
        super().__init__()
        channels = block.xca.proj.in_features
        self.to_map = context.to_map(channels, size)
        self.split_convs = (
            LoweredSplitConvs(block, channels) if block.branching
            else lower_depthwise(block.convs[0], nn.Identity(), context))
        self.base = lower_base(block, size, context)
        self.to_tokens = context.to_tokens(channels, size)
        if block.batch_norm:
            self.norm_xca: nn.Module = nn.Identity()
            qkv = context.pointwise(block.xca.qkv.weight.detach(), block.xca.qkv.bias.detach())
        else:
            self.norm_xca = lower_norm(LAYER_NORM_EPS, block.gamma.detach(), context)
            qkv = lower_linear(LAYER_NORM_EPS, *_fold_norm(block.norm_xca, block.xca.qkv, context), context)
        self.xca = lower_xca(block.xca, qkv, block.gamma_xca.detach(), size, context)
        self.skip_xca = Add()
        self.mlp = LoweredMlp(block, norm_folded=False, context=context)
        self.skip = Add()

    def forward(self, x: Tensor) -> Tensor:
        """Map the residual stream to the same shape."""
        base = self.to_tokens(self.base(self.split_convs(self.to_map(x))))
        y = self.skip_xca(base, self.xca(self.norm_xca(base)))
        out: Tensor = self.skip(x, self.mlp(y))
        return out


def lower_base(block: SDTAEncoder, size: tuple[int, int], context: LoweringContext) -> nn.Sequential:
    """From the split convolutions to what the attention adds to: the position constant, and in BN-HS norm_xca.

    That norm's output is the residual base, so it cannot fold away: it stays as a scale, and as a shift
    that takes the position along.
    """
    position = None
    if block.pos_embd is not None:
        context.fired("constant_position")
        with torch.no_grad():
            position = block.pos_embd(*size)
    if not block.batch_norm:
        return named(**({} if position is None else {"position": AddConstant(position)}))
    scale, shift = (value[None, :, None, None] for value in algebra.batch_norm_affine(block.norm_xca))
    return named(scale=MultiplyConstant(scale), shift=AddConstant(shift if position is None else shift + position))


class LoweredHead(nn.Module):
    """Mean over the map, norm, linear; a BatchNorm commutes with the mean and folds into the linear layer.

    With `context.features` without the linear layer: the norm then keeps its affine.
    """

    def __init__(self, model: EdgeNeXt, size: tuple[int, int], context: LoweringContext) -> None:
        super().__init__()
        width = model.head.in_features
        self.to_map = context.to_map(width, size)
        self.pool = GlobalMean()
        self.flatten = Reshape(context.batch, width)
        self.norm: nn.Module
        self.fc: nn.Module
        if context.features:
            context.fired("classifier_left_out")
            self.norm, self.fc = _whole_norm(model.norm, context), nn.Identity()
            return
        weight, bias = _fold_norm(model.norm, model.head, context)
        self.norm = nn.Identity() if isinstance(model.norm, nn.BatchNorm2d) else context.norm(
            (-1,), LAYER_NORM_EPS, weight.new_ones(width))
        self.fc = Gemm(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map the residual stream to logits `[B, classes]`, or to the embedding `[B, C]`."""
        logits: Tensor = self.fc(self.norm(self.flatten(self.pool(self.to_map(x)))))
        return logits


def _whole_norm(norm: nn.Module, context: LoweringContext) -> nn.Module:
    """Return the norm of a head with its affine, for `[B, C]`."""
    if isinstance(norm, nn.BatchNorm2d):
        scale, shift = algebra.batch_norm_affine(norm)
        return named(scale=MultiplyConstant(scale), shift=AddConstant(shift))
    assert isinstance(norm, nn.LayerNorm)
    return context.norm((-1,), LAYER_NORM_EPS, norm.weight.detach(), norm.bias.detach())


lower_network.register(EdgeNeXt, LoweredEdgeNeXt)
lower_backbone.register(EdgeNeXtBackbone, LoweredEdgeNeXtBackbone)
