"""The workspace follows the memory of the board, and a board that is short of it says so."""
import pytest

from edgenext_deploy.engines import workspace
from edgenext_deploy.engines.workspace import MIB, Memory

NANO = ("MemTotal: 4059488 kB\nMemFree: 200000 kB\nMemAvailable: 2516582 kB\n"
        "SwapTotal: 2029744 kB\nSwapFree: 2029744 kB\n")


def test_a_nano(tmp_path):
    path = tmp_path / "meminfo"
    path.write_text(NANO)
    memory = workspace.read_memory(str(path))
    assert memory == Memory(2516582 * 1024, 2029744 * 1024)
    assert workspace.choose_workspace(True, memory) == (256 * MIB, None)


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemAvailable: many kB\n", "\0\0\0"])
def test_a_kernel_that_does_not_say(tmp_path, text):
    path = tmp_path / "meminfo"
    path.write_text(text)
    assert workspace.read_memory(str(path)) is None
    assert workspace.read_memory(str(tmp_path / "none")) is None


@pytest.mark.parametrize("available_mib, expected_mib", [
    (10, 32), (128, 32), (400, 100), (1024, 256), (100000, 256)])
def test_a_quarter_within_limits(available_mib, expected_mib):
    chosen, _ = workspace.choose_workspace(True, Memory(available_mib * MIB, 8192 * MIB))
    assert chosen == expected_mib * MIB


def test_too_little_memory_is_warned_of_with_the_commands():
    _, warning = workspace.choose_workspace(True, Memory(700 * MIB, 100 * MIB))
    assert "700 MiB of memory and 100 MiB of swap" in warning
    assert "mkswap /swapfile" in warning and "swapon /swapfile" in warning
    assert workspace.choose_workspace(True, Memory(700 * MIB, 4096 * MIB))[1] is None


def test_a_gpu_with_its_own_memory():
    assert workspace.choose_workspace(False, Memory(1, 0)) == (1024 * MIB, None)


def test_unknown_memory():
    chosen, warning = workspace.choose_workspace(True, None)
    assert chosen == 32 * MIB and warning is None


def test_a_jetson_is_recognised(tmp_path):
    assert not workspace.is_tegra(str(tmp_path))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R32 (release), REVISION: 7.1\n")
    assert workspace.is_tegra(str(tmp_path))
