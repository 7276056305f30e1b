"""Whether this machine is the device that was asked for."""
from typing import Any, Dict, Optional

from edgenext_deploy.benchmarks.host import Host
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.targets import Target, get_target

CPU = "cpu"

# A word of the device tree's model that tells the Jetson families apart, most specific first: an
# "Orin Nano" is an Orin, and the AGX Xavier calls itself "Jetson-AGX".
_BOARD_WORDS = (
    ("thor", "thor"), ("orin", "orin"), ("xavier", "xavier"), ("jetson-agx", "xavier"), ("nano", "nano"))
# How the driver names the GPUs of the targets that are not boards.
_GPU_WORDS = {"a100": "A100", "h100": "H100", "rtx": "RTX"}


def require_device(asked: str, host: Host) -> None:
    """Raise unless `host` is the device that was asked for.

    Args:
        asked: ``cpu``, or the name of a target.
        host: this machine.

    Raises:
        UsageError: there is no such target.
        IncompatibleError: this is another board, or has another GPU.
        MissingRuntimeError: the target needs an NVIDIA GPU, and none is here.
    """
    if asked == CPU:
        return
    target = _target(asked)
    if not target.compute_capability:  # ONNX Runtime on a CPU, wherever that is
        return
    here = _here(host)
    fix = "run this command on that device, or ask for --device cpu"
    if asked in _GPU_WORDS:
        if not host.gpus:
            raise MissingRuntimeError(
                "--device {} needs an NVIDIA GPU, and this machine ({}) has none".format(asked, here), fix)
        found = any(_GPU_WORDS[asked] in model for model in host.gpus)
    else:
        found = board_family(host.board) == asked.split("-")[0]
    if not found:
        raise IncompatibleError("--device {} was asked for ({}), and this machine is {}".format(
            asked, target.title, here), fix)


def require_session_on_device(asked: str, session: Dict[str, Any]) -> None:
    """Raise IncompatibleError when a GPU server was asked for and the engine runs on its processor."""
    provider = session.get("provider")
    if asked in _GPU_WORDS and provider == "CPUExecutionProvider":
        raise IncompatibleError(
            "--device {} was asked for, and the engine runs on {}".format(asked, provider),
            "install a runtime that uses the GPU, or ask for --device cpu")


def board_family(board: Optional[str]) -> Optional[str]:
    """Return ``nano``, ``xavier``, ``orin`` or ``thor`` for a Jetson's device-tree model, else None."""
    words = (board or "").lower()
    if "jetson" not in words:
        return None
    return next((family for word, family in _BOARD_WORDS if word in words), None)


def _here(host: Host) -> str:
    if host.board is not None:
        return host.board
    return ", ".join([host.machine, host.processor or "processor unknown", *host.gpus])


def _target(name: str) -> Target:
    try:
        return get_target(name)
    except UsageError as error:
        raise UsageError(error.message, "{}, {}".format(error.fix, CPU)) from None
