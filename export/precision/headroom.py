"""Headroom: how far the values of a graph's FP16 nodes are from the end of FP16's range.

The values are those of an FP32 run. A node holds what it outputs, what arises inside it, and what it takes: a value
that comes from an FP32 island is rounded to FP16 in front of an FP16 node.
"""
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx
from torch import Tensor

from edgenext_deploy.errors import IncompatibleError, VerificationError
from edgenext_deploy.export.checks.parity import Run
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.precision.arithmetic import FP16_MAX, LITTLE_HEADROOM, Float32, largest_magnitude
from edgenext_deploy.export.precision.emulate import Emulator, compute
from edgenext_deploy.export.precision.fp32_pins import Pins, fp32_nodes
from edgenext_deploy.export.precision.steps import Step

# Of the largest value; both sum in FP32, in another order.
_SAME = 1e-3
# Operators to which infinity is a large number like any other: what they give is right if what they take overflows.
_SATURATING = frozenset({"Erf", "Sigmoid", "HardSigmoid"})


@dataclasses.dataclass
class NodeRange:
    """The largest magnitudes that a node holds in FP32; infinite if a value is not finite.

    Attributes:
        weight: of the constants that it takes.
        takes: of the other values that it takes; 0 where infinity would do.
        gives: of its outputs, and of what arises inside it.
    """

    weight: float
    takes: float = 0.0
    gives: float = 0.0

    @property
    def overflows(self) -> bool:
        """Whether FP16 does not hold one of the values."""
        return max(self.weight, self.takes, self.gives) > FP16_MAX

    @property
    def headroom(self) -> float:
        """65504 divided by the largest magnitude; weights, which no photo changes, are left out."""
        largest = max(self.takes, self.gives)
        return FP16_MAX / largest if largest else math.inf

    def add(self, step: Step, held: Mapping[str, float], inside: float) -> None:
        """Take one run of the node.

        Args:
            step: the node.
            held: magnitudes of the values so far, by name, constants left out.
            inside: magnitude of what arose inside it.
        """
        self.gives = max(self.gives, inside, *(held[name] for name in step.outputs))
        if step.op not in _SATURATING:
            self.takes = max(self.takes, *(held.get(name, 0.0) for name in step.inputs))

    def __str__(self) -> str:
        if self.weight > FP16_MAX:
            return f"has a weight of magnitude {self.weight:.2g}"
        if self.takes > FP16_MAX:
            return f"takes values that overflow (largest magnitude {self.takes:.2g})"
        return f"overflows (largest magnitude {self.gives:.2g})"


Ranges = Mapping[str, NodeRange]


def fp16_ranges(model: onnx.ModelProto, pins: Pins, inputs: Iterable[np.ndarray],
                run: Run | None = None) -> dict[str, NodeRange]:
    """Run a graph in FP32 and return the ranges of the nodes that compute in FP16, by name, in the graph's order.

    Args:
        model: the FP32 graph, simplified.
        pins: nodes that compute in FP32.
        inputs: network inputs `[B, 3, H, W]` float32.
        run: the graph in ONNX Runtime, which the emulation is compared with on the first input.

    Raises:
        IncompatibleError: an operator that the emulation does not know, or takes for something else.
    """
    emulator, fp32 = Emulator(model), fp32_nodes(model, pins)
    masks = _of_infinities(emulator)
    # Infinity is the same in FP16: only finite weights can be too large.
    weights = {name: largest_magnitude(value) if value.is_floating_point() else 0.0
               for name, value in emulator.constants.items()}
    ranges = {step.name: NodeRange(max((weights.get(name, 0.0) for name in step.inputs), default=0.0))
              for step in emulator.steps if step.name not in fp32}
    for image in inputs:
        values = emulator.start(image)
        held = {name: _magnitude(value) for name, value in values.items()}
        with quiet_torch():
            for step in emulator.steps:
                magnitude = largest_magnitude if step.name in masks else _magnitude
                watch = _Watch(magnitude) if step.name in ranges else None
                outputs = compute(step, emulator.operands(step, values), None, watch)
                values.update(zip(step.outputs, outputs))
                held.update((name, magnitude(value) if value.is_floating_point() else 0.0)
                            for name, value in zip(step.outputs, outputs))
                if watch is not None:
                    ranges[step.name].add(step, held, watch.largest)
                emulator.forget(step, values)
        if run is not None:
            _require_same([values[name] for name in emulator.outputs], run(image))
            run = None
    return ranges


def _require_same(found: list[Tensor], expected: tuple[np.ndarray, ...]) -> None:
    for left, right in zip(found, expected, strict=True):
        same = tuple(left.shape) == right.shape
        if same and right.dtype.kind == "f" and right.size:
            same = bool(np.abs(left.numpy() - right).max() <= _SAME * max(float(np.abs(right).max()), 1e-30))
        if not same:
            raise IncompatibleError("the FP16 emulation computes something else than ONNX Runtime, in FP32 already",
                                    "export without --drift and --auto-pin")


def overflowing(ranges: Ranges) -> dict[str, str]:
    """Return the nodes that overflow in FP16, each with the words that its FP32 pin gives as the reason."""
    return {name: f"drift analysis: {node}" for name, node in ranges.items() if node.overflows}


def require_range(ranges: Ranges) -> None:
    """Raise VerificationError if a node that computes in FP16 holds a value that FP16 does not."""
    wrong = [name for name, node in ranges.items() if node.overflows]
    if wrong:
        others = f"; {len(wrong)} nodes overflow" if len(wrong) > 1 else ""
        raise VerificationError(
            f"FP16 would overflow: it ends at {FP16_MAX:g}, and in FP32 node {wrong[0]} {ranges[wrong[0]]}, headroom "
            f"{_factor(ranges[wrong[0]])}{others}; nothing was written",
            "keep what overflows in FP32 with --auto-pin, or export without --fp16")


def headroom_warning(ranges: Ranges) -> str | None:
    """Return a sentence if another photo might overflow in FP16, None if the headroom is enough."""
    close = sorted((name for name, node in ranges.items() if node.headroom < LITTLE_HEADROOM),
                   key=lambda name: ranges[name].headroom)
    if not close:
        return None
    others = f" ({len(close)} nodes have less than {LITTLE_HEADROOM:g})" if len(close) > 1 else ""
    return (f"FP16 headroom is {_factor(ranges[close[0]])} at node {close[0]}{others}: a photo with larger activations "
            "may overflow; --auto-pin --samples DIR pins what overflows on your own photos")


def _factor(node: NodeRange) -> str:
    return f"{min(node.headroom, FP16_MAX / node.weight if node.weight > FP16_MAX else math.inf):.2g}"


class _Watch(Float32):
    """FP32 that remembers the largest magnitude inside an operator."""

    def __init__(self, magnitude: Callable[[Tensor], float]) -> None:
        self.largest, self._magnitude = 0.0, magnitude

    def round(self, x: Tensor) -> Tensor:
        """Return `x` and look at it."""
        self.largest = max(self.largest, self._magnitude(x))
        return x


def _of_infinities(emulator: Emulator) -> frozenset[str]:
    """Return the nodes that an infinite constant reaches, as in a mask: infinite is what they give in any precision."""
    reached = {name for name, value in emulator.constants.items()
               if value.is_floating_point() and bool(value.isinf().any())}
    nodes = []
    for step in emulator.steps:
        if reached & set(step.inputs):
            reached.update(step.outputs)
            nodes.append(step.name)
    return frozenset(nodes)


def _magnitude(x: Tensor) -> float:
    """Return the largest magnitude, infinity if a value is not finite; 0 for integers, which stay as they are."""
    if not x.is_floating_point() or not x.numel():
        return 0.0
    low, high = (float(value) for value in x.aminmax())
    return max(-low, high) if math.isfinite(low) and math.isfinite(high) else math.inf
