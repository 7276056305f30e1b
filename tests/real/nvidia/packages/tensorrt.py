"""Stands in for the package ``tensorrt`` in the processes of the commands: the real bindings on objects of `engine`."""
import os
import sys

from real.nvidia.machine import Machine

_RELEASE, _PYCUDA = os.environ["EDGENEXT_REAL"].split(",")
_machine = Machine(_RELEASE, primary=not _PYCUDA.startswith("2019"))
sys.modules[__name__] = _machine.tensorrt.module
