"""From a variant's name to a reference module in evaluation mode."""
import math

import torch
from torch import nn

from edgenext_deploy.models.definitions.config import EdgeNeXtConfig, SSDLiteConfig
from edgenext_deploy.models.definitions.deeplab import DeepLabV3
from edgenext_deploy.models.definitions.edgenext import EdgeNeXt, EdgeNeXtBackbone
from edgenext_deploy.models.definitions.mobilevit import MobileViT, MobileViTBackbone
from edgenext_deploy.models.definitions.ssdlite import SSDLite
from edgenext_deploy.models.registry import Variant, get_variant


def create_model(variant: str | Variant, num_classes: int | None = None, seed: int = 0) -> nn.Module:
    """Return the reference module of a variant, initialised as published, in evaluation mode.

    A classifier has `forward` (`[B, 3, H, W]` to logits `[B, num_classes]`) and `forward_features` (four maps,
    strides 4, 8, 16, 32). See `SSDLite` and `DeepLabV3` for the others. The caller's random state is left alone.

    Args:
        variant: a name in the registry, or a variant of one's own.
        num_classes: by default the variant's.
        seed: of the initial parameters.

    Raises:
        UsageError: no such variant.
    """
    known = get_variant(variant) if isinstance(variant, str) else variant
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _create(known, known.num_classes if num_classes is None else num_classes)
    return model.eval()


def _create(variant: Variant, num_classes: int) -> nn.Module:
    config, head = variant.config, variant.head
    if head is None:
        return EdgeNeXt(config, num_classes) if isinstance(config, EdgeNeXtConfig) else MobileViT(config, num_classes)
    stride = 32 if isinstance(head, SSDLiteConfig) else 16
    backbone = (EdgeNeXtBackbone(config, stride) if isinstance(config, EdgeNeXtConfig)
                else MobileViTBackbone(config, stride))
    if isinstance(head, SSDLiteConfig):
        return SSDLite(backbone, (config.dims[-2], config.dims[-1]), head, num_classes)
    return DeepLabV3(backbone, config.dims[-1], head, num_classes)


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Give every parameter and running statistic a seeded value far from its neutral one; return the module.

    The published initialisation has layer scales of 1e-6 and biases of zero. A network like that gives
    the same logits with a block missing, and simplifiers drop its zero biases, so neither a parity check
    nor a timing means anything on it.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: torch.Size) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    def uniform(shape: torch.Size, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        leaf = name.rsplit(".", 1)[-1]
        with torch.no_grad():
            if leaf == "num_batches_tracked":
                continue
            if leaf == "running_var":
                tensor.copy_(uniform(tensor.shape, 0.5, 1.5))
            elif leaf.startswith("gamma"):
                tensor.copy_(uniform(tensor.shape, 0.05, 0.3) * normal(tensor.shape).sign())
            elif leaf == "temperature":
                tensor.copy_(uniform(tensor.shape, 0.5, 4.0))
            elif tensor.dim() == 1:
                tensor.copy_(0.1 * normal(tensor.shape) + (1.0 if leaf == "weight" else 0.0))
            else:
                tensor.copy_(normal(tensor.shape) * 1.5 / math.sqrt(tensor[0].numel()))
    return model
