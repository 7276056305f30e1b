"""Reference modules: a variant as published, in PyTorch, with its initial parameters."""
import torch
from torch import nn

from edgenext_deploy.errors import UsageError
from edgenext_deploy.models.definitions.config import SSDLiteConfig
from edgenext_deploy.models.definitions.deeplab import DeepLabV3
from edgenext_deploy.models.definitions.ssdlite import SSDLite
from edgenext_deploy.models.variants.families import family_of
from edgenext_deploy.models.variants.registry import Variant


def reference_module(variant: Variant, num_classes: int | None = None, seed: int = 0) -> nn.Module:
    """Return the reference module of a variant, initialised as published, in evaluation mode.

    The caller's random state is left alone.

    Args:
        variant: registered or not.
        num_classes: by default the variant's.
        seed: of the initial parameters.

    Raises:
        UsageError: `num_classes` is no number of classes.
    """
    require_class_count(num_classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _build(variant, variant.num_classes if num_classes is None else num_classes)
    return model.eval()


def require_class_count(num_classes: int | None) -> None:
    """Raise UsageError unless a number of classes is None or a whole number above 0."""
    if num_classes is not None and (type(num_classes) is not int or num_classes < 1):
        raise UsageError(f"num_classes must be a whole number of at least 1, found {num_classes!r}")


def _build(variant: Variant, num_classes: int) -> nn.Module:
    config, head, family = variant.config, variant.head, family_of(variant.config)
    if head is None:
        return family.build_classifier(config, num_classes)
    backbone = family.build_backbone(config, head.output_stride)
    if isinstance(head, SSDLiteConfig):
        return SSDLite(backbone, (config.dims[-2], config.dims[-1]), head, num_classes)
    return DeepLabV3(backbone, config.dims[-1], head, num_classes)
