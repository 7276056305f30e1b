"""A sensor: one number that can be read again and again, and how numbers come out of sysfs."""
from typing import Callable, NamedTuple, Sequence

from edgenext_deploy.machine.tree import Tree

# Kinds of sensors. CLOCK is in MHz, TEMPERATURE in °C, POWER in mW. THROTTLE is above 0 while something holds a clock
# down; COUNTER counts such events, and has grown when there was one.
CLOCK, TEMPERATURE, POWER, THROTTLE, COUNTER = "clock", "temperature", "power", "throttle", "counter"


class Sensor(NamedTuple):
    """One number of a machine.

    Attributes:
        kind: one of the kinds above.
        name: name under which it is recorded; for THROTTLE and COUNTER, the reason in words.
        where: the file or interface, for messages.
        read: returns the number, in the unit of `kind`; raises OSError or ValueError.
    """

    kind: str
    name: str
    where: str
    read: Callable[[], float]


def from_files(tree: Tree, kind: str, name: str, paths: Sequence[str], scale: float) -> Sensor:
    """Return the sensor that is the product of the integers in some files, times `scale`."""

    def read() -> float:
        product = scale
        for path in paths:
            product *= tree.integer(path)
        return round(product, 6)

    return Sensor(kind, name, paths[0], read)
