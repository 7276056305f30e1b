import gc
import math
import time

import numpy as np
import pytest

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.benchmarks.latency.interleave import Limits, Series, Watch, measure
from edgenext_deploy.benchmarks.latency.run import compare
from edgenext_deploy.benchmarks.latency_report import WarmUp
from edgenext_deploy.runtime.session import Session, SessionTimings

IMAGE = np.zeros((1, 3, 32, 32), dtype=np.float32)


def spin(duration_ms):
    def run(image):
        end = time.perf_counter() + duration_ms / 1e3
        while time.perf_counter() < end:
            pass

    return run


def disturbed(seed, centre_ms):
    """Return the cost of a call as a function: noisy, now and then ten times as much."""
    random = np.random.RandomState(seed)
    return lambda call: centre_ms * math.exp(0.1 * random.standard_normal()) * (10.0 if random.rand() < 0.02 else 1.0)


def inputs(sessions):
    return dict.fromkeys(sessions, IMAGE)


def values_of(sessions, limits):
    series = measure(sessions, inputs(sessions), limits).series
    return {name: found.values_ms for name, found in series.items()}


# Against real time


@pytest.mark.serial
def test_a_session_that_does_nothing_reads_below_five_microseconds():
    values = values_of({"nothing": lambda image: None}, Limits(duration_s=0.02, warmup_s=0.1))["nothing"]
    assert 0.0 < np.median(values) < 0.005


@pytest.mark.serial
def test_a_session_that_sleeps_reads_its_sleep_to_some_microseconds():
    """The system may sleep longer than it is told, above all under load; each call says how long it really took."""
    truth_ms = []

    def sleep(image):
        start = time.perf_counter()
        time.sleep(0.001)
        truth_ms.append((time.perf_counter() - start) * 1e3)

    values = values_of({"sleep": sleep}, Limits(duration_s=0.2, warmup_s=0.2))["sleep"]
    excess = values - np.array(truth_ms[-len(values):])
    assert np.all(values >= 1.0)
    assert np.all(excess >= 0.0)
    assert np.median(excess) < 0.03


@pytest.mark.serial
def test_reading_the_stages_does_not_count_as_latency():
    class Told(Session):
        inputs = (TensorSpec("image", (1, 3, 32, 32), "float32"),)
        outputs = ()

        def infer_all(self, image):
            self.timings = SessionTimings(1.0, 0.1, 0.1, 0.7, 0.1)
            return ()

        def submit(self, image):
            raise AssertionError

        collect = describe = close = submit

    series = measure({"a": Told()}, inputs("a"), Limits(iterations=2000, warmup_s=0.05)).series["a"]
    assert np.median(series.values_ms) < 0.005
    assert sum(len(block) for block in series.timings) == 2000
    assert series.timings[0][0].compute_ms == 0.7


@pytest.mark.serial
def test_a_session_that_is_slower_by_a_fifth_is_reported_so():
    sessions = {"slow": spin(0.6), "fast": spin(0.5)}
    series = measure(sessions, inputs(sessions), Limits(rounds=40, block_s=0.01, warmup_s=0.3)).series
    result = compare("slow", series["slow"], "fast", series["fast"])
    assert (result.faster, result.slower) == ("fast", "slow")
    # However busy the machine is; with planted noise the test below asks for more.
    assert result.ratio == pytest.approx(1.2, abs=0.1)
    assert result.interval.low - 0.05 <= 1.2 <= result.interval.high + 0.05
    assert result.rounds >= 12


# Against a clock that only the sessions move: exact


def test_drift_hits_all_sessions_alike(fake_time):
    """The machine becomes several times slower during the run; the ratio stays what it is."""
    drift = lambda: 1.0 + fake_time.now_ms / 3000.0  # noqa: E731
    sessions = {
        "a": fake_time.takes(lambda call: 1.0 * drift()),
        "b": fake_time.takes(lambda call: 1.2 * drift()),
    }
    series = measure(sessions, inputs(sessions), Limits(duration_s=3.0, warmup_s=0.0)).series
    result = compare("a", series["a"], "b", series["b"])
    assert max(series["a"].values_ms) > 2.5 * min(series["a"].values_ms)
    assert result.faster == "a"
    assert result.ratio == pytest.approx(1.2, rel=0.002)
    assert 1.198 < result.interval.low <= result.ratio <= result.interval.high < 1.202


def test_a_fifth_shows_through_noise_and_disturbances_and_the_interval_covers_it(fake_time):
    """Noise of 10 %, every fiftieth call ten times as long; of ten intervals nearly all hold the truth."""
    covered = 0
    for seed in range(10):
        sessions = {"fast": fake_time.takes(disturbed(seed, 1.0)), "slow": fake_time.takes(disturbed(seed + 50, 1.2))}
        series = measure(sessions, inputs(sessions), Limits(rounds=40, block_s=0.02, warmup_s=0.0)).series
        result = compare("fast", series["fast"], "slow", series["slow"])
        assert result.faster == "fast"
        assert result.ratio == pytest.approx(1.2, rel=0.03)
        covered += result.interval.low <= 1.2 <= result.interval.high
    assert covered >= 8


@pytest.mark.parametrize("iterations", [1, 7, 100, 1003])
def test_iterations_are_exact(fake_time, iterations):
    sessions = {"a": fake_time.takes(1.0), "b": fake_time.takes(5.0)}
    values = values_of(sessions, Limits(iterations=iterations, duration_s=0.001))
    assert [len(values["a"]), len(values["b"])] == [iterations, iterations]
    assert set(values["a"]) == {1.0}
    assert set(values["b"]) == {5.0}


def test_with_a_number_of_iterations_too_all_sessions_run_from_the_first_round_to_the_last(fake_time):
    """The quick one must not be done in the first quarter of the run, while the machine is still cool."""
    sessions = {"quick": fake_time.takes(2.0), "slow": fake_time.takes(50.0)}
    series = measure(sessions, inputs(sessions), Limits(iterations=400)).series
    quick, slow = series["quick"], series["slow"]
    assert len(quick.blocks) == len(slow.blocks)
    assert quick.starts_s[-1][-1] == pytest.approx(slow.starts_s[-1][-1], abs=0.2)


def test_duration_is_spent_inside_the_calls_of_each_session(fake_time):
    sessions = {"a": fake_time.takes(1.0), "b": fake_time.takes(20.0)}
    values = values_of(sessions, Limits(duration_s=2.0))
    for latencies in values.values():
        assert 2000.0 <= latencies.sum() <= 2600.0  # rounds are whole, and a block holds whole calls


def test_at_least_min_iterations_are_made_however_slow(fake_time):
    values = values_of({"a": fake_time.takes(5000.0)}, Limits(duration_s=1.0, min_iterations=12))
    assert len(values["a"]) == 12


def test_a_machine_that_slows_down_after_the_warm_up_still_gives_an_interval(fake_time):
    def cost(call):
        return 1.0 if call < 300 else 10.0

    sessions = {"a": fake_time.takes(cost), "b": fake_time.takes(cost)}
    series = measure(sessions, inputs(sessions), Limits(duration_s=2.0)).series
    assert len(series["a"].blocks) == len(series["b"].blocks) >= 12
    assert compare("a", series["a"], "b", series["b"]).interval is not None


def test_rounds_are_exact_and_every_session_has_one_block_in_each(fake_time):
    sessions = {"a": fake_time.takes(10.0), "b": fake_time.takes(25.0)}
    series = measure(sessions, inputs(sessions), Limits(rounds=17, block_s=0.1, warmup_s=1.0)).series
    assert [len(block) for block in series["a"].blocks] == [10] * 17
    assert [len(block) for block in series["b"].blocks] == [4] * 17


def test_the_call_that_finds_cold_caches_is_not_timed(fake_time):
    """Each session is ten times slower in the first call after the other one ran."""
    last = [""]

    def session(name):
        def run(image):
            fake_time.now_ms += 1.0 if last[0] == name else 10.0
            last[0] = name

        return run

    values = values_of({"a": session("a"), "b": session("b")}, Limits(duration_s=0.5))
    assert set(values["a"]) == set(values["b"]) == {1.0}


def test_the_call_behind_a_drawn_bar_is_not_timed(fake_time):
    cold = [False]

    def draw(fraction, what):
        cold[0] = True

    def run(image):
        fake_time.now_ms += 10.0 if cold[0] else 1.0
        cold[0] = False

    series = measure({"a": run}, inputs("a"), Limits(rounds=5, block_s=0.01, warmup_s=0.1), draw).series["a"]
    assert set(series.values_ms) == {1.0}


def test_every_other_round_runs_in_reverse(fake_time):
    order = []

    def session(name):
        def run(image):
            order.append(name)
            fake_time.now_ms += 1.0

        return run

    measure({"a": session("a"), "b": session("b"), "c": session("c")}, inputs("abc"),
            Limits(rounds=4, block_s=0.001, warmup_s=0.0))
    calls = "".join(order[3:])  # behind the three of the warm-up
    assert calls == 2 * ("aabbcc" + "ccbbaa")


def test_each_session_gets_its_own_input():
    seen = {}
    sessions = {name: lambda image, name=name: seen.setdefault(name, set()).add(image.shape) for name in "ab"}
    images = {"a": np.zeros((1, 3, 8, 8)), "b": np.zeros((2, 3, 4, 4))}
    measure(sessions, images, Limits(rounds=2, warmup_s=0.0))
    assert seen == {"a": {(1, 3, 8, 8)}, "b": {(2, 3, 4, 4)}}


def test_a_session_object_is_timed_through_infer_all(fake_time):
    class Recorded(Session):
        inputs = (TensorSpec("image", (1, 3, 32, 32), "float32"),)
        outputs = ()

        def infer_all(self, image):
            fake_time.now_ms += 4.0
            return ()

        def submit(self, image):
            raise AssertionError

        def collect(self):
            raise AssertionError

        def describe(self):
            return {}

        def close(self):
            pass

    assert set(values_of({"a": Recorded()}, Limits(iterations=5))["a"]) == {4.0}


def test_series_without_two_rounds_in_common_are_not_compared():
    once = Series((np.ones(3),), WarmUp(1.0, 1, True))
    often = once._replace(blocks=once.blocks * 9)
    assert compare("a", often, "b", once) is None
    assert compare("a", often, "b", once._replace(blocks=once.blocks * 2)).rounds == 2


# Warm-up


def test_warm_up_goes_on_until_the_latency_is_stable(fake_time):
    run = fake_time.takes(lambda call: 1.0 + 9.0 * math.exp(-call / 30.0))
    series = measure({"a": run}, inputs("a"), Limits(duration_s=0.1, warmup_s=60.0)).series["a"]
    assert series.warmup.stable
    assert series.warmup.iterations > 60
    assert series.warmup.duration_ms < 60000.0
    assert series.values_ms.max() < 1.2


def test_a_latency_that_never_settles_is_said_to_be_unstable_at_the_time_limit(fake_time):
    run = fake_time.takes(lambda call: math.exp(0.02 * call))
    warmup = measure({"a": run}, inputs("a"), Limits(iterations=1, warmup_s=2.0)).series["a"].warmup
    assert not warmup.stable
    assert 2000.0 <= warmup.duration_ms < 2100.0


def test_a_window_that_the_limit_cuts_short_does_not_make_the_latency_stable(fake_time):
    for limit_s, stable in ((0.13, False), (0.18, True)):  # windows of 60 ms; the third is one call, or three
        warmup = measure({"a": fake_time.takes(20.0)}, inputs("a"), Limits(iterations=1, warmup_s=limit_s))
        assert warmup.series["a"].warmup.stable is stable


def test_without_a_warm_up_one_call_is_made_and_nothing_is_claimed(fake_time):
    result = measure({"a": fake_time.takes(3.0)}, inputs("a"), Limits(iterations=4, warmup_s=0.0))
    assert result.series["a"].warmup == (3.0, 1, False)


# What looks at the machine between blocks


class Watcher(Watch):
    """Reads after every third block, which takes 50 ms."""

    def __init__(self, fake_time):
        self.fake_time, self.begun_at, self.seen = fake_time, None, []

    def begin(self):
        self.begun_at = self.fake_time.now_ms

    def after_block(self, name):
        self.seen.append(name)
        if len(self.seen) % 3:
            return False
        self.fake_time.now_ms += 50.0
        return True


def test_sensors_are_read_between_blocks_and_the_call_behind_a_reading_is_not_timed(fake_time):
    watcher = Watcher(fake_time)
    read_at = [0]

    def cost(call):
        cold = len(watcher.seen) > read_at[0] and len(watcher.seen) % 3 == 0
        read_at[0] = len(watcher.seen)
        return 9.0 if cold else 1.0

    sessions = {"a": fake_time.takes(cost)}
    found = measure(sessions, inputs("a"), Limits(rounds=9, block_s=0.01, warmup_s=0.0), watch=watcher).series["a"]
    assert set(found.values_ms) == {1.0}
    assert watcher.seen == ["a"] * 9
    assert watcher.begun_at == 1.0  # behind the one call of the warm-up


def test_the_start_of_every_call_is_kept(fake_time):
    found = measure({"a": fake_time.takes(2.0)}, inputs("a"), Limits(rounds=3, block_s=0.006, warmup_s=0.0),
                    watch=Watcher(fake_time)).series["a"]
    starts = np.concatenate(found.starts_s)
    np.testing.assert_allclose(starts, np.arange(9) * 0.002, atol=1e-12)


# Ctrl-C, garbage collection, progress


def interrupted_at(fake_time, call_number, cost_ms=1.0):
    def cost(call):
        if call == call_number:
            raise KeyboardInterrupt
        return cost_ms

    return fake_time.takes(cost)


def test_ctrl_c_keeps_what_was_measured(fake_time):
    sessions = {"a": fake_time.takes(1.0), "b": interrupted_at(fake_time, 500)}
    result = measure(sessions, inputs(sessions), Limits(duration_s=100.0, warmup_s=0.15))
    made = {name: sum(len(block) for block in series.blocks) for name, series in result.series.items()}
    assert result.interrupted
    # 500 calls of b were made: its warm-up, one untimed call in each of its blocks, and the rest timed.
    warmup = result.series["b"].warmup.iterations
    assert made["b"] == 500 - warmup - len(result.series["b"].blocks)
    assert made["a"] > 0
    assert abs(len(result.series["a"].blocks) - len(result.series["b"].blocks)) <= 1


def test_ctrl_c_inside_the_first_block_keeps_the_calls_before_it(fake_time):
    result = measure({"a": interrupted_at(fake_time, 8)}, inputs("a"), Limits(iterations=900, warmup_s=0.0))
    assert result.interrupted
    assert len(result.series["a"].values_ms) == 7  # eight calls, the first one to know the latency


def test_ctrl_c_before_anything_was_measured_is_passed_on(fake_time):
    with pytest.raises(KeyboardInterrupt):
        measure({"a": interrupted_at(fake_time, 3)}, inputs("a"), Limits(warmup_s=10.0))
    with pytest.raises(KeyboardInterrupt):
        measure({"a": interrupted_at(fake_time, 1)}, inputs("a"), Limits(warmup_s=0.0))


def raises_at(fake_time, call_number, error):
    def cost(call):
        if call == call_number:
            raise error
        return 1.0

    return fake_time.takes(cost)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_an_error_of_one_session_keeps_what_was_measured_of_all(fake_time, order):
    error = RuntimeError("broken engine")
    made = {"a": fake_time.takes(1.0), "b": raises_at(fake_time, 500, error)}
    sessions = {name: made[name] for name in order}
    result = measure(sessions, inputs(sessions), Limits(duration_s=100.0, warmup_s=0.15))
    assert result.failed == ("b", error) and not result.interrupted
    series = result.series["b"]
    # 500 calls of b were made: its warm-up, one untimed call in each of its blocks, and the rest timed.
    assert len(series.values_ms) == 500 - series.warmup.iterations - len(series.blocks)
    assert len(result.series["a"].values_ms) > 0
    assert gc.isenabled()


def test_an_error_in_the_first_call_of_a_turn_keeps_what_was_measured(fake_time):
    error = RuntimeError("broken engine")
    sessions = {"a": fake_time.takes(1.0), "b": raises_at(fake_time, 1, error)}  # call 0 is the warm-up
    result = measure(sessions, inputs(sessions), Limits(duration_s=1.0, warmup_s=0.0))
    assert result.failed == ("b", error)
    assert len(result.series["a"].values_ms) > 0
    assert result.series["b"].blocks == ()


@pytest.mark.parametrize("call", [0, 1])
def test_an_error_before_anything_was_measured_leaves_no_series(fake_time, call):
    error = RuntimeError("broken engine")
    found = measure({"a": raises_at(fake_time, call, error)}, inputs("a"), Limits(warmup_s=0.0))
    assert (found.series, found.interrupted, found.failed) == ({}, False, ("a", error))


def test_garbage_collection_is_off_while_timing_and_on_again_afterwards():
    states = []
    sessions = {"a": lambda image: states.append(gc.isenabled())}
    measure(sessions, inputs(sessions), Limits(iterations=20, warmup_s=0.0))
    assert states == [False] * 21
    assert gc.isenabled()


def test_garbage_collection_comes_back_after_an_error_too():
    def fails(image):
        raise RuntimeError("broken engine")

    assert measure({"a": fails}, inputs("a"), Limits()).failed is not None
    assert gc.isenabled()


def test_progress_grows_and_names_the_session(fake_time):
    told = []
    sessions = {"first": fake_time.takes(1.0), "second": fake_time.takes(1.0)}
    measure(sessions, inputs(sessions), Limits(rounds=5), lambda *what: told.append(what))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0.0 <= fractions[0] < fractions[-1] < 1.0
    assert told[0] == (0.0, "warming up first")
    assert told[-1][1].startswith("round 5")
