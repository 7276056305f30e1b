"""The race of plans: each graph of a bundle built in a child process, tested, and measured against the others."""
import hashlib
import json
import os
from typing import List, NamedTuple, Optional, Sequence

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts.engine_file import open_plan
from edgenext_deploy.artifacts.manifest import manifest_path
from edgenext_deploy.artifacts.plan_check import Environment, write_plan
from edgenext_deploy.engines.build_records import BuildReport, BuildRequest, BuildResult
from edgenext_deploy.engines.isolated import build_in_child
from edgenext_deploy.engines.plan_description import record_of
from edgenext_deploy.engines.precision.pins import pins_of
from edgenext_deploy.engines.racing.heats import HeatEngine
from edgenext_deploy.engines.racing.race_loop import Discipline, NotRacedError, RaceLoop, Say, begin_or_go_on
from edgenext_deploy.engines.racing.records import FAILED, RACING, Entrant, RaceTable, table_of
from edgenext_deploy.engines.racing.sources import Source
from edgenext_deploy.engines.racing.work_folder import WorkFolder
from edgenext_deploy.engines.selftest.engine_test import verify_in_child
from edgenext_deploy.engines.selftest.golden_test import SelfTest
from edgenext_deploy.errors import BadInputError, EdgeNextError, IncompatibleError, VerificationError
from edgenext_deploy.files import sha256_of_bytes, write_files_atomically


class RacedPlan(NamedTuple):
    """The plan that won.

    Attributes:
        graph: name of the graph that it was built from.
        result: the plan, and how it was built.
        self_test: how it answered the golden input; None if it could not be run here.
        untested: why it could not be run; empty if it was.
        table: the whole race.
    """

    graph: str
    result: BuildResult
    self_test: Optional[SelfTest]
    untested: str
    table: RaceTable


class PlanRace:
    """One race of plans.

    Args:
        folder: where its state and its plans are kept meanwhile.
        source: the graphs.
        request: how to build; the path of the graph is filled in.
        environment: this machine.
        builds: builds of the graph that wins, of which the fastest is kept.
        budget_s: seconds for all of it; None for as long as it takes.
        say: told what is being done.
    """

    def __init__(self, folder: WorkFolder, source: Source, request: BuildRequest, environment: Environment,
                 builds: int, budget_s: Optional[float], say: Say) -> None:
        self._folder, self._source, self._request = folder, source, request
        self._environment, self._builds, self._budget_s, self._say = environment, builds, budget_s, say
        self._errors: List[EdgeNextError] = []

    def run(self) -> RacedPlan:
        """Race to the end.

        Raises:
            MissingRuntimeError: TensorRT is not installed, or there is no GPU.
            VerificationError: no plan gives a right answer.
            IncompatibleError: the only graph cannot be built.
        """
        state = begin_or_go_on(self._folder, self._identity(), self._entrants, self._say)
        discipline = Discipline(self._prepare, self._engine_of, self._is_ready,
                                lambda entrant: self._folder.drop(_stem(entrant)), self._more, "building")
        try:
            state = RaceLoop(self._folder, state, discipline, self._budget_s, self._say).run()
        except VerificationError:
            if len(self._source.manifests) == 1 and self._errors:
                raise self._errors[0] from None
            raise
        table = table_of(state, os.path.basename(self._source.path), self._machine(), self._budget_s,
                         self._source.left_out)
        winner = table.won
        return RacedPlan(winner.candidate, self._result(winner), winner.self_test,
                         winner.reason if winner.self_test is None else "", table)

    def _identity(self) -> str:
        """Return a digest of what makes this race this one: after a change of it the work so far is worth nothing."""
        request = self._request._replace(onnx_path="", workspace_bytes=0, timing_cache=None)
        parts = [self._source.sha256, json_records.to_json(request), json_records.to_json(self._environment),
                 self._builds]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()

    def _machine(self) -> str:
        here = self._environment
        version = here.tensorrt if self._request.runtime == "tensorrt" else here.tensorrt_rtx
        return "{}, {} {}".format(here.board or here.gpu or here.platform, self._request.runtime, version)

    def _entrants(self) -> Sequence[Entrant]:
        found = [Entrant(name, name, fp32_pins=self._pins(name)) for name in self._source.manifests]
        return found if len(found) > 1 else [*found, *self._further_builds(found[0])]

    def _pins(self, name: str) -> int:
        manifest = self._source.manifests[name]
        fp16 = (self._request.precision or manifest.precision.requested) == "fp16"
        return len(pins_of(manifest)) if fp16 else 0

    def _further_builds(self, entrant: Entrant) -> List[Entrant]:
        return [Entrant("{}, build {}".format(entrant.candidate, number), entrant.candidate, number,
                        fp32_pins=entrant.fp32_pins) for number in range(2, self._builds + 1)]

    def _more(self, winner: Entrant, entrants: Sequence[Entrant]) -> Sequence[Entrant]:
        return self._further_builds(winner) if len(self._source.manifests) > 1 else ()

    def _prepare(self, entrant: Entrant) -> Entrant:
        """Build one plan and test it."""
        stem = _stem(entrant)
        graph = self._source.place(entrant.candidate, self._folder.file(stem + ".onnx"))
        # The timing cache would give a further build the same kernels again.
        request = self._request._replace(
            onnx_path=graph, timing_cache=self._request.timing_cache if entrant.build == 1 else None)
        try:
            result = build_in_child(request)
        except (IncompatibleError, VerificationError) as error:
            return self._failed(entrant, error)
        finally:
            if graph != self._source.path:
                os.unlink(graph)
        plan = self._plan_path(entrant)
        self._write(entrant, plan, result)
        built = entrant._replace(status=RACING, bytes=len(result.plan), build_s=result.report.build_s)
        try:
            tested, untested = verify_in_child(plan)
        except VerificationError as error:
            return self._failed(built, type(error)(error.message.replace(plan, entrant.name), error.fix))
        if tested is None:
            raise NotRacedError(built, untested.replace(plan, entrant.name))
        return built._replace(self_test=tested)

    def _failed(self, entrant: Entrant, error: EdgeNextError) -> Entrant:
        self._errors.append(error)
        return entrant._replace(status=FAILED, reason=error.message)

    def _write(self, entrant: Entrant, plan: str, result: BuildResult) -> None:
        manifest_file = self._source.manifest_bytes(entrant.candidate)
        manifest = self._source.manifests[entrant.candidate]
        write_files_atomically({self._report_path(entrant): json_records.dump(result.report)})
        write_plan(plan, result.plan,
                   record_of(result, manifest.graph.file, manifest, manifest_file, self._environment),
                   {manifest_path(plan): manifest_file})

    def _engine_of(self, entrant: Entrant) -> HeatEngine:
        return HeatEngine(entrant.name, self._plan_path(entrant))

    def _is_ready(self, entrant: Entrant) -> bool:
        try:
            open_plan(self._plan_path(entrant)).manifest()
            self._report(entrant)
        except BadInputError:
            return False
        return True

    def _plan_path(self, entrant: Entrant) -> str:
        return self._folder.file(_stem(entrant) + ".plan")

    def _report_path(self, entrant: Entrant) -> str:
        return self._folder.file(_stem(entrant) + ".report.json")

    def _report(self, entrant: Entrant) -> BuildReport:
        path = self._report_path(entrant)
        return json_records.from_json(BuildReport, json_records.read_file(path, "build report", ""), path)

    def _result(self, entrant: Entrant) -> BuildResult:
        return BuildResult(open_plan(self._plan_path(entrant)).take_data(), self._report(entrant))


def _stem(entrant: Entrant) -> str:
    """Return the name of an entrant's files, without an ending; a graph's may have dots."""
    return "{}-{}".format(sha256_of_bytes(entrant.candidate.encode("utf-8"))[:12], entrant.build)
