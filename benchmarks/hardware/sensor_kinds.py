"""The kinds of sensors that are read during a measurement, as one table.

A new kind is one call of `register_sensor`; the kinds below are registered by the same call. The monitor reads every
kind, and reports show it.
"""
from typing import Callable, Dict, List, NamedTuple, Tuple

from edgenext_deploy.benchmarks.hardware.clocks import clock_sensors
from edgenext_deploy.benchmarks.hardware.rails import rail_sensors
from edgenext_deploy.benchmarks.hardware.sensor import CLOCK, COUNTER, POWER, TEMPERATURE, THROTTLE, Sensor
from edgenext_deploy.benchmarks.hardware.thermal import temperature_sensors, throttle_sensors
from edgenext_deploy.machine.thermal_zones import LOWEST_C
from edgenext_deploy.machine.tree import Tree


class Machine(NamedTuple):
    """Where sensors are looked for: the machine's files, and the sensors that its GPU driver offers."""

    tree: Tree
    gpu_sensors: Tuple[Sensor, ...] = ()


class SensorKind(NamedTuple):
    """A kind of sensors.

    Attributes:
        name: unique, such as ``temperature``; reports name the sensors by it.
        unit: unit of the values, such as ``°C``.
        digits: number of digits after the point that reports show.
        find: returns the sensors of this kind that a machine has.
        least: smallest reading, in `unit`: a lower or equal value is ignored, such as that of a zone that is off.
    """

    name: str
    unit: str
    digits: int
    find: Callable[[Machine], List[Sensor]]
    least: float = float("-inf")


_KINDS: Dict[str, SensorKind] = {}


def register_sensor(kind: SensorKind) -> None:
    """Add a kind of sensors behind those that are there.

    Raises:
        ValueError: there is a kind of that name.
    """
    if kind.name in _KINDS:
        raise ValueError("there is a kind of sensors {!r} already".format(kind.name))
    _KINDS[kind.name] = kind


def sensor_kinds() -> Tuple[SensorKind, ...]:
    """Return the kinds, in the order in which they are read."""
    return tuple(_KINDS.values())


def value_kinds() -> Tuple[SensorKind, ...]:
    """Return the kinds whose values are recorded; the others are reasons why a clock is held down."""
    return tuple(kind for kind in _KINDS.values() if kind.name not in (THROTTLE, COUNTER))


def _finder(name: str, find: Callable[[Tree], List[Sensor]]) -> Callable[[Machine], List[Sensor]]:
    return lambda machine: [sensor for sensor in (*find(machine.tree), *machine.gpu_sensors) if sensor.kind == name]


# Power first: it falls as soon as the engine has stopped.
register_sensor(SensorKind(POWER, "mW", 0, _finder(POWER, rail_sensors)))
register_sensor(SensorKind(CLOCK, "MHz", 0, _finder(CLOCK, clock_sensors)))
register_sensor(SensorKind(TEMPERATURE, "°C", 1, _finder(TEMPERATURE, temperature_sensors), least=LOWEST_C))
register_sensor(SensorKind(THROTTLE, "", 0, _finder(THROTTLE, throttle_sensors)))
register_sensor(SensorKind(COUNTER, "events", 0, _finder(COUNTER, throttle_sensors)))
