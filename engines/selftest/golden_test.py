"""The self-test: an engine's answer to the golden input, compared with that of the reference module.

It needs neither torch nor ONNX Runtime: the input is computed from integers, and the manifest holds the answer.
"""
import base64
import binascii
import statistics
import time
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from edgenext_deploy.artifacts import golden
from edgenext_deploy.artifacts.manifest import GoldenOutput, Manifest
from edgenext_deploy.artifacts.nms_plugin import ends_in_plugin
from edgenext_deploy.engines.selftest.nms_test import compare_detections
from edgenext_deploy.errors import BadInputError, VerificationError
from edgenext_deploy.preprocess.input_form import as_input, image_shape
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.runtime.session import Session

_TIMED_RUNS = 5
# How a manifest may store an output.
_KINDS = {"float32": "<f4", "uint8": "u1", "int32": "<i4"}
# What an error is relative to, by task.
_MEASURE = {"classification": "largest logit", "segmentation": "pixels"}
_FIX = "export again with edgenext-export, and build again"


class SelfTest(NamedTuple):
    """Result of a self-test.

    Attributes:
        ok: whether every value is finite and the error within the tolerance.
        max_relative_error: largest difference from a golden output, relative to the largest value of that output;
            for a map of classes, the share of the pixels that differ; with the NMS plugin, see
            `nms_test.compare_detections`; None where a value is not finite.
        tolerance: largest `max_relative_error` allowed, by the manifest for this precision.
        precision: ``fp32`` or ``fp16``, which chose the tolerance.
        top1_equal: whether the same class comes first in every image of the batch: the most probable one, for a
            detector the class of the box with the highest score, for a segmenter the most frequent class.
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
                 "an error of {:.2g} of the {}".format(
                     result.max_relative_error, _MEASURE.get(manifest.task, "largest value")))
        raise VerificationError(
            "the engine of {} fails its self-test: {} found, at most {:.2g} expected in {} ({} top-1)".format(
                manifest.variant, found, result.tolerance, result.precision,
                "same" if result.top1_equal else "another"),
            "build again; if it fails again, build with --fp32 and report it")
    return result


def compare(session: Session, manifest: Manifest, precision: Optional[str] = None) -> SelfTest:
    """Compare as `self_test` does; a wrong answer is a result with ``ok`` False, and no error."""
    if precision is None:
        precision = _precision(session, manifest)
    tolerance = manifest.golden.tolerance.get(precision)
    if tolerance is None:
        raise BadInputError("the manifest has no golden tolerance for {}, only for {}".format(
            precision, ", ".join(sorted(manifest.golden.tolerance)) or "nothing"), _FIX)
    golden_answer = golden_outputs(manifest)
    image = as_input(golden_input(manifest), session.inputs[0])
    # By name: a builder may number the outputs in another order.
    found = dict(zip((spec.name for spec in session.outputs), session.infer_all(image)))
    errors: List[Optional[float]] = []
    same = True
    if ends_in_plugin(manifest.outputs):
        _require_outputs(manifest, found)
        error, same = compare_detections(manifest, found, golden_answer["boxes"], golden_answer["scores"])
        return SelfTest(error is not None and error <= tolerance, error, tolerance, precision, same,
                        _latency_ms(session, image))
    for name, expected in golden_answer.items():
        answer = found.get(name)
        if answer is None or answer.shape != expected.shape:
            raise VerificationError("the engine of {} gives {}, its golden output {!r} is {}".format(
                manifest.variant, "no such output" if answer is None else list(answer.shape), name,
                list(expected.shape)), _FIX)
        errors.append(_error(answer, expected))
        if name not in ("boxes", "features"):
            same = same and bool((_first_class(answer) == _first_class(expected)).all())
    latency_ms = _latency_ms(session, image)
    error = None if None in errors else max(error for error in errors if error is not None)
    return SelfTest(error is not None and error <= tolerance, error, tolerance, precision, same, latency_ms)


def _require_outputs(manifest: Manifest, found: Dict[str, np.ndarray]) -> None:
    given = {name: answer.shape for name, answer in found.items()}
    expected = {spec.name: spec.shape for spec in manifest.outputs}
    if given != expected:
        raise VerificationError("the engine of {} gives {}, its manifest says {}".format(
            manifest.variant, given, expected), _FIX)


def _error(found: np.ndarray, expected: np.ndarray) -> Optional[float]:
    """Return the largest difference over the largest value, of classes the share that differs; None if not finite."""
    if expected.dtype.kind != "f":
        return float((found != expected).mean())
    found = found.astype(np.float64)
    return float(np.abs(found - expected).max() / golden.magnitude(expected)) if np.isfinite(found).all() else None


def _first_class(output: np.ndarray) -> np.ndarray:
    """Return the class that comes first in each image, see `SelfTest.top1_equal`."""
    if output.dtype.kind != "f":
        return np.array([np.bincount(np.maximum(image.ravel(), 0)).argmax() for image in output])
    rows = output.reshape(len(output), -1)
    classes: np.ndarray = rows.argmax(axis=-1) % output.shape[-1]
    return classes


def golden_input(manifest: Manifest) -> np.ndarray:
    """Return the golden input prepared for the network, float32 `[B, 3, H, W]`, proven by its digest."""
    shape = image_shape(manifest.inputs[0]) if manifest.inputs else ()
    if len(shape) != 4 or shape[1] != 3 or min(shape) < 1:
        raise BadInputError("the manifest's input is {}, [B, 3, H, W] expected".format(list(shape)), _FIX)
    image = normalise(golden.golden_batch(manifest.golden.seed, shape), manifest.preprocessing)
    found = golden.digest(image)
    if found != manifest.golden.input_sha256:
        raise BadInputError("the golden input is not the manifest's: sha256 {}… found, {}… expected".format(
            found[:12], manifest.golden.input_sha256[:12]), _FIX)
    return image


def golden_outputs(manifest: Manifest) -> Dict[str, np.ndarray]:
    """Return the golden outputs by name in the shapes that the manifest says, numbers as float64, classes as int64."""
    record = manifest.golden
    first = GoldenOutput(record.output_shape, record.output_base64, record.output_dtype)
    golden_answer = (first, *record.more)
    # With the NMS plugin the golden answers are what the plugin chooses from.
    names = (("boxes", "scores") if ends_in_plugin(manifest.outputs) else
             tuple(spec.name for spec in manifest.outputs))
    if len(golden_answer) != len(names):
        raise BadInputError("the manifest has {} golden outputs, its graph has {}".format(
            len(golden_answer), len(names)), _FIX)
    return {name: _decoded(output) for name, output in zip(names, golden_answer)}


def _decoded(output: GoldenOutput) -> np.ndarray:
    kind = _KINDS.get(output.output_dtype)
    if kind is None:
        raise BadInputError("the manifest's golden output is of type {!r}, one of {} expected".format(
            output.output_dtype, ", ".join(_KINDS)), _FIX)
    try:
        data = base64.b64decode(output.output_base64.encode("ascii"), validate=True)
        stored = np.frombuffer(data, kind).reshape(output.output_shape)
    except (ValueError, binascii.Error) as error:
        raise BadInputError("the manifest's golden output cannot be read: {}".format(error), _FIX) from error
    values = stored.astype(np.float64 if stored.dtype.kind == "f" else np.int64)
    unusable = values.dtype.kind == "f" and not (np.isfinite(values).all() and values.any())
    if not values.size or unusable:
        raise BadInputError("the manifest's golden output is empty, all zero or not finite", _FIX)
    return values


def _precision(session: Session, manifest: Manifest) -> str:
    record = session.record
    if record is not None:
        return str(record.precision)
    # In flag mode the graph itself is FP32, and only a plan computes in FP16.
    return "fp16" if manifest.precision.mode == "typed" else "fp32"


def _latency_ms(session: Session, image: np.ndarray) -> float:
    values = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        session.infer_all(image)
        values.append((time.perf_counter() - start) * 1e3)
    return float(statistics.median(values))
