"""Single facts of a machine, read from recorded trees."""
import os

import pytest

from edgenext_deploy.machine.facts import Memory, board_model, is_jetson, l4t_release, read_memory
from edgenext_deploy.machine.tree import Tree

NANO = ("MemTotal: 4059488 kB\nMemFree: 200000 kB\nMemAvailable: 2516582 kB\n"
        "SwapTotal: 2029744 kB\nSwapFree: 1029744 kB\n")


def record(root, path, text):
    place = os.path.join(str(root), path.lstrip("/"))
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "w") as stream:
        stream.write(text)
    return Tree(str(root))


def test_the_memory_of_a_nano(tmp_path):
    assert read_memory(record(tmp_path, "/proc/meminfo", NANO)) == Memory(
        total_bytes=4059488 * 1024, available_bytes=2516582 * 1024, swap_total_bytes=2029744 * 1024,
        swap_free_bytes=1029744 * 1024)


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemAvailable: many kB\n", "\0\0\0"])
def test_a_kernel_that_does_not_say_what_is_available(tmp_path, text):
    assert read_memory(record(tmp_path, "/proc/meminfo", text)) is None
    assert read_memory(Tree(str(tmp_path / "none"))) is None


def test_a_kernel_that_says_only_what_is_available(tmp_path):
    assert read_memory(record(tmp_path, "/proc/meminfo", "MemAvailable: 4 kB\n")) == Memory(None, 4096, 0, 0)


@pytest.mark.parametrize("path, text", [
    ("/proc/device-tree/compatible", "nvidia,p3450-0000\0nvidia,tegra210\0"),
    ("/proc/device-tree/model", "NVIDIA Jetson Nano Developer Kit\0"),
    ("/proc/device-tree/model", "NVIDIA Orin Nano Developer Kit\0"),
    ("/etc/nv_tegra_release", "# R32 (release), REVISION: 7.1\n"),
    ("/sys/module/tegra_fuse", ""),
])
def test_each_mark_of_a_jetson_is_enough(tmp_path, path, text):
    assert not is_jetson(Tree(str(tmp_path)))
    assert is_jetson(record(tmp_path, path, text))


@pytest.mark.parametrize("model", ["Raspberry Pi 4 Model B Rev 1.4", "FriendlyElec NanoPi M4", ""])
def test_other_boards_are_no_jetsons(tmp_path, model):
    tree = record(tmp_path, "/proc/device-tree/model", model + "\0")
    record(tmp_path, "/proc/device-tree/compatible", "raspberrypi,4-model-b\0brcm,bcm2711\0")
    assert not is_jetson(tree)
    assert board_model(tree) == (model or None)


def test_the_jetson_linux_release(tmp_path):
    assert l4t_release(Tree(str(tmp_path))) is None
    tree = record(tmp_path, "/etc/nv_tegra_release", "# R32 (release), REVISION: 7.1, GCID: 29818004\n")
    assert l4t_release(tree) == "32.7.1"
