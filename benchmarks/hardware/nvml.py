"""Servers and workstations: clocks, temperature, power and throttling of NVIDIA GPUs, from NVML.

Through ctypes on libnvidia-ml.so.1, which comes with the driver: ``nvidia-smi`` would start a process for every
reading, which takes longer than the blocks between which it is read, and a Python package would be one more to
install. Jetsons before JetPack 7 have no NVML; their sensors are files. Names and numbers are those of nvml.h.
"""
import ctypes
import functools
from typing import Any, Callable, List, Optional

from edgenext_deploy.benchmarks.hardware.sensor import CLOCK, POWER, TEMPERATURE, THROTTLE, Sensor

# What the sensors of a server's only GPU are called.
GPU_BOARD = "gpu"

_SUCCESS, _NOT_SUPPORTED, _NO_PERMISSION = 0, 3, 4
_CLOCK_SM, _CLOCK_MEMORY = 1, 2
_TEMPERATURE_GPU = 0
# Bits of nvmlClocksThrottleReason*. What is not here (idle, clocks that the user set) is no throttling.
_REASONS = ((0x4, "power cap"), (0x8, "hardware slowdown"), (0x20, "temperature (software)"),
            (0x40, "temperature (hardware)"), (0x80, "power brake"))


class Nvml:
    """NVML, open.

    Args:
        library: libnvidia-ml, or what stands for it in a test.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handles: List[Any] = []
        if library.nvmlInit_v2() != _SUCCESS:
            return
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _SUCCESS:
            return
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) == _SUCCESS:
                self._handles.append(handle)

    def sensors(self) -> List[Sensor]:
        """Return the sensors of every GPU, named ``gpu`` or ``gpu0``, ``gpu1``; without those that a GPU lacks."""
        sensors: List[Sensor] = []
        for index, handle in enumerate(self._handles):
            title = GPU_BOARD if len(self._handles) == 1 else "gpu{}".format(index)
            where = "NVML {} of {}".format("{}", title)
            sensors += [
                Sensor(POWER, title, where.format("power"),
                       functools.partial(self._get, "nvmlDeviceGetPowerUsage", handle)),
                Sensor(CLOCK, title, where.format("SM clock"),
                       functools.partial(self._get, "nvmlDeviceGetClockInfo", handle, _CLOCK_SM)),
                Sensor(CLOCK, title + "_memory", where.format("memory clock"),
                       functools.partial(self._get, "nvmlDeviceGetClockInfo", handle, _CLOCK_MEMORY)),
                Sensor(TEMPERATURE, title, where.format("temperature"),
                       functools.partial(self._get, "nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU)),
            ]
            prefix = "" if len(self._handles) == 1 else title + " "
            sensors += [Sensor(THROTTLE, prefix + reason, where.format("throttle reasons"), self._has(handle, bit))
                        for bit, reason in _REASONS]
        return [sensor for sensor in sensors if _is_supported(sensor)]

    def close(self) -> None:
        """Close NVML; its sensors cannot be read afterwards."""
        self._library.nvmlShutdown()

    def _has(self, handle: Any, bit: int) -> Callable[[], float]:
        def read() -> float:
            reasons = self._get("nvmlDeviceGetCurrentClocksThrottleReasons", handle, kind=ctypes.c_ulonglong)
            return float(int(reasons) & bit != 0)

        return read

    def _get(self, function: str, handle: Any, *which: int, kind: Any = ctypes.c_uint) -> float:
        """Return the number that one of NVML's functions gives; raise OSError or PermissionError."""
        value = kind()
        arguments = [ctypes.c_uint(number) for number in which]
        try:
            code = getattr(self._library, function)(handle, *arguments, ctypes.byref(value))
        except AttributeError:  # an old or a new driver without this function
            code = _NOT_SUPPORTED
        if code == _NO_PERMISSION:
            raise PermissionError("NVML gives no permission")
        if code == _NOT_SUPPORTED:
            raise NotImplementedError
        if code != _SUCCESS:
            raise OSError("NVML error {}".format(code))
        return float(value.value)


def open_nvml() -> Optional[Nvml]:
    """Return NVML, or None where there is no such driver or no GPU."""
    try:
        nvml = Nvml(ctypes.CDLL("libnvidia-ml.so.1"))
    except (OSError, AttributeError):
        return None
    return nvml if nvml.sensors() else None


def _is_supported(sensor: Sensor) -> bool:
    try:
        sensor.read()
    except NotImplementedError:
        return False
    except OSError:  # there, but denied or broken: the reading says so
        return True
    return True
