"""What published latencies say about a device's real speed: a fit to the six points there are, and its error.

The model has two terms for one inference: its kernels' roofline times, slower by one factor than the peaks allow,
and a fixed time per kernel. Both are fitted to the relative error by least squares. Only published figures go in:
nobody here has a Nano. How much the fit is worth is what it says about a point that it has not seen: each point is
left out once and predicted from the other five.
"""
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.data import published


class Feature(NamedTuple):
    """What the fit knows of a graph: the sum of its kernels' roofline times, and their number."""

    roofline_ms: float
    kernels: int


class Point(NamedTuple):
    """A published latency and what the fit makes of it.

    Attributes:
        variant: name in the registry.
        feature: kernels and roofline time of the graph exported for the device.
        published_ms: latency as printed.
        fitted_ms: latency by the fit to all points.
        left_out_ms: latency by the fit to the other points.
        left_out_error: relative error of `left_out_ms`.
    """

    variant: str
    feature: Feature
    published_ms: float
    fitted_ms: float
    left_out_ms: float
    left_out_error: float


class Calibration(NamedTuple):
    """A fit.

    Attributes:
        roofline_factor: how many times slower than the roofline the kernels are.
        kernel_us: fixed time per kernel in microseconds; far more than a launch, for it holds all that small
            kernels waste.
        points: the published points it was fitted to.
        source: where the latencies were published.
    """

    roofline_factor: float
    kernel_us: float
    points: Tuple[Point, ...]
    source: str

    def predict_ms(self, feature: Feature) -> float:
        """Return the expected latency."""
        return self.roofline_factor * feature.roofline_ms + 1e-3 * self.kernel_us * feature.kernels

    @property
    def errors(self) -> Tuple[float, float]:
        """The lowest and the highest relative error on a point left out."""
        errors = [point.left_out_error for point in self.points]
        return min(errors), max(errors)

    def range_ms(self, expected_ms: float) -> Tuple[float, float]:
        """Return between what the truth lay when a point was left out, applied to `expected_ms`."""
        low, high = self.errors
        return expected_ms / (1.0 + high), expected_ms / (1.0 + low)


# Of the graphs that edgenext-export writes for nano, batch 1, 256 x 256, in FP16 at `peaks` of the Nano. A test
# works them out again from the exported files.
_NANO_FEATURES = {
    "xxs": Feature(2.1862, 199), "xs": Feature(4.0670, 254), "s": Feature(8.0739, 254),
    "mobilevit_xxs": Feature(3.8418, 266), "mobilevit_xs": Feature(8.0477, 265),
    "mobilevit_s": Feature(13.1523, 265),
}


def calibrate(device: str, precision: str) -> Optional[Calibration]:
    """Return the fit for a device; None where nothing comparable was published.

    The published A100 figures are throughputs at batch 256 and eager PyTorch: neither says anything about a
    TensorRT engine at batch 1.
    """
    if (device, precision) != ("nano", "fp16"):
        return None
    figures = [published.figures(variant, "nano_latency")[0] for variant in _NANO_FEATURES]
    return fit(tuple(_NANO_FEATURES.items()), [figure.value for figure in figures],
               "{}; {}".format(figures[0].source, figures[0].note))


def fit(features: Sequence[Tuple[str, Feature]], latencies_ms: Sequence[float], source: str) -> Calibration:
    """Fit the two terms to at least three published points.

    Args:
        features: pairs of variant and what its graph asks.
        latencies_ms: published, in the same order.
        source: where the latencies were published.
    """
    rows = np.array([[feature.roofline_ms, 1e-3 * feature.kernels] for _, feature in features])
    truth = np.asarray(latencies_ms, dtype=np.float64)
    factors = _least_squares(rows, truth)
    points = []
    for index, (variant, feature) in enumerate(features):
        others = np.arange(len(truth)) != index
        left_out_ms = float(rows[index].dot(_least_squares(rows[others], truth[others])))
        points.append(Point(variant, feature, float(truth[index]), float(rows[index].dot(factors)), left_out_ms,
                            left_out_ms / float(truth[index]) - 1.0))
    return Calibration(float(factors[0]), float(factors[1]), tuple(points), source)


def _least_squares(rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the factors with the least sum of squared relative errors."""
    # rcond=-1 means the same in numpy 1.13, which JetPack 4 brings, as in later ones.
    return np.asarray(np.linalg.lstsq(rows / truth[:, None], np.ones(len(truth)), rcond=-1)[0])
