"""Measure the rows of a published table on ONNX Runtime, interleaved in one run."""
import contextlib
import os
from typing import Callable, Optional, Sequence

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.latency.devices import CPU
from edgenext_deploy.benchmarks.latency.exports import export_variant
from edgenext_deploy.benchmarks.latency.interleave import Limits, Progress
from edgenext_deploy.benchmarks.latency.run import Request, benchmark
from edgenext_deploy.benchmarks.paper.suites import SuiteRow
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.scratch import scratch_folder

Tell = Callable[[str], None]


def measure_rows(
    rows: Sequence[SuiteRow],
    limits: Limits,
    threads: Optional[int] = 1,
    folder: Optional[str] = None,
    tell: Optional[Tell] = None,
    progress: Optional[Progress] = None,
    files: Sequence[str] = (),
) -> latency_report.LatencyReport:
    """Export the variants of a table's native rows for ONNX Runtime, and measure them and other files interleaved.

    Args:
        rows: native rows.
        limits: when to stop.
        threads: CPU threads of ONNX Runtime; None for its choice.
        folder: where the exported graphs are kept; one that is there already is measured as it is. By default
            they go when the measurement is over.
        tell: called with what is being exported.
        progress: see `measure`.
        files: engine files of other rows.

    Raises:
        MissingRuntimeError: no torch (or another library of the export) is installed.
        EdgeNextError: an export failed; the class is that of its exit code.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(scratch_folder())
        engines = (*[_exported(row, folder, tell) for row in rows], *files)
        return benchmark(Request(engines, device=CPU, runtime=RuntimeOptions(threads=threads), limits=limits,
                                 keep_samples=True), progress)


def _exported(row: SuiteRow, folder: str, tell: Optional[Tell]) -> str:
    path = os.path.join(folder, row.key + ".onnx")
    if os.path.exists(path):
        return path
    if tell is not None:
        tell("exporting {} for ONNX Runtime".format(row.key))
    return export_variant(row.variant, folder, "onnxruntime", row.image_size, row.key)
