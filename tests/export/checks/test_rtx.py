import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import helper
from verdict_models import FLOAT, HALF, constant, model, one_node, save, small_network, tensor

from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError, VerificationError
from edgenext_deploy.export.checks import rtx
from edgenext_deploy.export.checks.advice import ADOPTED_FILE, OUR_NETWORK
from edgenext_deploy.export.checks.rtx import RtxBuild, RtxReport, build_with_rtx, require_build, sm_for
from edgenext_deploy.export.verdict.judge import judge
from edgenext_deploy.targets import TARGETS, get_target

INSTALLED = importlib.util.find_spec("tensorrt_rtx") is not None
needs_rtx = pytest.mark.skipif(not INSTALLED, reason="tensorrt_rtx is not installed (the extra [rtx])")


@needs_rtx
@pytest.mark.parametrize("dtype", [FLOAT, HALF])
def test_a_network_is_parsed_and_built_for_two_gpu_generations(tmp_path, dtype):
    report = build_with_rtx(save(tmp_path, small_network(dtype=dtype)))
    assert report.ok, report.reason
    assert report.available
    assert report.version
    assert report.layers == 2
    assert [build.sm for build in report.builds] == ["80", "86"]
    assert all(build.ok and build.plan_bytes > 1000 and build.seconds > 0 for build in report.builds)
    assert all(build.plan_path is None for build in report.builds)
    assert not report.fp16_layernorm
    assert json.loads(json.dumps(report.to_json()))["builds"][0]["sm"] == "80"


@needs_rtx
@pytest.mark.parametrize("made", [
    one_node("Det", (4, 4), output_shape=()),
    one_node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2], output_shape=(1, 4, 6, 6)),
    one_node("Resize", extra=[None, constant("s", [1, 1, 2, 2], np.float32)], output_shape=(1, 4, 16, 16),
             mode="linear", coordinate_transformation_mode="half_pixel_symmetric", opset=19),
    one_node("LayerNormalization", extra=[constant("g", np.ones(8), np.float32)], outputs=("y", "mean"),
             opset=17),
    one_node("DequantizeLinear", (4,), [constant("s", 0.5, np.float32), constant("z", 3, np.int8)], 3,
             output_dtype=FLOAT),
])
def test_nvidias_parser_refuses_what_the_verdict_refuses(tmp_path, made):
    report = build_with_rtx(save(tmp_path, made), sms=("80",))
    assert report.available
    assert not report.ok
    assert report.builds == ()
    assert "'n'" in report.reason
    assert made.graph.node[0].op_type in report.reason
    assert not judge(made, "rtx-1.7").supported


@needs_rtx
@pytest.mark.parametrize("made", [
    one_node("ReduceMean", extra=[constant("axes", [1], np.int64)], output_shape=(1, 1, 8, 8), opset=18),
    one_node("Einsum", equation="...ij->...ji", opset=13),
    one_node("Gelu", opset=20),
    one_node("LayerNormalization", extra=[constant("g", np.ones(8), np.float32)], opset=17),
    one_node("Clip", dtype=HALF, extra=[constant("lo", 0, np.float16), constant("hi", 6, np.float16)]),
])
def test_nvidias_parser_takes_what_the_verdict_takes(tmp_path, made):
    report = build_with_rtx(save(tmp_path, made), sms=("80",))
    assert report.ok, report.reason
    assert judge(made, "rtx-1.7").supported


@needs_rtx
def test_an_fp16_layernorm_is_noticed(tmp_path):
    def node(op, *inputs, **attributes):
        return helper.make_node(op, list(inputs[:-1]), [inputs[-1]], **attributes)

    nodes = [node("Conv", "x", "w", "c"), node("ReduceMean", "c", "m", axes=[1]), node("Sub", "c", "m", "d"),
             node("Mul", "d", "d", "q"), node("ReduceMean", "q", "v", axes=[1]), node("Add", "v", "eps", "e"),
             node("Sqrt", "e", "s"), node("Div", "d", "s", "n"), node("Mul", "n", "gain", "g"),
             node("Add", "g", "bias", "b"), node("Conv", "b", "w2", "y")]
    half = np.float16
    values = {"w": np.ones((16, 3, 4, 4)), "w2": np.ones((16, 16, 1, 1)), "gain": np.ones((16, 1, 1)),
              "bias": np.zeros((16, 1, 1)), "eps": 1e-5}
    made = model(nodes, [tensor("x", (1, 3, 16, 16), HALF)], [tensor("y", (1, 16, 13, 13), HALF)],
                 [constant(name, value, half) for name, value in values.items()])
    report = build_with_rtx(save(tmp_path, made), sms=("86",))
    assert report.ok, report.reason
    assert report.fp16_layernorm


@needs_rtx
def test_plans_are_kept_on_request_from_any_folder(tmp_path, monkeypatch):
    save(tmp_path, small_network(), "net.onnx")
    monkeypatch.chdir(tmp_path)
    report = build_with_rtx("net.onnx", sms=("80",), keep_plan="plans")
    plan = report.builds[0].plan_path
    assert plan == os.path.join("plans", "net.sm80.plan")
    assert os.path.getsize(plan) == report.builds[0].plan_bytes
    with open("in-the-way", "w", encoding="utf-8"), pytest.raises(UsageError):
        build_with_rtx("net.onnx", sms=("80",), keep_plan="in-the-way")


@needs_rtx
def test_a_gpu_generation_it_does_not_know(tmp_path):
    report = build_with_rtx(save(tmp_path, small_network()), sms=("80", "87"))
    assert not report.ok
    assert [build.ok for build in report.builds] == [True, False]
    assert "SM87" in report.reason
    assert "SM86" in report.reason


@needs_rtx
def test_a_file_that_is_not_onnx(tmp_path):
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"noise, not a graph")
    report = build_with_rtx(str(path))
    assert not report.ok
    assert report.reason


def test_a_missing_file():
    with pytest.raises(BadInputError):
        build_with_rtx("no-such-file.onnx")


def test_without_tensorrt_rtx_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(rtx.importlib.util, "find_spec", lambda name: None)
    report = build_with_rtx(save(tmp_path, small_network()))
    assert (report.available, report.ok) == (False, False)
    assert "not installed" in report.reason


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Put a script in the place of the child process; `report` is the path it shall write to."""

    def replace(body):
        script = tmp_path / "child.py"
        script.write_text(
            "import json, os, signal, sys, time\n"
            "full = dict(stage='done', available=True, version='9', parsed=True, layers=2, errors=[], parts=[],\n"
            "            messages=[], builds=[dict(\n"
            "                sm='80', ok=True, seconds=1, plan_bytes=5, plan='', messages=[])])\n"
            "def write(**fields):\n"
            "    json.dump(dict(full, **fields), open(sys.argv[2], 'w'))\n"
            + body, encoding="utf-8")
        monkeypatch.setattr(rtx, "_CHILD", script)
        monkeypatch.setattr(rtx.importlib.util, "find_spec", lambda name: object())
        return save(tmp_path, small_network())

    return replace


def test_a_crash_after_the_result_is_written_is_harmless(child):
    report = build_with_rtx(child("write()\nos.kill(os.getpid(), signal.SIGSEGV)"))
    assert report.ok
    assert report.reason == ""


def test_a_crash_names_the_step_and_keeps_what_came_before(child):
    report = build_with_rtx(child("write(stage='build for SM86')\nos.kill(os.getpid(), signal.SIGSEGV)"))
    assert not report.ok
    assert [build.sm for build in report.builds] == ["80"]
    assert "SIGSEGV" in report.reason
    assert "SM86" in report.reason


def test_a_child_that_hangs_is_stopped(child):
    report = build_with_rtx(child("write(stage='parse')\ntime.sleep(60)"), timeout_s=1)
    assert not report.ok
    assert "within 1 s" in report.reason
    assert "parse" in report.reason


def test_a_child_that_says_nothing(child):
    report = build_with_rtx(child("sys.exit('no disk')"))
    assert (report.available, report.ok) == (False, False)
    assert "no disk" in report.reason


def test_libraries_that_cannot_be_loaded(child):
    report = build_with_rtx(child("write(available=False, builds=[], reason='libcudart.so: not there')"))
    assert not report.available
    assert "libcudart.so" in report.reason


def test_the_parsers_bare_false_is_put_into_words(child):
    errors = "[dict(node='n', op='Det', reason='false')] * 2"
    report = build_with_rtx(child(f"write(parsed=False, builds=[], errors={errors})"))
    assert report.errors == ("node 'n' (Det): operator not supported",)


def test_the_child_needs_nothing_of_this_package(tmp_path):
    # Isolated and without site-packages, tensorrt_rtx is not to be found; the child still reports that.
    result = tmp_path / "report.json"
    arguments = [save(tmp_path, small_network()), str(result), "", "tensorrt_rtx", "1", "80"]
    subprocess.run([sys.executable, "-I", "-S", str(rtx._CHILD), *arguments], check=True, cwd=str(tmp_path),
                   timeout=30)
    report = json.loads(result.read_text(encoding="utf-8"))
    assert report["available"] is False
    assert "tensorrt_rtx" in report["reason"]


def test_a_target_is_built_for_its_own_gpu_or_the_nearest_that_rtx_has():
    found = {name: sm_for(target) for name, target in TARGETS.items() if target.compute_capability}
    assert found == {"nano": "80", "xavier": "80", "xavier-jp4": "80", "orin": "86", "orin-jp60": "86",
                     "orin-jp5": "86", "thor": "120", "a100": "80", "h100": "89", "rtx": "86"}


@needs_rtx
def test_rtx_builds_for_every_capability_of_the_list(tmp_path):
    path = save(tmp_path, small_network())
    report = build_with_rtx(path, sms=rtx.SMS)
    assert report.ok, report.reason


def test_the_build_of_an_export_is_for_the_targets_gpu_and_refuses_an_fp16_layernorm():
    asked = []

    def build(path, sms):
        asked.append((os.path.basename(path), sms))
        return RtxReport(True, True, "1.7", builds=(RtxBuild("89", True, 1.0, 1, ("LayerNorm nodes in FP16",)),))

    assert require_build(b"graph", "xxs", get_target("h100"), False, build).ok
    with pytest.raises(VerificationError, match="LayerNorm that computes in FP16"):
        require_build(b"graph", "xxs", get_target("h100"), True, build)
    assert asked == [("xxs.onnx", ("89",))] * 2
    with pytest.raises(VerificationError, match="no way"):
        require_build(b"graph", "xxs", get_target("h100"), False,
                      lambda path, sms: RtxReport(True, False, "1.7", reason="no way"))


def test_nothing_is_built_for_a_target_without_a_gpu():
    report = require_build(b"graph", "xxs", get_target("onnxruntime"), False, build=None)
    assert not report.available and report.reason == "target onnxruntime has no GPU"


def test_a_builder_that_is_too_slow_here_refuses_nothing(child):
    def build(path, sms):
        return build_with_rtx(child("write(stage='build for SM80', builds=[])\ntime.sleep(60)"), timeout_s=1)

    report = require_build(b"graph", "xxs", get_target("h100"), False, build)
    assert report.timed_out and not report.ok and "within 1 s" in report.reason


@pytest.mark.parametrize(("advice", "error"), [(OUR_NETWORK, VerificationError), (ADOPTED_FILE, IncompatibleError)])
def test_a_refusal_is_our_defect_or_a_property_of_the_file(advice, error):
    def build(path, sms):
        return RtxReport(True, False, "1.7", reason="no kernel")

    with pytest.raises(error, match="no kernel") as caught:
        require_build(b"graph", "net", get_target("h100"), False, build, advice)
    assert caught.value.fix == advice.refused
