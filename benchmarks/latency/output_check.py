"""Whether an engine computes what the reference computes, so that a fast but wrong engine does not look good."""
from typing import Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.artifacts import golden
from edgenext_deploy.benchmarks.latency.engines import Engine
from edgenext_deploy.benchmarks.latency_report import OutputCheck
from edgenext_deploy.preprocess.input_form import image_shape

# Of a file without a manifest; that of the golden output in FP16.
_TOLERANCE = 2e-2


def on_the_same_input(engine: Engine, reference: Engine) -> Engine:
    """Return the engine with the reference's input, if it has no manifest that describes its own and takes such."""
    taken, given = engine.image, reference.image
    if engine.image_source == "golden" or (taken.shape, taken.dtype.kind) != (given.shape, given.dtype.kind):
        return engine
    return engine._replace(image=reference.image.astype(engine.image.dtype), image_source=reference.image_source)


def another_model(engine: Engine, reference: Engine) -> Optional[str]:
    """Return in what an engine's network is another one than the reference's, so that other outputs are no fault."""
    shapes = [image_shape(made.session.inputs[0]) for made in (engine, reference)]
    if shapes[0] != shapes[1]:
        return "input {} against {}".format(*["×".join(map(str, shape)) for shape in shapes])
    given = engine.image.dtype, reference.image.dtype
    if "synthetic" in (engine.image_source, reference.image_source) and given[0].kind != given[1].kind:
        return "input {} against {}, and no manifest says how they are related".format(*given)
    if engine.model is None or reference.model is None:
        return None
    if engine.model.variant != reference.model.variant:
        return "{} against {}".format(engine.model.variant, reference.model.variant)
    if engine.model.weights.sha256 != reference.model.weights.sha256:
        return "other weights: {} against {}".format(engine.model.weights.source, reference.model.weights.source)
    return None


def check_outputs(engine: Engine, reference: Engine) -> OutputCheck:
    """Run both once and compare every output, unless they are engines of different networks.

    The input of each is its own: a graph that normalises by itself takes the same pixels in another form.
    """
    tolerance = max([found for found in (engine.tolerance, reference.tolerance) if found is not None] or [_TOLERANCE])
    other = another_model(engine, reference)
    if other is not None:
        return OutputCheck(reference.name, None, None, tolerance, False, other)
    reference = on_the_same_input(reference, engine)
    comparable = engine.image.shape == reference.image.shape and engine.image_source == reference.image_source
    difference, top1 = None, None
    if comparable:
        outputs, expected = (made.session.infer_all(made.image) for made in (engine, reference))
        difference, top1 = max_difference(outputs, expected), same_top1(outputs, expected)
    return OutputCheck(reference.name, difference, top1, tolerance, difference is not None and difference <= tolerance)


def max_difference(outputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Optional[float]:
    """Return the largest difference relative to the largest expected magnitude, of the worst output.

    Of integer outputs (the class of each pixel) it is the share of values that differ. None where the shapes
    differ or a value is not finite.
    """
    if len(outputs) != len(expected):
        return None
    worst = 0.0
    for output, right in zip(outputs, expected):
        if output.shape != right.shape:
            return None
        if right.dtype.kind in "iub":
            worst = max(worst, float(np.mean(output != right)))
            continue
        difference = np.abs(output.astype(np.float64) - right.astype(np.float64))
        scale = golden.magnitude(right)
        if not np.isfinite(difference).all() or not np.isfinite(scale):
            return None
        worst = max(worst, float(difference.max()) / scale)
    return worst


def same_top1(outputs: Tuple[np.ndarray, ...], expected: Tuple[np.ndarray, ...]) -> Optional[bool]:
    """Return whether the most probable class is the same for every image; None if the outputs are not such scores."""
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape != expected[0].shape:
        return None
    return bool(np.array_equal(outputs[0].argmax(axis=1), expected[0].argmax(axis=1)))
