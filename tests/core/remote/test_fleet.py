"""The fleet file, and which boards a command line means."""
import pytest
from command_lines import run_here

from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.machine.environment import Environment
from edgenext_deploy.remote.board_facts import BoardFacts
from edgenext_deploy.remote.commands.cli import remote_command
from edgenext_deploy.remote.fleet import choose_boards, read_fleet
from edgenext_deploy.remote.link.ssh import Route
from edgenext_deploy.remote.setting_up.pins import PINS, platforms
from edgenext_deploy.remote.target_choice import choose_target, require_device, require_model

TEXT = """
[[board]]
name = "one"
host = "jetson@192.168.1.20"
device = "nano"
tags = ["lab", "old", "attic"]
[[board]]
name = "two"
host = "two.local"
python = "python3.8"
folder = "/data/deploy"
"""


@pytest.fixture
def read(tmp_path):
    def call(text):
        path = tmp_path / "boards.toml"
        path.write_text(text)
        try:
            return read_fleet(str(path))
        except MissingRuntimeError as error:
            assert "pip install tomli" in error.fix
            pytest.skip("this Python reads no TOML")
    return call


def test_a_fleet(read):
    one, two = read("\ufeff" + TEXT)  # as Windows editors write it
    assert one.route == Route("jetson@192.168.1.20") and one.device == "nano" and one.tags == ("lab", "old", "attic")
    assert two.route == Route("two.local", "python3.8", "/data/deploy")
    fleet = [one, two]
    assert [board.name for board in choose_boards(["two", "u@three"], ["old"], fleet, {})] == ["two", "u@three", "one"]
    assert choose_boards(["one", "one"], ["lab"], fleet, {"folder": "x"}) == [
        one._replace(route=one.route._replace(folder="x"))]
    with pytest.raises(UsageError, match="did you mean 'attic'"):
        choose_boards([], ["atic"], fleet, {})
    with pytest.raises(UsageError, match="no host"):
        choose_boards([], [], fleet, {})


@pytest.mark.parametrize("text, words", [
    ("x = [", "not TOML"), ("x = 1", "board"), ("[[board]]\nname = 'a'", "lacks name or host"),
    ("[[board]]\nname = 'a'\nhost = 3", "host is 3"), ("[[board]]\nname='a'\nhost='b'\ntags='c'", "tags is"),
    ("[[board]]\nname='a'\nhost='b'\npassword='c'", "unknown key 'password'"),
    ("[[board]]\nname='a'\nhost='b'\n[[board]]\nname='a'\nhost='c'", "twice"), ("board = [1]", "no table")])
def test_a_broken_fleet_file(read, text, words):
    with pytest.raises(BadInputError, match=words):
        read(text)


def test_a_host_in_the_file_that_is_an_option(read):
    with pytest.raises(UsageError, match="not a destination"):
        read("[[board]]\nname='a'\nhost='-oProxyCommand=x'")


def facts(**environment):
    return BoardFacts(Environment("linux-aarch64", **environment), True, "1.10.0")


@pytest.mark.parametrize("environment, python, target", [
    ({"tensorrt": "8.2.1.8", "compute_capability": "5.3", "board": "NVIDIA Jetson Nano Developer Kit"}, [3, 6], "nano"),
    ({"board": "NVIDIA Jetson Nano Developer Kit"}, [3, 6], "nano"),
    ({"tensorrt": "8.5.2.2", "compute_capability": "8.7", "board": "NVIDIA Orin Nano Developer Kit"}, [3, 8],
     "orin-jp5"),
    ({"tensorrt": "10.3.0.30", "compute_capability": "8.7", "board": "NVIDIA Jetson AGX Orin"}, [3, 10], "orin"),
    ({"tensorrt": "11.4.0.1", "compute_capability": "9.0", "gpu": "NVIDIA H100 80GB HBM3"}, [3, 10], "h100"),
    ({}, [3, 6], "nano"), ({}, [3, 10], "onnxruntime")])
def test_the_target_is_the_boards_own(environment, python, target):
    assert choose_target(facts(**environment), python).name == target


def test_a_tensorrt_that_no_target_stands_for():
    with pytest.raises(IncompatibleError, match="no target stands for TensorRT 7") as stopped:
        choose_target(facts(tensorrt="7.1.3", compute_capability="5.3"), [3, 6])
    assert "--target: nano" in stopped.value.fix


def test_a_board_of_another_device_is_refused():
    nano = facts(board="NVIDIA Jetson Nano Developer Kit").environment
    require_device("nano", nano, "x")
    require_device("cpu", nano, "x")
    require_device(None, nano, "x")
    with pytest.raises(IncompatibleError, match="another device: Jetson AGX Orin expected, found NVIDIA Jetson Nano"):
        require_device("agx-orin", nano, "x")


def test_another_device_is_seen_before_anything_is_copied():
    for device, model in (("nano", "NVIDIA Jetson Nano Developer Kit"), ("nano", ""), (None, "x"), ("cpu", "x")):
        require_model(device, model, "x")
    with pytest.raises(IncompatibleError, match=r"another device: Jetson Nano expected, found Raspberry\\x1b Pi"):
        require_model("nano", "Raspberry\x1b Pi", "x")


def test_every_set_of_pins_has_pip_first_and_the_numpy_of_the_docs():
    assert all(pins[0].startswith("pip==") for pins in PINS.values())
    assert "numpy==1.19.4" in PINS[3, 6] and "onnxruntime==1.10.0" in PINS[3, 6]
    assert "manylinux2014_aarch64" in platforms([3, 6, 9], "aarch64")
    assert not [name for name in platforms([3, 6, 9], "aarch64") if "_28_" in name]


@pytest.mark.parametrize("words, code, message", [
    (("nano", "bnch", "--variant", "xxs"), 2, "nano bnch xxs; did you mean 'bench'?"),
    (("--folder", "/data", "nano"), 2, "no command among the words: nano\n"), (("nano", "--help"), 0, "")])
def test_a_host_is_not_taken_for_a_command(capsys, words, code, message):
    found, _, err = run_here(capsys, remote_command, *words)
    assert found == code and message in err
