"""The reference SSDLite detector: a backbone's maps of strides 16 and 32, and boxes predicted on six levels.

Written from ml-cvnets v0.1 (`ssd.py` and its config for MobileViT at 320), inside which the authors of EdgeNeXt
built theirs. They published no code or weights of it, so attribute names are our own.
"""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgenext_deploy.models.definitions.anchors import anchors, decode
from edgenext_deploy.models.definitions.config import SSDLiteConfig


def conv_norm(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, dilation: int = 1,
    activate: bool = True,
) -> nn.Sequential:
    """Return convolution without bias, BatchNorm (eps 1e-5), and ReLU unless told otherwise; same size for stride 1."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2 * dilation, dilation=dilation, groups=groups,
                  bias=False),
        nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU()) if activate else nn.Sequential(*layers)


class LevelHead(nn.Module):
    """Predictions of one level: optional projection, depthwise 3x3 and 1x1 convolution; only the last if pooled."""

    def __init__(self, inputs: int, width: int, outputs: int, pooled: bool) -> None:
        super().__init__()
        self.project = conv_norm(inputs, width) if width != inputs and not pooled else None
        self.depthwise = None if pooled else conv_norm(width, width, 3, groups=width, activate=False)
        self.predict = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, inputs, H, W]` to `[B, outputs, H, W]`."""
        if self.project is not None:
            x = self.project(x)
        if self.depthwise is not None:
            x = self.depthwise(x)
        out: Tensor = self.predict(x)
        return out


class SSDLite(nn.Module):
    """Detector, any input size that the backbone takes, fed normalised RGB `[B, 3, H, W]`.

    Class 0 is the background. Training takes `forward`; `detect` is what an exported graph gives.

    Args:
        backbone: has `forward_features`, whose last two maps have strides 16 and 32.
        channels: channels of those two maps.
        config: the head's config.
        num_classes: categories, the background not counted.
    """

    def __init__(
        self, backbone: nn.Module, channels: tuple[int, int], config: SSDLiteConfig, num_classes: int = 80
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.num_classes = num_classes
        self.extra = nn.ModuleList()
        self.heads = nn.ModuleList()
        inputs = channels[0]
        for level, (stride, width) in enumerate(zip(config.strides, config.widths)):
            if level == 1:
                inputs = channels[1]
            elif level > 1:
                self.extra.append(self._extra(inputs, width, pooled=stride == 0))
                inputs = width
            outputs = config.anchors_per_cell(level) * (4 + num_classes + 1)
            self.heads.append(LevelHead(inputs, width, outputs, pooled=stride == 0))
        for module in (*self.extra.modules(), *self.heads.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @staticmethod
    def _extra(inputs: int, outputs: int, pooled: bool) -> nn.Sequential:
        """Return the layers from one level's map to the next level's."""
        if pooled:
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, outputs, 1, bias=False), nn.ReLU())
        return nn.Sequential(
            conv_norm(inputs, inputs, 3, stride=2, groups=inputs, activate=False), conv_norm(inputs, outputs))

    def forward_levels(self, image: Tensor) -> list[Tensor]:
        """Return the maps of the levels, `[B, C, H / s, W / s]` each (rounded up), for `[B, 3, H, W]`."""
        levels = list(self.backbone.forward_features(image)[-2:])  # type: ignore[operator]
        for extra in self.extra:
            levels.append(extra(levels[-1]))
        return levels

    def predict(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return box codes `[B, anchors, 4]` and class logits `[B, anchors, 1 + classes]` for the levels' maps."""
        answers = [
            head(level).permute(0, 2, 3, 1).reshape(len(level), -1, 4 + 1 + self.num_classes)
            for head, level in zip(self.heads, levels)]
        joined = torch.cat(answers, dim=1)
        return joined[:, :, :4], joined[:, :, 4:]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return box codes `[B, anchors, 4]` and class logits `[B, anchors, 1 + classes]` for `[B, 3, H, W]`."""
        return self.predict(self.forward_levels(image))

    def anchors(self, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Return the anchors `[anchors, 4]` FP64 for levels with these heights and widths."""
        return anchors(self.config, list(sizes))

    def level_sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return height and width of every level's map for an input of that size (a multiple of 32)."""
        sizes = []
        for stride in self.config.strides:
            if stride in (16, 32):
                sizes.append((height // stride, width // stride))
            elif stride:
                sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
            else:
                sizes.append((1, 1))
        return sizes

    def detect(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes and scores for `[B, 3, H, W]`: what an exported graph gives.

        Boxes `[B, anchors, 4]` are left, top, right, bottom in parts of the input, not clipped; scores
        `[B, anchors, classes]` are softmax probabilities without the background's.
        """
        levels = self.forward_levels(image)
        codes, logits = self.predict(levels)
        priors = self.anchors([(level.shape[2], level.shape[3]) for level in levels]).to(codes)
        return decode(codes, priors, self.config), logits.softmax(-1)[:, :, 1:]
