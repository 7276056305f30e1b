"""The course of every race: make each entrant ready, halve the field heat by heat, keep the state after each step."""
import math
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from edgenext_deploy.engines.racing.halving import FASTEST, LEAST_S, heats_take_s, judge, plan_heats, racing
from edgenext_deploy.engines.racing.heats import HeatAnswer, HeatEngine, run_heat
from edgenext_deploy.engines.racing.records import (
    FAILED,
    RACING,
    SCHEMA,
    SKIPPED,
    WAITING,
    WON,
    Entrant,
    RaceState,
)
from edgenext_deploy.engines.racing.work_folder import WorkFolder
from edgenext_deploy.errors import UsageError, VerificationError

Say = Callable[[str], None]
_MOST_LISTED = 4


class NotRacedError(Exception):
    """Entrants cannot be run on this machine, so there is nothing to measure; the first that was made is kept.

    Args:
        entrant: that one, ready.
        reason: why it cannot be run.
    """

    def __init__(self, entrant: Entrant, reason: str) -> None:
        super().__init__(reason)
        self.entrant, self.reason = entrant, reason


class Discipline(NamedTuple):
    """What differs between a race of plans and a race of graphs.

    Attributes:
        prepare: makes an entrant ready and returns it, racing or failed; raises `NotRacedError` where none can be run.
        engine_of: returns the file of a ready entrant, and how to run it.
        is_ready: returns whether the files of an entrant that is racing are still there.
        discard: removes the files of an entrant that is out.
        more: returns further entrants to race against the winner, given first, of all; empty for none.
        doing: what `prepare` does, in a word, such as ``building``.
    """

    prepare: Callable[[Entrant], Entrant]
    engine_of: Callable[[Entrant], HeatEngine]
    is_ready: Callable[[Entrant], bool]
    discard: Callable[[Entrant], None]
    more: Callable[[Entrant, Sequence[Entrant]], Sequence[Entrant]]
    doing: str


class RaceLoop:
    """One race, begun or taken up again.

    Args:
        folder: where its state is kept.
        state: where it begins.
        discipline: what is raced, and how.
        budget_s: seconds for all of it; None for as long as it takes.
        say: told what is being done, and how much time is left.

    Raises:
        UsageError: a budget that is no time.
    """

    def __init__(self, folder: WorkFolder, state: RaceState, discipline: Discipline, budget_s: Optional[float],
                 say: Say) -> None:
        if budget_s is not None and not 0 < budget_s < math.inf:
            raise UsageError("the budget of a race must be a time above 0, found {} s".format(budget_s),
                             "leave it out for as long as the race takes")
        self._folder, self._discipline, self._budget_s, self._say = folder, discipline, budget_s, say
        self._entrants: Dict[str, Entrant] = {entrant.name: entrant for entrant in state.entrants}
        self._state = state
        self._began = time.monotonic()
        self._prepared_s: List[float] = [one.build_s for one in state.entrants if one.build_s is not None]

    def run(self) -> RaceState:
        """Race to the end.

        Returns:
            The last state, in which one entrant has won.

        Raises:
            VerificationError: no entrant gives a right answer and comes to an end.
        """
        self._take_up()
        while not (self._state.extended and self._winner() is not None):
            try:
                self._prepare_all()
            except NotRacedError as found:
                self._keep_first(found)
                break
            if self._winner() is None:
                self._run_heats()
            if not self._state.extended:
                self._extend()
        return self._state

    def _take_up(self) -> None:
        """Bring files and state together: what was being done when the race was interrupted is done again."""
        begun = bool(self._state.durations_s) or self._winner() is not None
        for entrant in list(self._entrants.values()):
            if entrant.status in (RACING, WON):
                if not self._discipline.is_ready(entrant):
                    self._put(entrant._replace(status=WAITING, measured=None))
            else:
                self._discipline.discard(entrant)
            if entrant.status == SKIPPED and not begun:
                self._put(entrant._replace(status=WAITING, reason=""))  # the budget may be another one
        self._save()

    def _prepare_all(self) -> None:
        waiting = [entrant for entrant in self._entrants.values() if entrant.status == WAITING]
        for number, entrant in enumerate(waiting, 1):
            left_s = self._left_s()
            if left_s is not None and self._ready() and left_s < self._next_takes_s():
                self._put(entrant._replace(status=SKIPPED, reason="the budget of {:.3g} min was used up".format(
                    (self._budget_s or 0.0) / 60)))
                continue
            self._say("{} {} of {}, {}{}".format(self._discipline.doing, number, len(waiting), entrant.name,
                                                 self._outlook(len(waiting) - number + 1)))
            began = time.monotonic()
            self._put(self._prepared(entrant))
            self._prepared_s.append(time.monotonic() - began)
            self._after_step()
        self._save()

    def _prepared(self, entrant: Entrant) -> Entrant:
        """Return an entrant made ready; where another one was run, one that cannot be is at fault itself."""
        try:
            return self._discipline.prepare(entrant)
        except NotRacedError as found:
            if not any(one.self_test is not None for one in self._entrants.values()):
                raise
            return found.entrant._replace(status=FAILED, reason=found.reason)

    def _run_heats(self) -> None:
        if not self._state.durations_s:
            self._state = self._state._replace(durations_s=plan_heats(len(self._ready()), self._left_s()))
            self._save()
        while self._ready() and self._winner() is None:
            field = self._ready()
            if len(field) == 1 and field[0].measured is not None:
                self._put(field[0]._replace(status=WON, reason=FASTEST))
                self._after_step()
                break
            duration_s, *later = self._state.durations_s or (LEAST_S,)
            self._say("measuring {} in turns, {:.2g} s each{}".format(
                _listed(field), duration_s, self._outlook(0)))
            began = time.monotonic()
            answer = run_heat([self._discipline.engine_of(one) for one in field], duration_s)
            overhead_s = max(0.0, (time.monotonic() - began) / len(field) - duration_s)
            ran = self._with_answer(field, answer)
            if ran:
                last = not later or len(ran) == 1
                for entrant in judge(ran, last).values():
                    self._put(entrant)
            if later and self._ready():
                later = list(plan_heats(len(self._ready()), self._left_s(), overhead_s, len(later)))
            self._state = self._state._replace(durations_s=tuple(later))
            self._after_step()
        if self._winner() is None:
            raise VerificationError("no candidate can be used: {}".format("; ".join(
                "{}: {}".format(one.name, one.reason) for one in self._entrants.values())),
                "build one graph alone to see more: edgenext-build MODEL.onnx")

    def _with_answer(self, field: Sequence[Entrant], answer: HeatAnswer) -> List[Entrant]:
        """Enter what a heat found; return those that ran to its end."""
        ran = []
        for entrant in field:
            tested = entrant._replace(self_test=answer.tests.get(entrant.name, entrant.self_test))
            if entrant.name in answer.failed:
                self._put(tested._replace(status=FAILED, reason=answer.failed[entrant.name]))
            elif entrant.name in answer.measured:
                ran.append(tested._replace(measured=answer.measured[entrant.name]))
        return ran

    def _extend(self) -> None:
        """Let further entrants of the winner's kind race against it."""
        winner = self._winner()
        assert winner is not None
        self._state = self._state._replace(extended=True)
        more = self._discipline.more(winner, list(self._entrants.values()))
        if more:
            self._put(winner._replace(status=RACING, reason=""))
            for entrant in more:
                self._put(entrant)
            self._state = self._state._replace(durations_s=())
        self._save()

    def _keep_first(self, found: NotRacedError) -> None:
        self._put(found.entrant._replace(status=WON, reason="the first, for nothing can be measured here: {}".format(
            found.reason)))
        for entrant in self._entrants.values():
            if entrant.status == WAITING:
                self._put(entrant._replace(status=SKIPPED, reason="nothing can be measured here"))
        self._state = self._state._replace(extended=True)
        self._save()

    def _after_step(self) -> None:
        self._save()
        for entrant in self._entrants.values():
            if entrant.status not in (WAITING, RACING, WON):
                self._discipline.discard(entrant)

    def _ready(self) -> List[Entrant]:
        return racing(list(self._entrants.values()))

    def _winner(self) -> Optional[Entrant]:
        return next((one for one in self._entrants.values() if one.status == WON), None)

    def _put(self, entrant: Entrant) -> None:
        self._entrants[entrant.name] = entrant

    def _save(self) -> None:
        now = time.monotonic()
        self._state = self._state._replace(
            spent_s=self._state.spent_s + now - self._began, entrants=tuple(self._entrants.values()))
        self._began = now
        self._folder.save(self._state)

    def _left_s(self) -> Optional[float]:
        if self._budget_s is None:
            return None
        return self._budget_s - self._state.spent_s - (time.monotonic() - self._began)

    def _next_takes_s(self) -> float:
        """Return an estimate of what one more entrant costs, with the shortest heats after it."""
        return max(self._prepared_s or [0.0]) + heats_take_s(len(self._ready()) + 1, 0.0)

    def _outlook(self, to_prepare: int) -> str:
        """Return how much is left, in words; an estimate from what was done so far."""
        left_s = heats_take_s(len(self._ready()) + to_prepare)
        if to_prepare:
            if not self._prepared_s:
                return ""
            left_s += to_prepare * sum(self._prepared_s) / len(self._prepared_s)
        return "; about {} left".format("{:.0f} min".format(left_s / 60) if left_s >= 90 else "{:.0f} s".format(left_s))


def _listed(field: Sequence[Entrant]) -> str:
    if len(field) <= _MOST_LISTED:
        return ", ".join(one.name for one in field)
    return "{} entrants".format(len(field))


def begin_or_go_on(folder: WorkFolder, identity: str, entrants: Callable[[], Sequence[Entrant]], say: Say) -> RaceState:
    """Return the state of the race that was interrupted in a folder, or the one in which a new race begins.

    Args:
        folder: what lies there of another race is removed.
        identity: digest of what makes the race this one: after a change of it the work so far is worth nothing.
        entrants: makes those of a new race.
        say: told if a race goes on.
    """
    state = folder.load(identity)
    # Where all failed, who asks again has done something about it, such as given the board swap space.
    if state is not None and any(entrant.status != FAILED for entrant in state.entrants):
        say("going on with the race in {}".format(folder.path))
        return state
    folder.empty()
    return new_state(identity, entrants())


def new_state(identity: str, entrants: Sequence[Entrant]) -> RaceState:
    """Return the state in which a race begins."""
    return RaceState(SCHEMA, identity, 0.0, (), False, tuple(entrants))
