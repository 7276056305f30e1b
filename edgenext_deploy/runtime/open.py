"""Sessions: open an engine file, whatever runtime it is for, and run it."""
import os
from typing import Optional

from edgenext_deploy.artifacts.manifest import ONNX_SUFFIX, PLAN_SUFFIXES
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file
from edgenext_deploy.runtime.session import Session, Timings

__all__ = ["Session", "Timings", "load_session", "require_engine"]


def load_session(path: str, threads: Optional[int] = None, trust: bool = False, zero_copy: Optional[bool] = None,
                 cuda_graph: Optional[bool] = None) -> Session:
    """Open an engine file with the runtime that its name's ending asks for.

    Args:
        path: ``.onnx`` for ONNX Runtime; ``.plan``, ``.engine`` or ``.trt`` for TensorRT.
        threads: CPU threads of one inference; all available ones by default. A plan needs none.
        trust: accept a plan without a sidecar, which can run code; see `edgenext_deploy.artifacts.plan_check`.
        zero_copy: of a plan: whether the GPU works in the processor's memory; None to find out what pays.
        cuda_graph: of a plan: whether inferences are replayed from a CUDA graph; None to do so unless it is slower.

    Raises:
        BadInputError: no such file, empty, broken, neither an ONNX file nor a plan, or a plan without a sidecar.
        IncompatibleError: the installed runtime is too old for the file, or the plan was built for another machine.
        MissingRuntimeError: the runtime is not installed, or there is no GPU for a plan.
        UsageError: `threads` is less than 1.
    """
    path = os.fspath(path)
    require_engine(path)
    if _suffix(path) == ONNX_SUFFIX:
        from edgenext_deploy.runtime.ort import OnnxRuntimeSession

        return OnnxRuntimeSession(path, threads=threads)
    from edgenext_deploy.runtime.trt import TensorRTSession

    return TensorRTSession(path, trust=trust, zero_copy=zero_copy, cuda_graph=cuda_graph)


def require_engine(path: str, fix: str = "export one with edgenext-export") -> None:
    """Raise BadInputError unless `path` is a readable file with the name of an engine.

    To be asked before the manifest is looked for: the one of a photo, or of a manifest, is not what is missing.
    """
    require_file(path, "engine", fix)
    if _suffix(path) not in (ONNX_SUFFIX, *PLAN_SUFFIXES):
        raise BadInputError(
            "{} is no engine: a name ending in .onnx or .plan expected, {!r} found".format(path, _suffix(path)),
            "pass the .onnx file that edgenext-export wrote, or the .plan file that edgenext-build wrote")


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()
