"""Recorded sysfs trees: a Nano in both of its modes and an Orin Nano; layouts as their drivers have them."""
import os

from edgenext_deploy.machine.tree import Tree

CONF = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=5W >\n< PM_CONFIG DEFAULT=0 >\n"
ORIN_CONF = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
NANO_RAILS = "/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
ORIN_RAILS = "/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"


class RecordedTree(Tree):
    """A tree of files, some of which may be `denied`: tests run as root, whom no mode of a file stops."""

    def __init__(self, root, said=None):
        super().__init__(str(root))
        self.denied, self.failing, self.said, self.asked = set(), {}, said, []

    def write(self, path, text):
        place = self.path(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w") as stream:
            stream.write("{}\n".format(text))

    def remove(self, path):
        os.unlink(self.path(path))

    def read(self, path):
        if path in self.denied:
            raise PermissionError(13, "Permission denied")
        if path in self.failing:
            raise self.failing[path]
        return super().read(path)

    def output_of(self, command, timeout_s=5.0):
        self.asked.append(tuple(command))
        return self.said


def nano(root, mode=0, locked=True):
    """Return a Nano with JetPack 4.6: mode 0 is MAXN, 1 is 5W (fewer cores, lower clocks)."""
    tree = RecordedTree(root)
    cpu_khz, gpu_hz = ((1479000, 921600000), (918000, 640000000))[mode]
    tree.write("/proc/device-tree/model", "NVIDIA Jetson Nano Developer Kit\0")
    tree.write("/etc/nvpmodel.conf", CONF)
    tree.write("/var/lib/nvpmodel/status", "pmode:{:04d}".format(mode))
    policy = "/sys/devices/system/cpu/cpufreq/policy0"
    clocks(tree, policy + "/scaling_{}_freq", cpu_khz if locked else 102000, cpu_khz, cpu_khz)
    clocks(tree, "/sys/class/devfreq/57000000.gpu/{}_freq", gpu_hz if locked else 76800000, gpu_hz, gpu_hz)
    tree.write("/sys/kernel/debug/clk/override.emc/clk_rate", 1600000000)
    tree.write("/sys/kernel/debug/tegra_bwmgr/emc_min_rate", 1600000000 if locked else 204000000)
    tree.write("/sys/kernel/debug/tegra_bwmgr/emc_max_rate", 1600000000)
    for index, (name, milli) in enumerate([("AO-therm", 43500), ("CPU-therm", 36000), ("GPU-therm", 34500),
                                           ("PLL-therm", 33000), ("PMIC-Die", 100000), ("thermal-fan-est", 35250)]):
        zone(tree, index, name, milli)
    for index, (name, state) in enumerate([("pwm-fan", 3), ("gpu-balanced", 0), ("cpu-balanced", 0), ("cpu-fan", 2)]):
        cooling(tree, index, name, state)
    for index, (name, milliwatts) in enumerate([("POM_5V_IN", 4200), ("POM_5V_GPU", 1300), ("POM_5V_CPU", 700)]):
        tree.write("{}/rail_name_{}".format(NANO_RAILS, index), name)
        tree.write("{}/in_power{}_input".format(NANO_RAILS, index), milliwatts)
    return tree


def orin(root):
    """Return an Orin Nano with JetPack 6.2, clocks as the load asks."""
    tree = RecordedTree(root)
    tree.write("/proc/device-tree/model", "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0")
    tree.write("/etc/nvpmodel.conf", ORIN_CONF)
    tree.write("/var/lib/nvpmodel/status", "pmode:0001 fmode:quiet")
    for policy in (0, 4):
        clocks(tree, "/sys/devices/system/cpu/cpufreq/policy%d/scaling_{}_freq" % policy, 729600, 1344000, 1728000)
    clocks(tree, "/sys/class/devfreq/17000000.gpu/{}_freq", 306000000, 918000000, 1020000000)
    clocks(tree, "/sys/class/devfreq/15340000.vic/{}_freq", 1, 2, 3)
    tree.write("/sys/kernel/debug/bpmp/debug/clk/emc/rate", 3199000000)
    tree.write("/sys/kernel/debug/bpmp/debug/clk/emc/min_rate", 204000000)
    tree.write("/sys/kernel/debug/bpmp/debug/clk/emc/max_rate", 3199000000)
    for index, (name, milli) in enumerate([("cpu-thermal", 47500), ("gpu-thermal", 46500), ("cv0-thermal", 0),
                                           ("soc0-thermal", 45900)]):
        zone(tree, index, name, milli)
    tree.failing["/sys/class/thermal/thermal_zone2/temp"] = BlockingIOError(11, "Resource temporarily unavailable")
    for index, name in enumerate(["pwm-fan", "cpufreq-cpu0", "17000000.gpu"]):
        cooling(tree, index, name, 0)
    for channel, name, millivolts, milliamperes in [(1, "VDD_IN", 5000, 1440), (2, "VDD_CPU_GPU_CV", 5000, 560),
                                                    (3, "VDD_SOC", 4992, 320)]:
        tree.write("{}/in{}_label".format(ORIN_RAILS, channel), name)
        tree.write("{}/in{}_input".format(ORIN_RAILS, channel), millivolts)
        tree.write("{}/curr{}_input".format(ORIN_RAILS, channel), milliamperes)
    tree.write(ORIN_RAILS + "/in7_label", "sum of shunt voltages")
    tree.write(ORIN_RAILS + "/in7_input", 4)
    tree.write("/sys/class/hwmon/hwmon3/name", "soctherm_oc")
    for number in (1, 2, 3):
        tree.write("/sys/class/hwmon/hwmon3/oc{}_event_cnt".format(number), 5)
    return tree


def clocks(tree, form, low, current, high):
    """Write minimum, present and maximum; cpufreq and devfreq name them alike."""
    for which, value in (("min", low), ("cur", current), ("max", high)):
        tree.write(form.format(which), value)


def zone(tree, index, name, milli):
    tree.write("/sys/class/thermal/thermal_zone{}/type".format(index), name)
    tree.write("/sys/class/thermal/thermal_zone{}/temp".format(index), milli)


def cooling(tree, index, name, state):
    tree.write("/sys/class/thermal/cooling_device{}/type".format(index), name)
    tree.write("/sys/class/thermal/cooling_device{}/cur_state".format(index), state)
