"""The export's precision step: from the FP32 graph and its islands to the graph and the pins that are written."""
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx

from edgenext_deploy.artifacts.manifest import Precision, Preprocessing
from edgenext_deploy.export.precision.fp32_pins import Pins, pins_of, require_fp16, require_typed_fp16
from edgenext_deploy.export.precision.typed import count_casts, to_typed
from edgenext_deploy.export.request import ExportRequest

if TYPE_CHECKING:
    from edgenext_deploy.export.precision.autopin import Proposal
    from edgenext_deploy.export.precision.drift import DriftReport


@dataclasses.dataclass(frozen=True)
class Precise:
    """The graph to write, and what the manifest says about its precision.

    Attributes:
        model: FP32 in flag mode, typed in typed mode.
        precision: complete, with pins and counts.
        files: further files to write, by the ending after the variant's name.
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
    model: onnx.ModelProto, islands: Pins, precision: Precision, request: ExportRequest,
    shape: tuple[int, ...], preprocessing: Preprocessing, progress: Callable[[str], None],
) -> Precise:
    """Make the graph compute as `precision` says; `shape` is its input's.

    Raises:
        VerificationError: too little would compute in FP16, a node computes in FP32 against the plan, or
            ``--auto-pin`` finds no pins that meet the tolerance.
        BadInputError: ``--samples`` names a folder without a usable image.
    """
    if precision.requested == "fp32":
        return Precise(model, precision, {})
    pins = pins_of(model, islands)
    files: dict[str, bytes] = {}
    warnings: list[str] = []
    drift, proposal = None, None
    if request.drift or request.auto_pin:
        from edgenext_deploy.export.precision.autopin import propose_pins
        from edgenext_deploy.export.precision.drift import analyse_drift
        from edgenext_deploy.export.precision.drift_plot import drift_svg
        from edgenext_deploy.export.precision.drift_report import drift_json
        from edgenext_deploy.export.precision.samples import drift_samples
        from edgenext_deploy.export.tasks import without_class_map

        samples = drift_samples(request.samples, shape, preprocessing, warn=warnings.append)
        analysed = without_class_map(model)
        if request.auto_pin:
            progress("looking for pins")
            proposal = propose_pins(analysed, pins, samples, request.tolerance, progress)
            pins = proposal.pins
        progress("analysing drift")
        drift = analyse_drift(analysed, pins, samples, progress)
        files = {"drift.json": drift_json(drift, proposal), "drift.svg": drift_svg(drift)}
    share = require_fp16(model, pins)
    casts = 0
    if precision.mode == "typed":
        model = to_typed(model, pins, request.io)
        require_typed_fp16(model, pins)
        casts = count_casts(model)
    complete = precision._replace(fp32_pins=_by_reason(pins), fp16_share=round(share, 4), casts=casts)
    return Precise(model, complete, files, drift, proposal, tuple(warnings))


def _by_reason(pins: Pins) -> dict[str, tuple[str, ...]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in pins.items():
        reasons.setdefault(reason, []).append(name)
    return {reason: tuple(names) for reason, names in reasons.items()}
