"""Plans that are made up, with headers of `artifacts.plan_header`, and the machines they are for."""
import json
import os
import struct

from edgenext_deploy.artifacts.engine_file import open_plan
from edgenext_deploy.artifacts.plan_check import Environment, PlanFile, PlanRecord, require_fit, write_plan

NANO = Environment(
    platform="linux-aarch64", board="NVIDIA Jetson Nano Developer Kit", l4t="32.7.1", jetpack="4.6.1",
    tensorrt="8.2.1.8", gpu="NVIDIA Tegra X1", compute_capability="5.3", cuda="10.2.300", cuda_driver="10.2")
ORIN = Environment(
    platform="linux-aarch64", board="NVIDIA Jetson Orin Nano Developer Kit", l4t="36.4.3", jetpack="6.2",
    tensorrt="10.3.0.30", gpu="Orin", compute_capability="8.7", cuda="12.6.68", cuda_driver="12.6")
A100 = Environment(
    platform="linux-x86_64", tensorrt="10.16.1.11", tensorrt_rtx="1.7.1.116", gpu="NVIDIA A100-SXM4-40GB",
    compute_capability="8.0", cuda_driver="13.0", driver="580.65.06")
BARE = Environment(platform="linux-x86_64")

RECORD = PlanRecord(
    schema=1, toolkit_version="0.1.0", plan=PlanFile("", "", 0), onnx_file="xxs.onnx", onnx_sha256="a" * 64,
    manifest_sha256="b" * 64, flavour="tensorrt", tensorrt="8.2.1.8", compute_capabilities=("5.3",), environment=NANO,
    builder_flags=("FP16", "OBEY_PRECISION_CONSTRAINTS"), precision="fp16", precision_mode="flag",
    fp32_pins={"softmax": ("stages.1.3.softmax",)}, workspace_bytes=256 << 20, build_seconds=312.5,
    built_at="2026-11-22T09:30:00Z", proof={"layers": 12, "fp16_layers": 10, "source": "engine inspector"})


def nano_plan(serial=205, size=4096, filler=1):
    """A TensorRT 8.2 plan: a serialisation number, and no version that could be read."""
    head = struct.pack("<4sIIIQ", b"ftrt", 0, serial, 0, size - 24) + b"\1\0\0\0"
    return head + bytes(bytearray([filler])) * (size - len(head))


def late_plan(version=(10, 3, 0, 30), size=4096, serial=239):
    """A plan of TensorRT 8.6 or later: its version at byte 24."""
    head = struct.pack("<4sIIIQ4B", b"ftrt", 0, serial, 0, size - 24, *version)
    return head + b"\x5a" * (size - len(head))


def rtx_plan(mask=0x02, size=4096, version=(1, 7, 1, 116)):
    """A TensorRT-RTX plan as 1.7.1.116 writes it."""
    head = struct.pack("<4sIIIQ4B4sI", b"vtrt", 0, 2, 0, size, *version, b"vtrt", mask)
    return head + b"\x33" * (size - len(head))


def orin_record():
    return RECORD._replace(tensorrt="10.3.0.30", compute_capabilities=("8.7",), environment=ORIN)


def rtx_record(capabilities=("8.0",)):
    return RECORD._replace(flavour="tensorrt_rtx", tensorrt="1.7.1.116", compute_capabilities=capabilities,
                           environment=BARE, precision_mode="typed", workspace_bytes=None)


def written(folder, name="xxs.plan", data=None, record=RECORD):
    """Write a plan with its sidecar; return its path."""
    path = os.path.join(str(folder), name)
    write_plan(path, nano_plan() if data is None else data, record)
    return path


def contents(path):
    with open(str(path), "rb") as stream:
        return stream.read()


def put(path, data):
    with open(str(path), "wb") as stream:
        stream.write(data)
    return str(path)


def fields(data, prefix=()):
    """Yield the place of every field of a sidecar, as the names on the way to it."""
    for name, value in data.items():
        yield (*prefix, name)
        if isinstance(value, dict) and name in ("plan", "environment"):
            for inner in fields(value, (*prefix, name)):
                yield inner


def changed(data, place, value):
    """Return a copy of a sidecar with another value at a place, or without that field where `value` is `...`."""
    copy = json.loads(json.dumps(data))
    inner = copy
    for name in place[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy


def read_plan(path, environment, trust=False):
    """Do what a session does before it deserialises a plan; return its bytes and its sidecar."""
    file = open_plan(path, trust=trust)
    require_fit(path, file.header, file.record, environment)
    return file.take_data(), file.record


def check_plan(path, environment, trust=False):
    """Return what `read_plan` does, without the bytes."""
    return read_plan(path, environment, trust)[1]


def identify_plan(path, trust=False):
    """Return the sidecar of a plan that is the sidecar's."""
    return open_plan(path, trust=trust).record
