"""The sensors of recorded machines."""
import pytest
from hardware_trees import NANO_RAILS, ORIN_RAILS, RecordedTree, cooling, nano, orin, zone

from edgenext_deploy.benchmarks.hardware.clocks import clock_sensors
from edgenext_deploy.benchmarks.hardware.monitor import Monitor, mean_power_mw
from edgenext_deploy.benchmarks.hardware.rails import total_rails
from edgenext_deploy.benchmarks.hardware.state import ClockRange
from edgenext_deploy.machine.power_mode import PowerMode
from edgenext_deploy.machine.tree import Tree


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def watch(tree, blocks=1, between=None, seconds=1.0):
    """Watch a machine over some blocks; `between` is called before each block with its number."""
    clock = Clock()
    monitor = Monitor(tree, clock=clock)
    clock.now_s += 3.0
    monitor.begin()
    for block in range(blocks):
        if between is not None:
            between(block)
        clock.now_s += seconds
        monitor.after_block("a")
    monitor.end()
    return monitor.hardware("a")


def test_a_nano_in_maxn_with_locked_clocks(tmp_path):
    state = watch(nano(tmp_path))
    assert state.power_mode == PowerMode("MAXN", 0, "/var/lib/nvpmodel/status")
    assert state.clock_ranges == {"cpu0": ClockRange(1479.0, 1479.0), "gpu": ClockRange(921.6, 921.6),
                                  "emc": ClockRange(1600.0, 1600.0)}
    assert state.clocks_locked is True
    assert state.start.clocks_mhz == {"cpu0": 1479.0, "gpu": 921.6, "emc": 1600.0}
    # PMIC-Die is a constant, not a temperature.
    assert state.start.temperatures_c == {"AO-therm": 43.5, "CPU-therm": 36.0, "GPU-therm": 34.5, "PLL-therm": 33.0,
                                          "thermal-fan-est": 35.25}
    assert state.start.power_mw == {"POM_5V_IN": 4200.0, "POM_5V_GPU": 1300.0, "POM_5V_CPU": 700.0}
    assert state.total_rails == ("POM_5V_IN",)
    assert (state.throttled, state.troubles) == ((), ())  # a fan that turns is no throttling
    assert (state.start.at_s, [reading.at_s for reading in state.during], state.end.at_s) == (-3.0, [1.0], 1.0)


def test_a_nano_in_five_watts_with_clocks_that_move(tmp_path):
    state = watch(nano(tmp_path, mode=1, locked=False))
    assert state.power_mode == PowerMode("5W", 1, "/var/lib/nvpmodel/status")
    assert state.clock_ranges["gpu"] == ClockRange(76.8, 640.0)
    assert state.clocks_locked is False
    assert state.start.clocks_mhz["cpu0"] == 918.0


def test_an_orin(tmp_path):
    state = watch(orin(tmp_path))
    assert state.power_mode == PowerMode("25W", 1, "/var/lib/nvpmodel/status")
    assert state.start.clocks_mhz == {"cpu0": 1344.0, "cpu4": 1344.0, "gpu": 918.0, "emc": 3199.0}
    assert state.clock_ranges["gpu"] == ClockRange(306.0, 1020.0)
    assert state.clocks_locked is False
    assert state.start.power_mw == {"VDD_IN": 7200.0, "VDD_CPU_GPU_CV": 2800.0, "VDD_SOC": pytest.approx(1597.44)}
    assert state.total_rails == ("VDD_IN",)
    # The vision cores are switched off: their zone answers "try again", which is no trouble.
    assert sorted(state.start.temperatures_c) == ["cpu-thermal", "gpu-thermal", "soc0-thermal"]
    assert (state.throttled, state.troubles) == ((), ())


def test_the_rails_of_an_agx_orin_are_added_up_and_half_known_totals_are_not():
    assert total_rails(["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"]) == (
        "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
    assert total_rails(["VDD_GPU_SOC", "VDD_CPU_CV"]) == ()
    assert total_rails([]) == ()


def test_throttling_by_temperature_is_seen_even_if_it_is_over_at_the_end(tmp_path):
    tree = nano(tmp_path)
    state = watch(tree, 3, lambda block: cooling(tree, 1, "gpu-balanced", int(block == 1)))
    assert state.throttled == ("temperature (gpu-balanced)",)
    assert [reading.throttled for reading in state.during] == [(), ("temperature (gpu-balanced)",), ()]
    assert state.end.throttled == ()


def test_over_current_events_count_only_if_they_happen_in_the_run(tmp_path):
    tree = orin(tmp_path)
    path = "/sys/class/hwmon/hwmon3/oc3_event_cnt"
    state = watch(tree, 3, lambda block: tree.write(path, 5 + 2 * block))
    assert state.throttled == ("over-current or under-voltage (oc3)",)
    assert [bool(reading.throttled) for reading in state.during] == [False, True, True]


@pytest.mark.parametrize("path", [NANO_RAILS + "/in_power0_input", "/sys/class/devfreq/57000000.gpu/cur_freq",
                                  "/sys/class/thermal/thermal_zone2/temp"])
def test_a_sensor_that_vanishes_in_the_run_is_lost_not_fine(tmp_path, path):
    tree = nano(tmp_path)
    state = watch(tree, 3, lambda block: tree.remove(path) if block == 1 else None)
    (trouble,) = state.troubles
    assert (trouble.sensor, trouble.kind, trouble.at_s) == (path, "lost", 2.0)
    assert "answered before and does not any more: No such file or directory" in trouble.text
    readings = [state.start, *state.during, state.end]
    counts = [sum(len(part) for part in reading[1:4]) for reading in readings]
    assert counts == [11, 11, 10, 10, 10]


def test_no_power_is_claimed_from_a_run_in_which_the_total_rail_died(tmp_path):
    tree = nano(tmp_path / "dies")
    assert mean_power_mw(watch(
        tree, 3, lambda block: tree.remove(NANO_RAILS + "/in_power0_input") if block == 1 else None)) is None
    tree = nano(tmp_path / "lives")
    rising = watch(tree, 3, lambda block: tree.write(NANO_RAILS + "/in_power0_input", 5000 + 100 * block))
    assert mean_power_mw(rising) == (5100.0, 3)


def test_a_sensor_that_may_not_be_read_is_denied(tmp_path):
    tree = nano(tmp_path)
    forbidden = ["/sys/kernel/debug/clk/override.emc/clk_rate", NANO_RAILS + "/in_power1_input"]
    tree.denied.update(forbidden)
    state = watch(tree)
    assert {(trouble.sensor, trouble.kind) for trouble in state.troubles} == {(path, "denied") for path in forbidden}
    assert all("no permission" in trouble.text for trouble in state.troubles)
    assert "emc" not in state.start.clocks_mhz
    assert sorted(state.start.power_mw) == ["POM_5V_CPU", "POM_5V_IN"]


def test_a_sensor_that_says_nonsense_is_broken(tmp_path):
    tree = nano(tmp_path)
    zone(tree, 1, "CPU-therm", "nan of your business")
    (trouble,) = watch(tree).troubles
    assert (trouble.sensor, trouble.kind) == ("/sys/class/thermal/thermal_zone1/temp", "broken")


def test_a_part_that_sleeps_has_no_temperature(tmp_path):
    tree = nano(tmp_path)
    zone(tree, 2, "GPU-therm", -256000)
    assert "GPU-therm" not in watch(tree).start.temperatures_c


def test_a_part_that_wakes_up_has_a_temperature_from_then_on(tmp_path):
    """An Orin's GPU is off until the first inference; what it says then is what a measurement is about."""
    tree = orin(tmp_path)
    zone_of_the_gpu = "/sys/class/thermal/thermal_zone1/temp"
    tree.failing[zone_of_the_gpu] = BlockingIOError(11, "Resource temporarily unavailable")
    state = watch(tree, 2, lambda block: tree.failing.pop(zone_of_the_gpu, None) if block else None)
    assert ["gpu-thermal" in reading.temperatures_c for reading in (state.start, *state.during, state.end)] == [
        False, False, True, True]
    assert state.troubles == ()


def test_only_a_thermal_zone_may_sleep(tmp_path):
    tree = orin(tmp_path)
    tree.failing[ORIN_RAILS + "/curr1_input"] = BlockingIOError(11, "Resource temporarily unavailable")
    (trouble,) = watch(tree).troubles
    assert trouble.kind == "broken"


def test_clocks_are_not_called_locked_where_one_of_them_hides_its_bounds(tmp_path):
    tree = nano(tmp_path)
    tree.remove("/sys/class/devfreq/57000000.gpu/min_freq")
    assert watch(tree).clocks_locked is None
    free = nano(tmp_path, locked=False)
    free.remove("/sys/class/devfreq/57000000.gpu/min_freq")
    assert watch(free).clocks_locked is False


def test_zones_of_the_same_name_stay_apart(tmp_path):
    tree = RecordedTree(tmp_path)
    zone(tree, 0, "acpitz", 40000)
    zone(tree, 1, "acpitz", 50000)
    assert watch(tree).start.temperatures_c == {"acpitz": 40.0, "acpitz 2": 50.0}


def test_nvpmodel_is_asked_where_its_status_cannot_be_read(tmp_path):
    tree = nano(tmp_path)
    tree.denied.add("/var/lib/nvpmodel/status")
    tree.said = "NV Fan Mode:quiet\nNV Power Mode: 5W\n1\n"
    assert watch(tree).power_mode == PowerMode("5W", 1, "nvpmodel -q")
    assert tree.asked == [("nvpmodel", "-q")]
    tree.said = None
    assert watch(tree).power_mode is None


def test_a_machine_without_sensors_claims_nothing(tmp_path):
    tree = RecordedTree(tmp_path)
    state = watch(tree)
    assert (state.power_mode, state.clock_ranges, state.clocks_locked) == (None, {}, None)
    assert state.start[1:] == ({}, {}, {}, (), {})
    assert (state.total_rails, state.troubles, tree.asked) == ((), (), [])
    assert mean_power_mw(state) is None


def test_a_server_with_many_cores_is_asked_about_a_few(tmp_path):
    tree = RecordedTree(tmp_path)
    for policy in range(64):
        tree.write("/sys/devices/system/cpu/cpufreq/policy{}/scaling_cur_freq".format(policy), 2000000)
    names = [sensor.name for sensor in clock_sensors(tree)]
    assert names == ["cpu{}".format(index) for index in range(8)]


def test_each_engine_is_read_at_most_twice_a_second(tmp_path):
    state = watch(nano(tmp_path), blocks=17, seconds=0.125)
    assert [reading.at_s for reading in state.during] == [0.125, 0.625, 1.125, 1.625, 2.125]


def test_a_reading_says_that_it_took_time():
    clock = Clock()
    monitor = Monitor(Tree("/nowhere"), clock=clock)
    assert monitor.after_block("a") is True
    assert monitor.after_block("a") is False
    assert monitor.after_block("b") is True
    clock.now_s += 0.6
    assert monitor.after_block("a") is True


def test_the_current_of_an_orins_rail_dies(tmp_path):
    tree = orin(tmp_path)
    state = watch(tree, 2, lambda block: tree.remove(ORIN_RAILS + "/curr1_input") if block == 1 else None)
    assert [trouble.kind for trouble in state.troubles] == ["lost"]
    assert "VDD_IN" not in state.end.power_mw and "VDD_SOC" in state.end.power_mw


def test_this_machine_can_be_watched():
    state = watch(Tree())
    assert len(state.during) == 1
