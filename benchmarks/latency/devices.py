"""Whether this machine is the device that was asked for."""
import shlex
from typing import Any, Dict, NamedTuple, Optional, Sequence

from edgenext_deploy.artifacts.manifest import ONNX_SUFFIX
from edgenext_deploy.benchmarks.hardware.host import Host
from edgenext_deploy.errors import EdgeNextError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.targets import BOARDS, PROCESSOR, TARGETS, Board, find_board, get_board

CPU = PROCESSOR.name
# In front of a variant's name: its reference module in PyTorch, in place of an engine file.
TORCH = "torch:"
# What a server runs a model on, it does not say.
SERVER = "server"
# Providers of ONNX Runtime and of torch that compute on the processor.
_ON_PROCESSOR = ("CPUExecutionProvider", "CPU")
_FIX = "run this command on that device, ask for --device cpu, or add --allow-mismatch, which marks every row"
_ESTIMATE = "edgenext-bench estimate {} --device {} estimates without the device; to measure, "


class Match(NamedTuple):
    """Whether this machine is the device that was asked for.

    Attributes:
        found: what this machine is, in words.
        refusal: why it is not that device; None if it is.
    """

    found: str
    refusal: Optional[EdgeNextError]


def device_name(asked: str) -> str:
    """Return the name under which a device is recorded: of a target its own, of a board the first in the table.

    Raises:
        UsageError: there is no such device.
    """
    return asked if asked in TARGETS else get_board(asked).name


def is_processor(asked: str) -> bool:
    """Return whether a name stands for the processor."""
    return get_board(asked) == PROCESSOR


def match_device(asked: str, host: Host, engines: Sequence[str] = ()) -> Match:
    """Compare this machine with the device that was asked for.

    Args:
        asked: the name of a board, or of a target, which stands for its board.
        host: this machine.
        engines: what is to be measured; the refusal names the command that estimates the first that can be.

    Raises:
        UsageError: there is no such device.
    """
    here = _here(host)
    device = get_board(asked)
    if device == PROCESSOR:
        return Match(here, None)
    if device.gpu_word and not host.gpus:
        return Match(here, MissingRuntimeError(
            "--device {} needs an NVIDIA GPU, and this machine ({}) has none".format(asked, here),
            _estimate(device, engines) + _FIX))
    if device.gpu_word:
        found = any(device.is_gpu(model) for model in host.gpus)
    else:
        found = device.is_model(host.board)
    return Match(here, None if found else IncompatibleError(
        "--device {} was asked for ({}), and this machine is {}".format(asked, device.title, here),
        _estimate(device, engines) + _FIX))


def match_session(asked: str, session: Dict[str, Any]) -> Optional[EdgeNextError]:
    """Return why an engine's figures do not count for a device although the machine is right; None if they do.

    A GPU's figures must come from that GPU, the processor's from the processor. A Jetson's may come from either: both
    are on the board.
    """
    device = get_board(asked)
    on_processor = runs_on_processor(session)
    gpu = session.get("device")
    found = "--device {} was asked for, and the engine runs on {}".format(asked, gpu or session.get("provider"))
    if device == PROCESSOR:
        return None if on_processor else IncompatibleError(found, "leave --device out, or name the GPU")
    if not device.gpu_word:
        return None
    if on_processor:
        return IncompatibleError(
            found, "give --provider CUDAExecutionProvider with an ONNX Runtime that has it, or ask for --device cpu")
    if gpu and not device.is_gpu(str(gpu)):
        return IncompatibleError(found, "choose the GPU with CUDA_VISIBLE_DEVICES, by its UUID from nvidia-smi -L")
    return None


def recognise(host: Host, session: Dict[str, Any]) -> str:
    """Return the name of the device that an engine runs on: a board's, a GPU's, ``cpu``, or ``gpu`` for another GPU.

    Of a served model it is ``server``.
    """
    board = find_board(host.board)
    if board is not None:
        return board.name
    if session.get("served"):
        return SERVER
    if runs_on_processor(session):
        return CPU
    # A session that does not name its GPU may run on any that the driver lists.
    models = (str(session["device"]),) if session.get("device") else host.gpus
    return next((board.name for board in BOARDS.values()
                 if board.gpu_word and models and all(board.is_gpu(model) for model in models)), "gpu")


def runs_on_processor(session: Dict[str, Any]) -> bool:
    """Return whether that session, as it describes itself, computes on the processor."""
    return session.get("provider") in _ON_PROCESSOR


def _estimate(device: Board, engines: Sequence[str]) -> str:
    """Return the words that offer an estimate; empty where none can be made."""
    graphs = [shlex.quote(engine) for engine in engines if engine.lower().endswith(ONNX_SUFFIX)]
    modules = ["--variant " + shlex.quote(engine[len(TORCH):]) for engine in engines if engine.startswith(TORCH)]
    return _ESTIMATE.format((graphs + modules)[0], device.name) if device.peak and (graphs or modules) else ""


def _here(host: Host) -> str:
    if host.board is not None:
        return host.board
    return ", ".join([host.machine, host.processor or "processor unknown", *host.gpus])
