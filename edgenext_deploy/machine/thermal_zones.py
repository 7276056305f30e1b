"""The kernel's thermal zones; the harness, and the live page, read them."""
import re
from typing import Dict, List, NamedTuple

from edgenext_deploy.machine.tree import Tree

# A Jetson's zone whose part is switched off reads -256 °C.
LOWEST_C = -200.0
# On a Nano this zone reads 100 °C whatever happens.
_CONSTANT = re.compile(r"PMIC", re.I)


class ThermalZone(NamedTuple):
    """A zone.

    Attributes:
        name: its type, such as ``GPU-therm``; the second zone of a type is ``TYPE 2``.
        path: file with its temperature in millidegrees Celsius.
    """

    name: str
    path: str


def thermal_zones(tree: Tree) -> List[ThermalZone]:
    """Return the zones that say what they are, without a Nano's constant one."""
    zones: List[ThermalZone] = []
    seen: Dict[str, int] = {}
    for folder in tree.glob("/sys/class/thermal/thermal_zone[0-9]*"):
        name = tree.line(folder + "/type")
        if not name or _CONSTANT.search(name):
            continue
        seen[name] = seen.get(name, 0) + 1
        title = name if seen[name] == 1 else "{} {}".format(name, seen[name])
        zones.append(ThermalZone(title, folder + "/temp"))
    return zones


def temperatures_c(tree: Tree, zones: List[ThermalZone]) -> Dict[str, float]:
    """Return the temperature of each zone in °C, without those that cannot be read or are off."""
    found: Dict[str, float] = {}
    for zone in zones:
        try:
            value = tree.integer(zone.path) * 1e-3
        except (OSError, ValueError):
            continue
        if value > LOWEST_C:
            found[zone.name] = round(value, 3)
    return found
