"""The reference MobileViT-v2, as published: attribute names are the keys of timm's checkpoints.

A baseline of the paper's Table 4. Written from the architecture of timm 1.0.31 (`models/mobilevit.py`), for inference:
no dropout, no stochastic depth.
"""
import math

import torch.nn.functional as F
from torch import Tensor, nn

from edgenext_deploy.models.definitions.config import MobileViTV2Config
from edgenext_deploy.models.definitions.mobilevit import (
    ClassifierHead,
    ConvNorm,
    InvertedResidual,
    initialise,
    stage_maps,
)


class SeparableAttention(nn.Module):
    """Attention of linear cost: one score for each token, one weighted sum of the keys, which scales the values."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.qkv_proj = nn.Conv2d(dim, 1 + 2 * dim, 1)
        self.out_proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, P, N]`, N patches of P pixels, to the same shape; each place in a patch is on its own."""
        query, key, value = self.qkv_proj(x).split([1, self.dim, self.dim], dim=1)
        context = (key * query.softmax(dim=-1)).sum(dim=-1, keepdim=True)
        out: Tensor = self.out_proj(F.relu(value) * context)
        return out


class ConvMLP(nn.Module):
    """Two 1x1 convolutions with SiLU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.act = nn.SiLU()
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, P, N]` to the same shape."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class TransformerLayer(nn.Module):
    """Pre-norm transformer layer. Its norms are over all channels, pixels and patches of an image (one group)."""

    def __init__(self, dim: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, dim)
        self.attn = SeparableAttention(dim)
        self.norm2 = nn.GroupNorm(1, dim)
        self.mlp = ConvMLP(dim, mlp_ratio * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, P, N]` to the same shape."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class MobileViTV2Block(nn.Module):
    """A depthwise convolution for the neighbourhood, then a transformer for the whole map; no fusion, no skip.

    A map whose sides are no multiple of the patch's is enlarged first, and stays so.
    """

    def __init__(self, config: MobileViTV2Config, channels: int, dim: int, depth: int) -> None:
        super().__init__()
        self.patch = config.patch
        self.conv_kxk = ConvNorm(channels, channels, 3, groups=channels)
        self.conv_1x1 = nn.Conv2d(channels, dim, 1, bias=False)
        self.transformer = nn.Sequential(*(TransformerLayer(dim, config.mlp_ratio) for _ in range(depth)))
        self.norm = nn.GroupNorm(1, dim)
        self.conv_proj = ConvNorm(dim, channels, activate=False)

    def unfold(self, x: Tensor) -> Tensor:
        """Return `[B, C, P * P, H / P * W / P]` for `[B, C, H, W]` and patches of side P."""
        batch, channels, height, width = x.shape
        side = self.patch
        x = x.reshape(batch, channels, height // side, side, width // side, side)
        return x.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels, side * side, -1)

    def fold(self, x: Tensor, height: int, width: int) -> Tensor:
        """Return the map `[B, C, H, W]` of `[B, C, P * P, H / P * W / P]`."""
        batch, channels, side = *x.shape[:2], self.patch
        x = x.reshape(batch, channels, side, side, height // side, width // side)
        return x.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to `[B, C, H', W']`, the sides rounded up to multiples of the patch's."""
        height, width = (math.ceil(side / self.patch) * self.patch for side in x.shape[-2:])
        if (height, width) != tuple(x.shape[-2:]):
            x = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)
        y = self.unfold(self.conv_1x1(self.conv_kxk(x)))
        out: Tensor = self.conv_proj(self.fold(self.norm(self.transformer(y)), height, width))
        return out


class MobileViTV2(nn.Module):
    """MobileViT-v2 for classification, any input size from 32 up, fed RGB in 0..1 `[B, 3, H, W]`.

    Args:
        config: the variant's config.
        num_classes: width of the logits.
    """

    def __init__(self, config: MobileViTV2Config, num_classes: int = 1000) -> None:
        super().__init__()
        self.config = config
        self.stem = ConvNorm(3, config.dims[0], 3, stride=2)
        self.stages = nn.Sequential(*(nn.Sequential(*self._stage(stage)) for stage in range(5)))
        self.head = ClassifierHead(config.dims[-1], num_classes)
        self.apply(initialise)

    def _stage(self, stage: int) -> list[nn.Module]:
        config = self.config
        inputs, outputs = config.dims[stage], config.dims[stage + 1]
        blocks: list[nn.Module] = [InvertedResidual(inputs, outputs, 1 if stage == 0 else 2, config.expansion)]
        if stage == 1:
            blocks.append(InvertedResidual(outputs, outputs, 1, config.expansion))
        elif stage >= 2:
            blocks.append(MobileViTV2Block(
                config, outputs, config.transformer_dims[stage - 2], config.transformer_depths[stage - 2]))
        return blocks

    def forward_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the last four stages' outputs `[B, C, H / s, W / s]`, strides s = 4, 8, 16, 32.

        The sides of the last three are rounded up to even ones, which the heads of detectors do not expect.
        """
        return stage_maps(self.stem, self.stages, x)

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding in front of the head's linear layer, `[B, C]`, for `[B, 3, H, W]`."""
        embedding: Tensor = self.forward_features(x)[-1].mean((-2, -1))
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, num_classes]` for `[B, 3, H, W]`."""
        logits: Tensor = self.head(self.forward_features(x)[-1])
        return logits
