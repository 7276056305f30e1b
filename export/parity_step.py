"""The export's parity step: how far the graph may be from the reference module, and what to do if it is further."""
import numpy as np
import onnx

from edgenext_deploy.artifacts.manifest import Parity, Preprocessing, Scores
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.parity import Run, compare, parity_inputs, runtime_function
from edgenext_deploy.export.resolved import ResolvedExport
from edgenext_deploy.networks.classifier import ACTIVATIONS

# Relative to the largest logit. Runtimes accumulate FP32 in different orders; about 1e-6 was measured.
PARITY_TOLERANCE = 1e-4
# The same for a graph that computes in FP16; --auto-pin may have been allowed more.
TYPED_TOLERANCE = 1e-2
# Of a probability, by the type of the outputs: an activation computes in FP32.
_PROBABILITY_ERROR = {"fp32": 1e-5, "fp16": 1e-3}


def check_parity(
    resolved: ResolvedExport, reference: Run, graph: onnx.ModelProto, preprocessing: Preprocessing,
    scores: Scores | None,
) -> Parity:
    """Compare the graph in ONNX Runtime with the reference module; probabilities by the logits in front of them.

    Raises:
        VerificationError: the graph computes something else.
    """
    tolerance, fix = PARITY_TOLERANCE, resolved.advice.other_answers
    if resolved.typed:
        tolerance = max(TYPED_TOLERANCE, resolved.drift.tolerance) if resolved.drift.auto_pin else TYPED_TOLERANCE
        fix = _typed_fix(resolved)
    exported = runtime_function(tasks.observed(graph))
    if scores is not None and scores.in_graph:
        exported = _checked_logits(exported, scores, resolved)
        reference = _logits(reference)
    return compare(reference, exported, parity_inputs(resolved.shape, preprocessing), tolerance,
                   tasks.least_agreement(resolved.variant.task, resolved.typed), fix, resolved.task != "features")


def _logits(run: Run) -> Run:
    """Return the first answer alone."""
    return lambda image: run(image)[:1]


def _checked_logits(run: Run, scores: Scores, resolved: ResolvedExport) -> Run:
    """Return the logits of a graph that gives probabilities, once these are what the activation makes of the logits."""
    allowed = _PROBABILITY_ERROR[resolved.io]

    def checked(image: np.ndarray) -> tuple[np.ndarray, ...]:
        logits, found = run(image)
        expected = np.stack([ACTIVATIONS[scores.activation](row) for row in logits])
        error = float(np.abs(found - expected).max())
        if not error <= allowed:
            raise VerificationError(
                f"parity: the graph's probabilities are off the {scores.activation} of its logits by {error:.2g}, "
                f"{allowed:g} is allowed; nothing was written", resolved.advice.other_answers)
        return (logits,)

    return checked


def _typed_fix(resolved: ResolvedExport) -> str:
    """Return what to do if a typed graph is off: most likely FP16 does not hold this checkpoint's activations."""
    if resolved.drift.auto_pin:
        return "give photos that show more of what the camera will see with --samples, or export without --fp16"
    return "FP16 may be too narrow for these weights: add --auto-pin, or export without --fp16"
