"""Parameters and multiply-adds, by the counting rule of the published figures."""
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Return the number of learned values; the running statistics of batch norms are not among them."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_madds(model: nn.Module, height: int, width: int) -> int:
    """Return the multiply-adds of one image `[1, 3, height, width]`.

    The rule is that of fvcore 0.1.5, which printed EdgeNeXt's published figures: one per multiply-add of
    convolutions, linear layers and matrix products, without biases; 5 per element of a layer norm that
    calls the library's operator (the channels-first norms are written out by hand and count nothing);
    2 per element of a batch norm in evaluation mode; 4 per element that a bilinear resize gives; nothing for all
    else.

    Nothing is computed: the model runs on the meta device, where tensors have shapes and no data.

    Args:
        model: in evaluation mode, on any device; it is left as it is.
        height: of the input, in pixels.
        width: of the input, in pixels.
    """
    state = {
        name: torch.empty_like(value, device="meta")
        for name, value in (*model.named_parameters(), *model.named_buffers())}
    counter = FlopCounterMode(display=False, custom_mapping=_RULES)
    with torch.no_grad(), counter:
        functional_call(model, state, (torch.empty(1, 3, height, width, device="meta"),))
    # The counter gives two operations for one multiply-add.
    return int(counter.get_total_flops()) // 2


def _layer_norm(shape: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * 5 * math.prod(shape)


def _batch_norm(shape: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * 2 * math.prod(shape)


def _bilinear(shape: Sequence[int], size: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * 4 * math.prod(shape[:2]) * math.prod(size)


_RULES = {
    torch.ops.aten.native_layer_norm: _layer_norm,
    torch.ops.aten.native_batch_norm: _batch_norm,
    # The name under which newer releases of torch run a batch norm in evaluation mode.
    torch.ops.aten._native_batch_norm_legit_no_training: _batch_norm,
    torch.ops.aten.upsample_bilinear2d: _bilinear,
}
