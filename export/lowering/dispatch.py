"""The lowering of each reference module, found by the module's class.

The modules that hold the lowerings register them here, those of a family and those of the heads alike:
``lower_network.register(MyNet, LoweredMyNet)``.
"""
import functools

from torch import nn

from edgenext_deploy.export.lowering.context import LoweringContext


@functools.singledispatch
def lower_network(model: nn.Module, context: LoweringContext) -> nn.Module:
    """Return the lowered form of a whole network: a module of `Op`s that takes `[B, 3, H, W]`.

    Args:
        model: the reference module, in FP64 and in evaluation mode.
        context: batch, height, width and options; the rules that fire are counted in it.

    Raises:
        TypeError: no lowering is registered for the module's class.
    """
    raise TypeError(f"no lowering for {type(model).__name__}")


@functools.singledispatch
def lower_backbone(model: nn.Module, context: LoweringContext, maps: int) -> nn.Module:
    """Return the lowered form of a backbone, for the heads of detectors and segmenters.

    Args:
        model: the reference module, in FP64 and in evaluation mode.
        context: batch, height, width and options; the rules that fire are counted in it.
        maps: how many of the last maps the lowered module's `forward` returns, `[B, C, H / s, W / s]` each.

    Raises:
        TypeError: no lowering is registered for the module's class.
    """
    raise TypeError(f"no lowering for backbone {type(model).__name__}")
