"""The course of a race, with planted builds and heats in this process: budgets, more builds, every interruption."""
import pytest

from edgenext_deploy.engines.racing import heats, race_loop
from edgenext_deploy.engines.racing.halving import judge, plan_heats
from edgenext_deploy.engines.racing.heats import HeatAnswer, HeatEngine
from edgenext_deploy.engines.racing.race_loop import Discipline, NotRacedError, RaceLoop, begin_or_go_on, new_state
from edgenext_deploy.engines.racing.records import FAILED, RACING, Entrant, Measured, Timing
from edgenext_deploy.engines.racing.work_folder import work_folder
from edgenext_deploy.engines.selftest.golden_test import SelfTest
from edgenext_deploy.errors import UsageError, VerificationError


def measured(ratio, spread=0.001, low=None, high=None, slowest=None):
    return Measured(Timing(ratio, ratio, ratio), None, 100, spread, spread <= 0.05, ratio,
                    ratio * 0.999 if low is None else low, ratio * 1.001 if high is None else high,
                    slowest or ratio)


class Killed(BaseException):
    """kill -9: nothing after it runs."""


class Course:
    """A race of planted entrants; `kill_at` is the number of the step, a build or a heat, in which it is killed."""

    def __init__(self, tmp_path, ratios, monkeypatch, kill_at=0, budget_s=None, more=(), bad=(), size=1000):
        self.tmp_path, self.ratios, self.budget_s, self.more, self.bad = tmp_path, ratios, budget_s, more, bad
        self.kill_at, self.steps, self.size = kill_at, 0, size
        self.built, self.heats, self.said = [], [], []
        monkeypatch.setattr(race_loop, "run_heat", self.heat)

    def step(self):
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed

    def file(self, entrant):
        return self.tmp_path / "out.plan.racing" / (entrant.name.replace(" ", "_") + ".plan")

    def prepare(self, entrant):
        self.step()
        self.built.append(entrant.name)
        if entrant.name in self.bad:
            return entrant._replace(status=FAILED, reason="wrong")
        self.file(entrant).write_text("plan")
        return entrant._replace(status=RACING, bytes=self.size)

    def heat(self, engines, duration_s):
        self.step()
        self.heats.append(([engine.name for engine in engines], duration_s))
        return HeatAnswer("", {engine.name: measured(self.ratios[engine.name]) for engine in engines}, {}, {})

    def run(self):
        discipline = Discipline(
            self.prepare, lambda entrant: HeatEngine(entrant.name, str(self.file(entrant))),
            lambda entrant: self.file(entrant).exists(),
            lambda entrant: self.file(entrant).unlink() if self.file(entrant).exists() else None,
            lambda winner, entrants: [Entrant(name, winner.candidate, 2) for name in self.more], "building")
        with work_folder(str(self.tmp_path / "out.plan")) as folder:
            first = [Entrant(name, name) for name in self.ratios if name not in self.more]
            state = begin_or_go_on(folder, "this", lambda: first, self.said.append)
            done = RaceLoop(folder, state, discipline, self.budget_s, self.said.append).run()
            left = sorted(path.name for path in (self.tmp_path / "out.plan.racing").glob("*.plan"))
            return {entrant.name: entrant for entrant in done.entrants}, left


NINE = {"a": 1.3, "b": 1.0, "c": 1.9, "d": 1.04, "e": 1.5, "f": 1.6, "g": 1.7, "h": 2.0, "i": 1.03}


@pytest.mark.parametrize("budget_s", [0, -1.0, float("nan"), float("inf")])
def test_a_budget_that_is_no_time_is_refused_before_the_race(tmp_path, monkeypatch, budget_s):
    course = Course(tmp_path, NINE, monkeypatch, budget_s=budget_s)
    with pytest.raises(UsageError, match="budget of a race"):
        course.run()
    assert course.built == []


def test_the_field_halves_and_losers_are_removed(tmp_path, monkeypatch):
    course = Course(tmp_path, NINE, monkeypatch)
    rows, left = course.run()
    assert [name for name, row in rows.items() if row.status == "won"] == ["b"] and left == ["b.plan"]
    assert [len(names) for names, _ in course.heats] == [9, 3, 3]
    assert [duration_s for _, duration_s in course.heats] == [0.75, 1.5, 3.0]
    assert rows["h"].reason == "slower: 2.00 times the time of b (2.00 to 2.00)"
    assert "building 1 of 9, a" in course.said[0]


@pytest.mark.parametrize("more", [(), ("b, build 2",)])
def test_killed_in_every_step(tmp_path, monkeypatch, more):
    """Nothing is built twice but what was being built, and the end is the same."""
    ratios = dict(NINE, **dict.fromkeys(more, 0.9))
    whole = Course(tmp_path / "whole", ratios, monkeypatch, more=more)
    (tmp_path / "whole").mkdir()
    expected, left = whole.run()
    for kill_at in range(1, whole.steps + 1):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        course = Course(folder, ratios, monkeypatch, kill_at, more=more)
        with pytest.raises(Killed):
            course.run()
        assert course.run() == (expected, left), kill_at
        assert sorted(course.built) == sorted(whole.built) and course.steps == whole.steps + 1


def test_killed_again_and_again(tmp_path, monkeypatch):
    course = Course(tmp_path, NINE, monkeypatch)
    for _ in range(40):
        course.kill_at, course.steps = 2, 0  # one step at a time
        try:
            rows, _ = course.run()
            break
        except Killed:
            continue
    assert rows["b"].status == "won" and sorted(course.built) == sorted(NINE)


def test_a_plan_that_is_gone_is_built_again(tmp_path, monkeypatch):
    course = Course(tmp_path, {"a": 1.0, "b": 2.0}, monkeypatch, kill_at=3)
    with pytest.raises(Killed):
        course.run()
    course.file(Entrant("a", "a")).unlink()
    rows, _ = course.run()
    assert course.built == ["a", "b", "a"] and rows["a"].status == "won"


def test_another_race_begins_anew(tmp_path, monkeypatch):
    with work_folder(str(tmp_path / "out.plan")) as folder:
        folder.save(new_state("another", [Entrant("x", "x")]))
        assert folder.load("this") is None and folder.load("another") is not None
        (tmp_path / "out.plan.racing" / "state.json").write_text("{")
        assert folder.load("another") is None
        with pytest.raises(UsageError, match="under way"), work_folder(str(tmp_path / "out.plan")):
            pass
        folder.remove()
    assert not (tmp_path / "out.plan.racing").exists()


def test_further_builds_race_against_the_winner(tmp_path, monkeypatch):
    ratios = {"a": 1.0, "b": 1.5, "a, build 2": 0.8, "a, build 3": 1.2}
    course = Course(tmp_path, ratios, monkeypatch, more=("a, build 2", "a, build 3"))
    rows, left = course.run()
    assert course.built == ["a", "b", "a, build 2", "a, build 3"]
    assert [name for name, row in rows.items() if row.status == "won"] == ["a, build 2"] and left == ["a,_build_2.plan"]


def test_a_budget_leaves_out_the_last_ones(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(race_loop.time, "monotonic", lambda: clock[0])
    course = Course(tmp_path, NINE, monkeypatch, budget_s=400.0)
    prepare = course.prepare

    def slowly(entrant):
        clock[0] += 100.0
        return prepare(entrant)

    course.prepare = slowly
    rows, _ = course.run()
    assert course.built == ["a", "b", "c"] and rows["b"].status == "won"
    assert rows["d"].status == "skipped" and rows["d"].reason == "the budget of 6.67 min was used up"
    assert any("about 14 min left" in text for text in course.said)


def test_nothing_that_can_be_used(tmp_path, monkeypatch):
    course = Course(tmp_path, {"a": 1.0, "b": 1.0}, monkeypatch, bad=("a", "b"))
    with pytest.raises(VerificationError, match="a: wrong; b: wrong"):
        course.run()
    course.bad = ("a",)  # something was done about it
    rows, _ = course.run()
    assert course.built == ["a", "b", "a", "b"] and rows["b"].status == "won"


def test_where_nothing_runs_the_first_is_kept(tmp_path, monkeypatch):
    course = Course(tmp_path, {"a": 1.0, "b": 0.5}, monkeypatch)
    prepare = course.prepare

    def untested(entrant):
        raise NotRacedError(prepare(entrant), "there is no GPU")

    course.prepare = untested
    rows, left = course.run()
    assert course.built == ["a"] and left == ["a.plan"] and course.heats == []
    assert (rows["a"].status, rows["b"].status) == ("won", "skipped") and "there is no GPU" in rows["a"].reason
    assert course.run() == (rows, left)


def test_one_that_cannot_be_run_where_others_were_is_out_of_the_race(tmp_path, monkeypatch):
    """As where memory was short for a moment; the plans that were tested are not given up for it."""
    course = Course(tmp_path, {"a": 1.0, "b": 0.5, "c": 0.9}, monkeypatch)
    prepare = course.prepare

    def one_untested(entrant):
        if entrant.name == "b":
            raise NotRacedError(prepare(entrant), "out of memory")
        return prepare(entrant)._replace(self_test=SelfTest(True, 1e-4, 1e-2, "fp16", True, 1.0))

    course.prepare = one_untested
    rows, left = course.run()
    assert {name: row.status for name, row in rows.items()} == {"a": "lost", "b": "failed", "c": "won"}
    assert rows["b"].reason == "out of memory" and left == ["c.plan"]


def test_a_yardstick_that_fails_in_a_later_group_costs_no_wrong_ratio(monkeypatch):
    times_ms = dict({"n{}".format(index): 20.0 + index for index in range(12)}, n0=1.0)

    def run_child(request):
        names = [engine.name for engine in request.engines]
        if request.yardstick:
            return HeatAnswer("", {}, {}, {request.yardstick: "crashed (signal 9)"}) if request.yardstick == "n0" else \
                answer(names, request.yardstick)
        return answer(names, min(names, key=times_ms.get))

    def answer(names, yardstick):
        return HeatAnswer(yardstick, {name: measured(times_ms[name] / times_ms[yardstick]) for name in names}, {}, {})

    monkeypatch.setattr(heats, "_run_child", run_child)
    found = heats.run_heat([HeatEngine(name, name + ".plan") for name in times_ms], 1.0)
    assert found.failed == {"n0": "crashed (signal 9)"} and found.yardstick == "n1"
    assert {name: one.ratio for name, one in found.measured.items()} == pytest.approx(
        {name: times_ms[name] / 21.0 for name in times_ms if name != "n0"})


def field(**given):
    return [Entrant(name, name, fp32_pins=pins, bytes=size, measured=found)
            for name, (found, pins, size) in given.items()]


def status(entrants, last=True):
    return {name: entrant.status for name, entrant in judge(entrants, last).items()}


def test_equals_are_decided_by_pins_and_then_by_size():
    one = measured(1.0)
    equal, smaller, slower = measured(1.009, low=1.005), measured(1.01, low=0.99), measured(1.015, low=0.99)
    assert status(field(a=(one, 5, 10), b=(equal, 2, 20), c=(smaller, 2, 15), d=(slower, 0, 1))) == {
        "a": "lost", "b": "lost", "c": "won", "d": "lost"}
    found = judge(field(a=(one, 5, 10), b=(equal, 5, 9)), True)
    assert found["a"].reason == "equal to b, and larger: 10 bytes against 9"
    assert found["b"].reason == "the fastest, with 1 equal to it"


def test_the_unstable_counts_as_its_slowest_fifth():
    jumpy = measured(0.9, spread=0.5, low=0.4, high=1.5, slowest=1.4)
    found = judge(field(a=(measured(1.0), 0, 1), b=(jumpy, 0, 1)), True)
    assert found["a"].status == "won" and found["b"].reason.startswith("unstable: 1.40 times the time of a")
    # Faster even in its slowest fifth.
    assert status(field(a=(measured(1.0), 0, 1), b=(measured(0.5, spread=0.1, slowest=0.6), 0, 1))) == {
        "a": "lost", "b": "won"}


def test_heats_fit_into_the_time_that_is_left():
    assert plan_heats(1, None) == plan_heats(2, None) == (3.0,) and plan_heats(6, None) == (1.5, 3.0)
    assert sum(plan_heats(8, 30.0)) < sum(plan_heats(8, None)) and min(plan_heats(8, 0.0)) == 0.1
