"""How to get an engine that is not there."""
import os
from typing import Sequence

from edgenext_deploy.artifacts.manifest import ONNX_SUFFIX, PLAN_SUFFIXES
from edgenext_deploy.files import some_beside

_MOST_NAMED = 5


def engine_fix(path: str, endings: Sequence[str] = (ONNX_SUFFIX, *PLAN_SUFFIXES)) -> str:
    """Return what to do where an engine is not found: build it, take one that is there, or export one.

    Args:
        path: of the engine that was asked for.
        endings: of the files that would do, in lower case.
    """
    import shlex

    stem, ending = os.path.splitext(path)
    is_plan = ending.lower() in PLAN_SUFFIXES
    if is_plan and os.path.isfile(stem + ONNX_SUFFIX):
        return "build it on this machine: edgenext-build {}".format(shlex.quote(stem + ONNX_SUFFIX))
    there = some_beside(path, lambda name: os.path.splitext(name)[1].lower() in endings, _MOST_NAMED)
    if there:
        return "give one that is there: " + ", ".join(there)
    make = "edgenext-export xxs --fp16"
    return "make one: " + (make + ", and on the machine that will run it edgenext-build xxs.onnx" if is_plan else make)
