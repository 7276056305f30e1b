"""Statistics of latencies: percentiles as trtexec defines them, intervals, and whether windows agree."""
import math
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

CONFIDENCE = 0.95
# The medians of two windows of one steady process differ by less than this; a changing clock or a machine
# that does something else shows as more.
STABLE_SPREAD = 0.05

_RESAMPLES = 1000
# Consecutive samples are resampled together, in at most this many groups.
_MAX_GROUPS = 64
# With fewer groups than this the resampled medians cannot cover the nominal confidence.
_MIN_GROUPS = 6


class Interval(NamedTuple):
    """A confidence interval, in the unit of what it belongs to."""

    low: float
    high: float


def percentiles(values: np.ndarray, percents: Sequence[float]) -> List[float]:
    """Return percentiles as trtexec defines them: an observed value, never an interpolation.

    ``sorted[max(n - 1 - floor((1 - p / 100) * n), 0)]`` (TensorRT, samples/common/sampleReporting.cpp). The
    rounding of ``(1 - p / 100) * n`` to a hair below a whole number is undone, so that p90 of 10 values is
    the ninth on every machine.

    Args:
        values: `[n]`, n >= 1, in any order.
        percents: each between 0 and 100.
    """
    ordered = np.sort(values)
    count = len(ordered)
    indices = [max(count - 1 - math.floor(round((100.0 - percent) * count / 100.0, 9)), 0)
               for percent in percents]
    return [float(ordered[index]) for index in indices]


def median(values: np.ndarray) -> float:
    """Return the median: the mean of the two middle values when their number is even."""
    return float(np.median(values))


def median_interval(values: np.ndarray, seed: int = 0) -> Optional[Interval]:
    """Return the bootstrap interval of the median at `CONFIDENCE`, or None when `values` are too few.

    Neighbouring latencies depend on each other (clock, temperature, other load), so groups of consecutive values are
    resampled; a bootstrap of single values would promise an interval that is too narrow. The cost does not
    grow with the number of values beyond sorting them.

    Args:
        values: `[n]` in the order of measurement.
        seed: seed of the resampling; the same seed and values give the same interval.
    """
    count = min(len(values), _MAX_GROUPS)
    if count < _MIN_GROUPS:
        return None
    groups = np.array_split(np.asarray(values, dtype=np.float64), count)
    medians = _resampled_medians(groups, _weights(count, seed))
    tail = 100.0 * (1.0 - CONFIDENCE) / 2.0
    low, high = np.percentile(medians, [tail, 100.0 - tail])
    return Interval(float(low), float(high))


def paired_ratios(numerator: Sequence[np.ndarray], denominator: Sequence[np.ndarray]) -> np.ndarray:
    """Return `paired_ratios_of_medians` of the values of each round, none empty."""
    return paired_ratios_of_medians(list(map(median, numerator)), list(map(median, denominator)))


def paired_ratios_of_medians(numerator: Sequence[float], denominator: Sequence[float]) -> np.ndarray:
    """Return one ratio of medians for every two rounds, `[rounds // 2]` float64.

    Both were measured within a round, so what slowed the machine for a while slowed both, and cancels. The
    order within the second round of each two is the reverse of the first, so the geometric mean of the two
    ratios cancels steady drift from one block to the next as well. Rounds that only one of them has, an odd
    last round, and medians of zero are left out.

    Args:
        numerator: one median per round.
        denominator: the medians of the other engine's rounds, as many.
    """
    medians = list(zip(numerator, denominator))
    return np.array([math.sqrt((first[0] / first[1]) * (second[0] / second[1]))
                     for first, second in zip(medians[::2], medians[1::2])
                     if min(first) > 0.0 and min(second) > 0.0])


def spread(medians: Sequence[float]) -> float:
    """Return how far apart the medians of windows are, relative: ``(largest - smallest) / largest``.

    Between 0 and 1; 0.0 for fewer than two.
    """
    if len(medians) < 2 or max(medians) <= 0.0:
        return 0.0
    return (max(medians) - min(medians)) / max(medians)


def window_spread(values: np.ndarray, windows: int = 5) -> float:
    """Return the `spread` of the medians of `windows` consecutive, equally long parts of `values`."""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(windows, len(values)))
    return spread([median(part) for part in parts])


def _weights(groups: int, seed: int) -> np.ndarray:
    """Return how often each resample holds each group: `[_RESAMPLES, groups]` int64."""
    # numpy 1.13, which JetPack 4 brings, has no numpy.random.default_rng.
    random = np.random.RandomState(seed)
    return random.multinomial(groups, np.full(groups, 1.0 / groups), size=_RESAMPLES)


def _resampled_medians(groups: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the median of every resample, `[resamples]` float64, without building any resample.

    A resample is a count per group, so the number of its values up to x is a weighted sum of the groups'
    ranks of x, and its k-th smallest value is found by bisection over all values.
    """
    ordered = np.sort(np.concatenate(groups))
    ranked = [np.sort(group) for group in groups]
    sizes = weights.dot(np.array([len(group) for group in groups], dtype=np.int64))
    lower, upper = (_kth(ordered, ranked, weights, rank) for rank in ((sizes - 1) // 2, sizes // 2))
    return np.asarray((lower + upper) / 2.0)


def _kth(ordered: np.ndarray, ranked: Sequence[np.ndarray], weights: np.ndarray,
         rank: np.ndarray) -> np.ndarray:
    """Return for every resample the value that `rank` others precede, `[resamples]`."""
    low, high = _full(len(rank), 0), _full(len(rank), len(ordered) - 1)
    while np.any(low < high):
        middle = (low + high) // 2
        values = ordered[middle]
        up_to = _full(len(rank), 0)
        for index, group in enumerate(ranked):
            up_to += weights[:, index] * np.searchsorted(group, values, side="right")
        enough = up_to > rank
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return np.asarray(ordered[low])


def _full(count: int, value: int) -> np.ndarray:
    return np.full(count, value, dtype=np.int64)
