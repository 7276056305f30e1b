"""The golden answers of a manifest: what the reference module says to one seeded image, for self-tests on a device."""
import base64

import numpy as np

from edgenext_deploy.artifacts.golden import digest, golden_batch, magnitude
from edgenext_deploy.artifacts.manifest import Golden, GoldenOutput, Preprocessing, Scores, TensorSpec
from edgenext_deploy.export.checks.parity import Run
from edgenext_deploy.preprocess.photo import normalise

# TF32 on Ampere GPUs keeps 10 bits of mantissa, FP16 as many.
_TOLERANCE = {"fp32": 5e-3, "fp16": 2e-2}
# Share of the pixels whose class may differ.
_PIXELS = {"fp32": 1e-2, "fp16": 5e-2}
# Of probabilities that hang on large logits: half of the largest one is still another answer.
_LOOSEST = 0.5
_SEED = 7


def golden_answers(
    reference: Run, shape: tuple[int, ...], preprocessing: Preprocessing, outputs: tuple[TensorSpec, ...],
    scores: Scores | None = None,
) -> Golden:
    """Return the answers to the golden image; the last of the reference's answers are the graph's `outputs`."""
    image = normalise(golden_batch(_SEED, shape), preprocessing)
    answers = reference(image)
    first, *more = (_encoded(output) for output in answers[-len(outputs):])
    tolerance = _TOLERANCE if outputs[0].dtype == "float32" else _PIXELS
    if scores is not None and scores.in_graph:
        tolerance = _of_probabilities(*answers)
    return Golden(
        seed=_SEED, input_sha256=digest(image), tolerance=tolerance, more=tuple(more), **first._asdict())


def _of_probabilities(logits: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return the tolerances of probabilities: what an error of the logits by theirs makes of a probability.

    Where every logit is off by e at most, a sigmoid is off by p (1 - p) e, and a softmax by twice that.
    """
    steepest = 2 * float((probabilities * (1 - probabilities)).max())
    factor = max(steepest * magnitude(logits) / magnitude(probabilities), 1.0)
    return {precision: float(f"{min(factor * tolerance, _LOOSEST):.3g}") for precision, tolerance in _TOLERANCE.items()}


def _encoded(output: np.ndarray) -> GoldenOutput:
    # A map of classes is the largest of all answers by far, and a byte holds 256 of them.
    kind = "float32" if output.dtype.kind == "f" else "uint8" if output.max() < 256 else "int32"
    content = output.astype(np.dtype(kind).newbyteorder("<")).tobytes()
    return GoldenOutput(tuple(output.shape), base64.b64encode(content).decode("ascii"), kind)
