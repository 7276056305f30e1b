"""Which target a board is, from what it says about itself."""
from typing import Optional, Sequence

from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.files import shown
from edgenext_deploy.machine.environment import Environment
from edgenext_deploy.remote.board_facts import BoardFacts
from edgenext_deploy.targets import TARGETS, TENSORRT, Board, Target, get_board

# ONNX Runtime 1.10, the last for Python 3.6, knows opset 15; what is exported for a Nano runs there.
_OLD_PYTHON = [3, 8]


def choose_target(facts: BoardFacts, python: Sequence[int]) -> Target:
    """Return the target to export for.

    Args:
        facts: of the board.
        python: numbers of the version of its Python.

    Raises:
        IncompatibleError: it has a TensorRT and a GPU that no target stands for.
    """
    found = facts.environment
    here = [target for target in TARGETS.values() if target.builder == TENSORRT
            and target.compute_capability == found.compute_capability]
    if not found.tensorrt or not found.compute_capability:
        boards = [target for target in TARGETS.values() if target.board.is_model(found.board)]
        if boards:
            return boards[0]
        return TARGETS["nano" if list(python[:2]) < _OLD_PYTHON else "onnxruntime"]
    fitting = [target for target in here if any(_is_release(found.tensorrt, release) for release in target.tensorrt)]
    if not fitting:
        raise IncompatibleError(
            "no target stands for TensorRT {} on compute capability {}".format(
                found.tensorrt, found.compute_capability),
            "choose one with --target: " + ", ".join(target.name for target in here or TARGETS.values()))
    ours = [target for target in fitting if is_board(target.board, found)]
    return (ours or fitting)[0]


def is_board(board: Board, found: Environment) -> bool:
    """Return whether a machine is a board of the table."""
    return board.is_model(found.board) or (found.gpu is not None and board.is_gpu(found.gpu))


def require_model(device: Optional[str], model: str, host: str) -> None:
    """Raise IncompatibleError if a machine's device tree is another board's; one without a device tree may be any."""
    if device is not None and model and get_board(device).model_words and not get_board(device).is_model(model):
        raise _another(device, model, host)


def require_device(device: Optional[str], found: Environment, host: str) -> None:
    """Raise IncompatibleError if a board is another one than was asked for; any machine is a ``cpu``."""
    if device is None:
        return
    board = get_board(device)
    if (board.model_words or board.gpu_word) and not is_board(board, found):
        raise _another(device, found.board or found.gpu or "no Jetson and no GPU", host)


def _another(device: str, found: str, host: str) -> IncompatibleError:
    return IncompatibleError(
        "{} is another device: {} expected, found {}".format(host, get_board(device).title, shown(found)),
        "leave --device out, or name the one it is; in boards.toml: device")


def _is_release(version: str, release: str) -> bool:
    wanted = [part for part in release.split(".") if part != "x"]
    return version.split(".")[:len(wanted)] == wanted
