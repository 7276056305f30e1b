"""A machine with the doubles of pycuda and tensorrt installed, and plans to run on it."""
import os
import shutil
import sys

import pytest
from doubles.cuda_machine import Machine
from doubles.kernel_double import make_compiler
from doubles.libcuda_double import make_libcuda
from doubles.pycuda_double import make_pycuda
from doubles.tensorrt_runtime_double import VERSIONS, make_tensorrt, plan_bytes
from paths import DATA

from edgenext_deploy.artifacts import plan_check
from edgenext_deploy.files import sha256_of_file
from edgenext_deploy.machine.environment import present_environment
from edgenext_deploy.preprocess import cuda as preprocess_cuda
from edgenext_deploy.runtime import cuda, graph

TINY = os.path.join(DATA, "tiny_classifier.onnx")
# NVIDIA's own software in the place of the doubles: set by tests/real/nvidia/plugin.py in a process that has it.
REAL = None
# The releases that the sessions are tested on.
RELEASES = ("8.2", "8.6", "10.3", "11.1")
# The same with whether the pycuda beside them has primary contexts.
MACHINES = [("8.2", False), ("8.2", True), ("8.6", True), ("10.3", True), ("11.1", True)]


def use_real(real):
    """Have `install` make machines of real software, `real.install`, of one release alone."""
    global REAL, RELEASES
    REAL, RELEASES = real, (real.release,)
    MACHINES[:] = [(real.release, real.has_primary)]


def usual_release():
    """Return the release for tests of what all have in common."""
    return REAL.release if REAL else "10.3"


def needs_doubles(test):
    """Mark a test that looks into the doubles themselves."""
    return pytest.mark.skipif(REAL is not None, reason="of the doubles themselves")(test)


def modules(machine, release, primary=True, compiler=False):
    """Return what stands in `sys.modules` for the doubles."""
    package, driver = make_pycuda(machine, primary)
    found = {"pycuda": package, "pycuda.driver": driver, "tensorrt": make_tensorrt(release, machine)}
    if compiler:
        found["pycuda.compiler"] = make_compiler(machine)
    return found


def install(monkeypatch, release=None, primary=None, driver="12.6", compiler=False, **options):
    """Put the doubles in place for one test and return the machine.

    `driver` is the CUDA release of libcuda; with `compiler`, kernels can be compiled.
    """
    if REAL:
        return REAL.install(monkeypatch, release or REAL.release, primary, driver, compiler, options)
    release, primary = release or usual_release(), primary is not False
    machine = Machine(**options)
    machine.release, machine.has_primary = release, primary
    library = make_libcuda(machine, driver)
    monkeypatch.setattr(graph, "driver_library", lambda: library)
    for name, module in modules(machine, release, primary, compiler).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(cuda, "_contexts", {})
    return machine


def add_compiler(monkeypatch, machine, tmp_path):
    """Put nvcc and pycuda's compiler into a machine that `install` made without them; kernels are kept in a folder."""
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(preprocess_cuda.shutil, "which", lambda name: "/cuda/bin/" + name)
    for name, module in modules(machine, machine.release, machine.has_primary, compiler=True).items():
        monkeypatch.setitem(sys.modules, name, module)


def write_plan(folder, release=None, onnx_path=TINY, name="tiny_classifier", sidecar=True, order=None,
               capability="8.7", **changes):
    """Write a plan of the double with its sidecar and, for a file of ONNX, its manifest; return the plan's path."""
    release = release or usual_release()
    path = os.path.join(str(folder), name + ".plan")
    data = plan_bytes(release, onnx_path, order, **changes)
    beside = None
    if onnx_path is not None:
        shutil.copyfile(os.path.splitext(onnx_path)[0] + ".json", os.path.join(str(folder), name + ".json"))
        beside = sha256_of_file(os.path.join(str(folder), name + ".json"))
    if not sidecar:
        with open(path, "wb") as stream:
            stream.write(data)
        return path
    environment = present_environment()._replace(
        tensorrt=VERSIONS[release], gpu="Double GPU", compute_capability=capability, l4t=None, cuda_driver=None)
    record = plan_check.PlanRecord(
        schema=plan_check.SCHEMA, toolkit_version="0.1.0", plan=plan_check.PlanFile("", "", 0),
        onnx_file=name + ".onnx",
        onnx_sha256="0" * 64 if onnx_path is None else sha256_of_file(onnx_path), manifest_sha256=beside,
        flavour="tensorrt", tensorrt=VERSIONS[release], compute_capabilities=(capability,), environment=environment,
        builder_flags=(), precision="fp32", precision_mode="none", fp32_pins={}, workspace_bytes=None,
        build_seconds=1.0, built_at="2026-11-22T09:30:00Z", proof={})
    plan_check.write_plan(path, data, record)
    return path
