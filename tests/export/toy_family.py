"""A family of one's own in one file: config, reference module, variant and lowering, each registered from here.

Importing it registers all of that, as importing a user's module would; `docs/extending.md` shows this file.
"""
from dataclasses import dataclass

from torch import Tensor, nn

from edgenext_deploy.export.lowering.context import LoweringContext, activation_op, named
from edgenext_deploy.export.lowering.dispatch import lower_network
from edgenext_deploy.export.lowering.ops import Conv, Gemm
from edgenext_deploy.export.lowering.shape_ops import GlobalMean, Reshape
from edgenext_deploy.models import Family, KeyLayout, Variant, register_family, register_variant


@dataclass(frozen=True)
class ToyConfig:
    """Channels of the one convolution."""

    dim: int = 16


class Toy(nn.Module):
    """A convolution of stride 8, GELU, the mean of the map, a linear layer; fed normalised RGB `[B, 3, H, W]`."""

    def __init__(self, config: ToyConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.conv = nn.Conv2d(3, config.dim, 8, stride=8)
        self.act = nn.GELU()
        self.head = nn.Linear(config.dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, num_classes]`."""
        return self.head(self.act(self.conv(x)).mean((2, 3)))


class LoweredToy(nn.Module):
    """The same from the toolkit's operators."""

    def __init__(self, model: Toy, context: LoweringContext) -> None:
        super().__init__()
        conv, head = model.conv, model.head
        self.stem = named(conv=Conv(conv.weight.detach(), conv.bias.detach(), stride=8), act=activation_op(model.act))
        self.pool = GlobalMean()
        self.flatten = Reshape(context.batch, model.config.dim)
        self.head = Gemm(head.weight.detach(), head.bias.detach())

    def forward(self, image: Tensor) -> Tensor:
        """Map `[B, 3, H, W]` to logits `[B, classes]`."""
        return self.head(self.flatten(self.pool(self.stem(image))))


register_family(Family(
    "toy", "Toy", ToyConfig, classifier=Toy, key_layouts=(KeyLayout("published", r"^features\.", (
        (r"^features\.", "conv."), (r"^classifier\.", "head."))),), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)))
register_variant(Variant("toy_16", ToyConfig(), image_size=64, note="one convolution"))
lower_network.register(Toy, LoweredToy)
