"""The harness on a plan, with doubles of TensorRT and pycuda. Nothing here says how fast a real plan is."""
import csv
import io
import json
import os

import pytest
from doubles import gpu
from doubles.cuda_machine import COPY_MS_PER_BYTE
from doubles.tensorrt_runtime_double import LAUNCH_MS

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.commands import entry
from edgenext_deploy.files import sha256_of_file

QUICK = ("--duration", "0.1", "--warmup", "0.1")
INPUT_BYTES, OUTPUT_BYTES = 4 * 3 * 32 * 32, 4 * 10


@pytest.fixture(params=gpu.RELEASES)
def plan(request, monkeypatch, tmp_path):
    """Return the path of a plan on a machine with a double of each release."""
    pytest.importorskip("onnxruntime")
    machine = gpu.install(monkeypatch, request.param, primary=request.param != "8.2")
    yield gpu.write_plan(tmp_path, request.param)
    assert machine.violations == []


def rows(capsys, tmp_path, *arguments):
    path = str(tmp_path / "out" / "rows.json")
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, [*arguments, "--json", path, *QUICK])
    captured = capsys.readouterr()
    assert stopped.value.code == 0, captured.err
    return latency_report.read(path).records, captured.out


def test_a_plan_is_split_into_its_stages(plan, capsys, tmp_path):
    (row,), out = rows(capsys, tmp_path, "--engine", plan, "--no-cuda-graph")
    stages = row.stages
    assert (row.mode.latency, row.mode.transfers, row.mode.cuda_graph) == ("wall", "included", False)
    assert (row.device, row.session["device"]) == ("gpu", "Double GPU")
    assert row.device_found.endswith("Double GPU")
    # The double's clock: so much for a byte, so much for a launch.
    assert stages.host_to_device.p50_ms == pytest.approx(INPUT_BYTES * COPY_MS_PER_BYTE, rel=1e-3)
    assert stages.compute.p50_ms == pytest.approx(LAUNCH_MS, rel=1e-3)
    assert stages.latency.p50_ms == pytest.approx(
        LAUNCH_MS + stages.host_to_device.p50_ms + stages.device_to_host.p50_ms, rel=1e-3)
    assert stages.wall.p50_ms == row.latency.p50_ms > 0.0
    assert 0.0 < stages.enqueue.p50_ms < stages.wall.p50_ms
    parts = row.reconciliation
    assert parts.compute_ms + parts.copies_ms + parts.rest_ms == pytest.approx(parts.wall_ms)
    assert parts.wall_ms == pytest.approx(row.latency.mean_ms)
    assert "what your app sees" in out and "H2D" in out


def test_without_transfers_the_latency_is_the_gpus_own(plan, capsys, tmp_path):
    (row,), out = rows(capsys, tmp_path, "--engine", plan, "--exclude-transfers", "--no-cuda-graph")
    assert (row.mode.latency, row.mode.transfers) == ("gpu", "excluded")
    assert row.latency.p50_ms == pytest.approx(LAUNCH_MS, rel=1e-3)
    assert row.samples.latency_ms[0] == pytest.approx(LAUNCH_MS, rel=1e-3)
    assert row.throughput_per_s == pytest.approx(1e3 / row.latency.mean_ms)
    assert "GPU compute alone" in out
    assert "transfers-not-separate" not in [caution.code for caution in row.cautions]


def test_a_plan_and_its_reference_agree_on_the_same_pixels(plan, capsys, tmp_path):
    found, out = rows(capsys, tmp_path, "--engine", plan, "--reference", gpu.TINY, "--exclude-transfers")
    reference, row = found
    assert reference.is_reference and reference.outputs is None
    assert row.outputs.reference == reference.name
    assert row.outputs.passed and row.outputs.top1_equal and row.outputs.max_relative_difference == 0.0
    assert reference.device == "cpu" and row.device == "gpu"
    assert "their clocks differ" in out  # GPU time against wall clock is no fair race
    assert [caution.code for caution in reference.cautions].count("transfers-not-separate") == 1


def test_what_a_plan_is_and_what_it_ran_on_is_in_the_row(plan, capsys, tmp_path):
    (row,), _ = rows(capsys, tmp_path, "--engine", plan)
    assert row.engine.sha256 == sha256_of_file(plan)
    assert row.engine.manifest_sha256 == sha256_of_file(os.path.splitext(plan)[0] + ".json")
    assert row.versions.tensorrt == row.session["version"]
    assert row.versions.onnxruntime is None
    assert row.model.variant == "tiny"
    assert row.image == "golden"


@pytest.mark.parametrize("flag", ["--cuda-graph", "--no-cuda-graph"])
def test_the_wish_for_a_cuda_graph_reaches_the_session(plan, capsys, tmp_path, flag):
    (row,), _ = rows(capsys, tmp_path, "--engine", plan, flag)
    assert row.mode.cuda_graph_requested is (flag == "--cuda-graph")
    assert row.mode.cuda_graph is row.session["cuda_graph"]
    unused = "cuda-graph-unused" in [caution.code for caution in row.cautions]
    assert unused is (flag == "--cuda-graph" and not row.mode.cuda_graph)
    if flag == "--no-cuda-graph":
        assert row.mode.cuda_graph is False


def test_a_plan_does_not_stand_for_a_processor(plan, capsys, tmp_path):
    for arguments, code in ((("--device", "cpu"), 4), (("--device", "a100"), 6), (("--device", "nano"), 4)):
        with pytest.raises(SystemExit) as stopped:
            entry.run_command(bench_command, ["--engine", plan, *arguments, *QUICK])
        assert stopped.value.code == code
        assert capsys.readouterr().out == ""


def test_allowed_mismatches_are_said_everywhere(plan, capsys, tmp_path):
    folder = tmp_path / "all"
    files = {name: str(folder / name) for name in ("json-file", "csv", "markdown")}
    arguments = [part for name, path in files.items() for part in ("--" + name, path)]
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["--engine", plan, "--device", "nano", "--allow-mismatch", *arguments,
                                            *QUICK])
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "[not nano]" in out and "Warning (device-mismatch)" in out
    texts = {}
    for name, path in files.items():
        with open(path, encoding="utf-8") as stream:
            texts[name] = stream.read()
    (row,) = json.loads(texts["json-file"])["records"]
    assert (row["device"], row["device_matches"]) == ("nano", False)
    assert row["cautions"][0]["code"] == "device-mismatch"
    (line,) = csv.DictReader(io.StringIO(texts["csv"]))
    assert (line["device"], line["device_matches"]) == ("nano", "False")
    assert "device-mismatch" in line["cautions"]
    assert "\\[not nano\\]" in texts["markdown"] and "device-mismatch" in texts["markdown"]
