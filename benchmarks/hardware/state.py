"""What the sensors of a machine said before, during and after a measurement."""
from typing import Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.machine.power_mode import PowerMode

# Kinds of `SensorError`.
DENIED, LOST, BROKEN = "denied", "lost", "broken"


class ClockRange(NamedTuple):
    """The range in which a clock may move at the moment."""

    min_mhz: float
    max_mhz: float

    @property
    def locked(self) -> bool:
        """Whether the clock is pinned, as ``jetson_clocks`` and ``nvidia-smi -lgc F`` do."""
        return self.min_mhz == self.max_mhz


class Reading(NamedTuple):
    """All sensors at one moment; a sensor without a value is not in the dictionaries.

    Attributes:
        at_s: seconds since the run's first timed inference; negative before it.
        clocks_mhz: present clock by name: ``cpu0``, ``gpu``, ``emc``; several GPUs are ``gpu0``, ``gpu1``.
        temperatures_c: temperature by name of the thermal zone, such as ``GPU-therm``.
        power_mw: power by name of the rail, such as ``POM_5V_IN``.
        throttled: reasons why a clock is held down at this moment; empty when none is.
        others: values of further kinds of sensors, by kind and name; see `sensor_kinds`.
    """

    at_s: float
    clocks_mhz: Dict[str, float]
    temperatures_c: Dict[str, float]
    power_mw: Dict[str, float]
    throttled: Tuple[str, ...]
    others: Dict[str, Dict[str, float]] = {}

    def values(self, kind: str) -> Dict[str, float]:
        """Return the values of a kind of sensors by name, in the unit of the kind."""
        fields = {"clock": self.clocks_mhz, "temperature": self.temperatures_c, "power": self.power_mw}
        return fields[kind] if kind in fields else self.others.get(kind, {})


class SensorError(NamedTuple):
    """A sensor that exists and gave no usable value.

    Attributes:
        sensor: the file or interface.
        kind: ``denied`` (no permission), ``lost`` (it answered before and stopped in the run) or ``broken`` (it
            answers with something that cannot be read).
        text: what happened, for people.
        at_s: when it was first seen, as `Reading.at_s`.
    """

    sensor: str
    kind: str
    text: str
    at_s: float


class Hardware(NamedTuple):
    """The state of a machine over one run.

    Attributes:
        power_mode: power mode of a Jetson; None on other machines, or if it cannot be read.
        clock_ranges: range of each clock at the start, by the names of `Reading.clocks_mhz`.
        clocks_locked: whether CPU and GPU are pinned; False where one of them is not for sure, None where that is not
            known of one of them, as of a GPU that NVML reads.
        start: reading before the warm-up.
        during: readings between the blocks of this row's engine.
        end: reading after the last inference of the run.
        total_rails: the rails whose sum is the power of the whole module (of the GPU board on a server); empty where
            that is not known.
        throttled: every reason of any reading of the run, this row's or another's.
        troubles: errors of sensors that are denied, lost or broken.
    """

    power_mode: Optional[PowerMode]
    clock_ranges: Dict[str, ClockRange]
    clocks_locked: Optional[bool]
    start: Reading
    during: Tuple[Reading, ...]
    end: Reading
    total_rails: Tuple[str, ...]
    throttled: Tuple[str, ...]
    troubles: Tuple[SensorError, ...]


class Energy(NamedTuple):
    """Energy of one inference, estimated: mean power of the total rails times the time of one inference.

    It holds what the board draws at rest, and is as exact as the sensor: some readings a second, each taken
    just after a block of inferences.

    Attributes:
        per_inference_mj: millijoules.
        mean_power_mw: mean over `readings`.
        readings: number of readings of the power.
    """

    per_inference_mj: float
    mean_power_mw: float
    readings: int
