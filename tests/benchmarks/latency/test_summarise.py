"""Rows against closed forms and planted data."""
import numpy as np
import pytest
from bench_doubles import FakeSession, make_hardware, make_reading, make_row

from edgenext_deploy.benchmarks.hardware.host import describe_host
from edgenext_deploy.benchmarks.latency import summarise
from edgenext_deploy.benchmarks.latency.engines import Engine
from edgenext_deploy.benchmarks.latency.interleave import Series
from edgenext_deploy.benchmarks.latency_report import EngineFile, WarmUp
from edgenext_deploy.runtime.session import SessionTimings

WARMUP = WarmUp(100.0, 10, True)


def series_of(values, timings=()):
    parts = np.array_split(np.asarray(values, dtype=np.float64), 40)
    starts = np.array_split(np.concatenate([[0.0], np.cumsum(values)[:-1]]) / 1e3, 40)
    return Series(tuple(parts), WARMUP, tuple(starts), timings)


def row_of(values, timings=(), hardware=None, others=(), exclude=False):
    session = FakeSession("x", 1, (1, 3, 4, 4), lambda call: None)
    engine = Engine("x", EngineFile("x", "ab" * 32, 1, None), session, None, np.zeros((1, 3, 4, 4), np.float32),
                    "synthetic", None)
    setting = summarise.Setting("here", exclude, None, describe_host(), make_row().versions, "2026-01-02T03:04:05Z",
                                False, True)
    return summarise.make_row(summarise.Measured(
        engine, "cpu", True, series_of(values, timings), hardware or make_hardware(), interleaved_with=others), setting)


def noise(seed, count, centre=1.0, sigma=0.02):
    return centre * np.exp(sigma * np.random.RandomState(seed).standard_normal(count))


def test_closed_forms():
    latency = row_of(np.random.RandomState(0).permutation(np.arange(1.0, 1001.0))).latency
    assert (latency.min_ms, latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms) == (
        1.0, 500.5, 900.0, 990.0, 1000.0)
    assert latency.mean_ms == 500.5
    assert latency.std_ms == pytest.approx(np.sqrt(1000 * 1001 / 12.0))
    assert latency.p50_interval.low < 500.5 < latency.p50_interval.high


def test_each_round_keeps_its_p50():
    row = row_of(np.arange(120.0))
    assert row.rounds == 40 and row.round_p50_ms == tuple(np.arange(1.0, 120.0, 3.0))


def test_throughput_is_that_of_one_inference_after_another():
    assert row_of(np.full(100, 4.0)).throughput_per_s == 250.0


def test_one_outlier_in_a_thousand_is_the_maximum_and_nothing_else():
    values = noise(0, 1000)
    clean = row_of(values)
    values[412] = 500.0
    row = row_of(values)
    assert row.stable
    assert row.latency.max_ms == 500.0
    assert row.latency.p99_ms == pytest.approx(clean.latency.p99_ms, rel=0.01)
    assert row.latency.p50_ms == pytest.approx(clean.latency.p50_ms, rel=1e-3)


def test_ten_outliers_in_a_thousand_stay_out_of_the_p99_and_eleven_do_not():
    for count, p99_is_an_outlier in ((10, False), (11, True)):
        values = noise(0, 1000)
        values[np.linspace(0, 999, count).astype(int)] = 500.0
        assert (row_of(values).latency.p99_ms == 500.0) is p99_is_an_outlier


def test_two_modes_side_by_side_are_stable_and_in_the_percentiles():
    row = row_of(np.where(np.arange(2000) % 10 < 7, noise(1, 2000), noise(2, 2000, 3.0)))
    assert row.stable
    assert row.latency.p50_ms == pytest.approx(1.0, abs=0.05)
    assert row.latency.p90_ms > 2.8 and row.latency.p99_ms > 2.9


def test_a_drift_of_a_tenth_is_unstable_and_named_so():
    row = row_of(noise(3, 2000, 1.0, 0.01) * np.linspace(1.0, 1.1, 2000))
    assert not row.stable
    assert row.window_spread == pytest.approx(0.08 / 1.09, abs=0.01)
    assert [caution.code for caution in row.cautions] == ["unstable"]


def test_a_drift_of_a_hundredth_is_not():
    assert row_of(noise(3, 2000, 1.0, 0.01) * np.linspace(1.0, 1.01, 2000)).stable


def timings_of(count, **changes):
    made = [SessionTimings(5.0, 0.5, 0.2, 3.0 + 0.001 * index, 0.1)._replace(**changes) for index in range(count)]
    return tuple(tuple(made[part[0]:part[-1] + 1]) for part in np.array_split(np.arange(count), 40))


def test_stages_and_their_sum():
    stages, parts = summarise.split(series_of(np.full(1000, 5.0), timings_of(1000)))
    assert stages.compute == pytest.approx((3.0, 3.4995, 3.899, 3.989, 3.999, 3.4995))
    assert stages.host_to_device.p99_ms == 0.2
    assert stages.latency.p50_ms == pytest.approx(3.7995)
    assert stages.enqueue.mean_ms == 0.5
    assert stages.wall.max_ms == 5.0
    assert parts == pytest.approx((3.4995, 0.3, 5.0 - 3.7995, 5.0))


def test_without_copies_their_stages_are_none_and_the_sum_still_adds_up():
    stages, parts = summarise.split(series_of(
        np.full(100, 5.0), timings_of(100, host_to_device_ms=None, device_to_host_ms=None)))
    assert (stages.host_to_device, stages.device_to_host) == (None, None)
    assert stages.latency == stages.compute
    assert parts.copies_ms == 0.0
    assert parts.compute_ms + parts.rest_ms == pytest.approx(5.0)


def test_what_is_copied_decides_what_the_latency_holds():
    session = FakeSession("x", 1, (1, 3, 4, 4), lambda call: None)
    on_gpu = {"provider": "CUDA", "cuda_graph": True, "threads": None}
    engine = Engine("x", EngineFile("x", "ab" * 32, 1, None), session, None, np.zeros((1, 3, 4, 4)), "synthetic", None)
    copying = series_of(np.full(100, 5.0), timings_of(100))
    mapped = series_of(np.full(100, 5.0), timings_of(100, host_to_device_ms=None, device_to_host_ms=None))
    assert summarise.mode_of(engine, series_of(np.ones(100)), True, None) == ("wall", "none", None, None, 1)
    session.describe = lambda: on_gpu
    assert summarise.mode_of(engine, copying, False, True) == ("wall", "included", True, True, None)
    assert summarise.mode_of(engine, copying, True, None) == ("gpu", "excluded", None, True, None)
    assert summarise.mode_of(engine, mapped, False, None) == ("wall", "none", None, True, None)
    assert summarise.mode_of(engine, series_of(np.ones(100)), True, None).transfers == "included"


def test_a_session_that_tells_no_stages_has_none():
    assert summarise.split(series_of(np.ones(100))) == (None, None)


def test_the_latency_of_the_gpu_alone():
    row = row_of(np.full(1000, 5.0), timings_of(1000), exclude=True)
    assert row.mode.latency == "gpu" and row.latency.p50_ms == pytest.approx(3.4995)
    assert row.stages.wall.p50_ms == 5.0
    assert len(row.round_p50_ms) == 40 and max(row.round_p50_ms) < 5.0
    assert not row.stable  # the compute times drift by a third, and it is they that are judged


def powered(*values):
    return make_hardware(total_rails=("POM_5V_IN",), during=tuple(
        make_reading(index, power_mw={} if value is None else {"POM_5V_IN": value})
        for index, value in enumerate(values)))


def test_energy_is_mean_power_times_the_time_of_an_inference():
    energy = row_of(np.full(100, 20.0), hardware=powered(5000.0, 5200.0, 5100.0)).energy
    assert energy == (102.0, 5100.0, 3)


def test_no_energy_is_claimed_where_engines_took_turns_or_the_rail_is_missing():
    assert row_of(np.full(100, 20.0), hardware=powered(5000.0), others=("y",)).energy is None
    assert row_of(np.full(100, 20.0), hardware=powered(5000.0, None)).energy is None
    assert row_of(np.full(100, 20.0)).energy is None


def test_the_power_of_an_idle_gpu_is_not_an_engines_on_the_processor():
    board = make_hardware(total_rails=("gpu",), during=(make_reading(1.0, power_mw={"gpu": 60000.0}),))
    assert row_of(np.full(100, 20.0), hardware=board).energy is None
    assert summarise.energy_of(board, 20.0, on_processor=False) == (1200.0, 60000.0, 1)


def test_samples_are_rounded_and_thinned_evenly():
    series = series_of(np.linspace(1.0, 2.0, 1000))
    whole = summarise.samples_of(series)
    assert (len(whole.start_s), len(whole.latency_ms), whole.thinned) == (1000, 1000, False)
    assert whole.latency_ms[1] == 1.001
    assert whole.start_s[:2] == (0.0, 0.001)
    thin = summarise.samples_of(series, 11)
    assert thin.thinned
    assert thin.latency_ms == pytest.approx(np.linspace(1.0, 2.0, 11), abs=1e-3)
    assert thin.start_s[0] == 0.0 and thin.start_s[-1] == whole.start_s[-1]
