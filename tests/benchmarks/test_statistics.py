import time

import numpy as np
import pytest

from edgenext_deploy.benchmarks import statistics


def noise(seed, count, centre=1.0, sigma=0.05):
    return centre * np.exp(sigma * np.random.RandomState(seed).standard_normal(count))


@pytest.mark.parametrize(("count", "percent", "expected"), [
    (1, 99, 1), (10, 90, 9), (10, 99, 10), (100, 90, 90), (100, 99, 99), (1000, 99, 990), (1000, 99.9, 999),
    (7, 0, 1), (7, 100, 7), (100, 50, 50),
])
def test_percentiles_are_the_observed_values_that_trtexec_names(count, percent, expected):
    values = np.random.RandomState(count).permutation(np.arange(1, count + 1)).astype(float)
    assert statistics.percentiles(values, [percent]) == [expected]


def test_percentile_rank_is_exact_for_every_whole_percent_and_count():
    for count in range(1, 300):
        values = np.arange(count, dtype=float)
        for percent in range(101):
            excluded = (100 - percent) * count // 100
            assert statistics.percentiles(values, [percent]) == [max(count - 1 - excluded, 0)]


def test_median_of_an_even_number_is_the_mean_of_the_middle_two():
    assert statistics.median(np.array([4.0, 1.0, 3.0, 2.0])) == 2.5
    assert statistics.median(np.array([5.0, 1.0, 3.0])) == 3.0


def test_one_outlier_in_a_thousand_moves_neither_p99_nor_the_stability_verdict():
    values = noise(0, 1000)
    planted = values.copy()
    planted[412] = 500.0
    assert statistics.percentiles(planted, [99])[0] <= np.sort(values)[-9]
    assert statistics.percentiles(planted, [100]) == [500.0]
    assert statistics.window_spread(planted) <= statistics.STABLE_SPREAD
    interval = statistics.median_interval(planted)
    assert interval.low < np.median(values) < interval.high < 1.02


def test_eleven_outliers_in_a_thousand_are_the_p99():
    values = noise(0, 1000)
    values[::91] = 500.0
    assert statistics.percentiles(values, [99]) == [500.0]


def test_bimodal_latencies_keep_both_modes_in_the_percentiles():
    values = np.where(np.arange(2000) % 10 < 7, noise(1, 2000, 1.0, 0.01), noise(2, 2000, 3.0, 0.01))
    p50, p90 = statistics.percentiles(values, [50, 90])
    assert p50 == pytest.approx(1.0, abs=0.05)
    assert p90 == pytest.approx(3.0, abs=0.15)
    # The mixture does not change with time.
    assert statistics.window_spread(values) <= statistics.STABLE_SPREAD


def test_a_switch_of_mode_halfway_is_unstable():
    values = np.concatenate([noise(1, 500), noise(2, 500, 1.3)])
    assert statistics.window_spread(values) == pytest.approx(1.0 - 1.0 / 1.3, abs=0.03)


def test_drift_shows_as_the_spread_between_first_and_last_window():
    drifting = np.linspace(1.0, 1.2, 1000)
    # Medians of the first and last fifth lie at 10 % and 90 % of the way.
    assert statistics.window_spread(drifting) == pytest.approx(0.16 / 1.18, abs=1e-3)
    assert statistics.window_spread(drifting) > statistics.STABLE_SPREAD


@pytest.mark.parametrize(("medians", "expected"), [
    ([], 0.0), ([2.0], 0.0), ([0.0, 0.0], 0.0), ([1.0, 2.0], 0.5), ([2.0, 1.5, 1.9], 0.25), ([0.0, 1.0], 1.0),
])
def test_spread_closed_forms(medians, expected):
    assert statistics.spread(medians) == expected


def test_resampled_medians_equal_those_of_resamples_that_were_really_built():
    random = np.random.RandomState(5)
    groups = [random.standard_normal(size) for size in (3, 4, 1, 7, 2, 6)]
    weights = random.multinomial(6, [1 / 6.0] * 6, size=200)
    expected = [np.median(np.concatenate([np.tile(group, count) for group, count in zip(groups, row)]))
                for row in weights]
    found = statistics._resampled_medians(groups, weights)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


def test_the_interval_of_the_median_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(100):
        interval = statistics.median_interval(noise(seed, 200, 1.0, 0.2), seed)
        covered += interval.low <= 1.0 <= interval.high
    assert 88 <= covered <= 100


def test_the_width_of_the_interval_is_that_of_theory():
    # Standard error of the median of n normal values: sigma * sqrt(pi / (2 n)).
    values = 10.0 + np.random.RandomState(3).standard_normal(4000)
    interval = statistics.median_interval(values)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * np.sqrt(np.pi / 8000), rel=0.3)


def test_neighbours_that_are_alike_widen_the_interval():
    levels = np.random.RandomState(4).standard_normal(50)
    alike = np.repeat(levels, 40) + 0.01 * np.random.RandomState(5).standard_normal(2000)
    shuffled = np.random.RandomState(6).permutation(alike)
    wide, narrow = statistics.median_interval(alike), statistics.median_interval(shuffled)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = noise(0, 500)
    assert statistics.median_interval(values, 7) == statistics.median_interval(values, 7)
    assert statistics.median_interval(values, 7) != statistics.median_interval(values, 8)


def test_no_interval_is_claimed_from_a_handful():
    assert statistics.median_interval(np.ones(5)) is None
    assert statistics.median_interval(np.ones(6)) == (1.0, 1.0)


def test_a_million_values_cost_no_more_than_sorting_allows():
    values = noise(0, 1000000)
    start = time.process_time()
    statistics.median_interval(values)
    assert time.process_time() - start < 5.0  # building the resamples would take minutes


def test_drift_that_hits_both_cancels_in_the_ratio():
    drift = np.linspace(1.0, 3.0, 40)
    fast = [level * noise(index, 10) for index, level in enumerate(drift)]
    slow = [1.2 * level * noise(1000 + index, 7) for index, level in enumerate(drift)]
    ratios = statistics.paired_ratios(slow, fast)
    interval = statistics.median_interval(ratios)
    assert len(ratios) == 20
    assert 1.17 < interval.low <= 1.2 <= interval.high < 1.23
    # The median of one of them alone is far less certain.
    alone = statistics.median_interval(np.concatenate(slow))
    assert alone.high / alone.low > 1.2


def test_the_ratio_of_alike_series_holds_one():
    first, second = ([noise(seed + index, 9) for index in range(200)] for seed in (0, 500))
    interval = statistics.median_interval(statistics.paired_ratios(first, second))
    assert 0.98 < interval.low <= 1.0 <= interval.high < 1.02


def test_a_disturbed_half_of_the_run_leaves_the_ratio_alone():
    factor = [1.0] * 20 + [2.0] * 20
    fast = [level * noise(index, 10) for index, level in enumerate(factor)]
    slow = [1.3 * level * noise(100 + index, 10) for index, level in enumerate(factor)]
    ratio = statistics.median(statistics.paired_ratios(slow, fast))
    assert ratio == pytest.approx(1.3, abs=0.02)


def test_rounds_that_only_one_has_and_divisions_by_zero_are_left_out():
    def rounds(*medians):
        return [np.array([value, value]) for value in medians]

    assert statistics.paired_ratios(rounds(2, 8, 9, 9, 5, 7), rounds(1, 1, 1, 0, 1)).tolist() == [4.0]
    assert statistics.paired_ratios(rounds(2), rounds(1)).tolist() == []


def test_drift_within_a_round_cancels_when_the_order_is_reversed_every_other_time():
    growth = 1.05
    first, second = [], []
    for index in range(13):
        early, late = growth ** (2 * index), growth ** (2 * index + 1)
        forth = index % 2 == 0
        first.append(np.array([early if forth else late]))
        second.append(np.array([1.2 * (late if forth else early)]))
    np.testing.assert_allclose(statistics.paired_ratios(second, first), [1.2] * 6, rtol=1e-12)
