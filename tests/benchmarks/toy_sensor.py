"""A sensor of somebody else's: the fan of a Jetson. The only file that it needs."""
from edgenext_deploy.benchmarks import Sensor, SensorKind, register_sensor

FAN = "/sys/class/hwmon/hwmon0/rpm"


def find(machine):
    if not machine.tree.exists(FAN):
        return []
    return [Sensor("fan speed", "cpu_fan", FAN, lambda: float(machine.tree.read(FAN)))]


def add():
    register_sensor(SensorKind("fan speed", "rpm", 0, find))
