"""One benchmark run: engine files in, a report of records and comparisons out."""
import contextlib
import os
import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set

import numpy as np

from edgenext_deploy import __version__, golden, manifest, preprocess
from edgenext_deploy.benchmarks import record, statistics
from edgenext_deploy.benchmarks.device import CPU, require_device, require_session_on_device
from edgenext_deploy.benchmarks.host import Host, describe_host
from edgenext_deploy.benchmarks.measure import Limits, Measurement, Progress, Series, measure
from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import require_file, sha256_of_file
from edgenext_deploy.runtime.session import Session

_SYNTHETIC_SEED = 0


class Engine(NamedTuple):
    """An engine file, opened, with the input it will be timed on.

    Attributes:
        name: of its row.
        file: the file and its digest when it was opened.
        session: open.
        model: what the manifest says it is; None without one.
        image: `[B, 3, H, W]`, as the engine takes it.
        image_source: ``golden`` or ``synthetic``, see `record.LatencyRecord`.
    """

    name: str
    file: record.EngineFile
    session: Session
    model: Optional[record.Model]
    image: np.ndarray
    image_source: str


def benchmark(
    paths: Sequence[str],
    device: str = CPU,
    threads: Optional[int] = None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    progress: Optional[Progress] = None,
    trust: bool = False,
) -> record.LatencyReport:
    """Measure engine files in one interleaved run; each is compared with the first.

    Args:
        paths: engine files, in the order of the report.
        device: ``cpu`` or a target's name; the run is refused elsewhere.
        threads: of ONNX Runtime; None leaves it to the runtime.
        limits: when to stop.
        progress: see `measure`.
        trust: accept plans without a sidecar, which can run code.

    Raises:
        UsageError: an engine with dynamic shapes, or an unknown device.
        BadInputError: a file that is missing or broken.
        IncompatibleError: this is not the device.
        MissingRuntimeError: the runtime that an engine needs is not here.
    """
    host = describe_host()
    require_device(device, host)
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(open_engine(path, name, threads, trust))
                   for path, name in zip(paths, _names(paths))]
        for engine in engines:
            require_session_on_device(device, engine.session.describe())
        return run(engines, device, host, limits, progress)


@contextlib.contextmanager
def open_engine(path: str, name: str, threads: Optional[int], trust: bool = False) -> Iterator[Engine]:
    """Open an engine file for measuring and close it again; see `benchmark` for what it raises."""
    from edgenext_deploy.runtime import load_session

    require_file(path, "engine", "export one with edgenext-export, and give it with --engine")
    found = manifest.find_for(path, trust)
    file = record.EngineFile(os.path.basename(path), sha256_of_file(path), os.path.getsize(path))
    with load_session(path, threads=threads, trust=trust) as session:
        yield Engine(name, file, session, _model(found, session), _image(path, session, found),
                     "synthetic" if found is None else "golden")


def run(engines: Sequence[Engine], device: str, host: Host, limits: Limits,
        progress: Optional[Progress] = None) -> record.LatencyReport:
    """Measure open engines in one interleaved run; each is compared with the first."""
    started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    measured = measure({engine.name: engine.session for engine in engines},
                       {engine.name: engine.image for engine in engines}, limits, progress)
    rows = tuple(_record(engine, measured, device, host, started_at)
                 for engine in engines if measured.series[engine.name].blocks)
    first = rows[0].name
    comparisons = [compare(first, measured.series[first], row.name, measured.series[row.name])
                   for row in rows[1:]]
    return record.LatencyReport(record.SCHEMA, __version__, rows, tuple(filter(None, comparisons)),
                                measured.interrupted)


def compare(first_name: str, first: Series, second_name: str, second: Series) -> Optional[record.Comparison]:
    """Compare two series of one interleaved run; None when they have less than two rounds in common."""
    ratios = statistics.paired_ratios(second.blocks, first.blocks)
    if not len(ratios):
        return None
    ratio = statistics.median(ratios)
    if ratio < 1.0:
        return compare(second_name, second, first_name, first)
    interval = statistics.median_interval(ratios)
    return record.Comparison(first_name, second_name, ratio, interval, rounds=2 * len(ratios))


def summarise(values_ms: np.ndarray) -> record.Latency:
    """Return the statistics of at least one latency."""
    p90_ms, p99_ms = statistics.percentiles(values_ms, (90, 99))
    return record.Latency(
        min_ms=float(values_ms.min()), p50_ms=statistics.median(values_ms), p90_ms=p90_ms, p99_ms=p99_ms,
        max_ms=float(values_ms.max()), mean_ms=float(values_ms.mean()),
        std_ms=float(values_ms.std(ddof=1)) if len(values_ms) > 1 else 0.0,
        p50_interval=statistics.median_interval(values_ms))


def _record(engine: Engine, measured: Measurement, device: str, host: Host,
            started_at: str) -> record.LatencyRecord:
    series = measured.series[engine.name]
    values_ms = series.values_ms
    latency = summarise(values_ms)
    spread = statistics.window_spread(values_ms)
    batch = int(engine.image.shape[0])
    return record.LatencyRecord(
        name=engine.name,
        engine=engine.file,
        model=engine.model,
        device=device,
        session=engine.session.describe(),
        input_shape=tuple(int(size) for size in engine.image.shape),
        batch=batch,
        image=engine.image_source,
        n=len(values_ms),
        rounds=len(series.blocks),
        warmup=series.warmup,
        latency=latency,
        window_spread=spread,
        stable=spread <= statistics.STABLE_SPREAD,
        throughput_per_s=1e3 * batch / latency.mean_ms,
        interleaved_with=tuple(name for name in measured.series if name != engine.name),
        interrupted=measured.interrupted,
        host=host,
        started_at=started_at,
    )


def _model(found: Optional[manifest.Manifest], session: Session) -> Optional[record.Model]:
    if found is None:
        return None
    plan = getattr(session, "record", None)
    # A graph exported for the FP16 flag is FP32 until a builder makes a plan of it, whose sidecar then says so.
    precision = plan.precision if plan is not None else "fp16" if found.precision.mode == "typed" else "fp32"
    return record.Model(found.variant, found.target, precision, found.weights)


def _image(path: str, session: Session, found: Optional[manifest.Manifest]) -> np.ndarray:
    """Return the input to time with, of the engine's shape and dtype."""
    spec = session.inputs[0]
    if not all(isinstance(size, int) and size > 0 for size in spec.shape):
        raise UsageError("{}: input {!r} has a shape that is not fixed: {}".format(
            path, spec.name, list(spec.shape)), "export it with fixed shapes: edgenext-export --batch 1")
    if found is not None:
        pixels = golden.golden_batch(found.golden.seed, spec.shape)
        return preprocess.normalise(pixels, found.preprocessing).astype(spec.dtype)
    # numpy 1.13, which JetPack 4 brings, has no numpy.random.default_rng.
    noise = np.random.RandomState(_SYNTHETIC_SEED).randint(0, 256, size=spec.shape)
    dtype = np.dtype(spec.dtype)
    return (noise / 255.0 if dtype.kind == "f" else noise).astype(dtype)


def _names(paths: Sequence[str]) -> List[str]:
    """Return a short, unique name for each path: the file's own name where that is enough."""
    by_name: Dict[str, Set[str]] = {}
    for path in paths:
        by_name.setdefault(os.path.basename(path), set()).add(path)
    names: List[str] = []
    for index, path in enumerate(paths):
        name = os.path.basename(path)
        name = name if len(by_name[name]) == 1 else path
        earlier = paths[:index].count(path)
        names.append("{} ({})".format(name, earlier + 1) if earlier else name)
    return names
