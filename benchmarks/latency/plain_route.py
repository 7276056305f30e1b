"""The exported graph against the plain route, on ONNX Runtime: a comparison anyone can run again.

Plain route: reference module, torch.onnx.export at its default opset, onnx-simplifier; what one has without
this toolkit. Both files are made here by child processes (this stage imports neither torch nor the export
stage), checked to compute the same, and timed in one interleaved run.
"""
import contextlib
import os
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.hardware.host import describe_host
from edgenext_deploy.benchmarks.latency import run
from edgenext_deploy.benchmarks.latency.devices import CPU, match_device
from edgenext_deploy.benchmarks.latency.engines import Engine, open_engine
from edgenext_deploy.benchmarks.latency.exports import export_plain, export_variant
from edgenext_deploy.benchmarks.latency.interleave import Limits, Progress
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.scratch import scratch_folder
from edgenext_deploy.version import __version__

# Both files hold the same float32 network, whose operations come in another order.
_TOLERANCE = 1e-3

Tell = Callable[[str], None]


def _silent(line: str) -> None:
    """Print nothing."""


def compare_routes(variants: Sequence[str], limits: Limits, threads: Optional[int] = 1,
                   tell: Tell = _silent, progress: Optional[Progress] = None) -> latency_report.LatencyReport:
    """Export each variant both ways, measure the pairs, and return their rows and ratios.

    Args:
        variants: names in the registry.
        limits: when to stop the measurement of a pair.
        threads: CPU threads of ONNX Runtime; None for its choice.
        tell: called with what is being exported.
        progress: see `measure`.

    Raises:
        MissingRuntimeError: no torch (or another library of the export) is installed.
        VerificationError: the two files do not compute the same.
        EdgeNextError: an export failed; the class is that of its exit code.
        EngineFailedError: any error after something was measured, which is in the error's `report`.
    """
    reports: List[latency_report.LatencyReport] = []
    interrupted = False
    stopped: Optional[run.EngineFailedError] = None
    with scratch_folder() as folder:
        files = [(variant, *_export_both(variant, folder, tell)) for variant in variants]
        for variant, ours, plain in files:
            try:
                reports.append(_measure_pair(variant, ours, plain, limits, threads, progress))
                interrupted = reports[-1].interrupted
            except KeyboardInterrupt:
                if not reports:
                    raise
                interrupted = True
            except Exception as error:
                stopped = error if isinstance(error, run.EngineFailedError) else run.EngineFailedError(
                    variant, error, None)
                reports += [] if stopped.report is None else [stopped.report]
                if not reports:
                    raise
            if interrupted or stopped is not None:
                break
    report = latency_report.LatencyReport(
        latency_report.SCHEMA, __version__,
        tuple(row for report in reports for row in report.records),
        tuple(pair for report in reports for pair in report.comparisons),
        interrupted, None if stopped is None else stopped.failure)
    if stopped is not None:
        raise run.EngineFailedError(stopped.failure.engine, stopped.error, report) from stopped.error
    return report


def _measure_pair(variant: str, ours: str, plain: str, limits: Limits, threads: Optional[int],
                  progress: Optional[Progress]) -> latency_report.LatencyReport:
    with contextlib.ExitStack() as stack:
        runtime = RuntimeOptions(threads=threads)
        first = stack.enter_context(open_engine(ours, "{} edgenext-export".format(variant), runtime))
        second = stack.enter_context(open_engine(plain, "{} plain route".format(variant), runtime))
        if first.model is not None:
            second = second._replace(model=first.model._replace(target="plain"))
        second = second._replace(image=first.image, image_source=first.image_source)
        _require_same_function(variant, first, second)
        host = describe_host()
        request = run.Request([ours, plain], device=CPU, runtime=runtime, limits=limits, keep_samples=False)
        contenders = [run.Contender(first, True), run.Contender(second, True)]
        return run.Run(contenders, request, host, match_device(CPU, host).found).measure(progress)


def _require_same_function(variant: str, first: Engine, second: Engine) -> None:
    expected, found = (engine.session.infer(engine.image) for engine in (second, first))
    error = float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
    if not error <= _TOLERANCE:
        raise VerificationError(
            "{}: the two routes compute different results: relative difference {:.1e} found, at most {:.0e} "
            "expected".format(variant, error, _TOLERANCE), "report this as a bug of the export")


def _export_both(variant: str, folder: str, tell: Tell) -> Tuple[str, str]:
    """Return the paths of the exported file and of the plain file."""
    tell("exporting {}: edgenext-export --target onnxruntime".format(variant))
    ours = export_variant(variant, folder, "onnxruntime")
    tell("exporting {}: plain route".format(variant))
    plain = os.path.join(folder, variant + "_plain.onnx")
    export_plain(variant, plain)
    return ours, plain
