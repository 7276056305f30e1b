"""An estimate for people: every table and line says that it is one."""
from typing import List, TextIO

from edgenext_deploy.benchmarks.estimate.estimates import CALIBRATED_TARGET, Estimate, StageEstimate
from edgenext_deploy.benchmarks.report.printing import (
    EMPTY,
    Table,
    console_for,
    milliseconds,
    number,
    print_line,
    print_table,
)

STAGE_HEADINGS = ("part", "kernels", "M MAdds", "MB moved", "lower bound", "kernel by kernel", "with launches",
                  "expected")
POINT_HEADINGS = ("published point", "published", "fitted", "predicted when left out", "error")


def title(found: Estimate) -> str:
    """Return the title: what is estimated, for what."""
    shape = "" if found.input_shape is None else ", batch {}, input {}".format(
        found.input_shape[0], "×".join(map(str, found.input_shape[1:])))
    return "ESTIMATE, not measured: {} on {}, {}{}".format(
        found.variant or found.file, found.peak.device, found.precision.upper(), shape)


def stage_cells(stage: StageEstimate) -> List[str]:
    """Return a row under `STAGE_HEADINGS`, milliseconds in the last four."""
    return [stage.stage, str(stage.kernels), number(stage.multiply_adds_m, 1), number(stage.traffic_mb, 2),
            milliseconds(stage.lower_bound_ms), milliseconds(stage.roofline_ms),
            milliseconds(stage.with_launches_ms), milliseconds(stage.expected_ms)]


def point_cells(found: Estimate) -> List[List[str]]:
    """Return the rows under `POINT_HEADINGS`; none without a calibration."""
    points = found.calibration.points if found.calibration is not None else ()
    return [[point.variant, milliseconds(point.published_ms), milliseconds(point.fitted_ms),
             milliseconds(point.left_out_ms), "{:+.0f} %".format(100 * point.left_out_error)] for point in points]


def summary(found: Estimate) -> List[str]:
    """Return what the estimate comes to, and how far it can be trusted, in sentences."""
    lines = ["Estimated lower bound: {} ms. Nothing that does this graph's operations, part after part, is faster on "
             "this hardware.".format(milliseconds(found.total.lower_bound_ms))]
    calibration = found.calibration
    if calibration is None or found.expected_low_ms is None:
        lines.append("Expected: {}. Nothing comparable was published for this device and precision, so there is "
                     "nothing to calibrate with.".format(EMPTY))
    else:
        low, high = calibration.errors
        lines += [
            "Estimated latency: {} ms, {} to {} ms by the errors on points left out ({:+.0f} to {:+.0f} %).".format(
                milliseconds(found.total.expected_ms), milliseconds(found.expected_low_ms),
                milliseconds(found.expected_high_ms), 100 * low, 100 * high),
            "Fitted to {} published points: {:.2f} × the kernels' roofline times plus {:.0f} µs for each kernel, "
            "which holds all that small kernels waste.".format(
                len(calibration.points), calibration.roofline_factor, calibration.kernel_us),
            "Published points: {}.".format(calibration.source)]
        if found.target != CALIBRATED_TARGET:
            lines.append("The fit is to graphs exported for {}; {}, so it may fit less well.".format(
                CALIBRATED_TARGET, "of this file it is not known what it was exported for" if found.target is None
                else "this one was exported for {}".format(found.target)))
        if found.adopted:
            lines.append("The points are networks of two kinds, EdgeNeXt and MobileViT; this is another one, so the "
                         "fit may be worse than their errors say.")
    if found.published_ms is not None:
        lines.append("Published for this variant: {} ms; it is one of the points.".format(
            milliseconds(found.published_ms)))
    peak = found.peak
    lines.append("{}. Peak rates: {:,.0f} GFLOP/s, {:,.4g} GB/s ({}); {:g} µs for a launch (assumed).".format(
        peak.title, 1e-9 * peak.flops(found.precision), 1e-9 * peak.memory_bytes_s, peak.source, peak.launch_us))
    return lines


def print_estimate(found: Estimate, stream: TextIO) -> None:
    """Print the tables and the sentences."""
    console = console_for(stream)
    print_table(console, Table(title(found), STAGE_HEADINGS, list(map(stage_cells, (*found.stages, found.total)))))
    points = point_cells(found)
    if points:
        print_table(console, Table("How far the estimate misses published points that it has not seen, ms",
                                   POINT_HEADINGS, points))
    for line in summary(found):
        print_line(console, line)
