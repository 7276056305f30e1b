"""The export goes on to the plan on the target itself, and only there."""
import shlex
import types

import pytest

from edgenext_deploy.export.commands.report import next_commands
from edgenext_deploy.export.device_build import DeviceBuildError, build_command, build_if_here
from edgenext_deploy.machine.environment import Environment
from edgenext_deploy.targets import get_target

NANO = Environment("linux-aarch64", tensorrt="8.2.1.8", gpu="NVIDIA Tegra X1", compute_capability="5.3")


class Builder:
    def __init__(self, code=0):
        self.code, self.commands = code, []

    def __call__(self, command):
        self.commands.append(list(command))
        return self.code


def test_on_the_target_the_builder_runs():
    builder = Builder()
    assert build_if_here("out/xxs.onnx", get_target("nano"), NANO, builder) == "out/xxs.plan"
    assert builder.commands == [["out/xxs.onnx"]]


@pytest.mark.parametrize("target, environment", [
    ("nano", NANO._replace(tensorrt=None)),
    ("nano", NANO._replace(compute_capability=None)),
    ("orin", NANO),
    ("onnxruntime", NANO),
    ("rtx", Environment("linux-x86_64", tensorrt_rtx="1.7.1.116")),
])
def test_elsewhere_it_does_not(target, environment):
    builder = Builder()
    assert build_if_here("xxs.onnx", get_target(target), environment, builder) is None
    assert builder.commands == []


def test_a_failed_build_passes_its_exit_code_on():
    with pytest.raises(DeviceBuildError, match="building its plan failed") as caught:
        build_if_here("xxs.onnx", get_target("nano"), NANO, Builder(5))
    assert caught.value.exit_code == 5 and "edgenext-build xxs.onnx" in caught.value.fix


def test_the_real_child_process_reaches_the_builder(tmp_path, capfd):
    # There is no such file, so the builder says so and ends with 3: enough to see that it was reached.
    with pytest.raises(DeviceBuildError) as caught:
        build_if_here(str(tmp_path / "none.onnx"), get_target("nano"), NANO)
    assert caught.value.exit_code == 3
    assert "none.onnx" in capfd.readouterr().err


def test_the_command_for_the_device_names_the_file_without_folder():
    assert build_command("some/where/xxs.onnx") == "edgenext-build xxs.onnx"


def test_commands_to_paste_are_quoted_for_the_shell():
    assert build_command("some where/my net;rm.onnx") == "edgenext-build 'my net;rm.onnx'"
    with pytest.raises(DeviceBuildError) as caught:
        build_if_here("/my nets/x$1.onnx", get_target("nano"), NANO, Builder(5))
    assert caught.value.fix.endswith("edgenext-build '/my nets/x$1.onnx'")
    manifest = types.SimpleNamespace(target="nano", inputs=[types.SimpleNamespace(shape=(1, 3, 64, 64))])
    result = types.SimpleNamespace(manifest=manifest, nms=None, onnx_path="a b/it's.onnx", engine_path="a b/it's.onnx",
                                   manifest_path="a b/it's.json")
    assert next_commands(result, "my nets/x.plan") == [
        "edgenext-run 'my nets/x.plan' PHOTO.jpg", "edgenext-bench 'my nets/x.plan'"]
    for command, words in zip(next_commands(result), (
            ["edgenext-run", "a b/it's.onnx", "PHOTO.jpg"], ["edgenext-bench", "a b/it's.onnx"],
            ["scp", "a b/it's.onnx", "a b/it's.json", "DEVICE:"], ["edgenext-build", "it's.onnx"])):
        assert shlex.split(command, comments=True) == words
