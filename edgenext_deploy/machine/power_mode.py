"""What a Jetson's files say about its power mode and its GPU's clock; the doctor and the harness both read them."""
import re
from typing import Dict, NamedTuple, Optional

from edgenext_deploy.machine.tree import Tree
from edgenext_deploy.targets import BOARDS, find_board

NVPMODEL_STATUS = "/var/lib/nvpmodel/status"
NVPMODEL_CONF = "/etc/nvpmodel.conf"
_COMMAND = ("nvpmodel", "-q")

# What newer kernels call every Jetson's GPU under /sys/class/devfreq, and what a TX2's is called. The table of boards
# has the others.
_GPU_CLOCKS = ("gpu", "gp10b")
# Of a board that is not in the table.
_FULL_MODES = ("MAXN",)


class PowerMode(NamedTuple):
    """A Jetson's power mode, which caps clocks and switches cores off.

    Attributes:
        name: name such as ``MAXN`` or ``5W``; None if only the number is known.
        number: number for ``nvpmodel -m``; None if only the name is known.
        source: where it was read, ``/var/lib/nvpmodel/status`` or ``nvpmodel -q``.
    """

    name: Optional[str]
    number: Optional[int]
    source: str


class NamedMode(NamedTuple):
    """A power mode, as far as one source names it."""

    number: Optional[int]
    name: Optional[str]


def mode_names(conf: Optional[str]) -> Dict[int, str]:
    """Return the power modes that a text of `NVPMODEL_CONF` defines: number to name."""
    found = re.findall(r"^<\s*POWER_MODEL\s+ID=([0-9]{1,9})\s+NAME=(\S+?)\s*>", conf or "", flags=re.M)
    return {int(number): name for number, name in found}


def mode_number(status: Optional[str]) -> Optional[int]:
    """Return the number of the mode that a text of `NVPMODEL_STATUS` says is active."""
    match = re.search(r"pmode:([0-9]{1,9})", status or "")
    return int(match.group(1)) if match else None


def mode_of_command(output: str) -> Optional[NamedMode]:
    """Return the mode that ``nvpmodel -q`` printed."""
    named = re.search(r"NV Power Mode:\s*(\S+)(?:\s+([0-9]{1,9}))?", output)
    if named is None:
        return None
    return NamedMode(int(named.group(2)) if named.group(2) else None, named.group(1))


def present_mode(tree: Tree) -> Optional[PowerMode]:
    """Return the power mode; None where there is none, or where neither the status file nor nvpmodel says it."""
    names = mode_names(tree.text(NVPMODEL_CONF))
    number = mode_number(tree.text(NVPMODEL_STATUS))
    if number is not None:
        return PowerMode(names.get(number), number, NVPMODEL_STATUS)
    said = mode_of_command(tree.output_of(_COMMAND) or "") if names else None
    return PowerMode(said.name, said.number, " ".join(_COMMAND)) if said is not None else None


def is_gpu_clock(device: str) -> bool:
    """Return whether that name under /sys/class/devfreq is the GPU's, such as ``57000000.gpu`` on a Nano."""
    known = {board.gpu_clock for board in BOARDS.values() if board.gpu_clock}
    return any(name in device for name in known.union(_GPU_CLOCKS))


def full_mode(names: Dict[int, str], board: Optional[str]) -> Optional[int]:
    """Return the number of the power mode that caps no clock, None where the board has none that is known.

    Args:
        names: the board's modes, see `mode_names`.
        board: the device tree's model.
    """
    known = find_board(board)
    for wanted in known.full_power_modes if known is not None else _FULL_MODES:
        found = [number for number, name in sorted(names.items()) if name.upper().startswith(wanted)]
        if found:
            return found[-1]
    return None
