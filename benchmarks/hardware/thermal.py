"""Temperatures, and what holds clocks down when they are too high or the supply is too weak."""
import re
from typing import Dict, List

from edgenext_deploy.benchmarks.hardware.sensor import COUNTER, TEMPERATURE, THROTTLE, Sensor, from_files
from edgenext_deploy.machine.tree import Tree

# On a Nano this zone reads 100 °C whatever happens.
_CONSTANT = re.compile(r"PMIC", re.I)
# Of the kernel's cooling devices, those that take speed away. The others are fans, displays and chargers.
_SLOWS_DOWN = re.compile(r"cpu|gpu|processor|devfreq|emc|throttl|balanced", re.I)
_IS_FAN = re.compile(r"fan", re.I)


def temperature_sensors(tree: Tree) -> List[Sensor]:
    """Return a sensor for every thermal zone."""
    sensors: List[Sensor] = []
    seen: Dict[str, int] = {}
    for folder in tree.glob("/sys/class/thermal/thermal_zone[0-9]*"):
        name = _text(tree, folder + "/type")
        if not name or _CONSTANT.search(name):
            continue
        seen[name] = seen.get(name, 0) + 1
        title = name if seen[name] == 1 else "{} {}".format(name, seen[name])
        sensors.append(from_files(tree, TEMPERATURE, title, [folder + "/temp"], 1e-3))
    return sensors


def throttle_sensors(tree: Tree) -> List[Sensor]:
    """Return sensors for what slows the machine down.

    The kernel's cooling devices, which act on temperature, and on Orin and later the over-current events of the
    hardware (driver soctherm_oc: 1 is under-voltage, 2 average and 3 instantaneous over-current).
    """
    sensors: List[Sensor] = []
    for folder in tree.glob("/sys/class/thermal/cooling_device[0-9]*"):
        name = _text(tree, folder + "/type")
        if _SLOWS_DOWN.search(name) and not _IS_FAN.search(name):
            sensors.append(from_files(tree, THROTTLE, "temperature ({})".format(name), [folder + "/cur_state"], 1.0))
    for path in tree.glob("/sys/class/hwmon/hwmon[0-9]*/oc[0-9]*_event_cnt"):
        number = re.sub(r"_.*", "", path.rsplit("/", 1)[1])
        sensors.append(from_files(tree, COUNTER, "over-current or under-voltage ({})".format(number), [path], 1.0))
    return sensors


def _text(tree: Tree, path: str) -> str:
    try:
        return tree.read(path).strip()
    except OSError:
        return ""
