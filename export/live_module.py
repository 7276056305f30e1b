"""A module that was made, and perhaps trained, elsewhere: which variant it is, and a copy of it to export."""
import copy
import dataclasses

import torch
from torch import nn

from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.models.definitions.deeplab import DeepLabV3
from edgenext_deploy.models.definitions.ssdlite import SSDLite
from edgenext_deploy.models.variants.families import family_of
from edgenext_deploy.models.variants.registry import VARIANTS, Variant

_WITH_HEAD = (SSDLite, DeepLabV3)


def variant_of(module: nn.Module) -> Variant:
    """Return the registered variant with the module's configuration.

    If there is none, it is a new one, which is not registered: named after its family, with the normalisation and
    input size of that family's first variant for the same task.

    Raises:
        UsageError: not a network of a known family, or one without a classifier.
    """
    config = getattr(module.backbone if isinstance(module, _WITH_HEAD) else module, "config", None)
    if config is None:
        raise UsageError(
            f"{type(module).__name__} found; a module of edgenext_deploy.models expected, which keeps its config",
            "give the module inside a wrapper, such as model.module, or a variant's name")
    family, head = family_of(config), (module.config if isinstance(module, _WITH_HEAD) else None)
    if head is None and family.class_weight not in module.state_dict():
        raise UsageError(f"{type(module).__name__} is a backbone without a classifier",
                         "give a classifier, a detector or a segmenter")
    relatives = [variant for variant in VARIANTS.values()
                 if type(variant.config) is type(config) and type(variant.head) is type(head)]
    for variant in relatives:
        if variant.config == config and variant.head == head:
            return variant
    if not relatives:
        raise UsageError(f"no variant of {family.title} is registered for this task",
                         "register one first: edgenext_deploy.models.register_variant")
    name = family.name if head is None else f"{family.name}_{type(module).__name__.lower()}"
    return dataclasses.replace(relatives[0], name=name, config=config, head=head, checkpoints=(), note="")


def class_count(module: nn.Module) -> int:
    """Return how many classes a network of a known family tells apart."""
    if isinstance(module, SSDLite):
        return module.num_classes
    if isinstance(module, DeepLabV3):
        return module.classifier.out_channels
    return int(module.get_parameter(family_of(module.config).class_weight).shape[0])


def frozen_copy(module: nn.Module) -> nn.Module:
    """Return a copy on the CPU in float32 and evaluation mode; the module itself stays as it is.

    Raises:
        BadInputError: a parameter or buffer without data, or with a value that is not finite.
    """
    for name, tensor in module.state_dict().items():
        if tensor.is_meta:
            raise BadInputError(f"{name} is on the meta device and has no values", "load weights into the module")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BadInputError(f"{name} has values that are NaN or infinite", "export an earlier checkpoint")
    return copy.deepcopy(module).cpu().float().eval().requires_grad_(False)
