"""pytest -p real.nvidia.plugin: the tests of the sessions on NVIDIA's own bindings of TensorRT and on a real pycuda.

EDGENEXT_REAL names TensorRT's release and pycuda's: ``10.3,2026.1``. The tests are those that the doubles serve too.
"""
import atexit
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import pytest
from doubles import gpu
from real.nvidia import driver_library, places
from real.nvidia.machine import Machine, Refusals

RELEASE, PYCUDA = os.environ["EDGENEXT_REAL"].split(",")


class Driver:
    """What the tests know of libcuda: calls that have to do with graphs, and results to give instead of working."""

    def __init__(self, library, machine):
        self.fails = Refusals(library)
        self.machine = machine

    @property
    def calls(self):
        return self.machine.driver_calls()


class Real:
    release = RELEASE
    has_primary = not PYCUDA.startswith("2019")

    def install(self, monkeypatch, release, primary, driver, compiler, options):
        from edgenext_deploy.runtime import cuda, graph

        if release != RELEASE or driver != "12.6" or (primary is not None and primary != self.has_primary):
            pytest.skip("this process has TensorRT {} and pycuda {}".format(RELEASE, PYCUDA))
        machine = Machine(RELEASE, self.has_primary, **options)
        library = machine.driver
        library.driver = Driver(library, machine)
        monkeypatch.setitem(sys.modules, "tensorrt", machine.tensorrt.module)
        monkeypatch.setattr(graph, "driver_library", lambda: library)
        monkeypatch.setattr(cuda, "_contexts", {})
        return machine



def provide_nvcc():
    """Put a stand-in for nvcc on PATH where there is none."""
    if shutil.which("nvcc") is None or os.environ.get("EDGENEXT_REAL_NVCC") == "stand-in":
        folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, folder, True)
        path = os.path.join(folder, "nvcc")
        with open(path, "w") as stream:
            stream.write("#!/bin/sh\nexec {} {} \"$@\"\n".format(sys.executable, os.path.join(places.HERE, "nvcc.py")))
        os.chmod(path, 0o755)
        os.environ["PATH"] = folder + os.pathsep + os.environ["PATH"]


# At once: what the tests' own set-up takes for granted is decided when it is imported.
driver_library.load()
sys.path.insert(0, places.pycuda(PYCUDA, places.present_python()))
gpu.use_real(Real())
provide_nvcc()
