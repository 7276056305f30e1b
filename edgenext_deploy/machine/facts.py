"""Single facts of a machine that several rooms need: its board, its memory."""
import re
from typing import NamedTuple, Optional

from edgenext_deploy.machine.jetpack import parse_l4t
from edgenext_deploy.machine.tree import Tree

SWAP_ADVICE = (
    "give the board swap space: sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile "
    "&& sudo swapon /swapfile; and free memory by leaving the desktop: sudo systemctl isolate multi-user.target")


class Memory(NamedTuple):
    """A machine's memory by /proc/meminfo, in bytes.

    Attributes:
        total_bytes: of the machine, None where the kernel does not say.
        available_bytes: that a new program may take without swapping.
        swap_total_bytes: size of the swap space.
        swap_free_bytes: unused swap space.
    """

    total_bytes: Optional[int]
    available_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int


def board_model(tree: Tree) -> Optional[str]:
    """Return the device tree's model, such as ``NVIDIA Jetson Nano Developer Kit``; None where there is none."""
    return tree.line("/proc/device-tree/model")


def l4t_release(tree: Tree) -> Optional[str]:
    """Return the Jetson Linux release, such as ``32.7.1``; None on another machine."""
    return parse_l4t(tree.text("/etc/nv_tegra_release"))


def is_jetson(tree: Tree) -> bool:
    """Return whether this machine is a Jetson, by any of its marks; a container may show only some of them."""
    return ("nvidia,tegra" in (tree.text("/proc/device-tree/compatible") or "")
            or is_jetson_model(board_model(tree))
            or tree.exists("/etc/nv_tegra_release") or tree.exists("/sys/module/tegra_fuse"))


def is_jetson_model(model: Optional[str]) -> bool:
    """Return whether a device tree's model is that of a Jetson; some say "NVIDIA" only."""
    text = (model or "").lower()
    return "jetson" in text or "nvidia" in text


def read_memory(tree: Tree) -> Optional[Memory]:
    """Return the machine's memory; None where the kernel does not say what is available."""
    fields = [line.split() for line in (tree.text("/proc/meminfo") or "").splitlines()]
    found = {words[0].rstrip(":"): int(words[1]) * 1024 for words in fields
             if len(words) >= 2 and re.match("[0-9]{1,18}$", words[1])}
    if "MemAvailable" not in found:
        return None
    return Memory(found.get("MemTotal"), found["MemAvailable"], found.get("SwapTotal", 0), found.get("SwapFree", 0))
