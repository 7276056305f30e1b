"""The workspace follows the memory of the board, and a board that is short of it says so."""
import pytest

from edgenext_deploy.engines import workspace
from edgenext_deploy.engines.workspace import MIB
from edgenext_deploy.machine.facts import Memory


def memory(available_mib, swap_mib=0):
    return Memory(4096 * MIB, available_mib * MIB, 8192 * MIB, swap_mib * MIB)


def test_a_nano():
    assert workspace.choose_workspace(True, memory(2457, 1982)) == (256 * MIB, None)


@pytest.mark.parametrize("available_mib, expected_mib", [
    (10, 32), (128, 32), (400, 100), (1024, 256), (100000, 256)])
def test_a_quarter_within_limits(available_mib, expected_mib):
    chosen, _ = workspace.choose_workspace(True, memory(available_mib, 8192))
    assert chosen == expected_mib * MIB


def test_too_little_memory_is_warned_of_with_the_commands():
    _, warning = workspace.choose_workspace(True, memory(700, 100))
    assert "700 MiB of memory and 100 MiB of swap" in warning
    assert "mkswap /swapfile" in warning and "swapon /swapfile" in warning
    assert workspace.choose_workspace(True, memory(700, 4096))[1] is None


def test_a_gpu_with_its_own_memory():
    assert workspace.choose_workspace(False, memory(1)) == (1024 * MIB, None)


def test_unknown_memory():
    chosen, warning = workspace.choose_workspace(True, None)
    assert chosen == 32 * MIB and warning is None
