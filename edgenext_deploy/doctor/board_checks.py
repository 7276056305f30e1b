"""Checks of memory, disk, power, clocks and cameras. Nothing here needs root."""
import os

from edgenext_deploy.camera.open import forms
from edgenext_deploy.doctor.findings import Findings
from edgenext_deploy.doctor.machine import Machine
from edgenext_deploy.doctor.record import NOTE, OK, PROBLEM, Check
from edgenext_deploy.machine.facts import read_memory
from edgenext_deploy.machine.power_mode import (
    NVPMODEL_CONF,
    NVPMODEL_STATUS,
    NamedMode,
    full_mode,
    is_gpu_clock,
    mode_names,
    mode_number,
    mode_of_command,
)

_GIB = 1 << 30
# Importing TensorRT 8.2 with cuDNN and cuBLAS takes 650 MB on a Nano (wang-xinyu/tensorrtx issue 1160), building a
# plan and compiling pycuda more.
_ENOUGH_BYTES = 2 * _GIB
_SWAP = ("sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && "
         "sudo swapon /swapfile && echo '/swapfile none swap sw 0 0' | sudo tee -a /etc/fstab")
_NO_DESKTOP = "sudo systemctl isolate multi-user.target (ends the desktop, which takes memory)"
# pip unpacks, and pycuda is compiled, in less than this; plans and timing caches are a few MB.
_ENOUGH_DISK_BYTES = 1 * _GIB


def check_memory(machine: Machine, findings: Findings) -> Check:
    """Free memory and swap: a build that runs out is killed without a message."""
    memory = read_memory(machine)
    if memory is None or memory.total_bytes is None:
        return Check("memory", NOTE, "unknown: /proc/meminfo does not say")
    available, swap = memory.available_bytes, memory.swap_free_bytes
    found = "{:.1f} GiB of {:.1f} GiB available, {:.1f} GiB of {:.1f} GiB swap free".format(
        available / _GIB, memory.total_bytes / _GIB, swap / _GIB, memory.swap_total_bytes / _GIB)
    if available >= _ENOUGH_BYTES:
        return Check("memory", OK, found)
    if available + swap >= _ENOUGH_BYTES:
        return Check("memory", NOTE, found + ": enough with the swap, but slow",
                     _NO_DESKTOP if findings.jetson else None)
    advice = _SWAP + ("; " + _NO_DESKTOP if findings.jetson else "")
    return Check("memory", PROBLEM, found + ": a build may be killed", advice)


def check_disk(machine: Machine, findings: Findings) -> Check:
    """Room where downloads and timing caches go."""
    folder = _cache_folder(machine)
    present = folder
    while not machine.exists(present) and os.path.dirname(present) != present:
        present = os.path.dirname(present)
    free = machine.free_bytes(present)
    if free is None:
        return Check("disk", NOTE, "unknown: free space for {} cannot be read".format(folder))
    found = "{:.1f} GiB free for {}".format(free / _GIB, folder)
    if not machine.usable(present):
        return Check("disk", PROBLEM, "{} cannot be written".format(present), "export EDGENEXT_CACHE=FOLDER")
    if free < _ENOUGH_DISK_BYTES:
        return Check("disk", PROBLEM, found, "sudo apt-get clean, or export EDGENEXT_CACHE=FOLDER on another disk")
    return Check("disk", OK, found)


def check_power_mode(machine: Machine, findings: Findings) -> Check:
    """Whether nvpmodel caps the clocks below what the board can do."""
    names = mode_names(machine.text(NVPMODEL_CONF))
    number, name = _power_mode(machine, findings)
    if number is not None and name is None:
        name = names.get(number)
    if name is None:
        says = findings.nvpmodel_says
        return Check("power_mode", NOTE, "unknown{}{}".format(
            "" if number is None else ": mode {}".format(number),
            ": nvpmodel " + says.failure if says is not None and says.failure else ""), "sudo nvpmodel -q")
    found = "{} (mode {})".format(name, "unknown" if number is None else number)
    full = full_mode(names, findings.board)
    if name.upper().startswith("MAXN") or name == names.get(-1 if full is None else full):
        return Check("power_mode", OK, found)
    if full is None:
        return Check("power_mode", NOTE, found + ": clocks are capped, latencies are longer than in the MAXN mode")
    return Check("power_mode", NOTE, "{}: clocks are capped, latencies are longer than in mode {}".format(
        found, names[full]), "sudo nvpmodel -m {} ({})".format(full, names[full]))


def check_clocks(machine: Machine, findings: Findings) -> Check:
    """Whether the GPU's clock is pinned, as a measurement wants it."""
    for folder in machine.glob("/sys/class/devfreq/*"):
        if is_gpu_clock(os.path.basename(folder)):
            texts = [machine.text("{}/{}_freq".format(folder, which)) or "" for which in ("min", "max")]
            if not all(text.strip().isdigit() for text in texts):
                continue
            low, high = (int(text) / 1e6 for text in texts)
            if low == high:
                return Check("clocks", OK, "GPU pinned at {:.1f} MHz".format(high))
            return Check("clocks", NOTE, "GPU between {:.1f} and {:.1f} MHz, as the load asks".format(low, high),
                         "before measuring: sudo jetson_clocks (it lasts until the next start)")
    return Check("clocks", NOTE, "unknown: the GPU's clock is not found under /sys/class/devfreq")


def check_cameras(machine: Machine, findings: Findings) -> Check:
    """Camera devices, whether they may be opened, and the address that edgenext-run takes for each."""
    devices = sorted((path for path in machine.glob("/dev/video*") if path[len("/dev/video"):].isdigit()),
                     key=lambda path: int(path[len("/dev/video"):]))
    if not devices:
        return Check("cameras", NOTE, "no /dev/video*; other sources: " + forms(local=False))
    shown, sensors = [], 0
    for device in devices:
        name = (machine.text("/sys/class/video4linux/{}/name".format(os.path.basename(device))) or "").strip()
        address = device
        if name.startswith("vi-output"):
            address = "csi://{}".format(sensors)
            sensors += 1
        shown.append("{} ({})".format(address, name) if name else address)
    found = ", ".join(shown)
    closed = [device for device in devices if not machine.usable(device)]
    if closed:
        return Check("cameras", PROBLEM, "{}; no permission for {}".format(found, ", ".join(closed)), _join(machine))
    if sensors and not machine.exists("/tmp/argus_socket"):
        return Check("cameras", PROBLEM, found + "; nvargus-daemon, which CSI cameras need, does not run",
                     "sudo systemctl restart nvargus-daemon (in a container: -v /tmp/argus_socket:/tmp/argus_socket)")
    return Check("cameras", OK, found)


def check_video_group(machine: Machine, findings: Findings) -> Check:
    """Membership in the group that owns cameras and, on a Jetson, the GPU's devices."""
    groups = machine.groups()
    if machine.is_root():
        return Check("video_group", OK, "not needed, this is root")
    if groups is None:
        return Check("video_group", NOTE, "unknown: the user's groups cannot be read", "id -nG")
    if "video" in groups:
        return Check("video_group", OK, "{} is in the group video".format(machine.user()))
    found = "{} is not in the group video".format(machine.user())
    if findings.jetson:
        return Check("video_group", PROBLEM, found + ", to which GPU and cameras belong", _join(machine))
    return Check("video_group", NOTE, found + "; some systems ask that for cameras")


def _join(machine: Machine) -> str:
    return "sudo usermod -aG video {}, then log in again".format(machine.user())


def _cache_folder(machine: Machine) -> str:
    own = machine.environ.get("EDGENEXT_CACHE")
    if own:
        return os.path.abspath(own)
    base = machine.environ.get("XDG_CACHE_HOME") or os.path.join(
        machine.environ.get("HOME") or os.path.expanduser("~"), ".cache")
    return os.path.join(base, "edgenext-deploy")


def _power_mode(machine: Machine, findings: Findings) -> NamedMode:
    """Return the mode's number and name, as far as nvpmodel's status file or nvpmodel itself says them."""
    number = mode_number(machine.text(NVPMODEL_STATUS))
    if number is not None:
        return NamedMode(number, None)
    says = findings.nvpmodel_says.output if findings.nvpmodel_says is not None else ""
    return mode_of_command(says) or NamedMode(None, None)
