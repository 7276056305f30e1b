"""The one entry to the lowering: a reference module in, its lowered form out, in FP64."""
import copy

import torch
from torch import nn

from edgenext_deploy.export.lowering import heads  # noqa: F401  # registers the lowering of the heads
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.dispatch import lower_network
from edgenext_deploy.models.variants.families import FAMILIES


def lower(model: nn.Module, context: LoweringContext) -> nn.Module:
    """Return the lowered module, parameters in FP64 so that folding rounds only once, when emitted.

    It computes what a classifier's `forward`, a detector's `detect` or a segmenter's `segment` does. The reference
    module is left as it is; `context.applied` says afterwards which rules fired.

    Raises:
        TypeError: a module that no rule knows.
        UsageError: an option that is not exact for this module.
    """
    configs = {type(getattr(part, "config", None)) for part in model.modules()}
    for family in FAMILIES.values():
        if family.config in configs:
            family.load_lowering()
    with torch.no_grad():
        return lower_network(copy.deepcopy(model).double().eval(), context)
