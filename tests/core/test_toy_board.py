"""A board that is added by one call is known to everything that knows boards."""
import importlib
import sys

import pytest

from edgenext_deploy import targets
from edgenext_deploy.commands.entry import run_command

MODEL = "ACME Toy Vision Kit"


@pytest.fixture
def toy():
    """Import the file that registers the board; take the board out of the tables afterwards."""
    boards, known = dict(targets.BOARDS), dict(targets.TARGETS)
    sys.modules.pop("toy_board", None)
    yield importlib.import_module("toy_board").TOY
    for table, before in ((targets.BOARDS, boards), (targets.TARGETS, known)):
        table.clear()
        table.update(before)


def said(capsys, command, *arguments):
    with pytest.raises(SystemExit) as stopped:
        run_command(command, list(arguments))
    out = capsys.readouterr()
    return stopped.value.code, " ".join(out.out.split()), out.err


def help_of(capsys, command, *arguments):
    code, out, _ = said(capsys, command, *arguments, "--help")
    assert code == 0
    return out


def command_of(name):
    return {
        "edgenext-export": lambda: importlib.import_module("edgenext_deploy.export.commands.cli").export_command,
        "edgenext-build": lambda: importlib.import_module("edgenext_deploy.engines.cli").command,
        "edgenext-bench": lambda: importlib.import_module("edgenext_deploy.benchmarks.commands.cli").bench_command,
    }[name]()


@pytest.mark.parametrize("name, arguments, option", [
    ("edgenext-export", [], "--target"), ("edgenext-export", ["check"], "--target"), ("edgenext-build", [], "--target"),
    ("edgenext-bench", [], "--device"), ("edgenext-bench", ["estimate"], "--device")])
def test_help_texts_list_it(toy, capsys, name, arguments, option):
    text = help_of(capsys, command_of(name), *arguments)
    assert "toy" in text.partition(option + " NAME")[2].partition(" --")[0]


def test_help_texts_list_it_only_once_it_is_there(capsys):
    text = help_of(capsys, command_of("edgenext-bench"), "estimate")
    assert "toy" not in text and "agx-orin, a100, h100" in text


def test_an_export_takes_it(toy):
    if sys.version_info < (3, 10):
        pytest.skip("export needs Python 3.10")
    request = importlib.import_module("edgenext_deploy.export.request")
    for name in ("toy", "toy-board"):
        resolved = request.ExportRequest("xxs", target=name, fp16=True).resolve()
        assert (resolved.target, resolved.precision.mode) == (toy, "typed")


def test_a_latency_is_estimated_for_it(toy, capsys, request):
    pytest.importorskip("torch")
    path = str(request.getfixturevalue("nano_export")("xxs").onnx_path)
    code, out, err = said(capsys, command_of("edgenext-bench"), "estimate", "--engine", path, "--device", "toy-board")
    assert code == 0, err
    assert "xxs on toy, FP16" in out and "invented for a test" in out


def test_it_is_recognised(toy):
    host = importlib.import_module("edgenext_deploy.benchmarks.hardware.host")
    devices = importlib.import_module("edgenext_deploy.benchmarks.latency.devices")
    here = host.describe_host()._replace(board=MODEL, gpus=())
    assert devices.match_device("toy", here).refusal is None
    assert devices.match_device("toy", here._replace(board="NVIDIA Jetson Nano Developer Kit")).refusal is not None
    assert devices.recognise(here, {"provider": "CPUExecutionProvider"}) == "toy"


def test_its_rails_clock_and_power_mode_are_known(toy):
    rails = importlib.import_module("edgenext_deploy.benchmarks.hardware.rails")
    power_mode = importlib.import_module("edgenext_deploy.machine.power_mode")
    assert rails.total_rails(["TOY_IN", "TOY_CPU"]) == ("TOY_IN",)
    assert power_mode.is_gpu_clock("17000000.toy9b") and not power_mode.is_gpu_clock("17000000.vic")
    assert power_mode.full_mode({0: "TOY_HALF", 1: "TOY_FULL"}, MODEL) == 1


def test_it_is_gone_after_a_test():
    assert "toy" not in targets.TARGETS and "toy" not in targets.BOARDS
