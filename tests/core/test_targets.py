"""The table of targets holds together."""
import pytest

from edgenext_deploy.errors import UsageError
from edgenext_deploy.formulations import parse_formulation
from edgenext_deploy.targets import (
    BOARDS,
    TARGETS,
    Board,
    board_names,
    find_board,
    get_board,
    get_target,
    register_board,
    register_target,
)
from edgenext_deploy.tensorrt_api.precision_modes import refusal_of_mode

# The ONNX IR version that came with each opset (onnx's own release table); an older runtime refuses a newer one.
IR_OF_OPSET = {13: 7, 17: 8, 20: 9}


def test_nano_is_what_jetpack_4_6_has():
    nano = get_target("nano")
    assert (nano.compute_capability, nano.tensorrt, nano.opset, nano.ir_version) == ("5.3", ("8.2",), 13, 7)
    assert nano.precision_mode == "flag" and nano.board.shared_memory


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_row(name):
    target = TARGETS[name]
    assert target.name == name
    assert target.ir_version == IR_OF_OPSET[target.opset]
    assert parse_formulation(target.formulation).name == target.formulation
    assert (target.precision_mode == "none") == (not target.tensorrt)
    if target.tensorrt:
        assert refusal_of_mode(target, target.precision_mode) is None
        assert float(target.compute_capability) >= 5.3


def test_the_nearest_name_is_suggested():
    with pytest.raises(UsageError, match="did you mean 'orin'"):
        get_target("orinn")
    with pytest.raises(UsageError) as caught:
        get_target("???")
    assert "did you mean" not in caught.value.message and "nano" in caught.value.fix


@pytest.mark.parametrize("name, words", [
    ("raspberry", "no GPU that TensorRT runs on"), ("raspberry-pi-4", "ONNX Runtime: --target onnxruntime"),
    ("RPi5", "--device cpu"), ("jetson", "choose one of: nano, xavier-nx")])
def test_a_name_that_is_no_board_gets_a_sentence(name, words):
    for function in (get_target, get_board):
        with pytest.raises(UsageError) as caught:
            function(name)
        assert words in str(caught.value) and "did you mean" not in str(caught.value)


@pytest.mark.parametrize("name, target", [
    ("Jetson_Nano", "nano"), ("NANO", "nano"), ("jetson orin nano", "orin"),
    ("jetson-nano", "nano"), ("jetson-orin-nano", "orin"), ("agx-xavier", "xavier"), ("jetson-thor", "thor"),
    ("cpu", "onnxruntime"), ("orin-jp5", "orin-jp5"),
])
def test_a_board_stands_for_its_target(name, target):
    assert get_target(name).name == target


@pytest.mark.parametrize("name, board", [
    ("jetson-nano", "nano"), ("jetson-orin-nano", "orin-nano"), ("xavier-jp4", "xavier"), ("onnxruntime", "cpu")])
def test_a_board_has_other_names(name, board):
    assert get_board(name).name == board


def test_a_board_without_a_target_is_no_target():
    assert get_board("t4").name == "t4"
    with pytest.raises(UsageError, match="unknown target 't4'"):
        get_target("t4")


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_board(name):
    board = BOARDS[name]
    assert board.target in ("", *TARGETS)
    assert board.is_model(None) is board.is_gpu("") is False
    assert bool(board.model_words) + bool(board.gpu_word) == (name != "cpu")
    # Those of a Jetson have a name under which its GPU's clock is found.
    assert bool(board.gpu_clock) == board.shared_memory
    if board.target:
        assert get_target(name).compute_capability == board.compute_capability
    if board.peak is not None:
        assert "NVIDIA" in board.peak.source and board.peak.fp16_flops >= board.peak.fp32_flops


def test_no_name_stands_for_two_boards():
    names = [name for board in BOARDS.values() for name in (board.name, *board.aliases)]
    assert sorted(names) == sorted(set(names))
    assert set(TARGETS) <= set(board_names())
    assert len(board_names()) == len(set(board_names()))


def test_the_most_special_board_is_found():
    assert find_board("NVIDIA Jetson Orin Nano Developer Kit") == BOARDS["orin-nano"]
    assert find_board("NVIDIA Jetson AGX Xavier Developer Kit") == BOARDS["agx-xavier"]
    assert find_board("Raspberry Pi 4") is find_board(None) is None


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match="'jetson-nano' is taken by 'nano'"):
        register_board(Board("other", "Other", "5.3", aliases=("jetson-nano",)))
    with pytest.raises(ValueError, match="peak rates of 'nano'"):
        register_board(Board("other", "Other", "5.3", peak=BOARDS["nano"].peak))
    with pytest.raises(ValueError, match="'nano' is in the table"):
        register_target(get_target("nano")._replace(title="Another"))
    assert "other" not in BOARDS
    assert register_target(get_target("nano")) is get_target("nano")
