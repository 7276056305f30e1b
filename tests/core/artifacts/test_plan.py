import importlib.util
import json
import os
import sys
import types

import pytest
from paths import TINY
from plan_samples import (
    A100,
    BARE,
    NANO,
    ORIN,
    RECORD,
    check_plan,
    contents,
    identify_plan,
    late_plan,
    nano_plan,
    orin_record,
    put,
    read_plan,
    rtx_plan,
    rtx_record,
    written,
)

from edgenext_deploy.artifacts.plan_check import (
    PlanHeader,
    dump,
    find_record,
    plan_title,
    read_header,
    read_record,
    sidecar_path,
    warnings_of,
    write_plan,
)
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.machine import environment as environment_module
from edgenext_deploy.machine.environment import module_version, present_environment


def header_of(tmp_path, data):
    return read_header(put(tmp_path / "a.plan", data))


@pytest.mark.parametrize("data, expected", [
    (nano_plan(205), PlanHeader("tensorrt", "8.2", 205, 4096)),
    (nano_plan(213), PlanHeader("tensorrt", "8.4", 213, 4096)),
    (nano_plan(232), PlanHeader("tensorrt", "8.5", 232, 4096)),
    (nano_plan(199), PlanHeader("tensorrt", None, 199, 4096)),
    (late_plan((8, 6, 2, 3)), PlanHeader("tensorrt", "8.6.2.3", 239, 4096)),
    (late_plan((11, 4, 0, 106)), PlanHeader("tensorrt", "11.4.0.106", 239, 4096)),
    (late_plan((8, 5, 3, 1)), PlanHeader("tensorrt", None, 239, 4096)),
    (late_plan((200, 5, 3, 1)), PlanHeader("tensorrt", None, 239, 4096)),
    (b"ptrt\x60\0\0\0" + b"\0" * 40, PlanHeader("tensorrt", "7", 0, 48)),
    (b"ftrt\x60\0\0\0" + b"\0" * 40, PlanHeader("tensorrt", "7", 0, 48)),
    (b"ftrt\x63" + late_plan()[5:], PlanHeader("tensorrt", None, 239, 4096)),
    (late_plan(size=28), PlanHeader("tensorrt", "10.3.0.30", 239, 28)),
    (rtx_plan(0x02), PlanHeader("tensorrt_rtx", "1.7.1.116", 2, 4096, ("8.0",))),
    (rtx_plan(0x06), PlanHeader("tensorrt_rtx", "1.7.1.116", 2, 4096, ("8.0", "8.6"))),
    (rtx_plan(0x7E), PlanHeader("tensorrt_rtx", "1.7.1.116", 2, 4096, ("8.0", "8.6", "8.9", "12.0", "12.1", "other"))),
    (rtx_plan(0), PlanHeader("tensorrt_rtx", "1.7.1.116", 2, 4096, ())),
])
def test_headers(tmp_path, data, expected):
    assert header_of(tmp_path, data) == expected


PREFIX = json.dumps({"description": "YOLO", "names": {"0": "person"}}).encode()


@pytest.mark.parametrize("data, words", [
    (len(PREFIX).to_bytes(4, "little") + PREFIX + nano_plan(),
     "a plan behind {} bytes of JSON".format(len(PREFIX) + 4)),
    (len(PREFIX).to_bytes(4, "little") + PREFIX + b"junk", "something behind"),
    (b"\x08\x07\x12\x07pytorch\x1a\x06" + b"x" * 400, "an ONNX file"),
    (b"PK\x03\x04\x14\0\0\0\0\0" + b"x" * 40, "zip archive"),
    (b"\x1f\x8b\x08\0" + b"x" * 40, "a gzip archive"),
    (b"\x80\x02}q\x00" + b"x" * 40, "a Python pickle"),
    ((30).to_bytes(8, "little") + b'{"__metadata__":{}}' + b"\0" * 64, "a safetensors file"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    (b"TensorRT plan, to be built\n", "a text file"),
    ("Größe".encode() * 200, "a text file"),
    (b"\x7fELF\x02\x01\x01" + b"\0" * 40, "a program or shared library"),
    (b"\0" * 4096, "nothing but zeros"),
    (b"ft", "cut short (2 bytes)"),
    (b"\xde\xad\xbe\xef" * 20, "beginning with de ad be ef"),
])
def test_what_is_no_plan_is_named(tmp_path, data, words):
    with pytest.raises(BadInputError, match="is not a TensorRT plan") as caught:
        header_of(tmp_path, data)
    assert words in caught.value.message
    assert "edgenext-build" in caught.value.fix


def test_a_real_onnx_file_is_named():
    path = TINY
    with pytest.raises(BadInputError, match="an ONNX file"):
        read_header(path)


def test_record_survives_the_file(tmp_path):
    path = written(tmp_path)
    record = read_record(path)
    assert record._replace(plan=RECORD.plan) == RECORD
    assert record.plan.file == "xxs.plan" and record.plan.bytes == 4096
    assert contents(sidecar_path(path)) == dump(record)
    assert sidecar_path(path) == path + ".json"


def test_the_plan_itself_stays_as_it_was_built(tmp_path):
    assert contents(written(tmp_path)) == nano_plan()


@pytest.mark.parametrize("data, record, machine", [
    (nano_plan(), RECORD, NANO), (late_plan(), orin_record(), ORIN), (rtx_plan(), rtx_record(), A100),
    (rtx_plan(6), rtx_record(("8.0", "8.6")), A100),
])
def test_a_plan_of_this_machine_is_accepted(tmp_path, data, record, machine):
    path = written(tmp_path, data=data, record=record)
    accepted = check_plan(path, machine)
    assert accepted == read_record(path)
    assert read_plan(path, machine) == (data, accepted)
    assert warnings_of(accepted, machine) == ()


@pytest.mark.parametrize("changes, built, found", [
    ({"tensorrt": "8.0.1.6"}, "TensorRT 8.2.1.8", "TensorRT 8.0.1.6"),
    ({"tensorrt": "8.2.1.9"}, "TensorRT 8.2.1.8", "TensorRT 8.2.1.9"),
    ({"compute_capability": "7.2", "gpu": "Xavier"}, "NVIDIA Tegra X1 (compute capability 5.3)",
     "Xavier (compute capability 7.2)"),
    ({"platform": "linux-x86_64"}, "linux-aarch64", "linux-x86_64"),
    ({"platform": "linux-x86_64", "tensorrt": None, "gpu": None, "compute_capability": None}, "linux-aarch64",
     "linux-x86_64"),
])
def test_another_machine_is_refused_with_both_sides(tmp_path, changes, built, found):
    path = written(tmp_path)
    for check in (check_plan, read_plan):
        with pytest.raises(IncompatibleError) as caught:
            check(path, NANO._replace(**changes))
        assert "built for " + built + ", found " + found in caught.value.message
        assert caught.value.message.count("\n") == 0
        assert caught.value.fix == "build it on this machine: edgenext-build {}".format(path.replace(".plan", ".onnx"))


def test_all_differences_are_named_at_once(tmp_path):
    with pytest.raises(IncompatibleError) as caught:
        check_plan(written(tmp_path), ORIN._replace(platform="linux-x86_64"))
    assert caught.value.message.endswith(
        "built for linux-aarch64, TensorRT 8.2.1.8, NVIDIA Tegra X1 (compute capability 5.3), "
        "found linux-x86_64, TensorRT 10.3.0.30, Orin (compute capability 8.7)")


@pytest.mark.parametrize("machine, missing", [
    (NANO._replace(tensorrt=None), "no TensorRT"),
    (NANO._replace(tensorrt=None, tensorrt_rtx="1.7.1.116"), "no TensorRT"),
    (NANO._replace(gpu=None, compute_capability=None), "no NVIDIA GPU"),
    (NANO._replace(tensorrt=None, gpu=None, compute_capability=None), "no TensorRT and no NVIDIA GPU"),
])
def test_what_is_unknown_is_not_taken_for_right(tmp_path, machine, missing):
    with pytest.raises(MissingRuntimeError) as caught:
        check_plan(written(tmp_path), machine)
    assert caught.value.message.endswith(missing)
    assert "TensorRT 8.2.1.8 on NVIDIA Tegra X1 (compute capability 5.3)" in caught.value.message
    assert "edgenext-run " in caught.value.fix


def test_the_other_runtime_does_not_count(tmp_path):
    path = written(tmp_path, data=rtx_plan(), record=rtx_record())
    with pytest.raises(IncompatibleError, match=r"built for TensorRT-RTX 1\.7\.1\.116, found TensorRT-RTX 1\.6\.0\.1"):
        check_plan(path, A100._replace(tensorrt_rtx="1.6.0.1"))
    with pytest.raises(MissingRuntimeError, match="no TensorRT-RTX"):
        check_plan(path, A100._replace(tensorrt_rtx=None, tensorrt="1.7.1.116"))


def test_another_model_of_the_same_gpu_generation_is_a_warning(tmp_path):
    record = check_plan(written(tmp_path, data=late_plan(), record=orin_record()),
                        ORIN._replace(gpu="Orin NX", l4t="36.5.0", cuda_driver="12.2"))
    gpu, l4t, driver = warnings_of(record, ORIN._replace(gpu="Orin NX", l4t="36.5.0", cuda_driver="12.2"))
    assert "built for Orin, found Orin NX" in gpu
    assert "Jetson Linux 36.4.3, found 36.5.0" in l4t
    assert "CUDA 12.6, found one for CUDA 12.2" in driver


def test_without_a_sidecar_only_trust_helps(tmp_path):
    path = written(tmp_path)
    os.unlink(sidecar_path(path))
    assert find_record(path) is None
    for check in (check_plan, read_plan):
        with pytest.raises(BadInputError, match="no sidecar") as caught:
            check(path, NANO)
        assert "--trust" in caught.value.fix
    assert check_plan(path, NANO, trust=True) is None
    assert read_plan(path, NANO, trust=True) == (nano_plan(), None)
    with pytest.raises(IncompatibleError, match=r"built for TensorRT 8\.2, found TensorRT 10\.3"):
        check_plan(path, ORIN, trust=True)
    with pytest.raises(MissingRuntimeError, match="only a sidecar could name"):
        check_plan(path, BARE, trust=True)


def test_trust_does_not_excuse_a_sidecar_that_is_wrong(tmp_path):
    path = written(tmp_path)
    put(path, nano_plan(filler=2))
    with pytest.raises(BadInputError, match="sha256"):
        check_plan(path, NANO, trust=True)
    put(sidecar_path(path), b"{}")
    with pytest.raises(BadInputError, match="'schema'"):
        check_plan(path, NANO, trust=True)


def test_a_trusted_rtx_plan_is_judged_by_its_own_header(tmp_path):
    assert check_plan(put(tmp_path / "a.plan", rtx_plan(0x02)), A100, trust=True) is None
    assert check_plan(put(tmp_path / "a.plan", rtx_plan(0x44)), A100, trust=True) is None
    with pytest.raises(IncompatibleError, match=r"compute capability 8\.6, found"):
        check_plan(put(tmp_path / "a.plan", rtx_plan(0x04)), A100, trust=True)


def test_another_plan_of_the_same_size_is_noticed(tmp_path):
    first = written(tmp_path, "a.plan")
    second = written(tmp_path, "b.plan", nano_plan(filler=2))
    os.replace(sidecar_path(first), str(tmp_path / "kept"))
    os.replace(sidecar_path(second), sidecar_path(first))
    os.replace(str(tmp_path / "kept"), sidecar_path(second))
    for path in (first, second):
        for check in (check_plan, read_plan):
            with pytest.raises(BadInputError, match=r"sha256 .* found, .* expected"):
                check(path, NANO)


def test_a_plan_may_be_renamed_with_its_sidecar(tmp_path):
    path = written(tmp_path)
    moved = str(tmp_path / "camera.engine")
    os.replace(path, moved)
    os.replace(sidecar_path(path), sidecar_path(moved))
    assert check_plan(moved, NANO).plan.file == "xxs.plan"


def test_header_and_sidecar_must_agree(tmp_path):
    path = written(tmp_path, data=late_plan((10, 3, 0, 30)), record=orin_record()._replace(tensorrt="10.13.3.9"))
    with pytest.raises(BadInputError, match=r"header of TensorRT 10\.3\.0\.30 found, TensorRT 10\.13\.3\.9 expected"):
        identify_plan(path)
    path = written(tmp_path, data=rtx_plan(), record=RECORD._replace(tensorrt="1.7.1.116"))
    with pytest.raises(BadInputError, match="header of TensorRT-RTX"):
        identify_plan(path)


def test_a_shorter_version_is_the_same_release(tmp_path):
    path = written(tmp_path, data=late_plan((8, 6, 1, 6)), record=orin_record()._replace(tensorrt="8.6.1"))
    assert check_plan(path, ORIN._replace(tensorrt="8.6.1.6"))
    assert check_plan(path, ORIN._replace(tensorrt="8.6.1"))
    with pytest.raises(IncompatibleError):
        check_plan(path, ORIN._replace(tensorrt="8.6.2"))


def test_what_is_read_is_what_was_checked(tmp_path, monkeypatch):
    """A file that is replaced after the check by name must not be what gets deserialised."""
    path = written(tmp_path, data=nano_plan(size=1 << 16))  # larger than what Python reads ahead
    real = find_record

    def replace_behind_our_back(name):
        record = real(name)
        put(path, nano_plan(size=1 << 16, filler=7))
        return record

    monkeypatch.setattr("edgenext_deploy.artifacts.plan_check.find_record", replace_behind_our_back)
    with pytest.raises(BadInputError, match="sha256"):
        read_plan(path, NANO)


def test_a_record_that_could_not_be_read_back_is_not_written(tmp_path):
    path = written(tmp_path)
    before = contents(path), contents(sidecar_path(path))
    for wrong in ({"tensorrt": "unknown"}, {"onnx_sha256": ""}, {"flavour": "onnxruntime"}, {"proof": {"x": 10**30}},
                  {"compute_capabilities": ()}, {"build_seconds": float("nan")}, {"precision": "int8"}):
        with pytest.raises(ValueError):
            write_plan(path, nano_plan(filler=3), RECORD._replace(**wrong))
    assert (contents(path), contents(sidecar_path(path))) == before


def test_a_failed_write_leaves_the_old_pair(tmp_path, monkeypatch):
    path = written(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        write_plan(path, nano_plan(filler=3), RECORD)
    monkeypatch.undo()
    assert check_plan(path, NANO) is not None
    assert sorted(os.listdir(str(tmp_path))) == ["xxs.plan", "xxs.plan.json"]


def test_titles():
    assert plan_title(PlanHeader("tensorrt", None, 1, 100), None) == (
        "TensorRT (version unknown) on a GPU that only a sidecar could name")
    assert plan_title(PlanHeader("tensorrt_rtx", "1.7.1.116", 2, 100, ("8.0", "8.6")), None) == (
        "TensorRT-RTX 1.7.1.116 on compute capability 8.0 or 8.6")


# The environment


def test_present_environment_never_raises_and_says_what_is_here():
    found = present_environment()
    assert found.platform.startswith("linux-") and "-" in found.platform
    assert (found.gpu is None) == (found.compute_capability is None)


def tree(tmp_path, **files):
    for name, text in files.items():
        path = os.path.join(str(tmp_path), name.replace("__", "/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as stream:
            stream.write(text)
    return str(tmp_path)


def test_a_nano_is_recognised(tmp_path):
    root = tree(tmp_path, etc__nv_tegra_release="# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: "
                                                "aarch64, DATE: Sat Feb 19 17:05:08 UTC 2022\n")
    os.makedirs(os.path.join(root, "proc/device-tree"))
    put(os.path.join(root, "proc/device-tree/model"), b"NVIDIA Jetson Nano Developer Kit\0")
    os.makedirs(os.path.join(root, "usr/local/cuda"))
    put(os.path.join(root, "usr/local/cuda/version.txt"), b"CUDA Version 10.2.300\n")
    found = present_environment(root)
    assert (found.l4t, found.jetpack, found.cuda) == ("32.7.1", "4.6.1", "10.2.300")
    assert found.board == "NVIDIA Jetson Nano Developer Kit"


def test_a_server_is_recognised(tmp_path):
    for line in ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)",
                 "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Wed Jun 12 2024"):
        os.makedirs(str(tmp_path / "proc/driver/nvidia"), exist_ok=True)
        put(tmp_path / "proc/driver/nvidia/version", line.encode())
        os.makedirs(str(tmp_path / "usr/local/cuda"), exist_ok=True)
        put(tmp_path / "usr/local/cuda/version.json", b'{"cuda": {"name": "CUDA SDK", "version": "12.6.20240801"}}')
        found = present_environment(str(tmp_path))
        assert (found.driver, found.cuda, found.l4t, found.jetpack) == ("580.65.06", "12.6.20240801", None, None)


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe\0", b"{", b"[]", b'{"cuda": 3}', b'{"cuda": {"version": null}}',
                                  b"[" * 5000, b"R\nREVISION:"])
def test_junk_in_the_system_files_is_unknown(tmp_path, junk):
    for name in ("etc/nv_tegra_release", "proc/device-tree/model", "proc/driver/nvidia/version",
                 "usr/local/cuda/version.txt", "usr/local/cuda/version.json"):
        os.makedirs(os.path.dirname(str(tmp_path / name)), exist_ok=True)
        put(tmp_path / name, junk)
    found = present_environment(str(tmp_path))
    assert (found.l4t, found.jetpack, found.driver, found.cuda) == (None, None, None, None)


def install(tmp_path, monkeypatch, source, *infos):
    module = tmp_path / "fake_trt"
    os.makedirs(str(module))
    (module / "__init__.py").write_text(source)
    for info in infos:
        os.makedirs(str(tmp_path / info))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "fake_trt", raising=False)


def test_versions_come_from_the_installation_without_an_import(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "raise SystemError('imported')", "fake_trt-8.2.1.8.dist-info")
    assert module_version("fake_trt") == "8.2.1.8"
    assert "fake_trt" not in sys.modules


@pytest.mark.parametrize("infos, source, expected", [
    (("fake_trt_cu13-10.13.3.9.post1.dist-info",), "", "10.13.3.9"),
    ((), "__version__ = '8.5.2.2'", "8.5.2.2"),
    (("fake_trt-1.0.dist-info", "fake_trt_cu12-2.0.dist-info"), "__version__ = '2.0'", "2.0"),
    (("fake_trt_dispatch-9.9.dist-info",), "__version__ = '8.5.2.2'", "8.5.2.2"),
    ((), "", None), ((), "__version__ = 8", None), ((), "__version__ = 'unknown'", None),
    ((), "raise OSError('libnvinfer.so.8: cannot open shared object file')", None),
    ((), "raise RuntimeError('no driver')", None), ((), "syntax error", None),
])
def test_versions_of_odd_installations(tmp_path, monkeypatch, infos, source, expected):
    install(tmp_path, monkeypatch, source, *infos)
    assert module_version("fake_trt") == expected


def test_versions_of_modules_that_are_loaded_or_absent(monkeypatch):
    assert module_version("no_such_module_anywhere") is None
    loaded = types.ModuleType("fake_trt")
    loaded.__version__ = "10.3.0.30"
    monkeypatch.setitem(sys.modules, "fake_trt", loaded)
    assert module_version("fake_trt") == "10.3.0.30"
    monkeypatch.setitem(sys.modules, "fake_trt", None)
    assert module_version("fake_trt") is None


def fake_cuda(devices):
    """Return the five functions of libcuda that are called; ctypes passes pointers, so results go through them."""
    def put_into(value):
        def function(number, *_):
            number._obj.value = value[_[0]] if isinstance(value, dict) else value
            return 0

        return function

    def name(buffer, length, device):
        buffer.value = b"NVIDIA Tegra X1"
        return 0

    return types.SimpleNamespace(
        cuDriverGetVersion=put_into(10020), cuInit=lambda flags: 0 if devices else 100, cuDeviceGet=put_into(0),
        cuDeviceGetName=name, cuDeviceGetAttribute=put_into({75: 5, 76: 3}))


@pytest.mark.parametrize("cuda, expected", [
    (fake_cuda(1), ("NVIDIA Tegra X1", "5.3", "10.2")),
    (fake_cuda(0), (None, None, "10.2")),
    (object(), (None, None, None)),
])
def test_the_gpu_is_asked_through_the_driver(monkeypatch, cuda, expected):
    monkeypatch.setattr(environment_module.ctypes, "CDLL", lambda name: cuda)
    found = present_environment()
    assert (found.gpu, found.compute_capability, found.cuda_driver) == expected


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
def test_a_real_tensorrt_rtx_plan(tmp_path):
    """Built by NVIDIA's builder: the header says what this module's table says, and a sidecar protects it."""
    pytest.importorskip("onnx")
    from edgenext_deploy.export.checks.rtx import build_with_rtx

    model = TINY
    report = build_with_rtx(model, sms=("80", "86", "121"), keep_plan=str(tmp_path))
    assert report.ok, report.reason
    assert module_version("tensorrt_rtx") == report.version
    machine = A100._replace(tensorrt_rtx=report.version)
    for build, capability in zip(report.builds, ("8.0", "8.6", "12.1")):
        assert read_header(build.plan_path) == PlanHeader(
            "tensorrt_rtx", report.version, 2, build.plan_bytes, (capability,))
    path, other = report.builds[0].plan_path, report.builds[1].plan_path
    write_plan(path, contents(path), rtx_record()._replace(tensorrt=report.version))
    assert check_plan(path, machine).plan.bytes == report.builds[0].plan_bytes
    assert check_plan(other, machine._replace(compute_capability="8.6"), trust=True) is None
    with pytest.raises(IncompatibleError, match=r"built for compute capability 8\.6, found"):
        check_plan(other, machine, trust=True)
    put(other, contents(other)[:-1])
    with pytest.raises(BadInputError, match="bytes found"):
        check_plan(other, machine, trust=True)
