"""The powers of two of scaled norms: found by running the lowered module on inputs, before it is emitted."""
import contextlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Scaled:
    """A scaling that waits for its power of two.

    Attributes:
        watched: the operator whose input decides it.
    """

    watched: nn.Module

    def measure(self, x: Tensor) -> Tensor:
        """Return what decides, of one input of the watched operator; the largest over all inputs counts."""
        raise NotImplementedError

    def apply(self, largest: Tensor) -> None:
        """Set the scale; the module computes the same afterwards."""
        raise NotImplementedError


def set_scales(lowered: nn.Module, scalings: Sequence[Scaled], inputs: Iterable[Tensor]) -> None:
    """Run a lowered module and set the scales of its norms by what they take.

    Args:
        lowered: the module, in FP64.
        scalings: those of the module, see `LoweringContext.scalings`.
        inputs: what the module takes, `[B, 3, H, W]` FP64: they stand for all that the network will see.
    """
    if not scalings:
        return
    largest: dict[int, Tensor] = {}

    def watch(index: int, x: Tensor) -> None:
        found = scalings[index].measure(x)
        largest[index] = torch.maximum(largest[index], found) if index in largest else found

    with contextlib.ExitStack() as stack, torch.no_grad():
        for index, scaling in enumerate(scalings):
            hook = scaling.watched.register_forward_pre_hook(lambda _, taken, index=index: watch(index, taken[0]))
            stack.callback(hook.remove)
        for image in inputs:
            lowered(image)
    for index, scaling in enumerate(scalings):
        scaling.apply(largest[index])
