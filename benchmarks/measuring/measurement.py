"""What a program calls to measure engines: `measure`, and the report that it returns."""
import os
from typing import TYPE_CHECKING, Optional, Sequence, Union

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.latency.any_graph import Shapes
from edgenext_deploy.benchmarks.latency.interleave import Limits, Progress
from edgenext_deploy.benchmarks.latency.run import Request, benchmark
from edgenext_deploy.errors import UsageError
from edgenext_deploy.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.profile.layer_times import Profile


class LatencyReport(latency_report.LatencyReport):
    """The rows of one run, their comparisons, and the report in every format that `edgenext-bench` writes."""

    __slots__ = ()

    def to_json(self) -> bytes:
        """Return everything as JSON, UTF-8; `read_report` reads it."""
        return latency_report.dump(self)

    def to_csv(self) -> bytes:
        """Return one line for each row, UTF-8; the unit is in the name of every column."""
        from edgenext_deploy.benchmarks.report.csv_table import to_csv

        return to_csv(self)

    def to_markdown(self) -> bytes:
        """Return tables and notes as Markdown, UTF-8."""
        from edgenext_deploy.benchmarks.report.markdown import to_markdown

        return to_markdown(self)

    def to_html(self, profiles: "Sequence[Profile]" = ()) -> bytes:
        """Return a page that needs no other file, UTF-8.

        Args:
            profiles: profiles of the engines, to show with their rows.
        """
        from edgenext_deploy.benchmarks.report.html.pages import report_page

        return report_page(self, profiles)


def measure(*engines: "Union[str, os.PathLike[str]]", reference: "Optional[Union[str, os.PathLike[str]]]" = None,
            device: Optional[str] = None, duration_s: float = 3.0, warmup_s: float = 3.0,
            iterations: Optional[int] = None, runtime: RuntimeOptions = RuntimeOptions(),  # noqa: B008 - immutable
            allow_mismatch: bool = False, exclude_transfers: bool = False, keep_samples: bool = True,
            shapes: Optional[Shapes] = None, progress: Optional[Progress] = None) -> LatencyReport:
    """Measure the latency of engines in one interleaved run.

    Args:
        engines: plans, ONNX files, or ``torch:VARIANT``, in the order of the report.
        reference: an engine whose outputs are right and to which the ratios refer; by default ratios refer to the
            first engine, and no outputs are compared.
        device: the device the figures are for, such as ``nano`` or ``cpu``; None for the one found.
        duration_s: seconds of measurement for each engine.
        warmup_s: seconds of the longest warm-up of each engine; it ends when the latency is stable.
        iterations: number of inferences of each engine, in place of `duration_s`.
        runtime: how to run the engines.
        allow_mismatch: measure although this is not `device`; every row says so.
        exclude_transfers: the latency of a plan is its computation on the GPU, without copies.
        keep_samples: keep single inferences in the report.
        shapes: shapes of inputs by name, such as ``{"ids": (1, 128)}``, for ONNX files without a manifest that leave
            sizes open.
        progress: called between blocks with the fraction done, 0 to 1, and what is being done.

    Raises:
        UsageError: no engine, one whose sizes stay open, an unknown device, or a time or number that cannot be.
        BadInputError: a file that is missing or broken.
        IncompatibleError: this is not `device`, or a plan was built for another machine.
        MissingRuntimeError: the runtime that an engine needs is not installed.
        EngineFailedError: an engine raised; what was measured until then is in the error's `report`.
    """
    if not engines:
        raise UsageError("no engine to measure", "give one or more engine files")
    if not (duration_s > 0.0 and warmup_s >= 0.0 and (iterations is None or iterations >= 1)):
        raise UsageError(
            "duration_s must be more than 0, warmup_s at least 0 and iterations at least 1 or None; found {}, {} and "
            "{}".format(duration_s, warmup_s, iterations))
    request = Request(
        [os.fspath(engine) for engine in engines], None if reference is None else os.fspath(reference), device,
        allow_mismatch, exclude_transfers, runtime,
        Limits(duration_s=duration_s, warmup_s=warmup_s, iterations=iterations), keep_samples,
        shapes)
    return LatencyReport(*benchmark(request, progress))


def read_report(path: "Union[str, os.PathLike[str]]") -> LatencyReport:
    """Read the report at a path, which ``edgenext-bench --json-file`` or `LatencyReport.to_json` wrote.

    Raises:
        BadInputError: missing, not JSON, another schema, or a field that is missing or of another type.
    """
    return LatencyReport(*latency_report.read(os.fspath(path)))
