"""Confidence intervals of shares and of differences between paired shares, at 95 %."""
import math
from typing import NamedTuple

from edgenext_deploy.benchmarks.statistics import Interval

# The normal distribution's 97.5th percentile.
_Z = 1.959963984540054


class Paired(NamedTuple):
    """Two classifiers on the same images.

    Attributes:
        both: images that both have right.
        first_only: only the first.
        second_only: only the second.
        neither: none of them.
    """

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def difference(self) -> float:
        """Return the second's accuracy minus the first's."""
        return (self.second_only - self.first_only) / max(1, sum(self))


def wilson(right: int, total: int) -> Interval:
    """Return Wilson's score interval of a share.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22 (1927). It stays within 0..1 and is sound for shares near 0 and 1, where accuracies are.
    """
    if total == 0:
        return Interval(0.0, 1.0)
    share, square = right / total, _Z * _Z
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = _Z / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def paired_interval(pairs: Paired) -> Interval:
    """Return the interval of the difference between two paired shares, second minus first.

    A. Agresti and Y. Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in
    Medicine 24 (2005): Wald's interval after adding 1/2 to each of the four counts. Because the images are the
    same, it is far narrower than what the two accuracies' own intervals suggest.
    """
    total = sum(pairs) + 2
    first, second = pairs.first_only + 0.5, pairs.second_only + 0.5
    difference = (second - first) / total
    half = _Z * math.sqrt(max(0.0, first + second - (second - first) ** 2 / total)) / total
    return Interval(max(-1.0, difference - half), min(1.0, difference + half))


def exact_mcnemar(pairs: Paired) -> float:
    """Return the two-sided p-value of McNemar's exact test: chance alone makes the two differ so much, or more.

    Under the hypothesis that none is better, each image that only one has right is a fair coin (Q. McNemar,
    Psychometrika 12 (1947); the exact form takes the binomial distribution itself).
    """
    tosses, fewer = pairs.first_only + pairs.second_only, min(pairs.first_only, pairs.second_only)
    term = total = 1
    for index in range(fewer):
        term = term * (tosses - index) // (index + 1)
        total += term
    return min(1.0, 2 * total / 2 ** tosses) if tosses else 1.0
