"""Targets: where an engine will run, as one table.

Versions by JetPack are those of the meta-tegra recipes (branches kirkstone-l4t-r32.7.x, kirkstone,
styhead, master-l4t-r38); opset limits are the onnx-tensorrt parsers' of each release. The opset and
layout of each target are the toolkit's choice; the reasons are in docs/lowering.md.
"""
from typing import Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.errors import unknown_name


class Target(NamedTuple):
    """One place to run.

    Attributes:
        name: what ``--target`` takes.
        title: board or server with its software, for people.
        compute_capability: the GPU's, as ``5.3``; empty where there is no GPU.
        tensorrt: the TensorRT releases a file for this target must pass, oldest first.
        opset: ai.onnx opset that is written.
        ir_version: ONNX IR version that is written.
        precision_mode: how ``--fp16`` is meant by default, ``flag`` (FP16 builder flag), ``typed`` (FP16 graph)
            or ``none`` (the target runs FP32).
        layout: ``nchw`` (pointwise layers are 1x1 convolutions, norms over axis 1) or ``tokens``
            (pointwise layers are MatMuls on the last axis of permuted tensors).
        padding: where the 9x9 convolutions are padded, ``node`` or ``attribute``.
        shared_memory: CPU and GPU share the DRAM.
    """

    name: str
    title: str
    compute_capability: str
    tensorrt: Tuple[str, ...]
    opset: int
    ir_version: int
    precision_mode: str
    layout: str
    padding: str
    shared_memory: bool


_TABLE = (
    Target("nano", "Jetson Nano, JetPack 4.6.x", "5.3", ("8.2",), 13, 7, "flag", "nchw", "node", True),
    Target("xavier", "Jetson Xavier, JetPack 5.1", "7.2", ("8.5",), 13, 7, "flag", "nchw", "node", True),
    Target("xavier-jp4", "Jetson Xavier, JetPack 4.6.x", "7.2", ("8.2",), 13, 7, "flag", "nchw", "node", True),
    Target("orin", "Jetson Orin, JetPack 6.1 and 6.2", "8.7", ("10.3",), 17, 8, "flag", "nchw", "node", True),
    Target("orin-jp60", "Jetson Orin, JetPack 6.0", "8.7", ("8.6",), 17, 8, "flag", "nchw", "node", True),
    Target("orin-jp5", "Jetson Orin, JetPack 5.1", "8.7", ("8.5",), 13, 7, "flag", "nchw", "node", True),
    Target("thor", "Jetson Thor, JetPack 7", "11.0", ("10.13", "10.16"), 20, 9, "typed", "nchw", "node", True),
    Target("a100", "A100, TensorRT 10 and 11", "8.0", ("10.0", "10.16", "11.x"), 20, 9, "typed", "nchw", "node",
           False),
    Target("h100", "H100, TensorRT 10 and 11", "9.0", ("10.0", "10.16", "11.x"), 20, 9, "typed", "nchw", "node",
           False),
    Target("rtx", "GeForce RTX, TensorRT-RTX", "8.6", ("rtx-1.7",), 20, 9, "typed", "nchw", "node", False),
    Target("onnxruntime", "ONNX Runtime on a CPU", "", (), 20, 9, "none", "tokens", "attribute", True),
)
TARGETS: Dict[str, Target] = {target.name: target for target in _TABLE}


def get_target(name: str) -> Target:
    """Return the target of that name.

    Raises:
        UsageError: no such target; the message suggests the nearest.
    """
    if name in TARGETS:
        return TARGETS[name]
    raise unknown_name("target", name, TARGETS)


def refusal_of_mode(target: Target, mode: str) -> Optional[str]:
    """Return why a target cannot get its FP16 by that mode, or None if it can.

    The builder flag was removed in TensorRT 11 and never existed in TensorRT-RTX. Strong typing came with
    TensorRT 9; 8.2 reads some FP16 constants as FP32.
    """
    if not target.tensorrt:
        return "it runs the ONNX file in FP32, without TensorRT"
    if mode == "flag":
        without = [release for release in target.tensorrt if _major(release) >= 11 or release.startswith("rtx")]
        return "TensorRT {} has no FP16 builder flag".format(", ".join(without)) if without else None
    without = [release for release in target.tensorrt if not release.startswith("rtx") and _major(release) < 10]
    return "TensorRT {} builds no strongly typed networks".format(", ".join(without)) if without else None


def _major(release: str) -> int:
    digits = release.split(".")[0]
    return int(digits) if digits.isdigit() else 0
