"""The exported file in ONNX Runtime against the reference module: does the graph still say the same?"""
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import nn

from edgenext_deploy.data import path_of
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export.quiet import quiet_torch
from edgenext_deploy.golden import golden_batch
from edgenext_deploy.manifest import Parity, Preprocessing
from edgenext_deploy.preprocess import normalise, preprocess

PHOTOS = ("cat.jpg", "coffee.jpg", "rocket.jpg")
_GOLDEN_SEEDS = (0, 1, 2)


def parity_inputs(shape: tuple[int, ...], preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """Yield network inputs `[B, 3, H, W]` float32: golden images, then the bundled photos."""
    for seed in _GOLDEN_SEEDS:
        yield normalise(golden_batch(seed, shape), preprocessing)
    for photo in PHOTOS:
        image = preprocess(path_of("photos", photo), preprocessing)
        yield np.ascontiguousarray(np.repeat(image, shape[0], axis=0))


def reference_function(
    model: nn.Module, input_affine: tuple[torch.Tensor, torch.Tensor] | None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the reference module as a function of arrays.

    Args:
        model: the reference module, float32, evaluation mode.
        input_affine: scale and shift `[3]` applied first where the exported graph normalises by itself.
    """

    def run(image: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(image)
        if input_affine is not None:
            scale, shift = (value.float()[:, None, None] for value in input_affine)
            x = x * scale + shift
        with quiet_torch():
            result: np.ndarray = model(x).numpy()
        return result

    return run


def compare(
    reference: Callable[[np.ndarray], np.ndarray], exported: Callable[[np.ndarray], np.ndarray],
    inputs: Iterable[np.ndarray], tolerance: float,
) -> Parity:
    """Run both on every input and return the worst figures.

    Errors are relative to the largest magnitude of the reference's output. Figures are rounded to three
    digits, so that the manifest does not change with the last bit.

    Raises:
        VerificationError: beyond the tolerance, another shape, or a value that is not finite.
    """
    absolute, relative, cosine, agreed, samples, count = 0.0, 0.0, 1.0, 0, 0, 0
    for image in inputs:
        expected, found = reference(image), exported(image)
        if expected.shape != found.shape:
            raise VerificationError(f"parity: shape {expected.shape} expected, {found.shape} found")
        if not np.isfinite(found).all():
            raise VerificationError(
                f"parity: the exported graph gives {int((~np.isfinite(found)).sum())} values that are not finite")
        count += 1
        difference = float(np.abs(expected.astype(np.float64) - found).max())
        absolute = max(absolute, difference)
        relative = max(relative, difference / max(float(np.abs(expected).max()), 1e-30))
        for left, right in zip(expected.reshape(len(expected), -1), found.reshape(len(found), -1)):
            norms = max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-30)
            cosine = min(cosine, float(np.dot(left.astype(np.float64), right)) / norms)
            agreed += int(left.argmax() == right.argmax())
            samples += 1
    parity = Parity(
        inputs=count, max_absolute_error=_digits(absolute), max_relative_error=_digits(relative),
        min_cosine=round(cosine, 6), top1_agreement=_digits(agreed / max(samples, 1)), tolerance=tolerance)
    if relative > tolerance:
        raise VerificationError(
            f"parity: the exported graph differs from the reference module by {parity.max_relative_error:g} of the "
            f"largest logit, {tolerance:g} is allowed (cosine {parity.min_cosine}, top-1 agreement "
            f"{parity.top1_agreement:.0%}); nothing was written",
            "this is a defect of the lowering: please report the variant, the options and the checkpoint")
    return parity


def _digits(value: float) -> float:
    return float(f"{value:.3g}")
