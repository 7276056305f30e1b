import json
import os
import time

import numpy as np
import pytest
from bench_doubles import make_row
from doubles import gpu
from paths import TINY

from edgenext_deploy import node_names
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.profile.layer_times import located, profile_engine, summed
from edgenext_deploy.commands import entry
from edgenext_deploy.errors import UsageError, VerificationError
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.profile import LayerTime, LayerTimes, layers_of_trace

LAYERS = [
    ["Reformatting CopyNode for Input Tensor 0 to downsample_layers.0.conv", 0.25],
    ["downsample_layers.0.conv", 1.0],
    ["stages.0.0.dwconv.conv", 2.0],
    ["PWN(PWN(stages.0.0.mlp.act/scale), stages.0.0.mlp.act)", 0.5],
    ["{ForeignNode[stages.1.2.xca.scores...stages.1.2.xca.mix]}", 4.0],
    ["myelin_17", 0.125],
    ["stages.1.2.skip + head.pool", 0.0625],
]


def event(name, operator, us):
    return {"cat": "Node", "name": name + "_kernel_time", "dur": us, "args": {"op_name": operator}}


def trace(*runs_us):
    """Return a trace of a convolution, a reordering and a fused activation, with other events between."""
    events = [{"cat": "Session", "name": "model_loading_uri", "dur": 9}]
    for conv, reorder, gelu in runs_us:
        events += [event("ReorderInput_token_12", "ReorderInput", reorder),
                   {"cat": "Node", "name": "stages.0.1.dwconv.conv_fence_before", "dur": 1, "args": {}},
                   event("stages.0.1.dwconv.conv_nchwc", "Conv", conv), event("Gelu_token_0", "Gelu", gelu)]
    return events


def test_a_trace_gives_medians_without_the_warm_up_and_names_without_suffixes():
    found = layers_of_trace(trace((9000, 9000, 9000), (1000, 10, 300), (3000, 30, 100), (2000, 20, 200)), 4, 1)
    assert found == (LayerTime("ReorderInput", "ReorderInput", 0.02), LayerTime("stages.0.1.dwconv.conv", "Conv", 2.0),
                     LayerTime("Gelu", "Gelu", 0.2))


def test_a_trace_that_the_inferences_do_not_share_is_refused():
    with pytest.raises(VerificationError, match="6 events"):
        layers_of_trace(trace((1, 1, 1), (1, 1, 1)), 4, 1)
    with pytest.raises(VerificationError, match="0 events"):
        layers_of_trace([], 4, 1)


def test_nodes_of_the_runtime_belong_to_their_neighbours():
    found = located([
        LayerTime("ReorderInput", "ReorderInput", 1.0), LayerTime("stages.0.1.dwconv.conv", "Conv", 1.0),
        LayerTime("Gelu", "Gelu", 1.0), LayerTime("ReorderInput", "ReorderInput", 1.0),
        LayerTime("stages.1.0.mlp.pwconv1", "Conv", 1.0), LayerTime("ReorderOutput", "ReorderOutput", 1.0)])
    assert [layer.block for layer in found] == ["stages.0.1"] * 3 + ["stages.1.0"] * 3
    assert [layer.kind for layer in found] == [node_names.REFORMAT, node_names.DEPTHWISE, node_names.ACTIVATION,
                                               node_names.REFORMAT,
                                               node_names.POINTWISE, node_names.REFORMAT]


def test_layers_as_tensorrt_names_them():
    found = located([LayerTime(name, "", ms) for name, ms in LAYERS])
    assert [layer.kind for layer in found] == [
        node_names.REFORMAT, node_names.CONVOLUTION, node_names.DEPTHWISE, node_names.ACTIVATION, node_names.ATTENTION,
        node_names.OTHER,
        node_names.ELEMENTWISE]
    assert [layer.block for layer in found] == [
        "downsample_layers.0", "downsample_layers.0", "stages.0.0", "stages.0.0", "stages.1.2", "stages.1.2", "several"]


def test_the_sums_hold_every_layer_once():
    times = LayerTimes(tuple(LayerTime(name, "", ms) for name, ms in LAYERS), 5, 9.0, {"runtime": "tensorrt"})
    profile = summed(times, make_row().engine, None)
    assert profile.layers_ms == pytest.approx(7.9375)
    for shares in (profile.by_kind, profile.by_stage, profile.by_block):
        assert sum(share.ms for share in shares) == pytest.approx(7.9375)
        assert sum(share.share for share in shares) == pytest.approx(1.0)
        assert sum(share.layers for share in shares) == len(LAYERS)
    assert [share.ms for share in profile.by_kind] == sorted((share.ms for share in profile.by_kind), reverse=True)
    assert profile.by_stage[0].name == "downsample_layers.0" and profile.by_stage[0].ms == 1.25


def test_onnx_runtime_is_profiled():
    pytest.importorskip("onnxruntime")
    profile = profile_engine(gpu.TINY, runs=4, runtime=RuntimeOptions(threads=1))
    assert profile.session["runtime"] == "onnxruntime" and profile.runs == 4
    assert any(layer.operator in ("Conv", "FusedConv") for layer in profile.layers)
    # Layers of less than a microsecond are 0 in the trace of ONNX Runtime 1.10.
    assert profile.layers_ms >= 0.0 and profile.wall_ms > 0.0


@pytest.fixture(params=gpu.RELEASES)
def plan(request, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    machine = gpu.install(monkeypatch, request.param, primary=request.param != "8.2")
    yield gpu.write_plan(tmp_path, request.param, layers=LAYERS)
    assert machine.violations == []


def test_a_plan_is_profiled_by_tensorrts_profiler(plan):
    profile = profile_engine(plan, runs=3)
    assert [(layer.name, layer.ms) for layer in profile.layers] == [(name, ms) for name, ms in LAYERS]
    assert profile.session["runtime"] == "tensorrt"


def test_after_profiling_nothing_is_reported_any_more(plan, monkeypatch):
    from edgenext_deploy.benchmarks.latency.engines import open_engine
    from edgenext_deploy.runtime import trt

    made, profilers = trt.make_profiler, []

    def keep(module):
        profilers.append(made(module))
        return profilers[-1]

    monkeypatch.setattr(trt, "make_profiler", keep)
    with open_engine(plan, "plan") as engine:
        engine.session.profile_layers(engine.image, runs=2, warmup=1)
        engine.session.infer(engine.image)
        (profiler,) = profilers
        assert [len(run) for run in profiler.runs] == [len(LAYERS)] * 2


def test_the_command_prints_and_draws(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    arguments = ["profile", "--engine", gpu.TINY, "--runs", "2", "--threads", "1", "--json",
                 str(tmp_path / "p.json"), "--plot", str(tmp_path / "p.svg")]
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, arguments)
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "by kind" in out and "slowest layers" in out and "neither is a latency to report" in out
    assert json.loads((tmp_path / "p.json").read_text())["kind"] == "profile"
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")


def test_another_ending_is_refused_before_the_work(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["profile", "--engine", gpu.TINY, "--runs", "1", "--plot", "p.jpg"])
    captured = capsys.readouterr()
    assert stopped.value.code == UsageError.exit_code and "ending in .svg" in captured.err
    assert captured.out == "" and not os.path.exists("p.jpg")


def test_graphs_are_not_replayed_while_layers_are_timed(monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    from edgenext_deploy.runtime.trt import TensorRTSession

    machine = gpu.install(monkeypatch, "10.3")
    with TensorRTSession(gpu.write_plan(tmp_path, "10.3", layers=LAYERS),
                         options=RuntimeOptions(cuda_graph=True)) as session:
        assert session.describe()["cuda_graph"] is True
        image = np.zeros(session.inputs[0].shape, np.float32)
        assert len(session.profile_layers(image, runs=2, warmup=0).layers) == len(LAYERS)
        assert machine.launches[-2:] == ["plain", "plain"]
        session.infer(image)
        assert machine.launches[-1] != "plain"


def test_one_slow_inference_does_not_move_the_time_that_is_called_a_median(monkeypatch, tmp_path):
    from edgenext_deploy.runtime.buffers import BufferSet
    from edgenext_deploy.runtime.trt import TensorRTSession

    gpu.install(monkeypatch, "10.3")
    with TensorRTSession(gpu.write_plan(tmp_path, "10.3", layers=LAYERS),
                         options=RuntimeOptions(cuda_graph=False)) as session:
        waits, wait = iter([0.2]), BufferSet.wait
        monkeypatch.setattr(BufferSet, "wait", lambda buffers: (time.sleep(next(waits, 0.0)), wait(buffers)))
        image = np.zeros(session.inputs[0].shape, np.float32)
        assert session.profile_layers(image, runs=5, warmup=0).wall_ms < 40.0


def test_an_inference_of_another_thread_may_come_before_the_first_profiled_one(monkeypatch):
    from edgenext_deploy.runtime.profile import make_profiler
    from edgenext_deploy.tensorrt_api.load import load_tensorrt

    gpu.install(monkeypatch, "8.2")
    profiler = make_profiler(load_tensorrt())
    profiler.report_layer_time("conv", 1.0)
    profiler.begin()
    profiler.report_layer_time("conv", 2.0)
    assert profiler.runs == [[("conv", 2.0)]]


def measured(capsys, *arguments):
    """Return exit code, standard output and standard error of a short run with ``--profile``."""
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, [*arguments, "--profile", "--threads", "1", "--iterations", "12",
                                            "--warmup", "0.05"])
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_a_run_profiles_each_engine_once_for_the_terminal_and_the_page(capsys, tmp_path):
    pytest.importorskip("onnxruntime")
    page = tmp_path / "run.html"
    code, out, err = measured(capsys, "--engine", TINY, "--reference", TINY, "--html", str(page))
    assert code == 0
    assert out.index("Latency, ms per inference") < out.index("tiny_classifier.onnx, by kind")
    assert out.count("by kind") == 1 and err.count("profiling") == 1
    assert page.read_text(encoding="utf-8").count("Layers of tiny_classifier.onnx") == 1


def test_an_engine_that_cannot_be_profiled_costs_no_latencies(capsys, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")

    def refuse(*_, **__):
        raise VerificationError("the profiler contradicts itself")

    monkeypatch.setattr("edgenext_deploy.benchmarks.profile.layer_times.profile_engine", refuse)
    code, out, err = measured(capsys, "--engine", TINY, "--html", str(tmp_path / "run.html"))
    assert code == 0 and "Latency, ms per inference" in out and "by kind" not in out
    assert "no profile of {}: the profiler contradicts itself".format(TINY) in err
    assert (tmp_path / "run.html").exists()
