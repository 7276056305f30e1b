"""The race on a processor: the graphs of a bundle, in each runtime that is installed, with each of its options."""
import hashlib
import json
import os
import shlex
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts.manifest import ONNX_SUFFIX, manifest_path
from edgenext_deploy.benchmarks.hardware.host import describe_host
from edgenext_deploy.bundle.reading import Bundle, open_bundle
from edgenext_deploy.engines.racing.heats import HeatEngine
from edgenext_deploy.engines.racing.race_loop import Discipline, RaceLoop, Say, begin_or_go_on
from edgenext_deploy.engines.racing.records import RACING, Entrant, RaceTable, table_of
from edgenext_deploy.engines.racing.work_folder import WorkFolder, work_folder
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.files import require_writable, sha256_of_file, write_files_atomically
from edgenext_deploy.install import install_command
from edgenext_deploy.machine.environment import module_version
from edgenext_deploy.runtime.options import OPTIMIZATIONS, RuntimeOptions, available_threads, check_options
from edgenext_deploy.runtime.table import RUNTIMES

# Where nothing is said, what is tried of ONNX Runtime's levels: the others leave out what never costs time.
_LEVELS = ("all", "extended")
# Graphs this close to the winner are tried with other options too: an option may favour one form of the network.
_NEAR = 1.15
TABLE_SUFFIX = ".race.json"


class RaceResult(NamedTuple):
    """What a race on a processor found.

    Attributes:
        path: of the fastest graph, with its manifest next to it.
        options: how to run it.
        table: the whole race, which also lies next to the graph, as ``xxs.onnx.race.json``.
        table_path: path of that file.
    """

    path: str
    options: RuntimeOptions
    table: RaceTable
    table_path: str

    def to_json(self) -> Dict[str, Any]:
        """Return the result as JSON data."""
        data: Dict[str, Any] = json_records.to_json(self)
        return data

    @property
    def arguments(self) -> str:
        """The command line's words for the graph and its options."""
        words = [shlex.quote(self.path)]
        for name in ("runtime", "threads", "optimization"):
            value = getattr(self.options, name)
            if value != RuntimeOptions._field_defaults[name]:
                words += ["--" + name, str(value)]
        return " ".join(words)


def race(bundle: "Union[str, os.PathLike[str]]", output: "Optional[Union[str, os.PathLike[str]]]" = None, *,
         runtimes: Sequence[str] = (), threads: Sequence[int] = (), optimizations: Sequence[str] = (),
         budget_min: Optional[float] = None, force: bool = False,
         progress: Optional[Callable[[str], None]] = None) -> RaceResult:
    """Find the fastest graph of a bundle on this machine's processor, with its runtime and options.

    Every graph is tried in every runtime; then those near the fastest are tried with the other options. Each has to
    give the right answer to the golden input. All are measured in turns in child processes, with successive halving. A
    race that was interrupted goes on where it was.

    Args:
        bundle: the file that ``edgenext-export --race`` wrote.
        output: path of the graph that is written; by default that of the bundle with the ending ``.onnx``.
        runtimes: names of runtimes, such as ``openvino``; none for those that are installed.
        threads: numbers of threads to try; none for all of the processor's and half of them.
        optimizations: levels of ONNX Runtime to try, see `RuntimeOptions`; none for ``all`` and ``extended``.
        budget_min: time for the race in minutes; None for as long as it takes.
        force: replace a file that is none of the bundle's graphs.
        progress: called with a line of text before each step.

    Raises:
        UsageError: an unknown runtime or level, the output cannot be written, or is something else.
        BadInputError: the bundle is missing or broken.
        MissingRuntimeError: no runtime is installed.
        VerificationError: no graph gives a right answer.
    """
    opened = open_bundle(bundle)
    path = os.path.splitext(opened.path)[0] + ONNX_SUFFIX if output is None else os.fspath(output)
    _require_place(path, opened, force)
    with work_folder(path) as folder:
        field = _Field(opened, _names(runtimes), _threads(threads), _levels(optimizations))
        table = _ProcessorRace(field, folder).run(None if budget_min is None else 60 * budget_min, progress or _silent)
        won = table.won
        files, table_path = opened.files(won.candidate), path + TABLE_SUFFIX
        write_files_atomically({table_path: json_records.dump(table), path: files.graph,
                                manifest_path(path): files.manifest})
        folder.remove()
    return RaceResult(path, RuntimeOptions(**won.options), table, table_path)


def every_entrant(bundle: Bundle, runtimes: Sequence[str] = (), threads: Sequence[int] = (),
                  optimizations: Sequence[str] = ()) -> Sequence[Entrant]:
    """Return every graph in every runtime with all options, of which a race tries only the promising ones."""
    field = _Field(bundle, _names(runtimes), _threads(threads), _levels(optimizations))
    return [field.entrant(name, runtime, options) for runtime in field.runtimes for name in bundle.manifests
            for options in field.choices(runtime)]


class _Field:
    """What may take part.

    Args:
        bundle: the graphs.
        runtimes: names of runtimes.
        threads: numbers of threads.
        levels: of ONNX Runtime.
    """

    def __init__(self, bundle: Bundle, runtimes: Sequence[str], threads: Sequence[int], levels: Sequence[str]) -> None:
        self.bundle, self.runtimes, self.threads, self.levels = bundle, runtimes, threads, levels

    def choices(self, runtime: str) -> List[Dict[str, Any]]:
        """Return the options to try in a runtime; the first ones come first."""
        unused = RUNTIMES[runtime].unused
        threads: Sequence[Optional[int]] = (None,) if "threads" in unused else self.threads
        levels: Sequence[Optional[str]] = (None,) if "optimization" in unused else self.levels
        return [{name: value for name, value in (("runtime", runtime), ("threads", count), ("optimization", level))
                 if value is not None} for level in levels for count in threads]

    def entrant(self, candidate: str, runtime: str, options: Dict[str, Any]) -> Entrant:
        """Return a graph in a runtime with some options."""
        words = [candidate, runtime]
        if "threads" in options:
            words.append("{} thread{}".format(options["threads"], "" if options["threads"] == 1 else "s"))
        if options.get("optimization", "all") != "all":
            words.append(options["optimization"])
        manifest = self.bundle.manifests[candidate]
        return Entrant(" ".join(words), candidate, options=options, bytes=manifest.graph.bytes,
                       fp32_pins=sum(map(len, manifest.precision.fp32_pins.values())))

    def first(self) -> Sequence[Entrant]:
        """Return every graph in every runtime with the first options."""
        return [self.entrant(name, runtime, self.choices(runtime)[0])
                for runtime in self.runtimes for name in self.bundle.manifests]

    def more(self, winner: Entrant, entrants: Sequence[Entrant]) -> Sequence[Entrant]:
        """Return graphs near the winner with the other options of their runtimes."""
        assert winner.measured is not None
        best_ms = winner.measured.wall.p50_ms
        near = [one for one in entrants if one.measured is not None and one.measured.wall.p50_ms <= _NEAR * best_ms]
        return [self.entrant(one.candidate, one.options["runtime"], options)
                for one in near for options in self.choices(one.options["runtime"])[1:]]


class _ProcessorRace:
    """One race; see `race`."""

    def __init__(self, field: _Field, folder: WorkFolder) -> None:
        self._field, self._bundle, self._folder = field, field.bundle, folder

    def run(self, budget_s: Optional[float], say: Say) -> RaceTable:
        """Race to the end."""
        host = describe_host()
        machine = "{}, {}".format(host.board or host.processor or host.machine, ", ".join(
            "{} {}".format(RUNTIMES[name].title, module_version(RUNTIMES[name].module or name) or "")
            for name in self._field.runtimes).strip())
        parts = [self._bundle.sha256, machine, self._field.threads, self._field.levels]
        identity = hashlib.sha256(json.dumps(parts).encode("utf-8")).hexdigest()
        state = begin_or_go_on(self._folder, identity, self._field.first, say)
        discipline = Discipline(self._prepare, self._engine_of, self._is_ready, lambda entrant: None, self._field.more,
                                "writing")
        done = RaceLoop(self._folder, state, discipline, budget_s, say).run()
        return table_of(done, os.path.basename(self._bundle.path), machine, budget_s,
                        dict(self._bundle.record.left_out))

    def _prepare(self, entrant: Entrant) -> Entrant:
        if not self._is_ready(entrant):
            self._bundle.write(entrant.candidate, self._path(entrant))
        return entrant._replace(status=RACING)

    def _is_ready(self, entrant: Entrant) -> bool:
        path = self._path(entrant)
        return (os.path.exists(path) and os.path.exists(manifest_path(path))
                and sha256_of_file(path) == self._bundle.manifests[entrant.candidate].graph.sha256)

    def _path(self, entrant: Entrant) -> str:
        return self._folder.file(entrant.candidate + ONNX_SUFFIX)

    def _engine_of(self, entrant: Entrant) -> HeatEngine:
        return HeatEngine(entrant.name, self._path(entrant), entrant.options, self_test=entrant.self_test is None)


def _names(given: Sequence[str]) -> Tuple[str, ...]:
    takes = [name for name, runtime in RUNTIMES.items() if ONNX_SUFFIX in runtime.endings]
    for name in given:
        if name not in takes:
            raise UsageError("runtime {!r} runs no {} files".format(name, ONNX_SUFFIX),
                             "choose from: " + ", ".join(takes))
        if not RUNTIMES[name].is_installed:
            raise MissingRuntimeError("{} is not installed".format(RUNTIMES[name].title), install_command(name))
    found = given or [name for name in takes if RUNTIMES[name].is_installed]
    if not found:
        raise MissingRuntimeError("no runtime for {} files is installed".format(ONNX_SUFFIX),
                                  "python3 -m pip install onnxruntime")
    return tuple(dict.fromkeys(found))


def _threads(given: Sequence[int]) -> Tuple[int, ...]:
    for count in given:
        check_options(RuntimeOptions(threads=count))
    most = available_threads()
    return tuple(dict.fromkeys(given or (most, max(1, most // 2))))


def _levels(given: Sequence[str]) -> Tuple[str, ...]:
    for level in given:
        if level not in OPTIMIZATIONS:
            raise UsageError("ONNX Runtime has no level {!r}".format(level), "choose from: " + ", ".join(OPTIMIZATIONS))
    return tuple(dict.fromkeys(given or _LEVELS))


def _require_place(path: str, bundle: Bundle, force: bool) -> None:
    """Raise UsageError if the graph cannot be written to a path, or something else lies there."""
    if os.path.splitext(path)[1].lower() != ONNX_SUFFIX:
        raise UsageError("the fastest graph cannot be named {}: a name ending in {} expected".format(
            path, ONNX_SUFFIX), "choose another --output")
    require_writable(path, "choose another --output")
    graphs = [found.graph.sha256 for found in bundle.manifests.values()]
    if not force and os.path.lexists(path) and not (os.path.isfile(path) and sha256_of_file(path) in graphs):
        raise UsageError("{} exists already and is none of the bundle's graphs".format(path),
                         "replace it with --force, or choose another --output")


def _silent(text: str) -> None:
    """Ignore the progress."""
