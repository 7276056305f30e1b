"""From a variant's name to a reference module in evaluation mode."""
import math

import torch
from torch import nn

from edgenext_deploy.models.edgenext import EdgeNeXt
from edgenext_deploy.models.mobilevit import MobileViT
from edgenext_deploy.models.registry import EdgeNeXtConfig, get_variant


def create_model(name: str, num_classes: int = 1000, seed: int = 0) -> nn.Module:
    """Return the reference module of a variant, initialised as published, in evaluation mode.

    The module has `forward` (`[B, 3, H, W]` to logits `[B, num_classes]`) and `forward_features` (four
    maps, strides 4, 8, 16, 32). The caller's random state is left alone.

    Raises:
        UsageError: no such variant.
    """
    config = get_variant(name).config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (
            EdgeNeXt(config, num_classes) if isinstance(config, EdgeNeXtConfig) else MobileViT(config, num_classes))
    return model.eval()


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
