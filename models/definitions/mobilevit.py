"""The reference MobileViT (v1), as published: attribute names are the keys of timm's checkpoints.

The baseline that EdgeNeXt is compared with. Written from the architecture of timm 1.0.31 and
apple/ml-cvnets v0.1, which agree, for inference: no dropout, no stochastic depth. Attention is plain
matrix products, never a fused operator, so that counters and exporters see all of it.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgenext_deploy.models.definitions.config import MobileViTConfig

_LAYER_NORM_EPS = 1e-5


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation (eps 1e-5), and SiLU unless told otherwise."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1,
        activate: bool = True, dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2 * dilation, dilation=dilation,
                              groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act: nn.Module = nn.SiLU() if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, inputs, H, W]` to `[B, outputs, H / stride, W / stride]`."""
        out: Tensor = self.act(self.bn(self.conv(x)))
        return out


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, depthwise 3x3, narrow; a skip where the shape stays the same."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.conv1_1x1 = ConvNorm(inputs, hidden)
        self.conv2_kxk = ConvNorm(hidden, hidden, 3, stride, groups=hidden)
        self.conv3_1x1 = ConvNorm(hidden, outputs, activate=False)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, inputs, H, W]` to `[B, outputs, H / stride, W / stride]`."""
        y: Tensor = self.conv3_1x1(self.conv2_kxk(self.conv1_1x1(x)))
        return x + y if self.skip else y


class Attention(nn.Module):
    """Multi-head self-attention between tokens, rows of `qkv` ordered query, key, value, then by head."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens `[B, N, C]` to `[B, N, C]`."""
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, N, C / heads]
        attention = (self.scale * query @ key.transpose(-2, -1)).softmax(dim=-1)
        mixed = (attention @ value).transpose(1, 2).reshape(batch, tokens, dim)
        out: Tensor = self.proj(mixed)
        return out


class MLP(nn.Module):
    """Two linear layers with SiLU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.SiLU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens `[B, N, C]` to `[B, N, C]`."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class TransformerLayer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, _LAYER_NORM_EPS)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, _LAYER_NORM_EPS)
        self.mlp = MLP(dim, mlp_ratio * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens `[B, N, C]` to `[B, N, C]`."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class MobileViTBlock(nn.Module):
    """Convolutions for the neighbourhood, a transformer for the whole map, and their fusion.

    The transformer attends between pixels that have the same place in their patch: with 2x2 patches,
    four interleaved grids of the map, each on its own.
    """

    def __init__(self, config: MobileViTConfig, channels: int, dim: int, depth: int, dilation: int = 1) -> None:
        super().__init__()
        self.patch = config.patch
        self.conv_kxk = ConvNorm(channels, channels, 3, dilation=dilation)
        self.conv_1x1 = nn.Conv2d(channels, dim, 1, bias=False)
        self.transformer = nn.Sequential(*(
            TransformerLayer(dim, config.heads, config.mlp_ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, _LAYER_NORM_EPS)
        self.conv_proj = ConvNorm(dim, channels)
        self.conv_fusion = ConvNorm(2 * channels, channels, 3)

    def unfold(self, x: Tensor) -> Tensor:
        """Return tokens `[B * P * P, H / P * W / P, C]` for `[B, C, H, W]` and patches of side P."""
        batch, channels, height, width = x.shape
        side = self.patch
        x = x.reshape(batch, channels, height // side, side, width // side, side)
        return x.permute(0, 3, 5, 2, 4, 1).reshape(batch * side * side, -1, channels)

    def fold(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Return the map `[B, C, H, W]` of tokens `[B * P * P, H / P * W / P, C]`."""
        side, channels = self.patch, tokens.shape[-1]
        x = tokens.reshape(-1, side, side, height // side, width // side, channels)
        return x.permute(0, 5, 3, 1, 4, 2).reshape(-1, channels, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H, W]`."""
        height, width = x.shape[-2:]
        whole = math.ceil(height / self.patch) * self.patch, math.ceil(width / self.patch) * self.patch
        y = self.conv_1x1(self.conv_kxk(x))
        if whole != (height, width):
            y = F.interpolate(y, size=whole, mode="bilinear", align_corners=False)
        y = self.fold(self.norm(self.transformer(self.unfold(y))), *whole)
        if whole != (height, width):
            y = F.interpolate(y, size=(height, width), mode="bilinear", align_corners=False)
        out: Tensor = self.conv_fusion(torch.cat((x, self.conv_proj(y)), dim=1))
        return out


class ClassifierHead(nn.Module):
    """Mean over the map, then a linear layer."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, num_classes]` for `[B, C, H, W]`."""
        logits: Tensor = self.fc(x.mean((-2, -1)))
        return logits


def stage_maps(stem: nn.Module, stages: nn.Sequential, x: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of all stages but the first for `[B, 3, H, W]`."""
    x = stem(x)
    maps: list[Tensor] = []
    for stage in stages:
        x = stage(x)
        maps.append(x)
    return tuple(maps[1:])


class MobileViTBackbone(nn.Module):
    """Stem and stages, any input size from 32 up, fed RGB in 0..1 `[B, 3, H, W]`.

    Args:
        config: the variant's config.
        output_stride: stride of the last map: 32, or 16 for segmentation. Then the last stage has stride 1, and the 3x3
            convolution before its transformer has dilation 2, as in ml-cvnets.
    """

    def __init__(self, config: MobileViTConfig, output_stride: int = 32) -> None:
        super().__init__()
        self.config = config
        self.output_stride = output_stride
        self.stem = ConvNorm(3, config.dims[0], 3, stride=2)
        self.stages = nn.Sequential(*(nn.Sequential(*self._stage(stage)) for stage in range(5)))
        self.apply(initialise)

    def _stage(self, stage: int) -> list[nn.Module]:
        config = self.config
        inputs, outputs = config.dims[stage], config.dims[stage + 1]
        keeps_size = stage == 4 and self.output_stride == 16
        stride = 1 if stage == 0 or keeps_size else 2
        blocks: list[nn.Module] = [InvertedResidual(inputs, outputs, stride, config.expansion)]
        if stage == 1:
            blocks += [InvertedResidual(outputs, outputs, 1, config.expansion) for _ in range(2)]
        elif stage >= 2:
            blocks.append(MobileViTBlock(
                config, outputs, config.transformer_dims[stage - 2], config.transformer_depths[stage - 2],
                dilation=2 if keeps_size else 1))
        return blocks

    def forward_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the last four stages' outputs `[B, C, H / s, W / s]`, strides s = 4, 8, 16, `output_stride`."""
        return stage_maps(self.stem, self.stages, x)


class MobileViT(MobileViTBackbone):
    """MobileViT for classification, any input size from 32 up, fed RGB in 0..1 `[B, 3, H, W]`.

    Args:
        config: the variant's config.
        num_classes: width of the logits.
    """

    def __init__(self, config: MobileViTConfig, num_classes: int = 1000) -> None:
        super().__init__(config)
        self.final_conv = ConvNorm(config.dims[-1], config.head_dim)
        self.head = ClassifierHead(config.head_dim, num_classes)
        self.final_conv.apply(initialise)
        self.head.apply(initialise)

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding in front of the head's linear layer, `[B, C]`, for `[B, 3, H, W]`."""
        embedding: Tensor = self.final_conv(self.forward_features(x)[-1]).mean((-2, -1))
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, num_classes]` for `[B, 3, H, W]`."""
        logits: Tensor = self.head(self.final_conv(self.forward_features(x)[-1]))
        return logits


def initialise(module: nn.Module) -> None:
    """Initialise as timm does, but for the last norms of the inverted residuals, which stay at one.

    timm starts those at zero for the sake of training; a random model would then hide a broken block.
    """
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
