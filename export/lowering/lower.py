"""The one entry to the lowering: a reference module in, its lowered form out, in FP64."""
import copy

import torch
from torch import nn

from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.edgenext import LoweredEdgeNeXt
from edgenext_deploy.export.lowering.heads import LoweredDeepLabV3, LoweredSSDLite
from edgenext_deploy.export.lowering.mobilevit import LoweredMobileViT
from edgenext_deploy.models.definitions.deeplab import DeepLabV3
from edgenext_deploy.models.definitions.edgenext import EdgeNeXt
from edgenext_deploy.models.definitions.mobilevit import MobileViT
from edgenext_deploy.models.definitions.ssdlite import SSDLite


def lower(model: nn.Module, context: LoweringContext) -> nn.Module:
    """Return the lowered module, parameters in FP64 so that folding rounds only once, when emitted.

    It computes what a classifier's `forward`, a detector's `detect` or a segmenter's `segment` does.

    The reference module is left as it is; `context.applied` says afterwards which rules fired.

    Raises:
        TypeError: a module that no rule knows.
        UsageError: an option that is not exact for this module.
    """
    double = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        if isinstance(double, EdgeNeXt):
            return LoweredEdgeNeXt(double, context)
        if isinstance(double, MobileViT):
            return LoweredMobileViT(double, context)
        if isinstance(double, SSDLite):
            return LoweredSSDLite(double, context)
        if isinstance(double, DeepLabV3):
            return LoweredDeepLabV3(double, context)
    raise TypeError(f"no lowering for {type(model).__name__}")
