"""Drift analysis: FP32 and emulated FP16 side by side, node by node, over sample inputs.

Three values are compared at every node: `reference`, its output in the FP32 run; `local`, what it gives in FP32
arithmetic on the FP16 run's inputs; `found`, its output in the FP16 run. The step from reference to local is error
that came with the inputs, the step from local to found is error that the node adds.
"""
import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import torch
from torch import Tensor

from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.precision.arithmetic import (
    FP16_MAX,
    FP16_SMALLEST_NORMAL,
    Observed,
    float16,
    largest_magnitude,
)
from edgenext_deploy.export.precision.drift_records import DriftReport, Effect, NodeDrift
from edgenext_deploy.export.precision.emulate import Emulator, compute
from edgenext_deploy.export.precision.fp32_pins import Pins, fp32_nodes
from edgenext_deploy.export.precision.steps import Step

Progress = Callable[[str], None]

# How many of the worst nodes get their effect on the logits measured alone, and on how many samples the worst
# case runs: both cost far more than the rest.
_ALONE = 8
_WORST_CASE_SAMPLES = 3


@dataclasses.dataclass
class Observation:
    """One node in one sample; the fields are those of `NodeDrift`, `takes` the largest magnitude it is given."""

    largest: float
    takes: float
    flushed: float
    subnormal: float
    non_finite: int
    overflowed: int
    inherited: float
    added: float


class SideBySide:
    """FP32 and FP16 runs of one sample, advanced node by node by the caller, who may repeat a node.

    Args:
        emulator: of the graph.
        image: one sample.
        accumulate: precision of the sums in FP16 nodes.
    """

    def __init__(self, emulator: Emulator, image: np.ndarray, accumulate: str) -> None:
        self.emulator = emulator
        self.half = float16(accumulate)
        self.exact, self.rounded = emulator.start(image), emulator.start(image)

    def advance(self, step: Step, in_fp32: bool) -> Observation:
        """Run one node and say what FP16 did.

        Raises:
            VerificationError: the FP32 run itself has a value that is no number.
        """
        watch = Observed()
        operands = self.emulator.operands(step, self.rounded)
        exact = self.emulator.operands(step, self.exact)
        reference = compute(step, exact, None, watch)
        local = compute(step, operands, None)
        found = local if in_fp32 else compute(step, operands, self.half)
        self.exact.update(zip(step.outputs, reference))
        self.rounded.update(zip(step.outputs, found))
        expected, given, got = _flat(reference), _flat(local), _flat(found)
        require_numbers(expected, exact, step)
        usable = expected.isfinite()
        if not bool(usable.all()):  # a mask before a softmax
            expected, given, got = expected[usable], given[usable], got[usable]
        takes = max((largest_magnitude(x) for x in operands if x.is_floating_point()), default=0.0)
        return _observe(expected, given, got, max(watch.largest, largest_magnitude(expected)), takes, in_fp32)

    def leave(self, step: Step) -> None:
        """Drop what no node after this one takes."""
        self.emulator.forget(step, self.exact)
        self.emulator.forget(step, self.rounded)

    def outputs(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the graph's outputs in FP32 and in FP16, when every node has run."""
        names = self.emulator.outputs
        return [self.exact[name].numpy() for name in names], [self.rounded[name].numpy() for name in names]


def analyse_drift(
    model: onnx.ModelProto, pins: Pins, samples: Sequence[np.ndarray], progress: Progress = lambda step: None
) -> DriftReport:
    """Run FP32 and emulated FP16 side by side and report where the error comes from.

    Args:
        model: the FP32 graph, simplified.
        pins: nodes that compute in FP32, each with the reason.
        samples: network inputs `[B, 3, H, W]` float32, at least one.
        progress: called with a few words before each sample.

    Raises:
        VerificationError: the FP32 run is not finite.
    """
    emulator = Emulator(model)
    fp32 = fp32_nodes(model, pins)
    seen: list[list[Observation]] = []
    effects: list[Effect] = []
    for number, image in enumerate(samples, start=1):
        progress(f"drift analysis: sample {number} of {len(samples)}")
        observations, effect = _walk(emulator, image, fp32, "fp32")
        seen.append(observations)
        effects.append(effect)
    by_error = sorted(range(len(samples)), key=lambda number: (-effects[number].error, number))
    hardest = [samples[number] for number in by_error[:_WORST_CASE_SAMPLES]]
    worst_seen, worst_effects = [], []
    for number, image in enumerate(hardest, start=1):
        progress(f"drift analysis: FP16 sums, sample {number} of {len(hardest)}")
        observations, effect = _walk(emulator, image, fp32, "fp16")
        worst_seen.append(observations)
        worst_effects.append(effect)
    nodes = [
        _node_drift(step, fp32, pins, [run[step.index] for run in seen],
                    max(run[step.index].added for run in worst_seen))
        for step in emulator.steps]
    report = DriftReport(tuple(nodes), merge_effects(effects), merge_effects(worst_effects), dict(pins))
    progress("drift analysis: the worst nodes alone")
    return _with_effects_alone(report, emulator, hardest[0])


def require_numbers(x: Tensor, operands: Sequence[Tensor], step: Step) -> None:
    """Raise VerificationError for a NaN of the FP32 run, or an infinity that was in no operand, as those of a mask."""
    if not x.is_floating_point() or bool(x.isfinite().all()):
        return
    if bool(x.isnan().any()) or all(bool(one.isfinite().all()) for one in operands if one.is_floating_point()):
        raise VerificationError(
            f"the FP32 run is not finite at node {step.name!r}: there is nothing to compare FP16 with",
            "check the weights and the samples")


def worst_case(emulator: Emulator, image: np.ndarray, pins: Pins) -> Effect:
    """Return what FP16 does to the outputs of one sample with every sum in FP16."""
    expected, found = emulator.run(image), emulator.run(image, pins, "fp16")
    return compare_outputs(list(expected.values()), list(found.values()), "fp16", 0)


def compare_outputs(
    expected: Sequence[np.ndarray], found: Sequence[np.ndarray], accumulate: str, non_finite: int
) -> Effect:
    """Return the effect on the outputs of one sample; `non_finite` counts the values inside the graph."""
    error, cosine = 0.0, 1.0
    for left, right in zip(expected, found):
        if not np.isfinite(right).all():
            error, cosine = math.inf, 0.0
            continue
        error = max(error, float(np.abs(right - left).max()) / (float(np.abs(left).max()) or 1.0))
        for a, b in zip(left.reshape(len(left), -1).astype(np.float64), right.reshape(len(right), -1)):
            norms = float(np.linalg.norm(a) * np.linalg.norm(b))
            cosine = min(cosine, float(np.dot(a, b)) / norms if norms else float(not a.any() and not b.any()))
    # The last output has the classes: along the last axis, or in a map `[B, classes, H, W]` along the second.
    axis = 1 if found[-1].ndim == 4 else -1
    finite = np.isfinite(found[-1]).all(axis=axis)
    agreed = (expected[-1].argmax(axis) == found[-1].argmax(axis)) & finite
    return Effect(accumulate, 1, error, cosine, float(agreed.mean()), non_finite)


def merge_effects(effects: Sequence[Effect]) -> Effect:
    """Return the worst over samples of the same number of images."""
    return Effect(
        effects[0].accumulate, sum(effect.samples for effect in effects), max(effect.error for effect in effects),
        min(effect.cosine for effect in effects), sum(effect.top1_agreement for effect in effects) / len(effects),
        sum(effect.non_finite for effect in effects))


def _walk(
    emulator: Emulator, image: np.ndarray, fp32: frozenset[str], accumulate: str
) -> tuple[list[Observation], Effect]:
    pair = SideBySide(emulator, image, accumulate)
    observations = []
    with quiet_torch():
        for step in emulator.steps:
            observations.append(pair.advance(step, step.name in fp32))
            pair.leave(step)
        effect = compare_outputs(*pair.outputs(), accumulate, sum(seen.non_finite for seen in observations))
    return observations, effect


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    """Return all elements in a row; classes, places and masks as numbers."""
    rows = [tensor.reshape(-1) if tensor.is_floating_point() else tensor.reshape(-1).double() for tensor in tensors]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _observe(
    reference: Tensor, local: Tensor, found: Tensor, largest: float, takes: float, in_fp32: bool
) -> Observation:
    scale = _root_mean_square(reference) or 1.0
    finite = found.isfinite()
    flushed = subnormal = 0.0
    if not in_fp32:
        flushed = _share((found == 0) & (local != 0) & local.isfinite())
        subnormal = _share((found != 0) & (found.abs() < FP16_SMALLEST_NORMAL))
    return Observation(
        largest, takes, flushed, subnormal, int((~finite).sum()), int((~finite & local.isfinite()).sum()),
        _error(reference, local) / scale, 0.0 if in_fp32 else _error(local, found) / scale)


def _share(which: Tensor) -> float:
    """Return the share of elements that are true; 0 of none, as where a mask is infinite everywhere."""
    return float(which.float().mean()) if which.numel() else 0.0


def _error(before: Tensor, after: Tensor) -> float:
    """Return the root mean square of the difference over elements that are finite before; see `NodeDrift`."""
    usable = before.isfinite()
    if not bool(usable.all()):
        before, after = before[usable], after[usable]
    if not bool(after.isfinite().all()):
        return math.inf
    return _root_mean_square(after.double() - before.double())


def _root_mean_square(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x, dtype=torch.float64)) / math.sqrt(x.numel()) if x.numel() else 0.0


def _node_drift(
    step: Step, fp32: frozenset[str], pins: Pins, seen: list[Observation], added_worst_case: float
) -> NodeDrift:
    largest = max(one.largest for one in seen)
    in_fp32 = step.name in fp32
    return NodeDrift(
        index=step.index, name=step.name, op=step.op, precision="fp32" if in_fp32 else "fp16",
        reason=pins.get(step.name, "moves data between nodes in FP32") if in_fp32 else "", largest=largest,
        headroom=FP16_MAX / largest if largest else math.inf, flushed=max(one.flushed for one in seen),
        subnormal=max(one.subnormal for one in seen), non_finite=max(one.non_finite for one in seen),
        overflowed=max(one.overflowed for one in seen), inherited=max(one.inherited for one in seen),
        added=max(one.added for one in seen), added_worst_case=added_worst_case, alone=None)


def _with_effects_alone(report: DriftReport, emulator: Emulator, image: np.ndarray) -> DriftReport:
    """Measure the worst FP16 nodes alone, on the sample with the largest error of all."""
    expected = list(emulator.run(image).values())
    alone: dict[str, float] = {}
    for node in [node for node in report.worst() if node.precision == "fp16"][:_ALONE]:
        others = dict.fromkeys((step.name for step in emulator.steps if step.name != node.name), "")
        alone[node.name] = compare_outputs(expected, list(emulator.run(image, others).values()), "fp32", 0).error
    nodes = tuple(dataclasses.replace(node, alone=alone.get(node.name)) for node in report.nodes)
    return dataclasses.replace(report, nodes=nodes)
