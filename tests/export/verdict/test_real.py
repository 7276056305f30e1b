"""NVIDIA's own parser as the judge of `check`."""
import json

import pytest
from command_lines import run_here

onnx = pytest.importorskip("onnx")

from onnx import helper  # noqa: E402
from verdict_models import model, one_node, save, small_network, tensor  # noqa: E402

from edgenext_deploy.errors import MissingRuntimeError, UsageError  # noqa: E402
from edgenext_deploy.export.checks.rtx import RtxBuild, RtxReport  # noqa: E402
from edgenext_deploy.export.verdict import real  # noqa: E402
from edgenext_deploy.export.verdict.check import check_onnx  # noqa: E402
from edgenext_deploy.export.verdict.cli import check_command  # noqa: E402
from edgenext_deploy.export.verdict.judge import judge  # noqa: E402

RTX = "rtx-1.7"
needs_rtx = pytest.mark.skipif(not real.installed(), reason="tensorrt_rtx is not installed (the extra [rtx])")


def refused_in_the_middle():
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Det", ["a"], ["d"], name="det"),
             helper.make_node("Neg", ["d"], ["y"])]
    return model(nodes, [tensor("x", (2, 2))], [tensor("y", ())])


@needs_rtx
def test_parser_and_builder_give_the_verdict(tmp_path, capsys):
    path = save(tmp_path, small_network())
    code, out, err = run_here(capsys, check_command, path, "--build", "8.6", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["verdicts"][RTX]["said_by"] == "builder" and found["verdicts"]["8.2"]["said_by"] == "table"
    assert found["real"]["builds"][0]["ok"] and found["real"]["builds"][0]["sm"] == "86"
    assert check_onnx(path).releases[RTX].who == "parser"
    assert check_onnx(path, real=False).releases[RTX].who == "table"


@needs_rtx
def test_what_the_parser_refuses_is_told_in_its_words_with_the_parts_that_run(tmp_path, capsys):
    path = save(tmp_path, refused_in_the_middle())
    found = check_onnx(path)
    assert not found.releases[RTX].supported and found.releases[RTX].who == "parser"
    assert found.real.parts == ((0,), (2,))  # without Det
    assert "rtx" not in found.targets
    code, out, _ = run_here(capsys, check_command, path, "--real", "--target", "rtx")
    assert code == 4 and "refuses it; 2 nodes would run, in 2 parts" in out


@needs_rtx
def test_unknown_sizes_are_built_as_one(tmp_path):
    made = one_node("Relu", ("n", 4), output_shape=("n", 4))
    assert check_onnx(save(tmp_path, made), build="80").releases[RTX].who == "builder"


@needs_rtx
def test_weights_in_another_file_are_found(tmp_path):
    path = str(tmp_path / "m.onnx")
    onnx.save_model(small_network(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert check_onnx(path).releases[RTX].state == "supported"


def test_nvidias_word_counts_more_than_the_table():
    table = judge(one_node("Det", (4, 4), output_shape=()), RTX)
    assert not table.supported
    said = real.verdict_of(RtxReport(True, True, "1.8", parsed=True), table)
    assert (said.state, said.who) == ("supported", "parser")
    assert [finding.severity for finding in said.findings] == ["warning"]
    build = RtxBuild("86", False, 1.0, 0, ("no tactic",))
    said = real.verdict_of(RtxReport(True, False, "1.8", builds=(build,), reason="no tactic", parsed=True), table)
    assert (said.state, said.who) == ("not supported", "builder") and "no tactic" in said.findings[0].reason


def test_a_child_that_says_nothing_leaves_it_to_nobody():
    table = judge(small_network(), RTX)
    said = real.verdict_of(RtxReport(True, False, "1.7", reason="the child process crashed (SIGSEGV) at: parse"), table)
    assert (said.state, said.who) == ("not verified", "nobody") and "SIGSEGV" in said.findings[0].reason


def test_no_answer_in_time_is_told_as_that(tmp_path, monkeypatch, capsys):
    reason = "the child process gave no result within 8 s at: parse"
    monkeypatch.setattr(real, "installed", lambda: True)
    monkeypatch.setattr(real, "ask", lambda *_, **__: RtxReport(True, False, "1.7", reason=reason))
    code, out, _ = run_here(capsys, check_command, save(tmp_path, small_network()))
    assert code == 0 and "TensorRT-RTX 1.7 gave no answer: " + reason in out and "not verified" in out


def test_usage(tmp_path, monkeypatch):
    path = save(tmp_path, small_network())
    with pytest.raises(UsageError, match="does not build for compute capability 53"):
        check_onnx(path, build="53")
    with pytest.raises(UsageError, match="real=False"):
        check_onnx(path, build="86", real=False)
    monkeypatch.setattr(real, "installed", lambda: False)
    assert check_onnx(path).real is None
    with pytest.raises(MissingRuntimeError, match="tensorrt_rtx is not installed"):
        check_onnx(path, real=True)


def test_unasked_it_gets_no_large_file_and_little_time(tmp_path, monkeypatch):
    path, asked = save(tmp_path, small_network()), []

    def build(path, sms, timeout_s):
        asked.append(timeout_s)
        return RtxReport(True, True, parsed=True)

    assert real.ask(path, build=build).ok and real.ask(path, asked_for=False, build=build).ok
    assert asked == [120, 8]
    monkeypatch.setattr(real, "_UNASKED_BYTES", 10)
    assert not real.ask(path, asked_for=False, build=build).available and len(asked) == 2
    assert real.ask(path, build=build).ok


def test_states(tmp_path, capsys):
    for made, option, state in ((small_network(), (), "supported"), (small_network(opset=8), (), "not documented"),
                                (one_node("Mine"), ("--plugin", "Mine"), "not verified"),
                                (one_node("Mine"), (), "not supported")):
        code, out, _ = run_here(capsys, check_command, save(tmp_path, made), "--no-real", "--json", *option)
        assert code == 0 and json.loads(out)["verdicts"]["10.1"]["state"] == state


# What the child finds as `tensorrt`: the bindings' calls, with the answer that a test wants.
FULL = '''
import enum
__version__ = "10.3.0.26"
class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = range(3)
class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0
class Network:
    num_layers = 3
class Builder:
    def __init__(self, logger):
        if {gpu} is False:
            logger.log(1, "CUDA initialization failure with error: 100")
            raise TypeError("pybind11::init(): factory function returned nullptr")
    def create_network(self, flags):
        assert flags == 1
        return Network()
class Error:
    def desc(self): return "no importer for it"
    def node_name(self): return "odd"
    def node_operator(self): return "Relu"
class OnnxParser:
    def __init__(self, network, logger): self.num_errors, self.num_subgraphs = int(not {takes}), 0
    def parse(self, content, path): return {takes}
    def get_error(self, index): return Error()
'''


def full_tensorrt(monkeypatch, tmp_path, gpu=True, takes=True):
    site = tmp_path / "site"
    site.mkdir(exist_ok=True)
    (site / "tensorrt.py").write_text(FULL.format(gpu=gpu, takes=takes))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(real, "installed", lambda: False)


def test_a_full_tensorrt_is_asked_too(monkeypatch, tmp_path):
    path = save(tmp_path, small_network())
    full_tensorrt(monkeypatch, tmp_path)
    verdicts = check_onnx(path)
    assert verdicts.releases["10.3"].said_by == "parser" and verdicts.releases["10.3"].supported
    full_tensorrt(monkeypatch, tmp_path, takes=False)
    verdicts = check_onnx(path)
    refusal = verdicts.releases["10.3"].findings[0]
    assert not verdicts.releases["10.3"].supported and "no importer for it" in refusal.reason
    assert "orin" not in verdicts.targets  # whose TensorRT this is
    assert check_onnx(path, real=False).releases.get("10.3") is None


def test_a_full_tensorrt_without_a_gpu_says_nothing(monkeypatch, tmp_path):
    full_tensorrt(monkeypatch, tmp_path, gpu=False)
    verdicts = check_onnx(save(tmp_path, small_network()))
    assert "10.3" not in verdicts.releases and "orin" in verdicts.targets


@needs_rtx
def test_values_that_decide_shapes_are_not_made_up_for_the_builder(tmp_path):
    made = model([helper.make_node("TopK", ["x", "k"], ["y", "places"])], [tensor("x", (1, 50)), tensor("k", (1,), 7)],
                 [tensor("y", (1, "n"))])
    report = real.ask(save(tmp_path, made), "86")
    assert report.ok and not report.builds
    assert any("input 'k' decide shapes" in message for message in report.messages)
