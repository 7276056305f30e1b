"""Whether this machine is the device that was asked for."""
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.benchmarks.hardware.host import Host
from edgenext_deploy.errors import EdgeNextError, IncompatibleError, MissingRuntimeError, unknown_name
from edgenext_deploy.targets import TARGETS

CPU = "cpu"
# The processor, by the name of its target; both names mean whatever machine this is.
_PROCESSORS = (CPU, "onnxruntime")
_FIX = "run this command on that device, ask for --device cpu, or add --allow-mismatch, which marks every row"


class Device(NamedTuple):
    """A device that can be recognised.

    Attributes:
        name: what ``--device`` takes. Most have an export target of that name or family, `targets.TARGETS`.
        title: for people.
        board_words: a Jetson's device-tree model holds all words of one of these, in lower case; empty for a GPU.
        but_not: and none of these.
        gpu_word: the driver's name of the GPU holds this; empty for a Jetson.
    """

    name: str
    title: str
    board_words: Tuple[Tuple[str, ...], ...] = ()
    but_not: Tuple[str, ...] = ()
    gpu_word: str = ""


# Providers of ONNX Runtime and of torch that compute on the processor.
_ON_PROCESSOR = ("CPUExecutionProvider", "CPU")
_JETSON = "jetson"
# Models are those of NVIDIA's device trees: "NVIDIA Jetson Nano Developer Kit", "NVIDIA Jetson Orin Nano Engineering
# Reference Developer Kit Super", "NVIDIA Jetson AGX Orin Developer Kit"; an AGX Xavier of JetPack 4 is "Jetson-AGX",
# and JetPack 5 says "NVIDIA Orin Nano Developer Kit" (rbonghi/jetson_stats#400) and "NVIDIA Orin NX Developer Kit".
_TABLE = (
    Device("nano", "Jetson Nano", ((_JETSON, "nano"),), ("orin",)),
    Device("xavier-nx", "Jetson Xavier NX", ((_JETSON, "xavier nx"),)),
    Device("agx-xavier", "Jetson AGX Xavier", ((_JETSON, "agx xavier"), ("jetson-agx",)), ("orin", "thor")),
    Device("xavier", "Jetson Xavier, any", ((_JETSON, "xavier"), ("jetson-agx",)), ("orin", "thor")),
    Device("orin-nano", "Jetson Orin Nano", ((_JETSON, "orin nano"), ("nvidia orin nano",))),
    Device("orin-nx", "Jetson Orin NX", ((_JETSON, "orin nx"), ("nvidia orin nx",))),
    Device("agx-orin", "Jetson AGX Orin", ((_JETSON, "agx orin"),)),
    Device("orin", "Jetson Orin, any", ((_JETSON, "orin"), ("nvidia orin",))),
    Device("thor", "Jetson Thor", ((_JETSON, "thor"),)),
    Device("a100", "A100", gpu_word="A100"),
    Device("h100", "H100", gpu_word="H100"),
    Device("h200", "H200", gpu_word="H200"),
    Device("l4", "L4", gpu_word="L4"),
    Device("t4", "T4", gpu_word="T4"),
    Device("rtx", "GeForce RTX or RTX workstation GPU", gpu_word="RTX"),
)
DEVICES: Dict[str, Device] = {device.name: device for device in _TABLE}


class Match(NamedTuple):
    """Whether a device was found: what this machine is, and why it is not the one asked for (None if it is)."""

    found: str
    refusal: Optional[EdgeNextError]


def is_processor(asked: str) -> bool:
    """Return whether that name stands for the processor, whatever the machine."""
    return asked in _PROCESSORS


def match_device(asked: str, host: Host) -> Match:
    """Compare this machine with the device that was asked for.

    Args:
        asked: ``cpu``, the name of a device, or the name of a target, which stands for its board or GPU.
        host: this machine.

    Raises:
        UsageError: there is no such device.
    """
    here = _here(host)
    device = _device(asked)
    if device is None:
        return Match(here, None)
    if device.gpu_word and not host.gpus:
        return Match(here, MissingRuntimeError(
            "--device {} needs an NVIDIA GPU, and this machine ({}) has none".format(asked, here), _FIX))
    if device.gpu_word:
        found = any(_is_gpu(device, model) for model in host.gpus)
    else:
        found = _is_board(device, host.board)
    return Match(here, None if found else IncompatibleError(
        "--device {} was asked for ({}), and this machine is {}".format(asked, device.title, here), _FIX))


def match_session(asked: str, session: Dict[str, Any]) -> Optional[EdgeNextError]:
    """Return why a row may not stand under that device although the machine is right; None if it may.

    A GPU server's row must not be filled by its processor or by another GPU of it, nor a processor's by a GPU. A
    Jetson's may be either: both are on the board.
    """
    device = _device(asked)
    on_processor = runs_on_processor(session)
    gpu = session.get("device")
    found = "--device {} was asked for, and the engine runs on {}".format(asked, gpu or session.get("provider"))
    if device is None:
        return None if on_processor else IncompatibleError(found, "leave --device out, or name the GPU")
    if not device.gpu_word:
        return None
    if on_processor:
        return IncompatibleError(
            found, "give --provider CUDAExecutionProvider with an ONNX Runtime that has it, or ask for --device cpu")
    if gpu and not _is_gpu(device, str(gpu)):
        return IncompatibleError(found, "choose the GPU with CUDA_VISIBLE_DEVICES, by its UUID from nvidia-smi -L")
    return None


def recognise(host: Host, session: Dict[str, Any]) -> str:
    """Return the name of the device that an engine runs on: a board's, a GPU's, ``cpu``, or ``gpu`` for another GPU."""
    boards = [name for name, device in DEVICES.items() if device.board_words and _is_board(device, host.board)]
    if boards:
        return boards[0]
    if runs_on_processor(session):
        return CPU
    # A session that does not name its GPU may run on any that the driver lists.
    models = (str(session["device"]),) if session.get("device") else host.gpus
    return next((name for name, device in DEVICES.items()
                 if device.gpu_word and models and all(_is_gpu(device, model) for model in models)), "gpu")


def runs_on_processor(session: Dict[str, Any]) -> bool:
    """Return whether that session, as it describes itself, computes on the processor."""
    return session.get("provider") in _ON_PROCESSOR


def is_jetson(board: Optional[str]) -> bool:
    """Return whether a device tree's model is that of a Jetson; not all of them say that word."""
    model = (board or "").lower()
    return _JETSON in model or "nvidia" in model


def _device(asked: str) -> Optional[Device]:
    """Return the device of a name; None for the processor."""
    if is_processor(asked):
        return None
    # Targets of one board differ by JetPack: xavier-jp4, orin-jp60.
    name = asked if asked in DEVICES or asked not in TARGETS else asked.split("-")[0]
    if name in DEVICES:
        return DEVICES[name]
    raise unknown_name("device", asked, [CPU, *DEVICES, *[target for target in TARGETS if target not in DEVICES]])


def _is_board(device: Device, board: Optional[str]) -> bool:
    model = (board or "").lower()
    return (any(all(word in model for word in words) for words in device.board_words)
            and not any(word in model for word in device.but_not))


def _is_gpu(device: Device, model: str) -> bool:
    return device.gpu_word in model.replace("-", " ").split()


def _here(host: Host) -> str:
    if host.board is not None:
        return host.board
    return ", ".join([host.machine, host.processor or "processor unknown", *host.gpus])
