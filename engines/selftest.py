"""The self-test: an engine's answer to the manifest's golden input, against the reference module's.

It needs neither torch nor ONNX Runtime: the input is computed from integers, the answer is in the manifest.
"""
import base64
import binascii
import statistics
import time
from typing import NamedTuple, Optional

import numpy as np

from edgenext_deploy import golden
from edgenext_deploy.errors import BadInputError, VerificationError
from edgenext_deploy.manifest import Manifest
from edgenext_deploy.preprocess import normalise
from edgenext_deploy.runtime.session import Session

_TIMED_RUNS = 5
_FIX = "export again with edgenext-export, and build again"


class SelfTest(NamedTuple):
    """What came of a self-test.

    Attributes:
        ok: whether every value is finite and the error within the tolerance.
        max_relative_error: largest difference from the golden logits, relative to the largest golden logit;
            None where a value is not finite.
        tolerance: the manifest's for this precision.
        precision: ``fp32`` or ``fp16``, which chose the tolerance.
        top1_equal: whether the same class comes first, in every image of the batch.
        latency_ms: median wall time of a few inferences after the first; a hint, not a measurement.
    """

    ok: bool
    max_relative_error: Optional[float]
    tolerance: float
    precision: str
    top1_equal: bool
    latency_ms: float


def self_test(session: Session, manifest: Manifest, precision: Optional[str] = None) -> SelfTest:
    """Run the golden input through a session and compare.

    Args:
        session: an open engine of the manifest's graph.
        manifest: of that graph.
        precision: ``fp32`` or ``fp16``, what the engine computes in; by default what the plan's sidecar says,
            or for a graph what its own types say.

    Raises:
        BadInputError: the manifest has no usable golden input or output.
        UsageError: the session takes another shape than the manifest says.
        VerificationError: the answer is not the golden one.
    """
    result = compare(session, manifest, precision)
    if not result.ok:
        found = ("values that are not finite" if result.max_relative_error is None else
                 "an error of {:.2g} of the largest logit".format(result.max_relative_error))
        raise VerificationError(
            "the engine of {} fails its self-test: {} found, at most {:.2g} expected in {} ({} top-1)".format(
                manifest.variant, found, result.tolerance, result.precision,
                "same" if result.top1_equal else "another"),
            "build again; if it fails again, build with --fp32 and report it")
    return result


def compare(session: Session, manifest: Manifest, precision: Optional[str] = None) -> SelfTest:
    """Like `self_test`, but a wrong answer is a result with ``ok`` False."""
    if precision is None:
        precision = _precision(session, manifest)
    tolerance = manifest.golden.tolerance.get(precision)
    if tolerance is None:
        raise BadInputError("the manifest has no golden tolerance for {}, only for {}".format(
            precision, ", ".join(sorted(manifest.golden.tolerance)) or "nothing"), _FIX)
    expected = golden_output(manifest)
    image = golden_input(manifest).astype(session.inputs[0].dtype, copy=False)
    found = session.infer(image)
    if found.shape != expected.shape:
        raise VerificationError("the engine of {} gives {}, its golden output is {}".format(
            manifest.variant, list(found.shape), list(expected.shape)), _FIX)
    latency_ms = _latency_ms(session, image)
    found = found.astype(np.float64)
    error = None
    if np.isfinite(found).all():
        error = float(np.abs(found - expected).max() / np.abs(expected).max())
    same = bool((found.argmax(axis=-1) == expected.argmax(axis=-1)).all())
    return SelfTest(error is not None and error <= tolerance, error, tolerance, precision, same, latency_ms)


def golden_input(manifest: Manifest) -> np.ndarray:
    """Return the golden input as the network takes it, float32 `[B, 3, H, W]`, proven by its digest."""
    shape = manifest.inputs[0].shape if manifest.inputs else ()
    if len(shape) != 4 or shape[1] != 3 or min(shape) < 1:
        raise BadInputError("the manifest's input is {}, [B, 3, H, W] expected".format(list(shape)), _FIX)
    image = normalise(golden.golden_batch(manifest.golden.seed, shape), manifest.preprocessing)
    found = golden.digest(image)
    if found != manifest.golden.input_sha256:
        raise BadInputError("the golden input is not the manifest's: sha256 {}… found, {}… expected".format(
            found[:12], manifest.golden.input_sha256[:12]), _FIX)
    return image


def golden_output(manifest: Manifest) -> np.ndarray:
    """Return the golden output, float64 in the shape that the manifest says."""
    record = manifest.golden
    try:
        data = base64.b64decode(record.output_base64.encode("ascii"), validate=True)
        values = np.frombuffer(data, "<f4").astype(np.float64).reshape(record.output_shape)
    except (ValueError, binascii.Error) as error:
        raise BadInputError("the manifest's golden output cannot be read: {}".format(error), _FIX) from error
    if not values.size or not np.isfinite(values).all() or not values.any():
        raise BadInputError("the manifest's golden output is empty, all zero or not finite", _FIX)
    return values


def _precision(session: Session, manifest: Manifest) -> str:
    record = getattr(session, "record", None)
    if record is not None:
        return str(record.precision)
    # In flag mode the graph itself is FP32, and only a plan computes in FP16.
    return "fp16" if manifest.precision.mode == "typed" else "fp32"


def _latency_ms(session: Session, image: np.ndarray) -> float:
    values = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        session.infer(image)
        values.append((time.perf_counter() - start) * 1e3)
    return float(statistics.median(values))
