"""The reference DeepLabv3 segmenter: a backbone at output stride 16 and an atrous spatial pyramid.

Written from ml-cvnets v0.1, inside which the authors of EdgeNeXt built theirs, without an auxiliary head. They
published no code of it, so attribute names are our own; `config.DeepLabConfig` says which settings are known.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgenext_deploy.models.definitions.config import DeepLabConfig
from edgenext_deploy.models.definitions.ssdlite import conv_norm

_DROPOUT = 0.1


class PyramidPooling(nn.Module):
    """1x1 convolution, dilated 3x3 ones and the mean of the map, side by side, then a 1x1 convolution."""

    def __init__(self, inputs: int, config: DeepLabConfig) -> None:
        super().__init__()
        width = config.width
        self.branches = nn.ModuleList([conv_norm(inputs, width)])
        self.branches.extend(conv_norm(inputs, width, 3, dilation=rate) for rate in config.rates)
        self.pooled = conv_norm(inputs, width)
        self.project = conv_norm((len(self.branches) + 1) * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, inputs, H, W]` to `[B, width, H, W]`."""
        pooled = F.interpolate(
            self.pooled(x.mean((2, 3), keepdim=True)), size=x.shape[2:], mode="bilinear", align_corners=False)
        out: Tensor = self.project(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))
        return out


class DeepLabV3(nn.Module):
    """Segmenter, any input size that the backbone takes, fed normalised RGB `[B, 3, H, W]`.

    Training takes `forward`; `segment` is what an exported graph gives.

    Args:
        backbone: has `forward_features`, whose last map has stride 16.
        channels: channels of that map.
        config: the head's config.
        num_classes: categories, the background counted.
    """

    def __init__(self, backbone: nn.Module, channels: int, config: DeepLabConfig, num_classes: int = 21) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.aspp = PyramidPooling(channels, config)
        self.dropout = nn.Dropout2d(_DROPOUT)
        self.classifier = nn.Conv2d(config.width, num_classes, 1)
        for module in (*self.aspp.modules(), self.classifier):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Return class logits `[B, classes, H, W]` for `[B, 3, H, W]`, resized bilinearly from stride 16."""
        features = self.backbone.forward_features(image)[-1]  # type: ignore[operator]
        logits = self.classifier(self.dropout(self.aspp(features)))
        return F.interpolate(logits, size=image.shape[2:], mode="bilinear", align_corners=False)

    def segment(self, image: Tensor) -> Tensor:
        """Return the most probable class of each pixel, int32 `[B, H, W]`: what an exported graph gives."""
        return self.forward(image).argmax(1).int()
