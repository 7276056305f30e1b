"""What a program calls to measure: `edgenext_deploy.benchmarks.measure`."""
import csv
import io
import json
from pathlib import Path

import pytest
from bench_doubles import TINY

import edgenext_deploy.benchmarks as face
from edgenext_deploy.benchmarks import measure, read_report
from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError
from edgenext_deploy.runtime.options import RuntimeOptions

QUICK = {"duration_s": 0.05, "warmup_s": 0.02}


def test_engines_are_measured_and_the_report_comes_in_every_format(fakes, tmp_path):
    first, second = fakes.engine("a.onnx"), Path(fakes.engine("b.plan"))
    report = measure(first, second, runtime=RuntimeOptions(threads=3, cuda_graph=True), **QUICK)
    assert isinstance(report, face.LatencyReport)
    assert [row.name for row in report.records] == ["a.onnx", "b.plan"]
    assert all(isinstance(row, face.LatencyRecord) for row in report.records)
    assert [session.options for session in fakes.sessions] == [RuntimeOptions(threads=3, cuda_graph=True)] * 2
    assert json.loads(report.to_json().decode("utf-8"))["records"][1]["name"] == "b.plan"
    assert len(list(csv.DictReader(io.StringIO(report.to_csv().decode("utf-8"))))) == 2
    assert b"### Latency" in report.to_markdown() and report.to_html().startswith(b"<!DOCTYPE html>")
    (tmp_path / "rows.json").write_bytes(report.to_json())
    again = read_report(tmp_path / "rows.json")
    assert isinstance(again, face.LatencyReport) and again == report


def test_iterations_a_reference_and_the_progress(fakes):
    told = []
    report = measure(fakes.engine("a.onnx"), reference=fakes.engine("ref.onnx"), iterations=20, warmup_s=0.0,
                     keep_samples=False, progress=lambda fraction, what: told.append(what))
    assert [(row.name, row.n, row.is_reference) for row in report.records] == [("ref.onnx", 20, True),
                                                                               ("a.onnx", 20, False)]
    assert report.records[1].outputs.passed and report.records[0].samples is None
    assert told[0] == "warming up ref.onnx"


def test_bad_calls(fakes, tmp_path):
    with pytest.raises(UsageError, match="no engine to measure"):
        measure()
    with pytest.raises(BadInputError, match=r"no_such\.onnx"):
        measure(tmp_path / "no_such.onnx")
    with pytest.raises(IncompatibleError, match="--device nano was asked for"):
        measure(fakes.engine(), device="nano")
    with pytest.raises(TypeError):
        measure(fakes.engine(), None, "cpu", 0.1, 5)


def test_a_failed_engine_is_in_the_error_with_what_was_measured(fakes):
    def script(call):
        if call == 50:
            raise RuntimeError("gone")

    with pytest.raises(face.EngineFailedError, match=r"a\.onnx failed: RuntimeError: gone") as failed:
        measure(fakes.engine(script=script), warmup_s=0.0, duration_s=60.0)
    assert failed.value.report.records[0].n > 10


def test_a_real_engine(real):
    (row,) = measure(TINY, runtime=RuntimeOptions(threads=1), **QUICK).records
    assert row.session["threads"] == 1 and row.model.variant == "tiny"


@pytest.mark.parametrize("options", [
    {"duration_s": -1}, {"duration_s": 0}, {"duration_s": float("nan")}, {"warmup_s": -0.1}, {"iterations": 0}])
def test_times_and_numbers_that_cannot_be(fakes, options):
    with pytest.raises(UsageError, match="duration_s must be more than 0"):
        measure(fakes.engine(), **options)
