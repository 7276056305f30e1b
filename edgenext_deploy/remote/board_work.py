"""What is done with an engine on a board: exported for it, copied, built, tested and measured there."""
import json
import os
import re
import secrets
import shutil
import tempfile
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.artifacts.plan_sidecar import parse_record, sidecar_path
from edgenext_deploy.commands.child import run_module
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import (
    cache_folder,
    require_writable,
    sha256_of_bytes,
    sha256_of_file,
    shown,
    write_files_atomically,
)
from edgenext_deploy.remote.elsewhere import carry_words
from edgenext_deploy.remote.link.jobs import Job
from edgenext_deploy.remote.pushing import Bundle, bundle_of
from edgenext_deploy.remote.session import Session
from edgenext_deploy.remote.setting_up.wheels import own_wheel
from edgenext_deploy.remote.target_choice import choose_target
from edgenext_deploy.targets import get_target

_EXPORT = "edgenext_deploy.export.commands.cli"
_BENCH = "edgenext_deploy.benchmarks.commands.cli"
_MOST_REPORT_BYTES, _MOST_SIDECAR_BYTES, _MOST_CACHE_BYTES = 64 << 20, 16 << 20, 64 << 20
_exporting = threading.Lock()
# Folder here for what comes from boards.
OUTPUT = "remote"


class Wanted(NamedTuple):
    """The engine to work with: a file, or a variant that is exported for the board's own target.

    Attributes:
        engine: path of an ONNX file or plan.
        variant: name of a network, in place of a file.
        target: name of the target to export for; None for the board's.
        export_words: further options of ``edgenext-export``.
    """

    engine: Optional[str] = None
    variant: Optional[str] = None
    target: Optional[str] = None
    export_words: Tuple[str, ...] = ()


class BoardPlan(NamedTuple):
    """A plan that was built on a board.

    Attributes:
        there: whole path of the plan there.
        sidecar: path of the sidecar here.
        timing_cache: path of the timing cache here, None if there is none.
    """

    there: str
    sidecar: str
    timing_cache: Optional[str]


class BoardMeasurement(NamedTuple):
    """A measurement on a board.

    Attributes:
        report: path of the latency report here, which `read_report` of the benchmarks reads.
        p50_ms: median latency of the engine in milliseconds.
        runtime: what ran it: ``tensorrt`` or ``onnxruntime``.
        built: the plan, None where ONNX Runtime ran the graph.
    """

    report: str
    p50_ms: float
    runtime: str
    built: Optional[BoardPlan]


def prepare_engine(session: Session, wanted: Wanted) -> str:
    """Return the path here of the engine for a board; a variant is exported, unless that was done before.

    Raises:
        EdgeNextError: the export failed, or no target stands for the board.
    """
    if wanted.engine is not None:
        return wanted.engine
    if wanted.variant is None:
        raise UsageError("no engine and no --variant is given", "edgenext-remote nano bench --variant xxs")
    target = get_target(wanted.target) if wanted.target else choose_target(session.facts(), session.python)
    words = [wanted.variant, "--target", target.name, *wanted.export_words]
    read = [sha256_of_file(word) for word in wanted.export_words if os.path.isfile(word)]
    key = sha256_of_bytes("\0".join([*words, *read, sha256_of_file(own_wheel())]).encode("utf-8"))[:16]
    folder = os.path.join(cache_folder(), "exports", key)
    title = "export {} for {}".format(wanted.variant, target.name)
    with _exporting:
        if os.path.isdir(folder):
            session.skip(title)
        else:
            with session.timed(title):
                _export(folder, words)
    names = [name for name in sorted(os.listdir(folder)) if name.endswith(".onnx") and not name.endswith(".nms.onnx")]
    return os.path.join(folder, names[0])


def build_there(session: Session, engine: str, words: Sequence[str], output: str) -> Tuple[Bundle, BoardPlan]:
    """Build a plan on the board, unless that was done before; fetch its sidecar and the timing cache.

    Args:
        session: of the board, which is ready.
        engine: path of the ONNX file here.
        words: options of ``edgenext-build``.
        output: folder for what is fetched.

    Raises:
        EdgeNextError: what ``edgenext-build`` raised there.
        BadInputError: what came from there is not what it should be.
    """
    _require_output(session, output)
    bundle = bundle_of(engine)
    onnx = session.push(bundle)
    found = session.facts().environment
    made_of = [session.key, bundle.path, str(found.tensorrt), str(found.compute_capability), *words]
    key = sha256_of_bytes("\0".join(made_of).encode("utf-8"))[:16]
    stem = os.path.splitext(bundle.name)[0]
    plan = "{}/{}/{}.plan".format(bundle.folder, key, stem)
    job = Job("build-" + key, "build {}".format(bundle.name), [session.step("build and self-test", "edgenext-build", [
        onnx, "--output", session.there(plan), "--force", *words, "--json-file", "out/build.json"])],
        makes=(plan, sidecar_path(plan)))
    session.run(job, on_output=_nothing)
    data = session.fetch(sidecar_path(plan), _MOST_SIDECAR_BYTES)
    parse_record(data, "{}: sidecar of {}".format(session.board.name, plan))
    files = {output_path(session, output, stem + ".plan.json"): data}
    cache = _timing_cache(session, job)
    if cache is not None:
        files[output_path(session, output, stem + ".timing.cache")] = cache
    write_files_atomically(files)
    names = list(files)
    return bundle, BoardPlan(session.there(plan), names[0], names[1] if cache is not None else None)


def bench_there(session: Session, wanted: Wanted, words: Sequence[str], build_words: Sequence[str],
                output: str) -> BoardMeasurement:
    """Measure an engine on the board, the whole way; what is there already is skipped.

    Args:
        session: of the board.
        wanted: the engine.
        words: options of ``edgenext-bench``.
        build_words: options of ``edgenext-build``.
        output: folder for the report, the sidecar and the timing cache.

    Raises:
        EdgeNextError: what a command raised there.
        BadInputError: the report is not one.
    """
    _require_output(session, output)
    session.require_ready()
    engine = prepare_engine(session, wanted)
    found = session.facts()
    if found.environment.tensorrt and not found.has_tensorrt:
        session.say("note: TensorRT {} is there, but {} is missing; ONNX Runtime runs the graph".format(
            shown(found.environment.tensorrt), "pycuda" if found.environment.compute_capability else "its GPU"))
    with_plan = session.facts().has_tensorrt and engine.endswith(".onnx") and "--runtime" not in words
    built: Optional[BoardPlan] = None
    if with_plan:
        bundle, built = build_there(session, engine, build_words, output)
        # Another reference among the words counts in place of the graph, since it comes later.
        measured = [built.there, "--reference", session.there(bundle.path)]
    else:
        bundle = bundle_of(engine)
        measured = [session.push(bundle)]
    steps: List[Dict[str, Any]] = []
    if not with_plan:
        steps.append(session.step("self-test", "edgenext-build", ["test", measured[0]]))
    steps.append(session.step("measure", "edgenext-bench", [*measured, *_device_words(session),
                                                            *carry_words(session, words).words,
                                                            "--json-file", "out/report.json"]))
    job = Job("bench-" + secrets.token_hex(8), "measure {}".format(bundle.name), steps, again=True)
    session.run(job, on_output=_nothing)
    stem = os.path.splitext(bundle.name)[0]
    path = output_path(session, output, stem + ".json")
    data = session.fetch("jobs/{}/out/report.json".format(job.name), _MOST_REPORT_BYTES)
    p50_ms = _checked_median(data, session.board.name, os.path.basename(measured[0]))
    write_files_atomically({path: data})
    plan = with_plan or bundle.name.endswith((".plan", ".engine"))
    return BoardMeasurement(path, p50_ms, "tensorrt" if plan else "onnxruntime", built)


def words_with_plans(session: Session, words: Sequence[str]) -> List[str]:
    """Return a command line with the board's plans in place of graphs, where it has TensorRT and no runtime is named.

    Args:
        session: of the board, which is ready.
        words: of the command; a graph is a file here.

    Raises:
        EdgeNextError: a plan could not be built.
    """
    if not session.facts().has_tensorrt or any(word.partition("=")[0] == "--runtime" for word in words):
        return list(words)
    return [build_there(session, word, (), OUTPUT)[1].there if word.endswith(".onnx") and os.path.isfile(word) else word
            for word in words]


def compare_reports(paths: Sequence[str]) -> str:
    """Return the table of several reports, as ``edgenext-bench compare`` prints it."""
    return run_module(_BENCH, ["compare", *paths])


def output_path(session: Session, output: str, name: str) -> str:
    """Return the path here of a file of a board; the board's name is in it."""
    host = re.sub(r"[^A-Za-z0-9.-]+", "_", session.board.name.rpartition("@")[2]).strip("._") or "board"
    return os.path.join(output, "{}-{}".format(host, name))


def _require_output(session: Session, output: str) -> None:
    """Raise UsageError, before minutes of work, if a folder here can plainly not be written."""
    require_writable(output_path(session, output, "x.json"),
                     "give another folder with --output, or start it in another one")


def _nothing(line: str) -> None:
    """Drop a table that is printed for whoever sits at the board."""


def _device_words(session: Session) -> List[str]:
    return [] if session.board.device is None else ["--device", session.board.device]


def _export(folder: str, words: Sequence[str]) -> None:
    """Export into a folder that is there only when all its files are."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    made = tempfile.mkdtemp(dir=os.path.dirname(folder))
    try:
        run_module(_EXPORT, [*words, "--output", made])
        os.rename(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _timing_cache(session: Session, job: Job) -> Optional[bytes]:
    """Return the content of the timing cache that a build used, None if it used none."""
    data = session.fetch("jobs/{}/out/build.json".format(job.name), _MOST_SIDECAR_BYTES)
    try:
        path = json.loads(data.decode("utf-8"))["report"]["timing_cache"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInputError("{}: the build's result is not one: {}".format(
            session.board.name, shown(repr(data[:80])))) from error
    prefix = session.there("")
    if not isinstance(path, str) or not path.startswith(prefix):  # none, or one of the user's own
        return None
    return session.fetch(path[len(prefix):], _MOST_CACHE_BYTES)


def _checked_median(data: bytes, host: str, engine: str) -> float:
    """Return the median of the engine's row; the report is read as any foreign one, by the stage that knows them."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.json")
        with open(path, "wb") as stream:
            stream.write(data)
        try:
            run_module(_BENCH, ["compare", path, "--json"])
        except BadInputError as error:
            raise BadInputError("{}: its report is not one: {}".format(host, error.message.replace(path, "report")),
                                "set the board up again: edgenext-remote {} setup".format(host)) from error
    rows = json.loads(data.decode("utf-8"))["records"]
    found = [row["latency"]["p50_ms"] for row in rows if row["name"] == engine]
    if not found:
        raise BadInputError("{}: its report has no row of {}".format(host, shown(engine)))
    return float(found[0])


