"""NVML's sensors, against a double of its library; it proves what we ask for and nothing about a GPU."""
# ruff: noqa: N802 - the functions have NVML's names
import ctypes

import pytest
from hardware_trees import RecordedTree, clocks

from edgenext_deploy.benchmarks.hardware import nvml
from edgenext_deploy.benchmarks.hardware.monitor import Monitor, mean_power_mw

IDLE, POWER_CAP, HOT = 0x1, 0x4, 0x40


class Library:
    """Answers as NVML does: a code, and the number through a pointer."""

    def __init__(self, gpus=1, codes=None):
        self.gpus, self.codes, self.open = gpus, dict(codes or {}), None
        self.values = {"Power": 251000, "Temperature": 54, "Reasons": IDLE, "SM": 1410, "Memory": 1593}

    def nvmlInit_v2(self):
        self.open = True
        return 0

    def nvmlShutdown(self):
        self.open = False
        return 0

    def nvmlDeviceGetCount_v2(self, count):
        ctypes.cast(count, ctypes.POINTER(ctypes.c_uint))[0] = self.gpus
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle):
        ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = 1000 + index.value
        return 0

    def _answer(self, name, handle, out, kind=ctypes.c_uint):
        assert handle.value >= 1000 and self.open
        if name not in self.codes:
            ctypes.cast(out, ctypes.POINTER(kind))[0] = self.values[name]
        return self.codes.get(name, 0)

    def nvmlDeviceGetPowerUsage(self, handle, out):
        return self._answer("Power", handle, out)

    def nvmlDeviceGetClockInfo(self, handle, kind, out):
        return self._answer({1: "SM", 2: "Memory"}[kind.value], handle, out)

    def nvmlDeviceGetTemperature(self, handle, sensor, out):
        assert sensor.value == 0
        return self._answer("Temperature", handle, out)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle, out):
        return self._answer("Reasons", handle, out, ctypes.c_ulonglong)


def watch(library, tmp_path, between=None):
    times = iter(range(100))
    monitor = Monitor(RecordedTree(tmp_path), nvml.Nvml(library), lambda: float(next(times)))
    monitor.begin()
    for block in range(2):
        if between is not None:
            between(block)
        monitor.after_block("a")
    monitor.end()
    return monitor.hardware("a")


def test_a_server_is_read(tmp_path):
    library = Library()
    state = watch(library, tmp_path)
    assert state.start.clocks_mhz == {"gpu": 1410.0, "gpu_memory": 1593.0}
    assert state.start.temperatures_c == {"gpu": 54.0}
    assert state.start.power_mw == {"gpu": 251000.0}
    assert mean_power_mw(state) == (251000.0, 2)
    assert (state.throttled, state.troubles) == ((), ())  # an idle GPU is not throttled
    assert library.open is False


def test_a_gpu_is_not_called_locked_because_the_processor_is(tmp_path):
    tree = RecordedTree(tmp_path)
    clocks(tree, "/sys/devices/system/cpu/cpufreq/policy0/scaling_{}_freq", 3000000, 3000000, 3000000)
    assert watch(Library(), tmp_path).clocks_locked is None


def test_throttle_reasons_are_named(tmp_path):
    library = Library()
    state = watch(library, tmp_path, lambda block: library.values.update(Reasons=(POWER_CAP | HOT) * block))
    assert state.throttled == ("power cap", "temperature (hardware)")


def test_with_several_gpus_no_total_is_claimed(tmp_path):
    state = watch(Library(gpus=2), tmp_path)
    assert state.start.power_mw == {"gpu0": 251000.0, "gpu1": 251000.0}
    assert state.total_rails == ()


@pytest.mark.parametrize(("code", "kind"), [(4, "denied"), (15, "broken")])
def test_what_nvml_refuses_is_trouble(tmp_path, code, kind):
    (trouble,) = watch(Library(codes={"Power": code}), tmp_path).troubles
    assert (trouble.sensor, trouble.kind) == ("NVML power of gpu", kind)


def test_what_a_gpu_does_not_have_is_no_trouble(tmp_path):
    state = watch(Library(codes={"Power": 3}), tmp_path)
    assert (state.start.power_mw, state.troubles, state.total_rails) == ({}, (), ())


def test_a_gpu_that_falls_off_the_bus_is_lost(tmp_path):
    library = Library()
    state = watch(library, tmp_path, lambda block: library.codes.update(Temperature=15) if block else None)
    (trouble,) = state.troubles
    assert trouble.kind == "lost"
    assert "NVML error 15" in trouble.text


def test_no_driver_and_no_gpu_are_none(monkeypatch):
    def refuse(name):
        raise OSError(name)

    monkeypatch.setattr(nvml.ctypes, "CDLL", refuse)
    assert nvml.open_nvml() is None
    monkeypatch.setattr(nvml.ctypes, "CDLL", lambda name: Library(gpus=0))
    assert nvml.open_nvml() is None
    monkeypatch.setattr(nvml.ctypes, "CDLL", lambda name: object())  # some stub
    assert nvml.open_nvml() is None
