"""One table of sensor kinds; one new file adds a kind, and the monitor, the records and the reports know it."""
import io
from unittest import mock

import pytest
import toy_sensor
from bench_doubles import make_report, make_row
from hardware_trees import nano

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.hardware import sensor_kinds
from edgenext_deploy.benchmarks.hardware.monitor import Monitor
from edgenext_deploy.benchmarks.report.html.pages import report_page
from edgenext_deploy.benchmarks.report.terminal import print_report


@pytest.fixture
def fan():
    with mock.patch.dict(sensor_kinds._KINDS):
        toy_sensor.add()
        yield


def watched(tree, speeds=(1200, 1350)):
    tree.write(toy_sensor.FAN, speeds[0])
    monitor = Monitor(tree)
    monitor.begin()
    monitor.after_block("a")
    tree.write(toy_sensor.FAN, speeds[1])
    monitor.end()
    return monitor.hardware("a")


def test_a_new_kind_is_read_recorded_and_shown(fan, tmp_path):
    hardware = watched(nano(tmp_path / "tree"))
    assert hardware.start.values("fan speed") == {"cpu_fan": 1200.0}
    assert hardware.end.others == {"fan speed": {"cpu_fan": 1350.0}}
    assert hardware.start.clocks_mhz["gpu"] == 921.6 and hardware.total_rails == ("POM_5V_IN",)
    report = make_report(make_row("a", hardware=hardware))
    path = tmp_path / "rows.json"
    path.write_bytes(latency_report.dump(report))
    assert latency_report.read(str(path)) == report
    stream = io.StringIO()
    print_report(report, stream)
    assert "cpu_fan 1200 → 1350 rpm" in stream.getvalue()
    page = report_page(report).decode("utf-8")
    assert "<dt>fan speed cpu_fan</dt><dd>1200 to 1350 rpm (between 1200 and 1350)</dd>" in page


def test_a_sensor_of_a_new_kind_that_vanishes_is_lost(fan, tmp_path):
    tree = nano(tmp_path)
    tree.write(toy_sensor.FAN, 1200)
    monitor = Monitor(tree)
    monitor.begin()
    tree.remove(toy_sensor.FAN)
    monitor.end()
    (error,) = monitor.hardware("a").troubles
    assert (error.sensor, error.kind) == (toy_sensor.FAN, "lost")


def test_without_it_nothing_is_read(tmp_path):
    assert watched(nano(tmp_path)).start.others == {}


def test_a_kind_is_registered_once():
    with pytest.raises(ValueError, match="a kind of sensors 'power' already"):
        sensor_kinds.register_sensor(sensor_kinds.SensorKind("power", "W", 0, lambda machine: []))


def test_power_is_read_first():
    assert sensor_kinds.sensor_kinds()[0].name == "power"
