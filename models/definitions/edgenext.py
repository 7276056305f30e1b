"""The reference EdgeNeXt, as published: attribute names are the official checkpoint's keys.

Written from the architecture as the released code has it (github.com/mmaaz60/EdgeNeXt at 3884504), for
inference: no dropout, no stochastic depth. What timm's own `edgenext_small_rw` has beside that (an overlapping stem,
downsampling in the blocks, no convolution biases) is from timm 1.0.31. It is the truth that the lowered module is
compared with, so it is kept plain; nothing here is optimised.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgenext_deploy.models.definitions.config import EdgeNeXtConfig

LAYER_NORM_EPS = 1e-6


class ChannelsFirstLayerNorm(nn.Module):
    """Layer normalisation over the channels of `[B, C, H, W]`, written out as the published code does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = LAYER_NORM_EPS

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H, W]`."""
        centred = x - x.mean(1, keepdim=True)
        variance = centred.pow(2).mean(1, keepdim=True)
        return self.weight[:, None, None] * (centred / torch.sqrt(variance + self.eps)) + self.bias[:, None, None]


class PositionCode(nn.Module):
    """Fourier features of the pixel position, projected to the channels by a learned 1x1 convolution."""

    hidden = 32
    temperature = 10000.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token_projection = nn.Conv2d(2 * self.hidden, channels, 1)

    def features(self, height: int, width: int) -> Tensor:
        """Return the fixed features `[1, 64, H, W]`: 32 for the row, then 32 for the column."""
        weight = self.token_projection.weight
        index = torch.arange(self.hidden, dtype=torch.float32, device=weight.device)
        divisor = self.temperature ** (2 * torch.div(index, 2, rounding_mode="floor") / self.hidden)

        def code(length: int) -> Tensor:
            position = torch.arange(1, length + 1, dtype=torch.float32, device=weight.device)
            angle = (position / (length + 1e-6) * (2 * math.pi))[:, None] / divisor
            return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1).T

        rows = code(height)[:, :, None].expand(-1, -1, width)
        columns = code(width)[:, None, :].expand(-1, height, -1)
        return torch.cat((rows, columns))[None].to(weight.dtype)

    def forward(self, height: int, width: int) -> Tensor:
        """Return the position code `[1, C, H, W]`."""
        projected: Tensor = self.token_projection(self.features(height, width))
        return projected


class XCA(nn.Module):
    """Cross-covariance attention: attention between channels, so linear in the number of tokens."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens `[B, N, C]` to `[B, N, C]`."""
        batch, tokens, channels = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 4, 1)  # each [B, heads, C / heads, N]
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        attention = (query @ key.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        mixed = (attention @ value).permute(0, 3, 1, 2).reshape(batch, tokens, channels)
        out: Tensor = self.proj(mixed)
        return out


def _activation(config: EdgeNeXtConfig) -> nn.Module:
    return nn.GELU() if config.norm == "layer" else nn.Hardswish()


def _conv_bias(config: EdgeNeXtConfig) -> bool:
    return config.conv_bias and config.norm == "layer"


def _scale(config: EdgeNeXtConfig, channels: int) -> nn.Parameter:
    return nn.Parameter(config.layer_scale * torch.ones(channels))


class ConvEncoder(nn.Module):
    """Depthwise convolution, then an MLP over channels, with a skip around both.

    Where the convolution has a stride, or several filters on each channel, the skip starts behind it.
    """

    def __init__(self, config: EdgeNeXtConfig, stage: int, inputs: int | None = None, stride: int = 1) -> None:
        super().__init__()
        dim, kernel = config.dims[stage], config.kernel_sizes[stage]
        inputs = dim if inputs is None else inputs
        self.batch_norm = config.norm == "batch"
        self.skip_behind_dwconv = stride != 1 or inputs != dim
        self.dwconv = nn.Conv2d(
            inputs, dim, kernel, stride, padding=kernel // 2, groups=inputs, bias=_conv_bias(config))
        self.norm: nn.Module = nn.BatchNorm2d(dim) if self.batch_norm else nn.LayerNorm(dim, LAYER_NORM_EPS)
        self.pwconv1 = nn.Linear(dim, config.expansion * dim)
        self.act = _activation(config)
        self.pwconv2 = nn.Linear(config.expansion * dim, dim)
        self.gamma = _scale(config, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C', H / stride, W / stride]`."""
        y = self.dwconv(x)
        if self.skip_behind_dwconv:
            x = y
        if self.batch_norm:
            y = self.norm(y).permute(0, 2, 3, 1)
        else:
            y = self.norm(y.permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(self.act(self.pwconv1(y)))
        out: Tensor = x + y.permute(0, 3, 1, 2)
        return out


class SDTAEncoder(nn.Module):
    """Split depthwise convolutions, cross-covariance attention and an MLP, with one skip around all."""

    def __init__(self, config: EdgeNeXtConfig, stage: int) -> None:
        super().__init__()
        dim = config.dims[stage]
        self.batch_norm = config.norm == "batch"
        splits, self.kernel = config.splits[stage], config.sdta_kernels[stage]
        self.branching = config.branching
        self.width = math.ceil(dim / splits) if self.branching else dim
        self.convs = nn.ModuleList(
            nn.Conv2d(self.width, self.width, self.kernel, padding=self.kernel // 2, groups=self.width,
                      bias=config.conv_bias)
            for _ in range(splits - 1 if self.branching else 1))
        self.pos_embd = PositionCode(dim) if config.position[stage] else None
        self.norm_xca: nn.Module
        self.norm: nn.Module
        if self.batch_norm:
            self.norm_xca, self.norm = nn.BatchNorm2d(dim), nn.BatchNorm2d(dim)
        else:
            self.norm_xca, self.norm = nn.LayerNorm(dim, LAYER_NORM_EPS), nn.LayerNorm(dim, LAYER_NORM_EPS)
        self.gamma_xca = _scale(config, dim)
        self.xca = XCA(dim, config.heads[stage])
        self.pwconv1 = nn.Linear(dim, config.expansion * dim)
        self.act = _activation(config)
        self.pwconv2 = nn.Linear(config.expansion * dim, dim)
        self.gamma = _scale(config, dim)

    def split_convs(self, x: Tensor) -> Tensor:
        """Convolve the splits of `[B, C, H, W]` as a chain; the last split is passed on as it is.

        Without branching, one convolution takes all channels.
        """
        if not self.branching:
            whole: Tensor = self.convs[0](x)
            return whole
        parts = x.split(self.width, dim=1)
        outputs: list[Tensor] = []
        for conv, part in zip(self.convs, parts):
            outputs.append(conv(part if not outputs else outputs[-1] + part))
        return torch.cat((*outputs, parts[-1]), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H, W]`."""
        batch, channels, height, width = x.shape
        y = self.split_convs(x)
        if self.batch_norm:
            y = self.norm_xca(y)
        if self.pos_embd is not None:
            y = y + self.pos_embd(height, width)
        tokens = y.flatten(2).transpose(1, 2)  # [B, N, C]
        tokens = tokens + self.gamma_xca * self.xca(tokens if self.batch_norm else self.norm_xca(tokens))
        if self.batch_norm:
            y = self.norm(tokens.transpose(1, 2).reshape(batch, channels, height, width)).permute(0, 2, 3, 1)
        else:
            y = self.norm(tokens.reshape(batch, height, width, channels))
        y = self.gamma * self.pwconv2(self.act(self.pwconv1(y)))
        out: Tensor = x + y.permute(0, 3, 1, 2)
        return out


class EdgeNeXtBackbone(nn.Module):
    """Stem and stages, any input size from 32 up, fed normalised RGB `[B, 3, H, W]`.

    Args:
        config: the variant's config.
        output_stride: stride of the last map: 32, or 16 for segmentation. At 16, stage 4's 2x2 convolution has stride 1
            and padding 1, so the map is one pixel larger than its input; see `config.DeepLabConfig`. A block that
            downsamples just has stride 1 then.
    """

    def __init__(self, config: EdgeNeXtConfig, output_stride: int = 32) -> None:
        super().__init__()
        self.config = config
        self.output_stride = output_stride
        self.downsample_layers = nn.ModuleList(self._downsample(stage) for stage in range(4))
        self.stages = nn.ModuleList(
            nn.Sequential(*(self._block(stage, block) for block in range(depth)))
            for stage, depth in enumerate(config.depths))
        self.apply(_initialise)

    def _block(self, stage: int, block: int) -> nn.Module:
        config = self.config
        if config.is_sdta(stage, block):
            return SDTAEncoder(config, stage)
        if config.downsample_in_block and stage > 0 and block == 0:
            return ConvEncoder(config, stage, config.dims[stage - 1], stride=1 if self._keeps_size(stage) else 2)
        return ConvEncoder(config, stage)

    def _keeps_size(self, stage: int) -> bool:
        return stage == 3 and self.output_stride == 16

    def _downsample(self, stage: int) -> nn.Module:
        config, dims, bias = self.config, self.config.dims, _conv_bias(self.config)
        norm = nn.BatchNorm2d if config.norm == "batch" else ChannelsFirstLayerNorm
        if stage == 0:
            kernel = config.stem_kernel
            padding = 0 if kernel == 4 else kernel // 2
            return nn.Sequential(nn.Conv2d(3, dims[0], kernel, stride=4, padding=padding, bias=bias), norm(dims[0]))
        if config.downsample_in_block:
            return nn.Identity()
        keeps_size = self._keeps_size(stage)
        return nn.Sequential(norm(dims[stage - 1]), nn.Conv2d(
            dims[stage - 1], dims[stage], 2, stride=1 if keeps_size else 2, padding=1 if keeps_size else 0, bias=bias))

    def forward_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the four stages' outputs `[B, C, H / s, W / s]` for the strides s = 4, 8, 16, `output_stride`."""
        maps: list[Tensor] = []
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x))
            maps.append(x)
        return tuple(maps)


class EdgeNeXt(EdgeNeXtBackbone):
    """EdgeNeXt for classification, any input size from 32 up, fed normalised RGB `[B, 3, H, W]`.

    Args:
        config: the variant's config.
        num_classes: width of the logits.
    """

    def __init__(self, config: EdgeNeXtConfig, num_classes: int = 1000) -> None:
        super().__init__(config)
        width = config.dims[-1]
        self.norm: nn.Module = (
            nn.BatchNorm2d(width) if config.norm == "batch" else nn.LayerNorm(width, LAYER_NORM_EPS))
        self.head = nn.Linear(width, num_classes)
        _initialise(self.head)

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding in front of the head, `[B, C]`, for `[B, 3, H, W]`."""
        x = self.forward_features(x)[-1]
        embedding: Tensor = (
            self.norm(x).mean((-2, -1)) if self.config.norm == "batch" else self.norm(x.mean((-2, -1))))
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, num_classes]` for `[B, 3, H, W]`."""
        logits: Tensor = self.head(self.embed(x))
        return logits


def _initialise(module: nn.Module) -> None:
    """Initialise as the published code: weights normal with deviation 0.02 cut at ±2, biases zero."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
