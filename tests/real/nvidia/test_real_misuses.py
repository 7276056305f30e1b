"""Faults as one makes them against TensorRT and pycuda, each put into a copy of the code: the tests here see them.

They run in `make test-all`; a fault that nothing here sees means that the real software proves less than it should.
"""
import os
import shutil

import pytest
from paths import ROOT
from real.nvidia import children
from sweeps import sweep

pytestmark = pytest.mark.real

BUFFERS, CONTEXT = "edgenext_deploy/runtime/buffers.py", "edgenext_deploy/runtime/cuda.py"
RUNTIME, BUILDER = "edgenext_deploy/tensorrt_api/runtime_api.py", "edgenext_deploy/tensorrt_api/builder_api.py"
LOAD, GRAPH, BUILD = "edgenext_deploy/tensorrt_api/load.py", "edgenext_deploy/runtime/graph.py", "engines/builder.py"
SESSION = ("tests/core/runtime/test_trt_session.py", "-k", "without_a_mutation or every_order or answers")
GRAPHS = ("tests/core/runtime/test_trt_graph.py", "-k", "do_not_spoil or every_inference")
OPENINGS = ("tests/core/runtime/test_trt_refusals.py", "-k", "breaks_the_gpu")
CALLS = ("tests/real/nvidia/calls_builder.py", "tests/real/nvidia/calls_runtime.py")
TEN, ELEVEN = ("10.3", "2026.1", "3.11"), ("11.1", "2026.1", "3.11")
_FREED = "address = int(self._device[-1])\n        self._device.pop().free()\n        return address\n"
# Name: file, what stands there, what is put there, the combination, and the tests that have to fail.
MISUSES = {
    "a wrong keyword": (BUFFERS, "mem_flags=flags", "flags=flags", TEN, SESSION),
    "a missing synchronise": (BUFFERS, "self._marks[3].synchronize()", "pass", TEN, SESSION),
    "a freed buffer used": (BUFFERS, "return int(self._device[-1])\n",
                            _FREED, TEN, SESSION),
    "a swapped binding": (RUNTIME, "addresses[tensor.spec.name]):",
                          "addresses[self.tensors[-1 - self.tensors.index(tensor)].spec.name]):", TEN, SESSION),
    "a member that 11 lacks": (RUNTIME, 'if hasattr(type(engine), "num_bindings") and engine.has', "if engine.has",
                               ELEVEN, SESSION),
    "a member that warns": (RUNTIME, 'if hasattr(type(engine), "num_bindings") and engine.has', "if engine.has",
                            TEN, SESSION),
    "a context not popped": (CONTEXT, "            finally:\n                self._context.pop()",
                             "            finally:\n                pass", TEN, SESSION),
    "pageable memory copied asynchronously": (
        BUFFERS, "self._host[name] = self._driver.pagelocked_empty(shape, dtype)\n",
        "self._host[name] = np.empty(shape, dtype)\n", TEN, SESSION),
    "a capture that other threads spoil": (GRAPH, "_THREAD_LOCAL = 1", "_THREAD_LOCAL = 0", TEN, GRAPHS),
    "a logger whose base was not initialised": (LOAD, "            trt.ILogger.__init__(self)\n", "", TEN, CALLS),
    "arguments in the wrong order": (
        BUILDER, "(self.trt.MemoryPoolType.WORKSPACE, workspace_bytes)",
        "(workspace_bytes, self.trt.MemoryPoolType.WORKSPACE)", TEN, CALLS),
    "a builder destroyed before its network": (
        BUILD, "self._config = self._network = self._parser = self._builder = self._monitor = None",
        "self._monitor = self._parser = self._network = self._config = self._builder = None", TEN, CALLS),
    "a stale address kept in an execution context": (
        RUNTIME, "        if addresses is not self._bound:", "        if self._bound is None:", TEN, SESSION),
    "memory freed by a destructor after a lasting error": (
        CONTEXT, "ctypes.pythonapi.Py_IncRef(ctypes.py_object((self._context, objects)))", "pass", TEN, OPENINGS),
}
CONTROLS = [(TEN, SESSION), (ELEVEN, SESSION), (TEN, GRAPHS), (TEN, OPENINGS), (TEN, CALLS)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copy of the checkout, with the real software of this one."""
    folder = str(tmp_path_factory.mktemp("copy") / "checkout")
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(
        ".git", ".cache", "__pycache__", "docs", "build", "dist", ".*_cache", ".hypothesis"))
    os.symlink(os.path.join(ROOT, ".cache"), os.path.join(folder, ".cache"))
    return folder


@pytest.mark.parametrize("number", sweep(range(len(CONTROLS)), always=[]))
def test_without_a_misuse_they_pass(copy, tmp_path, number):
    combination, tests = CONTROLS[number]
    code, counts, text = children.run_pytest(combination, tmp_path, "-x", *tests, root=copy)
    assert code == 0 and counts["passed"] > 0, text[-3000:]


@pytest.mark.parametrize("name", sweep(list(MISUSES), always=[]))
def test_a_misuse_is_seen(copy, tmp_path, name):
    path, before, after, combination, tests = MISUSES[name]
    path = os.path.join(copy, path)
    with open(path) as stream:
        source = stream.read()
    assert source.count(before) == 1, "{} stands {} times in {}".format(before, source.count(before), path)
    try:
        with open(path, "w") as stream:
            stream.write(source.replace(before, after))
        code, _, text = children.run_pytest(combination, tmp_path, "-x", *tests, root=copy)
    finally:
        with open(path, "w") as stream:
            stream.write(source)
    # A test failed, or the process was ended by a signal, as a destructor that throws does.
    assert code == 1 or code < 0 or "terminate called" in text, text[-3000:]
    print("{}: {}".format(name, [line for line in text.splitlines() if line.startswith(  # noqa: T201
        ("FAILED", "ERROR", "E  ", "Fatal", "terminate"))][:2]))
