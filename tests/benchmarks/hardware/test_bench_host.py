import os

import pytest

from edgenext_deploy.benchmarks.hardware.host import describe_host
from edgenext_deploy.benchmarks.latency.devices import device_name, match_device, match_session, recognise
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.targets import BOARDS, TARGETS

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


@pytest.mark.parametrize(("board", "names"), [
    (NANO, {"nano"}),
    ("NVIDIA Jetson Nano 2GB Developer Kit", {"nano"}),
    (ORIN_NANO, {"orin-nano", "orin"}),
    ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", {"orin-nano", "orin"}),
    ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", {"orin-nx", "orin"}),
    ("NVIDIA Orin Nano Developer Kit", {"orin-nano", "orin"}),
    ("NVIDIA Orin NX Developer Kit", {"orin-nx", "orin"}),
    ("NVIDIA Jetson AGX Orin Developer Kit", {"agx-orin", "orin"}),
    ("Jetson AGX Orin", {"agx-orin", "orin"}),
    ("NVIDIA Jetson Xavier NX Developer Kit", {"xavier-nx", "xavier"}),
    ("Jetson-AGX", {"agx-xavier", "xavier"}),
    ("NVIDIA Jetson AGX Xavier Developer Kit", {"agx-xavier", "xavier"}),
    ("NVIDIA Jetson AGX Thor Developer Kit", {"thor"}),
    ("Raspberry Pi 4 Model B Rev 1.4", set()),
    ("FriendlyElec NanoPi M4", set()),
    ("quill", set()),
    (None, set()),
])
def test_boards_are_told_apart_by_their_device_tree_model(board, names):
    boards = [name for name, device in BOARDS.items() if device.model_words]
    assert {name for name in boards if match_device(name, host(board)).refusal is None} == names


@pytest.mark.parametrize(("gpu", "names"), [
    ("NVIDIA A100-SXM4-40GB", {"a100"}), ("NVIDIA A100 80GB PCIe", {"a100"}), ("NVIDIA H100 PCIe", {"h100"}),
    ("NVIDIA H200", {"h200"}), ("NVIDIA L4", {"l4"}), ("NVIDIA L40S", set()), ("Tesla T4", {"t4"}),
    ("NVIDIA GeForce RTX 4090", {"rtx"}), ("NVIDIA RTX A4000", {"rtx"}), ("Quadro P2000", set()),
])
def test_gpus_are_told_apart_by_their_names(gpu, names):
    gpus = [name for name, device in BOARDS.items() if device.gpu_word]
    assert {name for name in gpus if match_device(name, host(gpus=(gpu,))).refusal is None} == names


def test_every_target_names_a_device():
    for target in TARGETS:
        match_device(target, host())


@pytest.mark.parametrize(("asked", "here"), [
    ("cpu", host()), ("onnxruntime", host()), ("cpu", host(NANO)), ("nano", host(NANO)),
    ("orin-jp5", host(ORIN_NANO)), ("xavier-jp4", host("Jetson-AGX")),
    ("a100", host(gpus=("NVIDIA A100-SXM4-40GB",))), ("rtx", host(gpus=("NVIDIA GeForce RTX 4090",))),
])
def test_the_device_that_was_asked_for_is_accepted(asked, here):
    assert match_device(asked, here).refusal is None


@pytest.mark.parametrize(("asked", "here", "named"), [
    ("nano", host(), "x86_64, Some CPU"), ("nano", host(ORIN_NANO), ORIN_NANO), ("orin", host(NANO), NANO),
    ("orin-nano", host("NVIDIA Jetson AGX Orin Developer Kit"), "AGX Orin"),
    ("a100", host(gpus=("NVIDIA H100 PCIe",)), "NVIDIA H100 PCIe"),
])
def test_another_device_is_refused_with_what_was_asked_and_what_this_is(asked, here, named):
    match = match_device(asked, here)
    assert named in match.found
    assert isinstance(match.refusal, IncompatibleError)
    assert "--device {} was asked for".format(asked) in match.refusal.message
    assert named in match.refusal.message
    assert match.refusal.exit_code == 4
    assert "--allow-mismatch" in match.refusal.fix


@pytest.mark.parametrize(("asked", "engines", "offered"), [
    ("nano", ["xxs.onnx"], "edgenext-bench estimate xxs.onnx --device nano"),
    ("jetson-nano", ["my net.plan", "my net.onnx"], "edgenext-bench estimate 'my net.onnx' --device nano"),
    ("orin-jp5", ["xxs.onnx"], ""), ("h200", ["xxs.onnx"], ""), ("nano", ["xxs.plan"], ""),
    ("a100", ["torch:xs"], "edgenext-bench estimate --variant xs --device a100"),
])
def test_a_device_that_is_not_here_is_estimated_where_its_rates_are_known(asked, engines, offered):
    fix = match_device(asked, host(), engines).refusal.fix
    assert offered in fix and "--allow-mismatch" in fix
    assert ("estimate" in fix) == bool(offered)


def test_a_server_target_needs_a_gpu():
    refusal = match_device("h100", host()).refusal
    assert isinstance(refusal, MissingRuntimeError)
    assert "h100 needs an NVIDIA GPU" in refusal.message


def test_an_unknown_device_suggests_the_nearest_and_lists_all():
    with pytest.raises(UsageError, match="did you mean 'nano'") as raised:
        match_device("nanno", host())
    for name in ("cpu", "orin-nano", "orin-jp60", "onnxruntime"):
        assert name in raised.value.fix


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "CPU"])
def test_a_server_row_is_not_filled_by_its_processor(provider):
    refusal = match_session("a100", {"provider": provider})
    assert isinstance(refusal, IncompatibleError)
    assert provider in refusal.message
    assert match_session("a100", {"provider": "CUDAExecutionProvider"}) is None
    assert match_session("cpu", {"provider": provider}) is None
    assert match_session("nano", {"provider": provider}) is None
    assert isinstance(match_session("cpu", {"provider": "CUDA", "device": "Some GPU"}), IncompatibleError)


def test_a_servers_row_is_not_filled_by_another_of_its_gpus():
    here = host(gpus=("NVIDIA A100-SXM4-40GB", "Tesla T4"))
    assert match_device("a100", here).refusal is None
    assert match_session("a100", {"provider": "CUDA", "device": "NVIDIA A100-SXM4-40GB"}) is None
    refusal = match_session("a100", {"provider": "CUDA", "device": "Tesla T4"})
    assert isinstance(refusal, IncompatibleError)
    assert "Tesla T4" in refusal.message and "CUDA_VISIBLE_DEVICES" in refusal.fix


@pytest.mark.parametrize(("here", "session", "name"), [
    (host(), {"provider": "CPUExecutionProvider"}, "cpu"),
    (host(NANO), {"provider": "CUDA", "device": "NVIDIA Tegra X1"}, "nano"),
    (host(NANO), {"provider": "CPUExecutionProvider"}, "nano"),
    (host(ORIN_NANO), {"provider": "CUDA", "device": "Orin"}, "orin-nano"),
    (host(gpus=("NVIDIA A100-SXM4-40GB",)), {"provider": "CUDAExecutionProvider"}, "a100"),
    (host(gpus=("NVIDIA A100-SXM4-40GB",)), {"provider": "CPUExecutionProvider"}, "cpu"),
    (host(gpus=("NVIDIA A100-SXM4-40GB", "NVIDIA H100 PCIe")), {"provider": "CUDA", "device": "NVIDIA H100 PCIe"},
     "h100"),
    (host(gpus=("NVIDIA A100-SXM4-40GB", "NVIDIA H100 PCIe")), {"provider": "CUDAExecutionProvider"}, "gpu"),
    (host(gpus=("NVIDIA H100 PCIe", "NVIDIA H100 PCIe")), {"provider": "CUDAExecutionProvider"}, "h100"),
    (host(), {"provider": "CUDA", "device": "Double GPU"}, "gpu"),
    (host(), {"provider": "CUDAExecutionProvider"}, "gpu"),
])
def test_without_a_request_a_row_stands_for_what_its_engine_ran_on(here, session, name):
    assert recognise(here, session) == name


@pytest.mark.parametrize(("asked", "name"), [
    ("jetson-nano", "nano"), ("orin-jp5", "orin-jp5"), ("onnxruntime", "onnxruntime"), ("h200", "h200")])
def test_rows_are_recorded_under_one_name(asked, name):
    assert device_name(asked) == name
