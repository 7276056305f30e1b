"""What several tests of the benchmarks share: a report, and a session that does as it is told."""
import numpy as np

from edgenext_deploy.benchmarks import record
from edgenext_deploy.benchmarks.host import describe_host
from edgenext_deploy.benchmarks.statistics import Interval
from edgenext_deploy.manifest import TensorSpec, Weights
from edgenext_deploy.runtime.session import Session


def make_row(name="xxs.onnx", **changes):
    row = record.LatencyRecord(
        name=name,
        engine=record.EngineFile(name, "ab" * 32, 5300000),
        model=record.Model("xxs", "nano", "fp16", Weights("random (seed 0)", True, "cd" * 32)),
        device="cpu",
        session={"runtime": "onnxruntime", "version": "1.10.0", "provider": "CPUExecutionProvider",
                 "threads": 2},
        input_shape=(1, 3, 256, 256), batch=1, image="golden", n=300, rounds=30,
        warmup=record.WarmUp(250.5, 31, True),
        latency=record.Latency(6.1, 6.5, 7.25, 9.0, 12.0, 6.6, 0.4, Interval(6.4, 6.6)),
        window_spread=0.01, stable=True, throughput_per_s=151.5, interleaved_with=(), interrupted=False,
        host=describe_host(), started_at="2026-01-02T03:04:05Z",
    )
    return row._replace(**changes)


def make_report(*rows, **changes):
    report = record.LatencyReport(record.SCHEMA, "0.1.0", rows or (make_row(),), (), False)
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
