"""The export's parity step: how far the graph may be from the reference module, and what to do if it is further."""
import onnx

from edgenext_deploy.artifacts.manifest import Parity, Preprocessing
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.parity import DEFECT, Run, compare, parity_inputs, runtime_function
from edgenext_deploy.export.resolved import ResolvedExport

# Relative to the largest logit. Runtimes accumulate FP32 in different orders; about 1e-6 was measured.
PARITY_TOLERANCE = 1e-4
# The same for a graph that computes in FP16; --auto-pin may have been allowed more.
TYPED_TOLERANCE = 1e-2


def check_parity(
    resolved: ResolvedExport, reference: Run, graph: onnx.ModelProto, preprocessing: Preprocessing
) -> Parity:
    """Compare the graph in ONNX Runtime with the reference module.

    Raises:
        VerificationError: the graph computes something else.
    """
    tolerance, fix = PARITY_TOLERANCE, DEFECT
    if resolved.typed:
        tolerance = max(TYPED_TOLERANCE, resolved.drift.tolerance) if resolved.drift.auto_pin else TYPED_TOLERANCE
        fix = _typed_fix(resolved)
    return compare(
        reference, runtime_function(tasks.observed(graph)), parity_inputs(resolved.shape, preprocessing), tolerance,
        tasks.least_agreement(resolved.variant, resolved.typed), fix)


def _typed_fix(resolved: ResolvedExport) -> str:
    """Return what to do if a typed graph is off: most likely FP16 does not hold this checkpoint's activations."""
    if resolved.drift.auto_pin:
        return "give photos that show more of what the camera will see with --samples, or export without --fp16"
    return "FP16 may be too narrow for these weights: add --auto-pin, or export without --fp16"
