"""Temperatures, and what holds clocks down when they are too high or the supply is too weak."""
import re
from typing import List

from edgenext_deploy.benchmarks.hardware.sensor import COUNTER, TEMPERATURE, THROTTLE, Sensor, from_files
from edgenext_deploy.machine.thermal_zones import thermal_zones
from edgenext_deploy.machine.tree import Tree

# Of the kernel's cooling devices, those that take speed away. The others are fans, displays and chargers.
_SLOWS_DOWN = re.compile(r"cpu|gpu|processor|devfreq|emc|throttl|balanced", re.I)
_IS_FAN = re.compile(r"fan", re.I)


def temperature_sensors(tree: Tree) -> List[Sensor]:
    """Return a sensor for every thermal zone."""
    return [from_files(tree, TEMPERATURE, zone.name, [zone.path], 1e-3) for zone in thermal_zones(tree)]


def throttle_sensors(tree: Tree) -> List[Sensor]:
    """Return sensors for what slows the machine down.

    The kernel's cooling devices, which act on temperature, and on Orin and later the over-current events of the
    hardware (driver soctherm_oc: 1 is under-voltage, 2 average and 3 instantaneous over-current).
    """
    sensors: List[Sensor] = []
    for folder in tree.glob("/sys/class/thermal/cooling_device[0-9]*"):
        name = tree.line(folder + "/type") or ""
        if _SLOWS_DOWN.search(name) and not _IS_FAN.search(name):
            sensors.append(from_files(tree, THROTTLE, "temperature ({})".format(name), [folder + "/cur_state"], 1.0))
    for path in tree.glob("/sys/class/hwmon/hwmon[0-9]*/oc[0-9]*_event_cnt"):
        number = re.sub(r"_.*", "", path.rsplit("/", 1)[1])
        sensors.append(from_files(tree, COUNTER, "over-current or under-voltage ({})".format(number), [path], 1.0))
    return sensors
