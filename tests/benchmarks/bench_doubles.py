"""What several tests of the benchmarks share: a report, and a session that does as it is told."""
import itertools
import os

import numpy as np
import pytest
from paths import DATA

from edgenext_deploy.artifacts.manifest import TensorSpec, Weights
from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.hardware.host import describe_host
from edgenext_deploy.benchmarks.hardware.state import ClockRange, Energy, Hardware, Reading
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.commands import entry
from edgenext_deploy.machine.power_mode import PowerMode
from edgenext_deploy.runtime.session import Session

TINY = os.path.join(DATA, "tiny_classifier.onnx")
ROOT = os.path.dirname(os.path.dirname(DATA))
# Options for a run that is over at once.
QUICK = ("--duration", "0.1", "--warmup", "0.05")


def make_times(mean_ms, **changes):
    """Return times of a stage that scatter a little around `mean_ms`."""
    times = latency_report.StageTimes(0.9 * mean_ms, mean_ms, 1.1 * mean_ms, 1.2 * mean_ms, 1.3 * mean_ms, mean_ms)
    return times._replace(**changes)


def make_stages(enqueue=0.4, host_to_device=0.2, compute=5.0, device_to_host=0.1, wall=6.0):
    return latency_report.Stages(*[make_times(mean_ms) for mean_ms in (
        enqueue, host_to_device, compute, device_to_host, host_to_device + compute + device_to_host, wall)])


def make_reading(at_s=0.0, **changes):
    return Reading(at_s, {"cpu0": 2100.0}, {"x86_pkg_temp": 51.0}, {}, ())._replace(**changes)


def make_hardware(**changes):
    hardware = Hardware(
        power_mode=None, clock_ranges={"cpu0": ClockRange(800.0, 3000.0)}, clocks_locked=False,
        start=make_reading(-1.0), during=(make_reading(1.0),), end=make_reading(3.0), total_rails=(), throttled=(),
        troubles=())
    return hardware._replace(**changes)


def make_row(name="xxs.onnx", **changes):
    """Return a row of ONNX Runtime."""
    row = latency_report.LatencyRecord(
        name=name,
        engine=latency_report.EngineFile(name, "ab" * 32, 5300000, "ef" * 32),
        model=latency_report.Model("xxs", "nano", "fp16", Weights("random (seed 0)", True, "cd" * 32)),
        device="cpu", device_found="x86_64, Some CPU", device_matches=True,
        session={"runtime": "onnxruntime", "version": "1.10.0", "provider": "CPUExecutionProvider",
                 "threads": 2},
        mode=latency_report.Mode("wall", "none", None, None, 2),
        input_shape=(1, 3, 256, 256), batch=1, image="golden", n=300, rounds=30,
        warmup=latency_report.WarmUp(250.5, 31, True),
        latency=latency_report.Latency(6.1, 6.5, 7.25, 9.0, 12.0, 6.6, 0.4, Interval(6.4, 6.6)),
        stages=None, reconciliation=None,
        window_spread=0.01, stable=True, throughput_per_s=151.5, is_reference=False, outputs=None,
        interleaved_with=(), interrupted=False, host=describe_host(),
        versions=latency_report.Versions("0.1.0", "3.6.9", "1.19.5", "1.10.0", None, None, None, None, None, None,
                                         None),
        hardware=make_hardware(), energy=None, cautions=(),
        samples=latency_report.Samples((0.0, 0.0065, 0.013), (6.4, 6.5, 6.6), False), started_at="2026-01-02T03:04:05Z",
    )
    return row._replace(**changes)


def make_nano_row(name="xxs.plan", **changes):
    """Return a row of TensorRT on a Nano, as the doubles of the tests would give it; no Nano was measured."""
    at_work = make_reading(1.0, clocks_mhz={"cpu0": 1479.0, "gpu": 921.6, "emc": 1600.0},
                           temperatures_c={"GPU-therm": 41.5}, power_mw={"POM_5V_IN": 5200.0, "POM_5V_GPU": 1900.0})
    hardware = make_hardware(
        power_mode=PowerMode("MAXN", 0, "/var/lib/nvpmodel/status"),
        clock_ranges={"cpu0": ClockRange(1479.0, 1479.0), "gpu": ClockRange(921.6, 921.6)}, clocks_locked=True,
        start=at_work._replace(at_s=-1.0), during=(at_work,), end=at_work._replace(at_s=3.0),
        total_rails=("POM_5V_IN",))
    row = make_row(name)
    return row._replace(
        device="nano", device_found="NVIDIA Jetson Nano Developer Kit", engine=row.engine._replace(file=name),
        session={"runtime": "tensorrt", "version": "8.2.1.8", "provider": "CUDA", "threads": None,
                 "device": "NVIDIA Tegra X1"},
        mode=latency_report.Mode("wall", "included", None, False, None), stages=make_stages(),
        reconciliation=latency_report.Reconciliation(5.0, 0.3, 0.7, 6.0), hardware=hardware,
        energy=Energy(34.3, 5200.0, 1),
        versions=row.versions._replace(onnxruntime=None, tensorrt="8.2.1.8", cuda="10.2.300", l4t="32.7.1",
                                       jetpack="4.6.1"))._replace(**changes)


def make_report(*rows, **changes):
    report = latency_report.LatencyReport(latency_report.SCHEMA, "0.1.0", rows or (make_row(),), (), False)
    return report._replace(**changes)


class FakeSession(Session):
    """Sleeps for each inference; `script` is called with the number of the inference before it."""

    outputs = (TensorSpec("logits", (1, 10), "float32"),)

    def __init__(self, path, threads, shape, script):
        self.inputs = (TensorSpec("image", shape, "float32"),)
        self.path, self.threads, self.script, self.calls = path, threads, script, 0
        self.images = []
        self.closed = False

    def infer_all(self, image):
        self.check_input(image)
        self.images.append(image)
        self.script(self.calls)
        self.calls += 1
        return (np.zeros((1, 10), np.float32),)

    def submit(self, image):
        raise AssertionError("not used")

    def collect(self):
        raise AssertionError("not used")

    def describe(self):
        return {"runtime": "fake", "version": "9.9", "provider": "CPUExecutionProvider",
                "threads": self.threads}

    def close(self):
        self.closed = True


class FakeTime:
    """A clock in milliseconds that only the sessions move."""

    def __init__(self):
        self.now_ms = 0.0

    def read(self):
        return self.now_ms

    def takes(self, cost_ms):
        """Return a session; `cost_ms` is a number or a function of the number of earlier calls."""
        calls = itertools.count()

        def run(image):
            call = next(calls)
            self.now_ms += cost_ms(call) if callable(cost_ms) else cost_ms

        return run


def run(capsys, *arguments):
    """Return exit code, standard output and standard error of the command."""
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, list(arguments))
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err
