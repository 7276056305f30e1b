"""Intervals and tests of accuracies, against published and hand-computed values."""
import math

import numpy as np
import pytest

from edgenext_deploy.benchmarks.accuracy.classification import ClassificationTask
from edgenext_deploy.benchmarks.accuracy.data import Data, Item
from edgenext_deploy.benchmarks.accuracy.intervals import Paired, exact_mcnemar, paired_interval, wilson


def test_wilson_against_published_values():
    # R. G. Newcombe, Statistics in Medicine 17 (1998), p. 861, table I, method 3.
    for right, total, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
                                    (1, 29, 0.0061, 0.1718)):
        found = wilson(right, total)
        assert found.low == pytest.approx(low, abs=5e-5) and found.high == pytest.approx(high, abs=5e-5)
    assert wilson(20, 20).high == 1.0 and tuple(wilson(0, 0)) == (0.0, 1.0)


def test_wilson_bounds_are_the_shares_that_would_just_be_rejected():
    """A bound p solves |right / total - p| = z sqrt(p (1 - p) / total): the definition of the score interval."""
    for right, total in ((3, 10), (790, 1000), (49, 50)):
        for bound in wilson(right, total):
            assert abs(right / total - bound) == pytest.approx(
                1.959963984540054 * math.sqrt(bound * (1 - bound) / total), rel=1e-9)


def test_mcnemar_exact_by_hand():
    assert exact_mcnemar(Paired(5, 0, 0, 5)) == 1.0
    assert exact_mcnemar(Paired(5, 3, 3, 5)) == 1.0
    # Six coins, none of them heads, or all of them: 2 / 64.
    assert exact_mcnemar(Paired(5, 0, 6, 5)) == pytest.approx(2 / 64)
    # Ten coins, at most two heads or at least eight: 2 (1 + 10 + 45) / 1024.
    assert exact_mcnemar(Paired(0, 8, 2, 0)) == exact_mcnemar(Paired(0, 2, 8, 0)) == pytest.approx(112 / 1024)
    assert exact_mcnemar(Paired(0, 3000, 2000, 0)) < 1e-40


def test_paired_difference_and_its_interval():
    pairs = Paired(700, 50, 80, 170)
    assert pairs.difference == pytest.approx(0.03)
    found = paired_interval(pairs)
    # By hand: (80.5 - 50.5) / 1002 and 1.96 sqrt(131 - 30² / 1002) / 1002.
    assert found.low == pytest.approx(0.029940 - 0.022311, abs=2e-6)
    assert found.high == pytest.approx(0.029940 + 0.022311, abs=2e-6)
    swapped = paired_interval(Paired(700, 80, 50, 170))
    assert swapped.low == pytest.approx(-found.high) and swapped.high == pytest.approx(-found.low)
    same = paired_interval(Paired(100, 0, 0, 0))
    assert same.low < 0.0 < same.high < 0.03


def test_the_paired_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.RandomState(0)
    probabilities = [0.72, 0.04, 0.07, 0.17]
    covered = 0
    for counts in random.multinomial(300, probabilities, size=2000):
        low, high = paired_interval(Paired(*counts.tolist()))
        covered += low <= 0.03 <= high
    assert 0.93 < covered / 2000 < 0.975


def test_top_1_and_top_5_by_hand():
    items = [Item("a{}".format(index), "", 7) for index in range(4)]
    rows = [{"top": [7, 1, 2, 3, 4]}, {"top": [1, 2, 3, 4, 7]}, {"top": [1, 7, 2, 3, 4]}, {"top": [1, 2, 3, 4, 5]}]
    data = Data(tuple(items), 4, "four images", "0" * 64)
    metrics = ClassificationTask().metrics(data, items, rows, 10)
    assert [(metric.key, metric.value) for metric in metrics] == [("top1", 0.25), ("top5", 0.75)]
    assert [metric.key for metric in ClassificationTask().metrics(data, items, rows, 5)] == ["top1"]
