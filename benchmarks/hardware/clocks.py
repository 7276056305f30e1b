"""Clocks: what they are at the moment, and between what they may move."""
import os
import re
from typing import Dict, List, NamedTuple, Tuple

from edgenext_deploy.benchmarks.hardware.sensor import CLOCK, Sensor, from_files
from edgenext_deploy.benchmarks.hardware.state import ClockRange
from edgenext_deploy.machine.power_mode import is_gpu_clock
from edgenext_deploy.machine.tree import Tree

_KHZ, _HZ = 1e-3, 1e-6
# Cores of one policy share their clock. A server has dozens of policies; its first ones say enough.
_MAX_POLICIES = 8


class _Memory(NamedTuple):
    """Where a Jetson says its memory clock; all below /sys/kernel/debug, which only root may enter."""

    current: str
    low: str
    high: str


# As NVIDIA's jetson_clocks script reads them: Tegra210 (Nano, TX1); Tegra186 and later.
_MEMORY = (
    _Memory("/sys/kernel/debug/clk/override.emc/clk_rate", "/sys/kernel/debug/tegra_bwmgr/emc_min_rate",
            "/sys/kernel/debug/tegra_bwmgr/emc_max_rate"),
    _Memory("/sys/kernel/debug/bpmp/debug/clk/emc/rate", "/sys/kernel/debug/bpmp/debug/clk/emc/min_rate",
            "/sys/kernel/debug/bpmp/debug/clk/emc/max_rate"),
)


def clock_sensors(tree: Tree) -> List[Sensor]:
    """Return sensors for the clocks of the processor, of a Jetson's GPU and of its memory."""
    sensors = [from_files(tree, CLOCK, name, [folder + "/scaling_cur_freq"], _KHZ) for name, folder in _policies(tree)]
    gpus = _gpus(tree)
    sensors += [from_files(tree, CLOCK, name, [folder + "/cur_freq"], _HZ) for name, folder in gpus]
    if gpus:
        sensors += [from_files(tree, CLOCK, "emc", [memory.current], _HZ) for memory in _memory(tree)]
    return sensors


def clock_ranges(tree: Tree) -> Dict[str, ClockRange]:
    """Return between what each clock may move, without those that cannot be read."""
    sources = [(name, folder + "/scaling_min_freq", folder + "/scaling_max_freq", _KHZ)
               for name, folder in _policies(tree)]
    sources += [(name, folder + "/min_freq", folder + "/max_freq", _HZ) for name, folder in _gpus(tree)]
    sources += [("emc", memory.low, memory.high, _HZ) for memory in _memory(tree)]
    ranges: Dict[str, ClockRange] = {}
    for name, low, high, scale in sources:
        try:
            ranges[name] = ClockRange(*[round(tree.integer(path) * scale, 6) for path in (low, high)])
        except (OSError, ValueError):
            continue
    return ranges


def _policies(tree: Tree) -> List[Tuple[str, str]]:
    folders = tree.glob("/sys/devices/system/cpu/cpufreq/policy[0-9]*")
    numbered = sorted((int(re.sub(r"\D", "", os.path.basename(folder))), folder) for folder in folders)
    return [("cpu{}".format(number), folder) for number, folder in numbered[:_MAX_POLICIES]]


def _gpus(tree: Tree) -> List[Tuple[str, str]]:
    folders = [folder for folder in tree.glob("/sys/class/devfreq/*") if is_gpu_clock(os.path.basename(folder))]
    # The class is a link to this on a Nano, and absent in some containers.
    folders = folders or tree.glob("/sys/devices/gpu.0/devfreq/*")
    return [("gpu" if len(folders) == 1 else "gpu{}".format(index), folder) for index, folder in enumerate(folders)]


def _memory(tree: Tree) -> List[_Memory]:
    """Return the place of the memory clock; also one that exists, as far as one may look, but is forbidden."""
    for memory in _MEMORY:
        try:
            tree.read(memory.current)
        except PermissionError:
            return [memory]
        except OSError:
            continue
        return [memory]
    return []
