"""An estimate of the latency on hardware that is not here, from the graph alone. Never a measurement.

Two figures, and what lies between them. The lower bound is a roofline that nothing can beat which does the graph's
operations part after part: for each part of the network the longer of its operations at the peak rate and its
compulsory traffic (weights, what enters, what leaves, less what the cache can hold) at the memory's rate. Another
algorithm can: Winograd's transform needs fewer multiplications for a dense 3x3 convolution.
The expected figure is `calibration`'s, where something was published to fit.
"""
import os
from typing import List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.artifacts.engine_file import open_graph
from edgenext_deploy.artifacts.manifest import is_adopted
from edgenext_deploy.benchmarks.estimate.calibration import Calibration, Feature, calibrate
from edgenext_deploy.benchmarks.estimate.graph_file import read_work
from edgenext_deploy.benchmarks.estimate.peaks import get_peak
from edgenext_deploy.benchmarks.latency.exports import export_variant
from edgenext_deploy.graph_work import Kernel, StageWork
from edgenext_deploy.scratch import scratch_folder
from edgenext_deploy.targets import Peak

KIND = "estimate"
SCHEMA = 1
_BYTES = {"fp16": 2, "fp32": 4}
# What the published points of the calibration were measured with.
_PUBLISHED_INPUT = (1, 3, 256, 256)
# The graphs that the calibration was fitted with were exported for it.
CALIBRATED_TARGET = "nano"


class StageEstimate(NamedTuple):
    """A part of the network.

    Attributes:
        stage: its name, ``all`` for the sum.
        kernels: launches, see `graph_work`.
        multiply_adds_m: millions.
        traffic_mb: megabytes that any implementation moves.
        lower_bound_ms: nothing that does these operations is faster.
        roofline_ms: the sum over the kernels of the longer of operations and traffic at the peak rates.
        with_launches_ms: the same, with no kernel faster than a launch.
        expected_ms: latency by the calibration; None without one.
    """

    stage: str
    kernels: int
    multiply_adds_m: float
    traffic_mb: float
    lower_bound_ms: float
    roofline_ms: float
    with_launches_ms: float
    expected_ms: Optional[float]


class Estimate(NamedTuple):
    """An estimate, and everything it rests on.

    Attributes:
        kind: always ``estimate``, so that no reader takes it for a measured row.
        schema: version of the format.
        variant: name of the network, from the manifest; None without a manifest, as the next two.
        target: target that the graph was exported for.
        input_shape: `[B, 3, H, W]`.
        file: name of the ONNX file.
        sha256: SHA-256 of the ONNX file.
        peak: the device's limits.
        precision: ``fp16`` or ``fp32``.
        stages: parts of the network, in order.
        total: their sum.
        expected_low_ms: the expected figure, corrected by the largest error on a point left out.
        expected_high_ms: the expected figure, corrected by the smallest error on a point left out.
        calibration: the fit; None if nothing comparable was published.
        published_ms: latency published for this variant, device and input; None without one.
        adopted: the network is none of ours: the calibration has no point of its kind.
    """

    kind: str
    schema: int
    variant: Optional[str]
    target: Optional[str]
    input_shape: Optional[Tuple[int, ...]]
    file: str
    sha256: str
    peak: Peak
    precision: str
    stages: Tuple[StageEstimate, ...]
    total: StageEstimate
    expected_low_ms: Optional[float]
    expected_high_ms: Optional[float]
    calibration: Optional[Calibration]
    published_ms: Optional[float]
    adopted: bool = False


def estimate_variant(variant: str, device: str, precision: str) -> Estimate:
    """Export a variant in a child process and estimate its latency; see `estimate_file`.

    Raises:
        MissingRuntimeError: no torch (or another library of the export) is installed.
        EdgeNextError: the export failed; the class is that of its exit code.
    """
    get_peak(device)
    with scratch_folder() as folder:
        # Always the flag-mode graph of the Nano, so that one network is estimated for all devices.
        return estimate_file(export_variant(variant, folder, CALIBRATED_TARGET), device, precision)


def estimate_file(path: str, device: str, precision: str) -> Estimate:
    """Estimate the latency of an exported graph.

    Args:
        path: ONNX file.
        device: name of a board whose peak rates are known.
        precision: ``fp16`` or ``fp32``: of operations and of everything that is moved.

    Raises:
        UsageError: no peak rates are known for the device.
        BadInputError: not an ONNX file with fixed shapes, or a node whose work is not known; see `read_work`.
        MissingRuntimeError: the library ``onnx`` is not installed.
    """
    peak = get_peak(device)
    calibration = calibrate(peak.device, precision)
    works = read_work(path)
    weights_bytes = _BYTES[precision] * sum(work.parameters for work in works)
    # Of weights that stay in the cache from one inference to the next nothing is moved.
    moved_share = max(0.0, 1.0 - peak.cache_bytes / weights_bytes) if weights_bytes else 0.0
    stages = [_stage(work, peak, precision, moved_share, calibration) for work in works]
    total = _sum(stages)
    file = open_graph(path)
    found = file.find_manifest()
    variant = None if found is None else found.variant
    low, high = (None, None) if calibration is None or total.expected_ms is None else calibration.range_ms(
        total.expected_ms)
    published_ms = None
    input_shape = None if found is None else found.inputs[0].shape
    if calibration is not None and input_shape == _PUBLISHED_INPUT:
        published_ms = next((point.published_ms for point in calibration.points if point.variant == variant), None)
    return Estimate(KIND, SCHEMA, variant, None if found is None else found.target, input_shape,
                    os.path.basename(path), file.sha256, peak, precision, tuple(stages), total, low, high,
                    calibration, published_ms, found is not None and is_adopted(found))


def feature_of(works: Sequence[StageWork], peak: Peak, precision: str) -> Feature:
    """Return what the calibration knows of a graph."""
    kernels = [kernel for work in works for kernel in work.kernels]
    return Feature(sum(_roofline_ms(kernel, peak, precision) for kernel in kernels), len(kernels))


def _stage(work: StageWork, peak: Peak, precision: str, moved_share: float,
           calibration: Optional[Calibration]) -> StageEstimate:
    size = _BYTES[precision]
    activations_bytes = sum(max(0, size * elements - peak.cache_bytes)
                            for elements in (work.elements_in, work.elements_out))
    traffic_bytes = size * work.parameters * moved_share + activations_bytes
    compute_ms = 1e3 * sum(kernel.operations for kernel in work.kernels) / peak.flops(precision)
    feature = feature_of([work], peak, precision)
    return StageEstimate(
        stage=work.stage,
        kernels=feature.kernels,
        multiply_adds_m=1e-6 * sum(kernel.multiply_adds for kernel in work.kernels),
        traffic_mb=1e-6 * traffic_bytes,
        lower_bound_ms=max(compute_ms, 1e3 * traffic_bytes / peak.memory_bytes_s),
        roofline_ms=feature.roofline_ms,
        with_launches_ms=sum(max(_roofline_ms(kernel, peak, precision), 1e-3 * peak.launch_us)
                             for kernel in work.kernels),
        expected_ms=None if calibration is None else calibration.predict_ms(feature))


def _roofline_ms(kernel: Kernel, peak: Peak, precision: str) -> float:
    return 1e3 * max(kernel.operations / peak.flops(precision),
                     kernel.elements * _BYTES[precision] / peak.memory_bytes_s)


def _sum(stages: Sequence[StageEstimate]) -> StageEstimate:
    expected: List[float] = [stage.expected_ms for stage in stages if stage.expected_ms is not None]
    return StageEstimate(
        "all", sum(stage.kernels for stage in stages), sum(stage.multiply_adds_m for stage in stages),
        sum(stage.traffic_mb for stage in stages), sum(stage.lower_bound_ms for stage in stages),
        sum(stage.roofline_ms for stage in stages), sum(stage.with_launches_ms for stage in stages),
        sum(expected) if expected else None)
