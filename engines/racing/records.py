"""What a race knows of each entrant, and the table that it ends with."""
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.engines.selftest.golden_test import SelfTest

SCHEMA = 1
# What has become of an entrant.
WAITING, RACING, LOST, FAILED, SKIPPED, WON = "waiting", "racing", "lost", "failed", "skipped", "won"


class Timing(NamedTuple):
    """Median milliseconds of one inference, and its 95 % interval; None with too few samples."""

    p50_ms: float
    low_ms: Optional[float] = None
    high_ms: Optional[float] = None


class Measured(NamedTuple):
    """One entrant in one heat.

    Attributes:
        wall: what the caller waits, by the host's clock.
        gpu: computation on the GPU, by CUDA events; None on a processor.
        calls: number of timed inferences.
        spread: how far apart the medians of fifths of them are, relative.
        stable: whether `spread` is within the harness's limit.
        ratio: time relative to the heat's yardstick, paired round by round.
        ratio_low: lower end of its 95 % interval.
        ratio_high: upper end.
        slowest_ratio: least ratio in its slowest fifth of rounds; where the yardstick is not stable either, `ratio`.
        throttled: what held the clocks down.
    """

    wall: Timing
    gpu: Optional[Timing]
    calls: int
    spread: float
    stable: bool
    ratio: float
    ratio_low: float
    ratio_high: float
    slowest_ratio: float
    throttled: Tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """What ranks the entrant: its ratio; one that is not stable counts as its slowest fifth."""
        return self.ratio if self.stable else max(self.ratio, self.slowest_ratio)


class Entrant(NamedTuple):
    """One way to run the network.

    Attributes:
        name: of the candidate, with what tells it from others of the same candidate.
        candidate: name of the graph in the bundle.
        build: which build of the graph, from 1, see ``--best-of``; always 1 for a graph that is run as it is.
        options: fields of `RuntimeOptions` that are not the defaults.
        status: ``waiting``, ``racing``, ``lost``, ``failed``, ``skipped`` or ``won``.
        reason: why it lost, failed, was skipped or won.
        fp32_pins: nodes of the graph that compute in FP32 in an FP16 engine.
        bytes: size of the engine, 0 before there is one.
        build_s: seconds of its build, None if nothing is built.
        self_test: its answer to the golden input.
        measured: in its last heat.
    """

    name: str
    candidate: str
    build: int = 1
    options: Dict[str, Any] = {}
    status: str = WAITING
    reason: str = ""
    fp32_pins: int = 0
    bytes: int = 0
    build_s: Optional[float] = None
    self_test: Optional[SelfTest] = None
    measured: Optional[Measured] = None


class RaceState(NamedTuple):
    """A race under way, as it is kept on the disk.

    Attributes:
        schema: of this record.
        identity: digest of what is raced, with what and where; another one is another race.
        spent_s: seconds of work so far.
        durations_s: seconds of measurement of each entrant in the heats to come.
        extended: the winner's further builds (``--best-of``) are among the entrants.
        entrants: all of them, in the order of the bundle.
    """

    schema: int
    identity: str
    spent_s: float
    durations_s: Tuple[float, ...]
    extended: bool
    entrants: Tuple[Entrant, ...]


class RaceTable(NamedTuple):
    """A finished race.

    Attributes:
        schema: of this record.
        source: name of the bundle or graph.
        machine: where it was run, in words.
        spent_s: seconds that it took, from its first step to its last, without pauses.
        budget_s: seconds that it was given; None for as long as it takes.
        winner: name of the entrant that won.
        entrants: all of them: the winner, the others by their time, those that were not measured.
        left_out: formulations that are not in the bundle, each with the reason.
    """

    schema: int
    source: str
    machine: str
    spent_s: float
    budget_s: Optional[float]
    winner: str
    entrants: Tuple[Entrant, ...]
    left_out: Dict[str, str] = {}

    def to_json(self) -> Dict[str, Any]:
        """Return the table as JSON data."""
        data: Dict[str, Any] = json_records.to_json(self)
        return data

    @property
    def won(self) -> Entrant:
        """The winner's row."""
        return next(entrant for entrant in self.entrants if entrant.name == self.winner)


def table_of(state: RaceState, source: str, machine: str, budget_s: Optional[float],
             left_out: Dict[str, str]) -> RaceTable:
    """Return the table of a race that has a winner; see `RaceTable`."""
    entrants = _ranked(state.entrants)
    return RaceTable(SCHEMA, source, machine, state.spent_s, budget_s, entrants[0].name, entrants, left_out)


def _ranked(entrants: Tuple[Entrant, ...]) -> Tuple[Entrant, ...]:
    """Return the winner, then the others by their time in the last heat, then those without one."""
    return tuple(sorted(entrants, key=lambda one: (
        one.status != WON, one.measured is None, one.measured.wall.p50_ms if one.measured is not None else 0.0)))
