"""Sessions: open an engine file, whatever runtime it is for, and run it."""
import os
from typing import Optional

from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.files import require_file
from edgenext_deploy.runtime.session import Session, Timings

__all__ = ["Session", "Timings", "load_session"]

_PLAN_SUFFIXES = (".plan", ".engine", ".trt")


def load_session(path: str, threads: Optional[int] = None) -> Session:
    """Open an engine file with the runtime that its name's ending asks for.

    Args:
        path: ``.onnx`` for ONNX Runtime; ``.plan``, ``.engine`` or ``.trt`` for TensorRT.
        threads: CPU threads of one inference; all available ones by default.

    Raises:
        BadInputError: no such file, empty, broken, or neither an ONNX file nor a plan.
        IncompatibleError: the installed runtime is too old for the file.
        MissingRuntimeError: the runtime is not installed.
        UsageError: `threads` is less than 1.
    """
    path = os.fspath(path)
    require_file(path, "engine", "export one with edgenext-export")
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".onnx":
        from edgenext_deploy.runtime.ort import OnnxRuntimeSession

        return OnnxRuntimeSession(path, threads=threads)
    if suffix in _PLAN_SUFFIXES:
        raise MissingRuntimeError(
            "{} is a TensorRT plan, and this version has no TensorRT session".format(path),
            "pass the .onnx file that it was built from: it runs on ONNX Runtime")
    raise BadInputError(
        "{} is no engine: a name ending in .onnx expected, {!r} found".format(path, suffix),
        "pass the .onnx file that edgenext-export wrote")
