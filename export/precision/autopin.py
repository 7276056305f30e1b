"""Finds a small set of further FP32 pins with which a graph meets a tolerance.

First, every node that overflows is pinned. Then, while the outputs are still off, the nodes that add the largest
errors are pinned. Last, every pin that is not needed is removed, in groups where a whole group is not needed. The
same graph, pins and samples give the same result.
"""
import dataclasses
import math
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import onnx

from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.precision.arithmetic import FP16_MAX
from edgenext_deploy.export.precision.drift import Observation, Progress, SideBySide, merge_effects
from edgenext_deploy.export.precision.drift_records import Effect
from edgenext_deploy.export.precision.emulate import Emulator
from edgenext_deploy.export.precision.fp32_pins import Pins, fp16_share, fp32_nodes
from edgenext_deploy.export.precision.replay import Replay

DEFAULT_TOLERANCE = 0.01
# Runs of one sample through the graph. Each takes about a tenth of a second.
MOST_RUNS = 2000
# Held by all samples together, so that a run need not begin at the first node.
_MOST_KEPT_BYTES = 1 << 29


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What to pin.

    Attributes:
        pins: the given pins and the added ones, node name to reason.
        added: the added pins, in topological order.
        tolerance: relative error of the largest value of an output, met with sums in FP32.
        before: effect of FP16 on the outputs with the given pins.
        after: effect with `pins`.
        worst_case: effect with `pins` and sums in FP16, which need not meet the tolerance.
        runs: samples that were run through the graph.
        pruned: False if the runs were used up before every pin had been tried without.
    """

    pins: dict[str, str]
    added: dict[str, str]
    tolerance: float
    before: Effect
    after: Effect
    worst_case: Effect
    runs: int
    pruned: bool


def propose_pins(
    model: onnx.ModelProto, pins: Pins, samples: Sequence[np.ndarray], tolerance: float = DEFAULT_TOLERANCE,
    progress: Progress = lambda step: None, minimum_share: float = 0.5, most_runs: int = MOST_RUNS,
    required: Pins = MappingProxyType({}), least_agreement: float = 1.0,
) -> Proposal:
    """Return the pins with as few further ones as meet the tolerance on all samples.

    Meeting it means: every output within `tolerance` of its largest FP32 value, top-1 as before, and every value in
    the graph finite, with sums in FP32.

    Args:
        model: the FP32 graph, simplified.
        pins: the pins to start from; they stay.
        samples: network inputs `[B, 3, H, W]` float32, at least one.
        tolerance: relative to the largest value of an output.
        progress: called with a few words before each step.
        minimum_share: of the multiply-adds that must stay in FP16, 0..1.
        most_runs: samples that may be run through the graph.
        required: further pins that are added whatever the samples show.
        least_agreement: share of the images, anchors or pixels, 0..1, whose most probable class must stay the same.

    Raises:
        VerificationError: the tolerance cannot be met within these limits.
    """
    return _Search(model, dict(pins), samples, tolerance, progress, minimum_share, most_runs, required,
                   least_agreement).run()


class _Search:
    def __init__(
        self, model: onnx.ModelProto, pins: dict[str, str], samples: Sequence[np.ndarray], tolerance: float,
        progress: Progress, minimum_share: float, most_runs: int, required: Pins, least_agreement: float,
    ) -> None:
        self.model, self.given, self.tolerance, self.progress = model, pins, tolerance, progress
        self.minimum_share, self.most_runs = minimum_share, most_runs
        self.required, self.least_agreement = required, least_agreement
        self.emulator = Emulator(model)
        self.samples = list(samples)
        self._replays: dict[int, Replay] = {}
        self.added = dict(required)
        self.runs = 0
        # The sample that failed last is tried first: most pins that are needed are needed there.
        self.order = list(range(len(self.samples)))

    def run(self) -> Proposal:
        before = self._effect(self.given)
        effect = self._effect(self._pins()) if self.required else before
        pruned = True
        if not self._enough(effect):
            effect = self._pin_overflows()
            effect = self._pin_errors(effect)
            pruned = self._prune()
            effect = self._effect(self._pins())
        order = [*(step.name for step in self.emulator.steps), *self.required]
        added = {name: self.added[name] for name in order if name in self.added}
        self.progress("auto-pin: FP16 sums")
        return Proposal(
            {**self.given, **added}, added, self.tolerance, before, effect, self._effect(self._pins(), "fp16"),
            self.runs, pruned)

    def _enough(self, effect: Effect | None) -> bool:
        return effect is not None and effect.meets(self.tolerance, self.least_agreement)

    def _pins(self) -> dict[str, str]:
        return {**self.given, **self.added}

    def _effect(self, pins: Pins, accumulate: str = "fp32") -> Effect:
        """Return the effect with these pins over all samples."""
        fp32 = fp32_nodes(self.model, pins)
        self.runs += len(self.samples)
        effects = [self._replay(index).effect(fp32, accumulate) for index in range(len(self.samples))]
        return merge_effects([effect for effect in effects if effect is not None])

    def _replay(self, index: int) -> Replay:
        if index not in self._replays:
            self._replays[index] = Replay(self.emulator, self.samples[index], _MOST_KEPT_BYTES // len(self.samples))
        return self._replays[index]

    def _observe(self, index: int) -> list[Observation]:
        """Run one sample beside FP32, pin a node as soon as it overflows and go on with its FP32 output."""
        self.runs += 1
        pair = SideBySide(self.emulator, self.samples[index], "fp32")
        fp32, seen = fp32_nodes(self.model, self._pins()), []
        with quiet_torch():
            for step in self.emulator.steps:
                seen.append(pair.advance(step, step.name in fp32))
                if seen[-1].overflowed:
                    self.added[step.name] = _overflow_reason(seen[-1])
                    fp32 = fp32_nodes(self.model, self._pins())
                    seen[-1] = pair.advance(step, in_fp32=True)
                pair.leave(step)
        return seen

    def _pin_overflows(self) -> Effect:
        """Pin every node that overflows, sample after sample; return what is left."""
        for index in range(len(self.samples)):
            self.progress(f"auto-pin: overflows, sample {index + 1} of {len(self.samples)}, {len(self.added)} pins")
            self._observe(index)
        return self._effect(self._pins())

    def _pin_errors(self, effect: Effect) -> Effect:
        """Pin the nodes that add the largest errors, twice as many each time, until the tolerance is met."""
        count = 1
        while not self._enough(effect):
            self._require_room(effect)
            self.progress(f"auto-pin: error {effect.error:.2%}, {len(self.added)} pins")
            walks = [self._observe(index) for index in range(len(self.samples))]
            worst = [(max(seen[step.index].added for seen in walks), step) for step in self.emulator.steps]
            candidates = sorted((item for item in worst if item[0] > 0 and item[1].name not in self.added),
                                key=lambda item: (-item[0], item[1].index))
            for added, step in candidates[:count]:
                self.added[step.name] = f"drift analysis: adds an error of {added:.2g} of its output"
            count *= 2
            effect = self._effect(self._pins())
        return effect

    def _require_room(self, effect: Effect) -> None:
        share = fp16_share(self.model, self._pins())
        if self.runs < self.most_runs and share >= self.minimum_share:
            return
        found = "values that are not finite" if effect.non_finite else f"an error of {effect.error:.3g}"
        raise VerificationError(
            f"no pins were found that meet the tolerance of {self.tolerance:g} of the largest value: with "
            f"{len(self.added)} further pins and {share:.0%} of the multiply-adds in FP16 there are {found} and "
            f"{effect.top1_agreement:.0%} top-1 agreement ({self.runs} runs)",
            "raise --tolerance, or export without --fp16")

    def _prune(self) -> bool:
        """Remove every pin that is not needed, the last first; return False if the runs were used up."""
        order = {step.name: step.index for step in self.emulator.steps}
        names = sorted(self.added.keys() - self.required.keys(), key=lambda name: -order[name])
        middle = (len(names) + 1) // 2
        return self._remove(names[:middle]) and self._remove(names[middle:])

    def _remove(self, names: list[str]) -> bool:
        """Remove these pins if none is needed, else as many as can be, half by half."""
        if not names:
            return True
        if self.runs >= self.most_runs:
            return False
        self.progress(f"auto-pin: is {names[0]} needed? {len(self.added)} pins")
        gone = set(names)
        if self._meets({name: reason for name, reason in self._pins().items() if name not in gone}):
            for name in names:
                del self.added[name]
            return True
        middle = (len(names) + 1) // 2
        return len(names) == 1 or (self._remove(names[:middle]) and self._remove(names[middle:]))

    def _meets(self, pins: Pins) -> bool:
        fp32 = fp32_nodes(self.model, pins)
        for place, index in enumerate(self.order):
            self.runs += 1
            if not self._enough(self._replay(index).effect(fp32, stop_early=True)):
                self.order.insert(0, self.order.pop(place))
                return False
        return True


def _overflow_reason(seen: Observation) -> str:
    """Say what overflows: an input of the node, or its output."""
    largest = seen.takes if seen.takes > FP16_MAX else seen.largest
    if not math.isfinite(largest) or largest <= FP16_MAX:
        return "drift analysis: overflows"
    what = "takes values that overflow" if seen.takes > FP16_MAX else "overflows"
    return f"drift analysis: {what} (largest magnitude {largest:.2g})"
