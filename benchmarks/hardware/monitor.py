"""Watches the sensors of a machine over one run: before it, between its blocks, and after it.

There is no thread: one would take time from what is timed. A sensor is read between two blocks, at most every
`READ_EVERY_S` for each engine, and the call after a reading is not timed.
"""
import time
from typing import Callable, Dict, List, Optional, Tuple

from edgenext_deploy.benchmarks.hardware import clocks, nvml, rails
from edgenext_deploy.benchmarks.hardware.sensor import CLOCK, COUNTER, POWER, TEMPERATURE, THROTTLE, Sensor
from edgenext_deploy.benchmarks.hardware.sensor_kinds import Machine, sensor_kinds, value_kinds
from edgenext_deploy.benchmarks.hardware.state import BROKEN, DENIED, LOST, Hardware, Reading, SensorError
from edgenext_deploy.benchmarks.hardware.watch import Watch
from edgenext_deploy.machine.power_mode import present_mode
from edgenext_deploy.machine.tree import Tree

READ_EVERY_S = 0.5
_FAILURES = (OSError, ValueError, NotImplementedError)


class Monitor(Watch):
    """The sensors of a machine, as they are found when it is made, and what they say from then on.

    Args:
        tree: the machine's files.
        gpus: NVML, where there is one.
        clock: returns seconds.
    """

    def __init__(self, tree: Tree, gpus: Optional[nvml.Nvml] = None,
                 clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._zero = clock()
        self._gpus = gpus
        machine = Machine(tree, tuple(gpus.sensors()) if gpus is not None else ())
        self._sensors = [(kind, sensor) for kind in sensor_kinds() for sensor in kind.find(machine)]
        self._answered: Dict[Sensor, bool] = {}
        self._counts: Dict[Sensor, float] = {}
        self._troubles: Dict[str, SensorError] = {}
        self._throttled: Dict[str, None] = {}
        self._power_mode = present_mode(tree)
        self._ranges = clocks.clock_ranges(tree)
        names = [sensor.name for kind, sensor in self._sensors if kind.name == POWER]
        self._total_rails = rails.total_rails(names)
        if not self._total_rails and gpus is not None and len(names) == 1:
            self._total_rails = (names[0],)
        self._start = self._end = self._read()
        self._during: Dict[str, List[Reading]] = {}

    def begin(self) -> None:
        """Say that the first timed inference comes next: times count from here."""
        self._zero = self._clock()

    def after_block(self, name: str) -> bool:
        """Read the sensors after a block of that engine, if it is time to; return whether they were read."""
        readings = self._during.setdefault(name, [])
        if readings and self._clock() - readings[-1].at_s < READ_EVERY_S:
            return False
        readings.append(self._read())
        return True

    def end(self) -> None:
        """Read the sensors a last time."""
        self._end = self._read()
        if self._gpus is not None:
            self._gpus.close()

    def hardware(self, name: str) -> Hardware:
        """Return the state over the run, with the readings between that engine's blocks; after `end`."""
        troubles = [trouble._replace(at_s=round(trouble.at_s - self._zero, 3)) for trouble in self._troubles.values()]
        return Hardware(
            power_mode=self._power_mode, clock_ranges=self._ranges, clocks_locked=self._locked(),
            start=self._shifted(self._start), during=tuple(map(self._shifted, self._during.get(name, ()))),
            end=self._shifted(self._end), total_rails=self._total_rails, throttled=tuple(self._throttled),
            troubles=tuple(troubles))

    def _shifted(self, reading: Reading) -> Reading:
        return reading._replace(at_s=round(reading.at_s - self._zero, 3))

    def _read(self) -> Reading:
        now = self._clock()
        values: Dict[str, Dict[str, float]] = {kind.name: {} for kind in value_kinds()}
        reasons: List[str] = []
        for kind, sensor in self._sensors:
            value = self._value(sensor, now)
            if value is None:
                continue
            if kind.name == COUNTER:
                if value > self._counts.get(sensor, value):
                    reasons.append(sensor.name)
                self._counts[sensor] = value
            elif kind.name == THROTTLE:
                if value > 0:
                    reasons.append(sensor.name)
            elif value > kind.least:
                values[kind.name][sensor.name] = value
        self._throttled.update(dict.fromkeys(reasons))
        return Reading(now, values.pop(CLOCK), values.pop(TEMPERATURE), values.pop(POWER), tuple(reasons), values)

    def _value(self, sensor: Sensor, now: float) -> Optional[float]:
        try:
            value = sensor.read()
        except _FAILURES as error:
            if not _sleeps(sensor, error):
                self._note(sensor, error, now)
            return None
        self._answered[sensor] = True
        return value

    def _note(self, sensor: Sensor, error: Exception, now: float) -> None:
        """Remember the first failure of each sensor."""
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, PermissionError):
            kind, text = DENIED, "{}: no permission to read it".format(sensor.where)
        elif sensor in self._answered:
            kind, text = LOST, "{}: answered before and does not any more: {}".format(sensor.where, said)
        else:
            kind, text = BROKEN, "{}: cannot be read: {}".format(sensor.where, said)
        self._troubles.setdefault(sensor.where, SensorError(sensor.where, kind, text, now))

    def _locked(self) -> Optional[bool]:
        """Whether the clocks that decide the latency are pinned; the memory's moves with the GPU's."""
        if any(not value.locked for name, value in self._ranges.items() if name != "emc"):
            return False
        names = [sensor.name for kind, sensor in self._sensors
                 if kind.name == CLOCK and sensor.name != "emc" and not sensor.name.endswith("_memory")]
        # NVML reports a GPU's clock, but not its range.
        return True if names and all(name in self._ranges for name in names) else None


def open_monitor() -> Monitor:
    """Return the monitor of this machine."""
    return Monitor(Tree(), nvml.open_nvml())


def mean_power_mw(hardware: Hardware) -> Optional[Tuple[float, int]]:
    """Return the mean of the total rails over the readings between blocks, in mW, and the number of readings.

    None where no total is known, or a rail is missing in a reading: a sum of fewer rails would be too small.
    """
    if not hardware.total_rails or not hardware.during:
        return None
    sums = []
    for reading in hardware.during:
        if not all(name in reading.power_mw for name in hardware.total_rails):
            return None
        sums.append(sum(reading.power_mw[name] for name in hardware.total_rails))
    return sum(sums) / len(sums), len(sums)


def _sleeps(sensor: Sensor, error: Exception) -> bool:
    """Whether a thermal zone says EAGAIN: its part is switched off, as an Orin's GPU is until it has something to do.

    It may be on at the next reading; of a part that is off no temperature is missing.
    """
    return sensor.kind == TEMPERATURE and isinstance(error, BlockingIOError)
