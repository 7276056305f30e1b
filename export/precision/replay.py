"""FP16 runs of one sample with ever other pins: what an earlier run has computed in the same way is not computed again.

The FP32 run is made once. An FP16 run goes on from the last place, of some that it kept, in front of the first node
whose precision has changed.
"""
import math
from collections.abc import Collection, Sequence

import numpy as np
from torch import Tensor

from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.precision.arithmetic import float16
from edgenext_deploy.export.precision.drift import compare_outputs, require_numbers
from edgenext_deploy.export.precision.drift_records import Effect
from edgenext_deploy.export.precision.emulate import Emulator, Values, compute

_MOST_PLACES = 32


class Replay:
    """One sample.

    Args:
        emulator: of the graph.
        image: the sample.
        most_bytes: that the kept places may hold.

    Raises:
        VerificationError: a value of the FP32 run is no number.
    """

    def __init__(self, emulator: Emulator, image: np.ndarray, most_bytes: int) -> None:
        self._emulator, self._image = emulator, image
        self._infinite: list[int] = []  # values of each step that are infinite in FP32, as in a mask
        self._expected, live_bytes = self._exact_run()
        self._places = _places(live_bytes, most_bytes)
        self._kept: dict[int, tuple[Values, int]] = {}
        self._last: list[bool] = []

    def _exact_run(self) -> tuple[list[np.ndarray], list[int]]:
        """Return the outputs in FP32, and how many bytes are alive in front of each step."""
        values, live = self._emulator.start(self._image), []
        with quiet_torch():
            for step in self._emulator.steps:
                live.append(sum(value.numel() * value.element_size() for value in values.values()))
                operands = self._emulator.operands(step, values)
                outputs = compute(step, operands, None)
                for value in outputs:
                    if not _finite(value):
                        require_numbers(value, operands, step)
                self._infinite.append(_count(outputs))
                values.update(zip(step.outputs, outputs))
                self._emulator.forget(step, values)
        return [values[name].numpy() for name in self._emulator.outputs], live

    def effect(self, fp32: Collection[str], accumulate: str = "fp32", stop_early: bool = False) -> Effect | None:
        """Return the effect of FP16 on the outputs.

        Args:
            fp32: names of the nodes that compute in FP32.
            accumulate: precision of the sums in FP16 nodes.
            stop_early: return None as soon as a value is not finite.
        """
        steps = self._emulator.steps
        wanted = [step.name in fp32 for step in steps]
        shared = accumulate == "fp32"
        first, values, non_finite = self._resume(wanted) if shared else (0, self._emulator.start(self._image), 0)
        half = float16(accumulate)
        with quiet_torch():
            for step in steps[first:]:
                if shared and step.index in self._places:
                    self._kept[step.index] = (dict(values), non_finite)
                outputs = compute(step, self._emulator.operands(step, values), None if wanted[step.index] else half)
                found = max(_count(outputs) - self._infinite[step.index], 0)
                if found and stop_early:
                    return None
                non_finite += found
                values.update(zip(step.outputs, outputs))
                self._emulator.forget(step, values)
        return compare_outputs(
            self._expected, [values[name].numpy() for name in self._emulator.outputs], accumulate, non_finite)

    def _resume(self, wanted: list[bool]) -> tuple[int, Values, int]:
        """Return where to go on, the values there, and how many before were not finite."""
        same = next((index for index, (old, new) in enumerate(zip(self._last, wanted)) if old != new), len(self._last))
        self._last = wanted
        self._kept = {place: kept for place, kept in self._kept.items() if place <= same}
        if not self._kept:
            return 0, self._emulator.start(self._image), 0
        place = max(self._kept)
        values, non_finite = self._kept[place]
        return place, dict(values), non_finite


def _finite(x: Tensor) -> bool:
    if not x.is_floating_point() or not x.numel():
        return True
    low, high = (float(value) for value in x.aminmax())
    return math.isfinite(low) and math.isfinite(high)


def _count(outputs: Sequence[Tensor]) -> int:
    return sum(int((~value.isfinite()).sum()) for value in outputs if not _finite(value))


def _places(live_bytes: list[int], most_bytes: int) -> frozenset[int]:
    """Return the steps in front of which values are kept: evenly spread, as many as fit."""
    for count in range(min(_MOST_PLACES, len(live_bytes)), 0, -1):
        chosen = {index * len(live_bytes) // count for index in range(count)}
        if sum(live_bytes[index] for index in chosen) <= most_bytes:
            return frozenset(chosen)
    return frozenset()
