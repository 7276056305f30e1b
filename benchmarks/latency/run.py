"""One benchmark run: engine files in, a report of records and comparisons out."""
import contextlib
import time
from typing import Dict, List, NamedTuple, Optional, Sequence

from edgenext_deploy.benchmarks import latency_report, statistics
from edgenext_deploy.benchmarks.hardware.host import Host, describe_host
from edgenext_deploy.benchmarks.hardware.monitor import Monitor, open_monitor
from edgenext_deploy.benchmarks.latency import output_check, summarise, versions
from edgenext_deploy.benchmarks.latency.devices import (
    CPU,
    device_name,
    is_processor,
    match_device,
    match_session,
    recognise,
)
from edgenext_deploy.benchmarks.latency.engines import Engine, Options, names_of, open_engine
from edgenext_deploy.benchmarks.latency.interleave import Limits, Progress, Series, measure
from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.version import __version__


class Request(NamedTuple):
    """What to measure, and how.

    Attributes:
        engines: engine files, or ``torch:VARIANT``, in the order of the report.
        reference: a file whose outputs are the truth and to which ratios refer; None takes the first engine, whose
            outputs nothing is compared with.
        device: ``cpu``, a device or a target; None for what each engine is recognised to run on.
        allow_mismatch: measure elsewhere too, and mark every row.
        exclude_transfers: the latency is that of the GPU alone, where it can be told.
        options: how engines are opened.
        limits: when to stop.
        keep_samples: whether single inferences go into the report.
    """

    engines: Sequence[str]
    reference: Optional[str] = None
    device: Optional[str] = None
    allow_mismatch: bool = False
    exclude_transfers: bool = False
    options: Options = Options()
    limits: Limits = Limits()
    keep_samples: bool = True


class EngineFailedError(EdgeNextError):
    """An engine raised while it was compared, warmed up or measured. The exit code is that of its error.

    Args:
        name: of the engine.
        error: its own.
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


def benchmark(request: Request, progress: Optional[Progress] = None) -> latency_report.LatencyReport:
    """Measure engine files in one interleaved run; each is compared with the reference, or with the first.

    Args:
        request: what to measure.
        progress: see `measure`.

    Raises:
        UsageError: an engine with dynamic shapes, an unknown device, or an option that this installation lacks.
        BadInputError: a file that is missing or broken.
        IncompatibleError: this is not the device.
        MissingRuntimeError: the runtime that an engine needs is not here.
        EngineFailedError: an engine raised; what was measured until then is in the error's `report`.
    """
    host = describe_host()
    match = match_device(request.device or CPU, host)
    if match.refusal is not None and not request.allow_mismatch:
        raise match.refusal
    paths = ([] if request.reference is None else [request.reference]) + list(request.engines)
    wants_gpu = request.device is not None and match.refusal is None and not is_processor(request.device)
    options = request.options._replace(torch_device="cuda") if wants_gpu else request.options
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(open_engine(path, name, options))
                   for path, name in zip(paths, names_of(paths))]
        refusals = [None if request.device is None else match_session(request.device, engine.session.describe())
                    for engine in engines]
        # The reference may run anywhere: its outputs count.
        for refusal in refusals[request.reference is not None:]:
            if refusal is not None and not request.allow_mismatch:
                raise refusal
        matches = [match.refusal is None and refusal is None for refusal in refusals]
        return run(engines, request, host, match.found, matches, progress)


def run(engines: Sequence[Engine], request: Request, host: Host, device_found: str, matches: Sequence[bool],
        progress: Optional[Progress] = None, monitor: Optional[Monitor] = None) -> latency_report.LatencyReport:
    """Measure open engines in one interleaved run; the first is the reference, if the request names one.

    Args:
        engines: open; with a reference it comes first.
        request: how to measure.
        host: this machine.
        device_found: what it is, in words.
        matches: for each engine, whether it runs on the device that was asked for.
        progress: see `measure`.
        monitor: the machine's sensors; by default they are looked up.

    Raises:
        EngineFailedError: see `benchmark`.
    """
    started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    reference = engines[0] if request.reference is not None else None
    checks: Dict[str, latency_report.OutputCheck] = {}
    if reference is not None:
        engines = [reference] + [output_check.on_the_same_input(engine, reference) for engine in engines[1:]]
        checks = {engine.name: _check(engine, reference) for engine in engines[1:]}
    watch = monitor or open_monitor()
    measured = measure({engine.name: engine.session for engine in engines},
                       {engine.name: engine.image for engine in engines}, request.limits, progress, watch)
    watch.end()
    if measured.failed is not None and not measured.series:
        raise EngineFailedError(*measured.failed, None) from measured.failed.error
    failure = None if measured.failed is None else failure_of(*measured.failed)
    setting = summarise.Setting(
        device_found, request.exclude_transfers, request.options.cuda_graph, host,
        versions.collect([engine.session.describe() for engine in engines], host), started_at, measured.interrupted,
        request.keep_samples, failure)
    made: List[latency_report.LatencyRecord] = []
    shown: List[Series] = []
    for engine, matched in zip(engines, matches):
        series = measured.series[engine.name]
        if not series.blocks:
            continue
        mode = summarise.mode_of(engine, series, request.exclude_transfers, request.options.cuda_graph)
        others = tuple(name for name in measured.series if name != engine.name)
        device = (recognise(host, engine.session.describe()) if request.device is None else
                  device_name(request.device))
        made.append(summarise.make_row(engine, series, mode, setting, watch.hardware(engine.name), others,
                                  checks.get(engine.name), engine is reference, device, matched))
        shown.append(summarise.headline(series, mode))
    comparisons = [compare(made[0].name, shown[0], row.name, series) for row, series in zip(made[1:], shown[1:])]
    report = latency_report.LatencyReport(latency_report.SCHEMA, __version__, tuple(made),
                                          tuple(filter(None, comparisons)),
                                  measured.interrupted, failure)
    if measured.failed is not None:
        raise EngineFailedError(*measured.failed, report) from measured.failed.error
    return report


def _check(engine: Engine, reference: Engine) -> latency_report.OutputCheck:
    try:
        return output_check.check_outputs(engine, reference)
    except Exception as error:  # such as too little memory for both
        what = "the comparison of {} with {}".format(engine.name, reference.name)
        raise EngineFailedError(what, error, None) from error


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

