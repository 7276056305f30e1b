"""Successive halving: who goes on after a heat, and who has won after the last one."""
import math
from typing import Dict, List, Optional, Sequence, Tuple

from edgenext_deploy.engines.racing.records import LOST, RACING, WON, Entrant, Measured

# Seconds of measurement of each entrant in the last heat: the harness's own default. Each heat before has half of it.
FULL_S = 3.0
LEAST_S = 0.1
# Opening an engine and warming it up, for the estimate of what heats take before there was one.
OVERHEAD_S = 1.5
# Entrants this close are equal: one engine that is opened twice may differ as much.
EQUAL = 1.01
FASTEST = "the fastest"
# A short heat is less sure: what is this close goes on.
_CLOSE = 1.05


def plan_heats(entrants: int, left_s: Optional[float], overhead_s: float = OVERHEAD_S,
               count: Optional[int] = None) -> Tuple[float, ...]:
    """Return the seconds of measurement of each entrant in each heat.

    Args:
        entrants: their number.
        left_s: time for all heats; None for enough.
        overhead_s: what an entrant costs in a heat beyond its measurement.
        count: number of heats; None for what the number of entrants needs.
    """
    count = count or (1 if entrants <= 2 else 2 if entrants <= 6 else 3)
    durations = [FULL_S / 2 ** (count - 1 - heat) for heat in range(count)]
    fields = [max(1.0, entrants / 2.0 ** heat) for heat in range(count)]
    if left_s is not None:
        measuring_s = sum(field * seconds for field, seconds in zip(fields, durations))
        scale = (left_s - overhead_s * sum(fields)) / measuring_s
        durations = [max(LEAST_S, seconds * min(1.0, scale)) for seconds in durations]
    return tuple(durations)


def heats_take_s(entrants: int, left_s: Optional[float] = None) -> float:
    """Return an estimate of the seconds that the heats of a field take; see `plan_heats`."""
    durations = plan_heats(entrants, left_s)
    return sum((seconds + OVERHEAD_S) * max(1.0, entrants / 2.0 ** heat) for heat, seconds in enumerate(durations))


def judge(entrants: Sequence[Entrant], last: bool) -> Dict[str, Entrant]:
    """Return the entrants of a heat, by name, as they are after it.

    Args:
        entrants: all that ran in it, measured; at least one.
        last: it was the last heat, or one entrant is left: one wins.
    """
    best = min(entrants, key=lambda one: _of(one).score)
    if last:
        return _decide(entrants, best)
    order = sorted(entrants, key=lambda one: _of(one).score)
    half = math.ceil(len(order) / 2)
    after = {}
    for rank, entrant in enumerate(order):
        close = _relative(entrant, best) <= _CLOSE
        goes_on = close or (rank < half and not _is_slower(entrant, best))
        after[entrant.name] = entrant if goes_on else entrant._replace(status=LOST, reason=_why(entrant, best))
    return after


def _decide(entrants: Sequence[Entrant], best: Entrant) -> Dict[str, Entrant]:
    equals = [one for one in entrants if _relative(one, best) <= EQUAL]
    winner = min(equals, key=lambda one: (one.fp32_pins, one.bytes, _of(one).score))
    after: Dict[str, Entrant] = {}
    for entrant in entrants:
        if entrant is winner:
            reason = FASTEST if len(equals) == 1 else "{}, with {} equal to it".format(FASTEST, len(equals) - 1)
            after[entrant.name] = entrant._replace(status=WON, reason=reason)
        elif any(entrant is one for one in equals):
            after[entrant.name] = entrant._replace(status=LOST, reason="equal to {}, {}".format(
                winner.name, _what_decides(entrant, winner)))
        else:
            after[entrant.name] = entrant._replace(status=LOST, reason=_why(entrant, best))
    return after


def _what_decides(entrant: Entrant, winner: Entrant) -> str:
    if entrant.fp32_pins != winner.fp32_pins:
        return "with {} FP32 pins against {}".format(entrant.fp32_pins, winner.fp32_pins)
    if entrant.bytes != winner.bytes:
        return "and larger: {} bytes against {}".format(entrant.bytes, winner.bytes)
    return "and not faster"


def _of(entrant: Entrant) -> Measured:
    assert entrant.measured is not None
    return entrant.measured


def _relative(entrant: Entrant, best: Entrant) -> float:
    return _of(entrant).score / _of(best).score


def _is_slower(entrant: Entrant, best: Entrant) -> bool:
    """Return whether the whole interval of the ratio says so."""
    return _of(entrant).ratio_low / _of(best).score > 1.0


def _why(entrant: Entrant, best: Entrant) -> str:
    measured, unit = _of(entrant), _of(best).score
    ratio, low, high = (value / unit for value in (measured.ratio, measured.ratio_low, measured.ratio_high))
    if not measured.stable and measured.score / unit > ratio:
        return "unstable: {:.2f} times the time of {} in its slowest fifth, {:.2f} in the median".format(
            measured.score / unit, best.name, ratio)
    return "slower: {:.2f} times the time of {} ({:.2f} to {:.2f})".format(ratio, best.name, low, high)


def racing(entrants: Sequence[Entrant]) -> List[Entrant]:
    """Return those that are still in the race."""
    return [entrant for entrant in entrants if entrant.status == RACING]
