"""What a Jetson's files say about its power mode and its GPU's clock; the doctor and the harness both read them."""
import re
from typing import Dict, NamedTuple, Optional

NVPMODEL_STATUS = "/var/lib/nvpmodel/status"
NVPMODEL_CONF = "/etc/nvpmodel.conf"

# Names of a Jetson's GPU under /sys/class/devfreq: Nano; TX2; Xavier; Orin; and what newer kernels call it.
_GPU_DEVICES = re.compile(r"gpu|gp10b|gv11b|ga10b|gb10b")


class NamedMode(NamedTuple):
    """A power mode, as far as one source names it."""

    number: Optional[int]
    name: Optional[str]


def mode_names(conf: Optional[str]) -> Dict[int, str]:
    """Return the power modes that a text of `NVPMODEL_CONF` defines: number to name."""
    found = re.findall(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>", conf or "", flags=re.M)
    return {int(number): name for number, name in found}


def mode_number(status: Optional[str]) -> Optional[int]:
    """Return the number of the mode that a text of `NVPMODEL_STATUS` says is active."""
    match = re.search(r"pmode:(\d+)", status or "")
    return int(match.group(1)) if match else None


def mode_of_command(output: str) -> Optional[NamedMode]:
    """Return the mode that ``nvpmodel -q`` printed."""
    named = re.search(r"NV Power Mode:\s*(\S+)(?:\s+(\d+))?", output)
    if named is None:
        return None
    return NamedMode(int(named.group(2)) if named.group(2) else None, named.group(1))


def is_gpu_clock(device: str) -> bool:
    """Return whether that name under /sys/class/devfreq is the GPU's, such as ``57000000.gpu`` on a Nano."""
    return _GPU_DEVICES.search(device) is not None
