"""Which ways of computing in FP16 the TensorRT releases of a target have."""
from typing import Optional

from edgenext_deploy.machine.versions import version_numbers
from edgenext_deploy.targets import TENSORRT_RTX, Target


def refusal_of_mode(target: Target, mode: str) -> Optional[str]:
    """Return why a target cannot compute in FP16 by a mode, or None if it can.

    The builder flag was removed in TensorRT 11 and never existed in TensorRT-RTX. Strong typing came with
    TensorRT 9; 8.2 reads some FP16 constants as FP32.

    Args:
        target: where the engine will run.
        mode: ``flag`` or ``typed``.
    """
    if not target.tensorrt:
        return "it runs the ONNX file in FP32, without TensorRT"
    rtx = target.builder == TENSORRT_RTX
    major = {release: version_numbers(release)[0] for release in target.tensorrt}
    if mode == "flag":
        without = [release for release in target.tensorrt if rtx or major[release] >= 11]
        return "TensorRT {} has no FP16 builder flag".format(", ".join(without)) if without else None
    without = [release for release in target.tensorrt if not rtx and major[release] < 10]
    return "TensorRT {} builds no strongly typed networks".format(", ".join(without)) if without else None
