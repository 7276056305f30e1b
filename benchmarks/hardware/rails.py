"""Power by rail, from the INA3221 monitors of a Jetson.

JetPack 4 presents them through iio, in milliwatts (``/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0`` on a Nano),
later releases through hwmon, in millivolts and milliamperes (``/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3``).
"""
import re
from typing import List, Sequence, Tuple

from edgenext_deploy.benchmarks.hardware.sensor import POWER, Sensor, from_files
from edgenext_deploy.machine.tree import Tree
from edgenext_deploy.targets import BOARDS

_NOT_CONNECTED = ("", "NC")


def rail_sensors(tree: Tree) -> List[Sensor]:
    """Return a sensor for every rail that has a name."""
    sensors: List[Sensor] = []
    for path in tree.glob("/sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_[0-9]*"):
        folder, number = path.rsplit("/", 1)[0], path.rsplit("_", 1)[1]
        name = tree.line(path) or ""
        if name not in _NOT_CONNECTED:
            sensors.append(from_files(tree, POWER, name, ["{}/in_power{}_input".format(folder, number)], 1.0))
    for path in tree.glob("/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in[0-9]*_label"):
        folder, number = path.rsplit("/", 1)[0], re.sub(r"\D", "", path.rsplit("/", 1)[1])
        name = tree.line(path) or ""
        files = ["{}/{}{}_input".format(folder, what, number) for what in ("in", "curr")]
        # A fourth and later "channel" is a sum of shunt voltages: it has no current.
        if name not in _NOT_CONNECTED and tree.glob(files[1]):
            sensors.append(from_files(tree, POWER, name, files, 1e-3))
    return sensors


def total_rails(names: Sequence[str]) -> Tuple[str, ...]:
    """Return which of the rails add up to the whole module; empty if that is not known."""
    totals = [board.total_rails for board in BOARDS.values() if board.total_rails]
    return next((total for total in totals if set(total) <= set(names)), ())
