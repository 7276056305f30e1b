"""From a variant's name to a reference module in evaluation mode."""
import math
import os

import torch
from torch import nn

from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import UsageError
from edgenext_deploy.models.checkpoints.checkpoint import apply, load_checkpoint, load_published
from edgenext_deploy.models.checkpoints.download import fetch
from edgenext_deploy.models.variants.reference import reference_module
from edgenext_deploy.models.variants.registry import Variant, get_variant


@old_call("num_classes", "seed")
def create_model(
    variant: str | Variant, *, num_classes: int | None = None, pretrained: bool = False,
    checkpoint: str | os.PathLike[str] | None = None, seed: int = 0, state: str | None = None,
) -> nn.Module:
    """Return the reference module of a variant in evaluation mode, float32 on the CPU.

    A classifier has `forward` (`[B, 3, H, W]` to logits `[B, num_classes]`) and `forward_features` (the backbone's
    maps, finest first). See `SSDLite` and `DeepLabV3` for the others. Without weights the parameters are initialised
    as published; the caller's random state is left alone.

    Args:
        variant: a name in the registry, or a variant of one's own.
        num_classes: number of classes; by default the checkpoint's, or else the variant's.
        pretrained: load the published weights; they are downloaded unless they ship or the cache has them.
        checkpoint: weights file to load, see `checkpoint.load_checkpoint`.
        seed: of the initial parameters, where no weights are loaded.
        state: the set of tensors to take from a checkpoint with several, see `checkpoint.load_checkpoint`.

    Raises:
        UsageError: no such variant, nothing is published for it, both sources of weights are given, `state` without a
            checkpoint, or `num_classes` is no number of classes.
        BadInputError: the weights do not fit the variant or the number of classes, or the file is no checkpoint.
        MissingRuntimeError: no network for the download.
    """
    known = get_variant(variant) if isinstance(variant, str) else variant
    if pretrained and checkpoint is not None:
        raise UsageError("pretrained and checkpoint exclude each other", "give one of them")
    if state is not None and checkpoint is None:
        raise UsageError("state says which part of a checkpoint to take, and checkpoint is missing", "give both")
    if pretrained:
        loaded = load_published(fetch(known), known, num_classes)
    elif checkpoint is not None:
        loaded = load_checkpoint(checkpoint, variant=known, num_classes=num_classes, state=state)
    else:
        return reference_module(known, num_classes, seed)
    model = reference_module(known, loaded.num_classes)
    apply(model, loaded)
    return model


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Give every parameter and running statistic a seeded value far from its neutral one; return the module.

    The published initialisation has layer scales of 1e-6 and biases of zero. Such a network gives the same logits
    with a block missing, and simplifiers drop its zero biases. So parity checks and timings on it mean nothing.
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
