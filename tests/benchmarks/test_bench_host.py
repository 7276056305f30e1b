import os

import pytest

from edgenext_deploy.benchmarks.device import board_family, require_device, require_session_on_device
from edgenext_deploy.benchmarks.host import board_model, describe_host
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError, UsageError

NANO = "NVIDIA Jetson Nano Developer Kit"
ORIN_NANO = "NVIDIA Jetson Orin Nano Developer Kit"


def write(root, name, content):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def host(board=None, gpus=()):
    return describe_host()._replace(machine="x86_64", processor="Some CPU", board=board, gpus=gpus)


def test_a_recorded_nano_is_read(tmp_path):
    write(tmp_path, "proc/device-tree/model", NANO.encode("ascii") + b"\0")
    write(tmp_path, "proc/cpuinfo",
          b"processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\nCPU part\t: 0xd07\n")
    write(tmp_path, "proc/loadavg", b"0.52 0.31 0.15 1/320 9001\n")
    for core in range(4):
        write(tmp_path, "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor".format(core), b"schedutil\n")
    found = describe_host(str(tmp_path))
    assert found.board == NANO
    assert found.processor == "ARMv8 Processor rev 1 (v8l)"
    assert found.governor == "schedutil"
    assert found.load_average == 0.52
    assert found.gpus == ()


def test_governors_that_differ_are_all_named(tmp_path):
    for core, governor in enumerate((b"schedutil\n", b"performance\n", b"performance\n")):
        write(tmp_path, "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor".format(core), governor)
    write(tmp_path, "sys/devices/system/cpu/cpufreq/boost", b"1\n")
    assert describe_host(str(tmp_path)).governor == "performance,schedutil"


def test_a_recorded_server_names_its_gpus(tmp_path):
    write(tmp_path, "proc/driver/nvidia/gpus/0000:07:00.0/information",
          b"Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 140\n")
    assert describe_host(str(tmp_path)).gpus == ("NVIDIA A100-SXM4-40GB",)


def test_what_cannot_be_read_is_none(tmp_path):
    write(tmp_path, "proc/loadavg", b"\n")
    write(tmp_path, "proc/cpuinfo", b"no colon here\nmodel name\t:\n")
    write(tmp_path, "proc/device-tree/model", b"\0")
    found = describe_host(str(tmp_path))
    assert (found.processor, found.board, found.governor, found.load_average) == (None, None, None, None)
    nothing = describe_host(str(tmp_path / "none"))
    assert nothing == found


def test_this_machine_is_described():
    found = describe_host()
    assert found.cores == os.cpu_count()
    assert 1 <= found.usable_cores <= found.cores
    assert found.machine
    assert board_model() == found.board


@pytest.mark.parametrize(("board", "family"), [
    (NANO, "nano"),
    ("NVIDIA Jetson Nano 2GB Developer Kit", "nano"),
    (ORIN_NANO, "orin"),
    ("NVIDIA Jetson AGX Orin Developer Kit", "orin"),
    ("NVIDIA Jetson Xavier NX Developer Kit", "xavier"),
    ("Jetson-AGX", "xavier"),
    ("NVIDIA Jetson AGX Thor Developer Kit", "thor"),
    ("Raspberry Pi 4 Model B Rev 1.4", None),
    ("FriendlyElec NanoPi M4", None),
    ("quill", None),
    (None, None),
])
def test_boards_are_told_apart_by_their_device_tree_model(board, family):
    assert board_family(board) == family


@pytest.mark.parametrize(("asked", "here"), [
    ("cpu", host()), ("onnxruntime", host()), ("cpu", host(NANO)), ("nano", host(NANO)),
    ("orin-jp5", host(ORIN_NANO)),
    ("a100", host(gpus=("NVIDIA A100-SXM4-40GB",))), ("rtx", host(gpus=("NVIDIA GeForce RTX 4090",))),
])
def test_the_device_that_was_asked_for_is_accepted(asked, here):
    require_device(asked, here)


@pytest.mark.parametrize(("asked", "here", "named"), [
    ("nano", host(), "x86_64, Some CPU"), ("nano", host(ORIN_NANO), ORIN_NANO), ("orin", host(NANO), NANO),
    ("a100", host(gpus=("NVIDIA H100 PCIe",)), "NVIDIA H100 PCIe"),
])
def test_another_device_is_refused_with_what_was_asked_and_what_this_is(asked, here, named):
    with pytest.raises(IncompatibleError) as raised:
        require_device(asked, here)
    assert "--device {} was asked for".format(asked) in raised.value.message
    assert named in raised.value.message
    assert raised.value.exit_code == 4


def test_a_server_target_needs_a_gpu():
    with pytest.raises(MissingRuntimeError, match="h100 needs an NVIDIA GPU"):
        require_device("h100", host())


def test_an_unknown_device_suggests_the_nearest_and_lists_cpu_too():
    with pytest.raises(UsageError, match="did you mean 'nano'") as raised:
        require_device("nanno", host())
    assert raised.value.fix.endswith(", cpu")


def test_a_server_row_is_not_filled_by_its_processor():
    with pytest.raises(IncompatibleError, match="CPUExecutionProvider"):
        require_session_on_device("a100", {"provider": "CPUExecutionProvider"})
    require_session_on_device("a100", {"provider": "CUDAExecutionProvider"})
    require_session_on_device("cpu", {"provider": "CPUExecutionProvider"})
