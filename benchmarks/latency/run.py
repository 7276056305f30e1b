"""One benchmark run: engine files in, a report of records and comparisons out."""
import contextlib
import time
from typing import Dict, List, NamedTuple, Optional, Sequence

from edgenext_deploy.benchmarks import latency_report, statistics
from edgenext_deploy.benchmarks.hardware.host import Host, describe_host
from edgenext_deploy.benchmarks.hardware.monitor import Monitor, open_monitor
from edgenext_deploy.benchmarks.latency import output_check, summarise, versions
from edgenext_deploy.benchmarks.latency.any_graph import Shapes
from edgenext_deploy.benchmarks.latency.devices import (
    CPU,
    device_name,
    is_processor,
    match_device,
    match_session,
    recognise,
)
from edgenext_deploy.benchmarks.latency.engines import Engine, is_same_engine, names_of, open_engine, require_used
from edgenext_deploy.benchmarks.latency.interleave import Limits, Measurement, Progress, Series, measure
from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.version import __version__


class Request(NamedTuple):
    """What to measure, and how.

    Attributes:
        engines: engine files, or ``torch:VARIANT``, in the order of the report.
        reference: an engine whose outputs are right and to which ratios refer; with None ratios refer to the first
            engine, and no outputs are compared. It is measured once, also if it is among the engines.
        device: ``cpu``, a device or a target; None for the one that each engine is found to run on.
        allow_mismatch: measure elsewhere too, and mark every row.
        exclude_transfers: the latency is that of the GPU alone, if the session reports it.
        runtime: how engines are run.
        limits: when to stop.
        keep_samples: whether single inferences go into the report.
        shapes: shapes of inputs by name, for ONNX files without a manifest that leave sizes open.
    """

    engines: Sequence[str]
    reference: Optional[str] = None
    device: Optional[str] = None
    allow_mismatch: bool = False
    exclude_transfers: bool = False
    runtime: RuntimeOptions = RuntimeOptions()
    limits: Limits = Limits()
    keep_samples: bool = True
    shapes: Optional[Shapes] = None


class EngineFailedError(EdgeNextError):
    """An engine raised while it was compared, warmed up or measured. The exit code is that of its error.

    Args:
        name: name of the engine.
        error: the error that it raised.
        report: what was measured until then, with `LatencyReport.failure`; None if nothing was.
    """

    def __init__(self, name: str, error: Exception, report: Optional[latency_report.LatencyReport]) -> None:
        self.failure = failure_of(name, error)
        fix = error.fix if isinstance(error, EdgeNextError) else "run the same command with --debug to see where"
        rest = "nothing was measured" if report is None else "the report holds what was measured until then"
        super().__init__("{} failed: {}; {}".format(*self.failure, rest), fix)
        self.exit_code = error.exit_code if isinstance(error, EdgeNextError) else EdgeNextError.exit_code
        self.report = report
        self.error = error


def failure_of(name: str, error: Exception) -> latency_report.Failure:
    """Return what a report says of an engine's error, in one line."""
    text = " ".join((error.message if isinstance(error, EdgeNextError) else str(error)).split())
    if not isinstance(error, EdgeNextError):
        text = "{}: {}".format(type(error).__name__, text) if text else type(error).__name__
    return latency_report.Failure(name, text)


class Contender(NamedTuple):
    """An open engine, and whether it runs on the device that was asked for."""

    engine: Engine
    device_matches: bool


def benchmark(request: Request, progress: Optional[Progress] = None) -> latency_report.LatencyReport:
    """Measure engine files in one interleaved run; each is compared with the reference, or with the first.

    Args:
        request: what to measure.
        progress: see `measure`.

    Raises:
        UsageError: an engine whose sizes stay open, a shape that fits none, an unknown device, or an option that this
            installation lacks.
        BadInputError: a file that is missing or broken.
        IncompatibleError: this is not the device.
        MissingRuntimeError: the runtime that an engine needs is not here.
        EngineFailedError: an engine raised; what was measured until then is in the error's `report`.
    """
    host = describe_host()
    paths = ([] if request.reference is None else [request.reference]) + [
        path for path in request.engines if not is_same_engine(path, request.reference)]
    match = match_device(request.device or CPU, host, [*request.engines, *paths])
    if match.refusal is not None and not request.allow_mismatch:
        raise match.refusal
    wants_gpu = request.device is not None and match.refusal is None and not is_processor(request.device)
    contenders: List[Contender] = []
    with contextlib.ExitStack() as stack:
        for path, name in zip(paths, names_of(paths)):
            engine = stack.enter_context(open_engine(path, name, request.runtime, "cuda" if wants_gpu else "cpu",
                                                     request.shapes))
            refusal = None if request.device is None else match_session(request.device, engine.session.describe())
            # The reference may run anywhere: only its outputs count.
            may_differ = request.allow_mismatch or (request.reference is not None and not contenders)
            if refusal is not None and not may_differ:
                raise refusal
            contenders.append(Contender(engine, match.refusal is None and refusal is None))
        require_used(request.shapes or {}, [contender.engine for contender in contenders])
        return Run(contenders, request, host, match.found).measure(progress)


class Run:
    """One interleaved run of open engines.

    Args:
        contenders: the engines; the first is the reference, if the request names one.
        request: how to measure.
        host: this machine.
        device_found: description of this machine.
    """

    def __init__(self, contenders: Sequence[Contender], request: Request, host: Host, device_found: str) -> None:
        self._request, self._host, self._device_found = request, host, device_found
        self._contenders = list(contenders)
        self._reference = contenders[0].engine if request.reference is not None else None
        self._checks: Dict[str, latency_report.OutputCheck] = {}

    def measure(self, progress: Optional[Progress] = None,
                monitor: Optional[Monitor] = None) -> latency_report.LatencyReport:
        """Compare the outputs, time the engines and return the report.

        Args:
            progress: see `interleave.measure`.
            monitor: the machine's sensors; by default they are looked up.

        Raises:
            EngineFailedError: see `benchmark`.
        """
        started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._check_outputs()
        watch = monitor or open_monitor()
        engines = [contender.engine for contender in self._contenders]
        measured = measure({engine.name: engine.session for engine in engines},
                           {engine.name: engine.image for engine in engines}, self._request.limits, progress, watch)
        watch.end()
        if measured.failed is not None and not measured.series:
            raise EngineFailedError(*measured.failed, None) from measured.failed.error
        report = self._report(measured, watch, self._setting(measured, started_at))
        if measured.failed is not None:
            raise EngineFailedError(*measured.failed, report) from measured.failed.error
        return report

    def _check_outputs(self) -> None:
        """Compare each engine's outputs with the reference's, on the same input."""
        reference = self._reference
        if reference is None:
            return
        for index, contender in enumerate(self._contenders[1:], 1):
            engine = output_check.on_the_same_input(contender.engine, reference)
            self._contenders[index] = contender._replace(engine=engine)
            try:
                self._checks[engine.name] = output_check.check_outputs(engine, reference)
            except Exception as error:  # such as too little memory for both
                what = "the comparison of {} with {}".format(engine.name, reference.name)
                raise EngineFailedError(what, error, None) from error

    def _setting(self, measured: Measurement, started_at: str) -> summarise.Setting:
        sessions = [contender.engine.session.describe() for contender in self._contenders]
        return summarise.Setting(
            self._device_found, self._request.exclude_transfers, self._request.runtime.cuda_graph, self._host,
            versions.collect(sessions, self._host), started_at, measured.interrupted, self._request.keep_samples,
            None if measured.failed is None else failure_of(*measured.failed))

    def _report(self, measured: Measurement, watch: Monitor,
                setting: summarise.Setting) -> latency_report.LatencyReport:
        rows: List[latency_report.LatencyRecord] = []
        comparisons: List[latency_report.Comparison] = []
        first: Optional[Series] = None
        for engine, device_matches in self._contenders:
            series = measured.series[engine.name]
            if not series.blocks:
                continue
            rows.append(summarise.make_row(summarise.Measured(
                engine, self._device_of(engine), device_matches, series, watch.hardware(engine.name),
                self._checks.get(engine.name), engine is self._reference,
                tuple(name for name in measured.series if name != engine.name)), setting))
            shown = summarise.headline(series, rows[-1].mode)
            if first is None:
                first = shown
            else:
                comparison = compare(rows[0].name, first, engine.name, shown)
                comparisons += [] if comparison is None else [comparison]
        return latency_report.LatencyReport(latency_report.SCHEMA, __version__, tuple(rows), tuple(comparisons),
                                            measured.interrupted, setting.failure)

    def _device_of(self, engine: Engine) -> str:
        asked = self._request.device
        return recognise(self._host, engine.session.describe()) if asked is None else device_name(asked)


def compare(first_name: str, first: Series, second_name: str, second: Series) -> Optional[latency_report.Comparison]:
    """Compare two series of one interleaved run; None when they have less than two rounds in common."""
    ratios = statistics.paired_ratios(second.blocks, first.blocks)
    if not len(ratios):
        return None
    ratio = statistics.median(ratios)
    if ratio < 1.0:
        return compare(second_name, second, first_name, first)
    interval = statistics.median_interval(ratios)
    return latency_report.Comparison(first_name, second_name, ratio, interval, rounds=2 * len(ratios))
