"""The export's precision step: from the FP32 graph and its islands to the graph and the pins that are written."""
import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import onnx

from edgenext_deploy.artifacts.manifest import Precision, Preprocessing
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.parity import parity_inputs, runtime_function
from edgenext_deploy.export.precision.fp32_pins import Pins, fp32_nodes, pins_of, require_fp16, require_typed_fp16
from edgenext_deploy.export.precision.headroom import (
    Ranges,
    fp16_ranges,
    headroom_warning,
    overflowing,
    require_range,
)
from edgenext_deploy.export.precision.typed import count_casts, to_typed
from edgenext_deploy.export.resolved import ResolvedExport

if TYPE_CHECKING:
    from edgenext_deploy.export.precision.autopin import Proposal
    from edgenext_deploy.export.precision.drift_records import DriftReport


@dataclasses.dataclass(frozen=True)
class PrecisionResult:
    """The graph to write, and what the manifest says about its precision.

    Attributes:
        model: FP32 in flag mode, typed in typed mode.
        precision: complete, with pins and counts.
        files: contents of further files, by what follows the variant's name in theirs.
        drift: the analysis, None if it was not asked for.
        proposal: what ``--auto-pin`` added, None if it was not asked for.
        warnings: sentences for the user.
    """

    model: onnx.ModelProto
    precision: Precision
    files: dict[str, bytes]
    drift: "DriftReport | None" = None
    proposal: "Proposal | None" = None
    warnings: tuple[str, ...] = ()


def apply_precision(
    model: onnx.ModelProto, islands: Pins, resolved: ResolvedExport, preprocessing: Preprocessing,
    progress: Callable[[str], None],
) -> PrecisionResult:
    """Make the graph compute as the export's precision says.

    Args:
        model: the FP32 graph, simplified.
        islands: nodes that must compute in FP32, each with the reason.
        resolved: the export's options.
        preprocessing: for the parity inputs, on which nothing may overflow, and the samples of the drift analysis.
        progress: called with a few words before each step.

    Raises:
        VerificationError: FP16 would overflow, too little would compute in FP16, a node computes in FP32 although it
            is not pinned, or ``--auto-pin`` finds no pins that meet the tolerance.
        BadInputError: ``--samples`` names a folder without a usable image.
    """
    if resolved.precision.requested == "fp32":
        return PrecisionResult(model, resolved.precision, {})
    pins = pins_of(model, islands)
    progress("looking for overflow")
    ranges, warnings = _ranges(model, pins, parity_inputs(resolved.shape, preprocessing), resolved.drift.wanted)
    if not resolved.drift.auto_pin:
        require_range(ranges)
    analysed = _Analysed(pins)
    if resolved.drift.wanted:
        analysed = _analyse(model, pins, overflowing(ranges), resolved, preprocessing, progress)
        pins = analysed.pins
        fp32 = fp32_nodes(model, pins)
        ranges = {name: node for name, node in ranges.items() if name not in fp32}
    warnings += (*analysed.warnings, *filter(None, [headroom_warning(ranges)]))
    share = require_fp16(model, pins)
    casts = 0
    if resolved.typed:
        model = to_typed(model, pins, resolved.io)
        require_typed_fp16(model, pins)
        casts = count_casts(model)
    complete = resolved.precision._replace(fp32_pins=_by_reason(pins), fp16_share=round(share, 4), casts=casts)
    return PrecisionResult(model, complete, analysed.files, analysed.drift, analysed.proposal, warnings)


def _ranges(
    model: onnx.ModelProto, pins: Pins, inputs: Iterable[np.ndarray], analysed: bool
) -> tuple[Ranges, tuple[str, ...]]:
    """Return what the FP16 nodes hold in FP32, and warnings; what is not emulated is an error if it is `analysed`."""
    try:
        return fp16_ranges(model, pins, inputs, runtime_function(model)), ()
    except IncompatibleError as error:  # somebody else's graph may have an operator that is new here
        if analysed:
            raise
        return {}, (f"it is not known whether FP16 overflows: {error.message}",)


@dataclasses.dataclass(frozen=True)
class _Analysed:
    """What the drift analysis gives: the pins to use, and the other fields as in `PrecisionResult`."""

    pins: dict[str, str]
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    drift: "DriftReport | None" = None
    proposal: "Proposal | None" = None
    warnings: tuple[str, ...] = ()


def _analyse(
    model: onnx.ModelProto, pins: dict[str, str], required: Pins, resolved: ResolvedExport,
    preprocessing: Preprocessing, progress: Callable[[str], None],
) -> _Analysed:
    from edgenext_deploy.export.precision.autopin import propose_pins
    from edgenext_deploy.export.precision.drift import analyse_drift
    from edgenext_deploy.export.precision.drift_plot import drift_svg
    from edgenext_deploy.export.precision.drift_report import drift_json
    from edgenext_deploy.export.precision.samples import drift_samples

    warnings: list[str] = []
    samples = drift_samples(resolved.drift.samples, resolved.shape, preprocessing, warn=warnings.append)
    numbers = tasks.up_to_logits(model)
    proposal = None
    if resolved.drift.auto_pin:
        progress("looking for pins")
        proposal = propose_pins(numbers, pins, samples, resolved.drift.tolerance, progress, required=required,
                                least_agreement=tasks.least_agreement_of_pins(resolved.variant, resolved.task))
        pins = proposal.pins
    progress("analysing drift")
    drift = analyse_drift(numbers, pins, samples, progress)
    files = {"drift.json": drift_json(drift, proposal), "drift.svg": drift_svg(drift)}
    return _Analysed(pins, files, drift, proposal, tuple(warnings))


def _by_reason(pins: Pins) -> dict[str, tuple[str, ...]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in pins.items():
        reasons.setdefault(reason, []).append(name)
    return {reason: tuple(names) for reason, names in reasons.items()}
