"""Parameters and multiply-adds, by the counting rule of the published figures.

``python -m edgenext_deploy.models.counts`` counts every variant of the registry (half a minute) and rewrites
`data/counts.json`, which listings read. Run it after adding or changing a variant.
"""
import json
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from edgenext_deploy import data
from edgenext_deploy.files import write_files_atomically
from edgenext_deploy.models.stored_counts import FILE, Counts, counted_sizes
from edgenext_deploy.models.variants.reference import reference_module
from edgenext_deploy.models.variants.registry import VARIANTS, Variant


def count_parameters(model: nn.Module) -> int:
    """Return the number of learned values; the running statistics of batch norms are not among them."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_madds(model: nn.Module, height: int, width: int) -> int:
    """Return the multiply-adds of one image `[1, 3, height, width]`.

    The rule is that of fvcore 0.1.5, which printed EdgeNeXt's published figures: one per multiply-add of
    convolutions, linear layers and matrix products, without biases; 5 per element of a layer or group norm that
    calls the library's operator (the channels-first norms are written out by hand and count nothing);
    2 per element of a batch norm in evaluation mode; 4 per element of a bilinear resize's output; nothing for
    anything else.

    Nothing is computed: the model runs on the meta device, where tensors have shapes and no data.

    Args:
        model: in evaluation mode, on any device; it is left as it is.
        height: height of the input in pixels.
        width: width of the input in pixels.
    """
    state = {
        name: torch.empty_like(value, device="meta")
        for name, value in (*model.named_parameters(), *model.named_buffers())}
    counter = FlopCounterMode(display=False, custom_mapping=_RULES)
    with torch.no_grad(), counter:
        functional_call(model, state, (torch.empty(1, 3, height, width, device="meta"),))
    # The counter gives two operations for one multiply-add.
    return int(counter.get_total_flops()) // 2


def count(variant: Variant) -> Counts:
    """Return the counts of a variant, registered or not, at `counted_sizes`."""
    with torch.device("meta"):
        model = reference_module(variant)
    return Counts(count_parameters(model),
                  {str(size): count_madds(model, size, size) for size in counted_sizes(variant)})


def main() -> None:
    """Count every variant of the registry and rewrite the file of counts."""
    about = ("parameters and multiply-adds of one image by side of the square input, counted from the modules; "
             "not to be edited: python -m edgenext_deploy.models.counts rewrites it")
    rows = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(count(variant)._asdict())}" for name, variant in VARIANTS.items())
    text = f'{{\n  "about": {json.dumps(about)},\n  "variants": {{\n{rows}\n  }}\n}}\n'
    write_files_atomically({data.path_of(FILE): text.encode("ascii")})


def _layer_norm(shape: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * 5 * math.prod(shape)


def _batch_norm(shape: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * 2 * math.prod(shape)


def _bilinear(shape: Sequence[int], size: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * 4 * math.prod(shape[:2]) * math.prod(size)


_RULES = {
    torch.ops.aten.native_layer_norm: _layer_norm,
    torch.ops.aten.native_group_norm: _layer_norm,
    torch.ops.aten.native_batch_norm: _batch_norm,
    # The name under which newer releases of torch run a batch norm in evaluation mode.
    torch.ops.aten._native_batch_norm_legit_no_training: _batch_norm,
    torch.ops.aten.upsample_bilinear2d: _bilinear,
}

if __name__ == "__main__":
    main()
