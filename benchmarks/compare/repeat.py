"""Whether a second run agrees with the first: the ratios between its engines are compared.

Milliseconds change with the machine's clock and other load. Ratios of interleaved engines should not;
if they do, neither run's ratios are worth much. A ratio is the one that a run reports: the median over its
rounds of the p50s' ratios.
"""
import itertools
from typing import Dict, List, NamedTuple, Optional, Tuple

from edgenext_deploy.benchmarks.compare.comparable import (
    differences_of_setting,
    machine_of,
    ratio_of_medians,
    ratio_of_rounds,
)
from edgenext_deploy.benchmarks.latency_report import LatencyRecord, LatencyReport
from edgenext_deploy.errors import UsageError


class Repeated(NamedTuple):
    """An engine that stands in both runs: its p50 in each, in milliseconds."""

    name: str
    first_ms: float
    second_ms: float


class Pair(NamedTuple):
    """Two engines: how many times as long as `other` the engine `name` takes, in each run.

    `change` is relative, the larger ratio over the smaller one less 1, so it does not depend on which of the two
    engines, or of the two runs, comes first. `paired`: both ratios are `comparable.ratio_of_rounds`. Otherwise a run
    was not interleaved, or its report lacks the rounds; the ratios are then those of the whole runs' p50s, which move
    more where the machine's speed jumps.
    """

    name: str
    other: str
    first: float
    second: float
    change: float
    paired: bool


class LeftOut(NamedTuple):
    """An engine that is not compared, and why."""

    name: str
    reason: str


class Repetition(NamedTuple):
    """Two runs of the same engines; `pairs` are all pairs of `engines`, the one that changed most first."""

    engines: Tuple[Repeated, ...]
    pairs: Tuple[Pair, ...]
    left_out: Tuple[LeftOut, ...]

    def beyond(self, within: float) -> Tuple[Pair, ...]:
        """Return the pairs whose ratio changed by more than `within`, a part such as 0.1."""
        return tuple(pair for pair in self.pairs if pair.change > within)


def repetition(first: LatencyReport, second: LatencyReport) -> Repetition:
    """Compare the rows of two runs, by name.

    A row that is in one of them only, of another engine file or machine, or measured in another way is left out.

    Raises:
        UsageError: fewer than two engines can be compared.
    """
    here: Dict[str, LatencyRecord] = {row.name: row for row in first.records}
    there: Dict[str, LatencyRecord] = {row.name: row for row in second.records}
    engines: List[Repeated] = []
    left_out: List[LeftOut] = []
    for name in dict.fromkeys([*here, *there]):
        reason = _reason_against(here.get(name), there.get(name))
        if reason is not None:
            left_out.append(LeftOut(name, reason))
            continue
        engines.append(Repeated(name, here[name].latency.p50_ms, there[name].latency.p50_ms))
    if len(engines) < 2:
        raise UsageError("engines that can be compared: {} found in both reports, 2 or more expected{}".format(
            len(engines), "".join("; {}: {}".format(*item) for item in left_out)),
            "measure the same engines twice, with the same options")
    pairs = [_pair((here[one.name], here[other.name]), (there[one.name], there[other.name]))
             for one, other in itertools.combinations(engines, 2)]
    return Repetition(tuple(engines), tuple(sorted(pairs, key=lambda pair: -pair.change)), tuple(left_out))


def _pair(here: Tuple[LatencyRecord, LatencyRecord], there: Tuple[LatencyRecord, LatencyRecord]) -> Pair:
    first, second = ratio_of_rounds(*here), ratio_of_rounds(*there)
    paired = first is not None and second is not None
    if first is None or second is None:
        first, second = ratio_of_medians(*here), ratio_of_medians(*there)
    change = max(first.value, second.value) / min(first.value, second.value) - 1.0
    return Pair(here[0].name, here[1].name, first.value, second.value, change, paired)


def _reason_against(first: Optional[LatencyRecord], second: Optional[LatencyRecord]) -> Optional[str]:
    if second is None:
        return "only in the first report"
    if first is None:
        return "only in the second report"
    reasons: List[str] = []
    if machine_of(first) != machine_of(second):
        reasons.append("another machine: {} against {}".format(machine_of(second).title, machine_of(first).title))
    if first.engine.sha256 != second.engine.sha256:
        reasons.append("another engine file")
    # Not the clocks under load: they are what ratios should survive.
    return "; ".join(reasons + list(differences_of_setting(second, first))) or None
