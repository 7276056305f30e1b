"""Parity: the exported graph in ONNX Runtime computes what the reference module computes."""
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import onnx
import torch

from edgenext_deploy.artifacts.golden import golden_batch, magnitude
from edgenext_deploy.artifacts.manifest import Parity, Preprocessing
from edgenext_deploy.data import path_of
from edgenext_deploy.errors import IncompatibleError, VerificationError
from edgenext_deploy.export.checks.advice import OUR_NETWORK
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.graph.builder import input_spec
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import one_line
from edgenext_deploy.preprocess.input_form import as_input
from edgenext_deploy.preprocess.photo import normalise, preprocess
from edgenext_deploy.telemetry import disable_telemetry

PHOTOS = ("cat.jpg", "coffee.jpg", "rocket.jpg")
_GOLDEN_SEEDS = (0, 1, 2)

Answer = torch.Tensor | tuple[torch.Tensor, ...]
Run = Callable[[np.ndarray], tuple[np.ndarray, ...]]


def parity_inputs(shape: tuple[int, ...], preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """Yield network inputs `[B, 3, H, W]` float32: golden images, then the bundled photos."""
    for seed in _GOLDEN_SEEDS:
        yield normalise(golden_batch(seed, shape), preprocessing)
    for photo in PHOTOS:
        image = preprocess(path_of("photos", photo), preprocessing)
        yield np.ascontiguousarray(np.repeat(image, shape[0], axis=0))


def reference_function(
    answer: Callable[[torch.Tensor], Answer], input_affine: tuple[torch.Tensor, torch.Tensor] | None
) -> Run:
    """Return what a reference module answers as a function of arrays.

    Args:
        answer: of the module, float32, evaluation mode; a tensor or several.
        input_affine: scale and shift `[3]` applied first where the exported graph normalises by itself.
    """

    def run(image: np.ndarray) -> tuple[np.ndarray, ...]:
        x = torch.from_numpy(image)
        if input_affine is not None:
            scale, shift = (value.float()[:, None, None] for value in input_affine)
            x = x * scale + shift
        with quiet_torch():
            result = answer(x)
        return tuple(tensor.numpy() for tensor in (result if isinstance(result, tuple) else (result,)))

    return run


def runtime_session(graph: onnx.ModelProto, log_severity: int = 3) -> Any:
    """Return an ``onnxruntime.InferenceSession`` on one thread: the same bits, so the same manifest, on any machine."""
    disable_telemetry()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = log_severity
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _not_run(error: Exception) -> IncompatibleError:
    return IncompatibleError(
        f"ONNX Runtime cannot run the written graph, so that nothing shows whether it is right: "
        f"{shown(one_line(error), 300)}", "export without --fp16, or choose another --target")


def runtime_function(graph: onnx.ModelProto) -> Run:
    """Return the graph in ONNX Runtime as a function of arrays: from float32 `[B, 3, H, W]` to float32 (or classes).

    Raises:
        IncompatibleError: ONNX Runtime cannot run it; its processor lacks some operators in FP16.
    """
    try:
        session = runtime_session(graph)
    except Exception as error:  # onnxruntime raises types of its own, which need not be imported to be told
        raise _not_run(error) from error
    taken = input_spec(graph)

    def run(image: np.ndarray) -> tuple[np.ndarray, ...]:
        try:
            results = session.run(None, {taken.name: as_input(image, taken)})
        except Exception as error:  # as above
            raise _not_run(error) from error
        return tuple(result.astype(np.float32, copy=False) if result.dtype.kind == "f" else result
                     for result in results)

    return run


def compare(
    reference: Run, exported: Run, inputs: Iterable[np.ndarray], tolerance: float, least_agreement: float = 0.0,
    fix: str = OUR_NETWORK.other_answers, decides: bool = True,
) -> Parity:
    """Run both on every input and return the worst figures over all outputs.

    Errors are relative to the `magnitude` of the same output in the reference. The last output says which
    class is the most probable one: along its last axis, or as it is if it holds classes; unless it `decides` nothing,
    as an embedding, which counts as full agreement. Figures are rounded to three digits, so that the manifest does not
    change with the last bit.

    Raises:
        VerificationError: beyond the tolerance, less agreement than the least, another shape, or a value that is not
            finite; `fix` is what its message suggests.
    """
    seen = _Worst(fix)
    for image in inputs:
        expected, found = reference(image), exported(image)
        for left, right in zip(expected, found, strict=True):
            seen.add(left, right)
        if decides:
            seen.add_agreement(expected[-1], found[-1])
        seen.inputs += 1
    agreement = seen.agreed / seen.decisions if seen.decisions else 1.0
    parity = Parity(
        inputs=seen.inputs, max_absolute_error=_digits(seen.absolute), max_relative_error=_digits(seen.relative),
        min_cosine=round(seen.cosine, 6), top1_agreement=_digits(agreement), tolerance=tolerance)
    if seen.relative > tolerance or agreement < least_agreement:
        raise VerificationError(
            f"parity: the exported graph differs from the reference module by {parity.max_relative_error:g} of the "
            f"largest value of an output, {tolerance:g} is allowed (cosine {parity.min_cosine}, top-1 agreement "
            f"{agreement:.{0 if agreement in (0, 1) else 2}%}, at least {least_agreement:.0%}); nothing was written",
            fix)
    return parity


@dataclasses.dataclass
class _Worst:
    """The figures so far, and what to do if one is wrong."""

    fix: str
    absolute: float = 0.0
    relative: float = 0.0
    cosine: float = 1.0
    agreed: int = 0
    decisions: int = 0
    inputs: int = 0

    def add(self, expected: np.ndarray, found: np.ndarray) -> None:
        """Take one output of one input; one that holds classes has no error, only agreement.

        Raises:
            VerificationError: another shape, or a value that is not finite.
        """
        if expected.shape != found.shape:
            raise VerificationError(f"parity: shape {expected.shape} expected, {found.shape} found", self.fix)
        if expected.dtype.kind != "f":
            return
        if not np.isfinite(expected).all():
            raise VerificationError(
                f"parity: the reference itself gives {int((~np.isfinite(expected)).sum())} values that are not finite "
                f"on input {self.inputs + 1}: there is nothing to compare with; nothing was written",
                "check the weights, and --mean and --std")
        if not np.isfinite(found).all():
            raise VerificationError(
                f"parity: the exported graph gives {int((~np.isfinite(found)).sum())} values that are not finite; "
                "nothing was written", self.fix)
        difference = float(np.abs(expected.astype(np.float64) - found).max())
        self.absolute = max(self.absolute, difference)
        self.relative = max(self.relative, difference / magnitude(expected))
        for left, right in zip(expected.reshape(len(expected), -1), found.reshape(len(found), -1)):
            norms = max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-30)
            self.cosine = min(self.cosine, float(np.dot(left.astype(np.float64), right)) / norms)

    def add_agreement(self, expected: np.ndarray, found: np.ndarray) -> None:
        """Take the output of one input that says which class is the most probable one."""
        if expected.dtype.kind == "f":
            expected, found = expected.argmax(-1), found.argmax(-1)
        self.agreed += int((expected == found).sum())
        self.decisions += expected.size


def _digits(value: float) -> float:
    return float(f"{value:.3g}")
