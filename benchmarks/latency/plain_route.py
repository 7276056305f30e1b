"""Exported graphs against the plain route: a comparison anyone can run again.

Plain route: reference module, torch.onnx.export, onnx-simplifier; what one has without this toolkit. The files are made
here by child processes (this stage imports neither torch nor the export stage), checked to compute the same, and timed
in one interleaved run.
"""
import contextlib
import os
from typing import Callable, List, NamedTuple, Optional, Sequence

import numpy as np

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.hardware.host import describe_host
from edgenext_deploy.benchmarks.latency import run
from edgenext_deploy.benchmarks.latency.devices import CPU, match_device
from edgenext_deploy.benchmarks.latency.engines import Engine, open_engine
from edgenext_deploy.benchmarks.latency.exports import export_plain, export_variant
from edgenext_deploy.benchmarks.latency.interleave import Limits, Progress
from edgenext_deploy.benchmarks.latency.processor_peak import limit_line
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.runtime.options import AUTO, RuntimeOptions
from edgenext_deploy.scratch import scratch_folder
from edgenext_deploy.version import __version__

# Both files hold the same float32 network, whose operations come in another order.
_TOLERANCE = 1e-3

Tell = Callable[[str], None]


def _silent(line: str) -> None:
    """Print nothing."""


def compare_routes(variants: Sequence[str], limits: Limits, threads: Optional[int] = 1,
                   tell: Tell = _silent, progress: Optional[Progress] = None, formulations: Sequence[str] = (),
                   opsets: Sequence[int] = (), limit: bool = False, runtime: str = AUTO,
                   ) -> latency_report.LatencyReport:
    """Export each variant both ways, measure its files together, and return their rows and ratios.

    Args:
        variants: names of classifiers in the registry.
        limits: when to stop the measurement of a variant.
        threads: CPU threads of one inference; None for the runtime's choice.
        tell: called with what is being exported.
        progress: see `measure`.
        formulations: names of the forms to export; ratios refer to the first. Empty for that of ``onnxruntime``.
        opsets: of the plain files; empty for the exporter's default.
        limit: also tell the time that the multiply-adds alone take at this processor's measured peak.
        runtime: that runs all files, see `RuntimeOptions`.

    Raises:
        MissingRuntimeError: no torch (or another library of the export) is installed.
        VerificationError: the files do not compute the same.
        EdgeNextError: an export failed; the class is that of its exit code.
        EngineFailedError: any error after something was measured, which is in the error's `report`.
    """
    options, variants = RuntimeOptions(runtime=runtime, threads=threads), list(dict.fromkeys(variants))
    reports: List[latency_report.LatencyReport] = []
    interrupted = False
    stopped: Optional[run.EngineFailedError] = None
    with scratch_folder() as folder:
        files = {variant: _export_all(variant, folder, tell, formulations, opsets) for variant in variants}
        if limit:
            for variant in variants:
                tell(limit_line(variant, files[variant][0].path, threads))
        for variant in variants:
            try:
                reports.append(_measure(variant, files[variant], limits, options, progress))
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


class _File(NamedTuple):
    """A graph of a variant, with the name of its row."""

    name: str
    path: str


def _measure(variant: str, files: Sequence[_File], limits: Limits, options: RuntimeOptions,
             progress: Optional[Progress]) -> latency_report.LatencyReport:
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(open_engine(file.path, file.name, options)) for file in files]
        first = engines[0]
        for index, engine in enumerate(engines[1:], 1):
            if first.model is not None and engine.model is None:
                engine = engine._replace(model=first.model._replace(target="plain"))
            engines[index] = engine._replace(image=first.image, image_source=first.image_source)
            _require_same_function(variant, first, engines[index])
        host = describe_host()
        request = run.Request([file.path for file in files], device=CPU, runtime=options, limits=limits,
                              keep_samples=False)
        contenders = [run.Contender(engine, True) for engine in engines]
        return run.Run(contenders, request, host, match_device(CPU, host).found).measure(progress)


def _require_same_function(variant: str, first: Engine, second: Engine) -> None:
    expected, found = (engine.session.infer(engine.image) for engine in (second, first))
    error = float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
    if not error <= _TOLERANCE:
        raise VerificationError(
            "{}: the two routes compute different results: relative difference {:.1e} found, at most {:.0e} "
            "expected".format(variant, error, _TOLERANCE), "report this as a bug of the export")


def _export_all(variant: str, folder: str, tell: Tell, formulations: Sequence[str], opsets: Sequence[int]
                ) -> List[_File]:
    """Return the exported files and the plain ones."""
    files = []
    for formulation in dict.fromkeys(formulations or (None,)):
        tell("exporting {}: edgenext-export --target onnxruntime{}".format(
            variant, "" if formulation is None else " --formulation " + formulation))
        stem = variant if formulation is None else "{}_{}".format(variant, formulation)
        files.append(_File("{} {}".format(variant, formulation or "edgenext-export"), export_variant(
            variant, folder, "onnxruntime", name=stem, formulation=formulation)))
    for opset in dict.fromkeys(opsets or (None,)):
        tell("exporting {}: plain route{}".format(variant, "" if opset is None else ", opset {}".format(opset)))
        path = os.path.join(folder, "{}{}_plain.onnx".format(variant, "" if opset is None else opset))
        export_plain(variant, path, opset)
        name = "{} plain route".format(variant)
        files.append(_File(name if opset is None else "{} opset {}".format(name, opset), path))
    return files
