"""Calls that run an engine which the sessions' tests do not make, on the real bindings of one release.

Run in a child by test_real_calls.py.
"""
import ctypes
import gc

import pytest
from real.nvidia.builder import BuilderMachine
from real.nvidia.plugin import RELEASE
from real.nvidia.trap import function

from edgenext_deploy.runtime.profile import make_profiler
from edgenext_deploy.tensorrt_api.load import all_errors, make_logger

REPORT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float)


@pytest.fixture
def machine():
    made = BuilderMachine(RELEASE)
    made.engine = made.make("ICudaEngine", create_execution_context=lambda *_: made.make("IExecutionContext"))
    yield made
    assert made.errors == []


def open_context(machine, logger):
    return machine.trt.Runtime(logger).deserialize_cuda_engine(b"x" * 64).create_execution_context()


def test_a_context_keeps_its_engine_and_that_its_runtime(machine):
    context = open_context(machine, make_logger(machine.trt))
    gc.collect()
    assert not [name for name in machine.names() if name.startswith("~")]
    del context
    gc.collect()
    assert machine.names() == ["~IExecutionContext", "~ICudaEngine", "~Runtime"]


def test_a_profiler_is_told_names_and_times(machine):
    context = open_context(machine, make_logger(machine.trt))
    profiler = make_profiler(machine.trt)
    context.profiler = profiler
    (pointer, *_) = machine.words("IExecutionContext.profiler_is")
    profiler.begin()
    report = function(pointer, machine.tensorrt.interface, REPORT)
    report(pointer, b"layer \xc3\xbc", 1.5)
    report(pointer, b"other", 0.25)
    (times,) = profiler.runs
    assert list(times) == [("layer \u00fc", 1.5), ("other", 0.25)]
    context.profiler = None
    assert machine.words("IExecutionContext.profiler_is")[0] == 0


def test_long_calls_give_pythons_lock_away(machine):
    context = open_context(machine, make_logger(machine.trt))
    context.set_tensor_address("x", 1 << 40)
    context.execute_async_v3(1 << 41)
    held = {name: lock for name, _, lock in machine.calls}
    assert not held["IExecutionContext.execute_async_v3"] and not held["Runtime.deserialize_cuda_engine"]
    assert machine.words("IExecutionContext.set_tensor_address")[1] == 1 << 40
    assert machine.words("IExecutionContext.execute_async_v3")[0] == 1 << 41


def test_numbered_bindings_where_the_release_has_them(machine):
    context = open_context(machine, make_logger(machine.trt))
    if not hasattr(context, "execute_async_v2"):
        pytest.skip("from 10.0 on there are none")
    seen = []
    machine.engine = None

    def run(bindings, stream, *rest):
        seen.extend([list((ctypes.c_uint64 * 2).from_address(bindings)), stream])
        return 1

    (thing,) = [thing for thing in machine.tensorrt.objects.values() if thing.kind == "IExecutionContext"]
    thing.answers["execute_async_v2"] = run
    assert context.execute_async_v2([1, 1 << 40], 1 << 41) and seen == [[1, 1 << 40], 1 << 41]


def test_a_refused_plan_is_none_and_says_why(machine):
    logger = make_logger(machine.trt)
    machine.engine = None
    runtime = machine.trt.Runtime(logger)
    machine.tensorrt.log(machine.logger, "ERROR", "expecting another\n version")
    assert runtime.deserialize_cuda_engine(b"x" * 64) is None and all_errors(logger) == ["expecting another version"]


def test_a_logger_outlives_its_runtime(machine):
    logger = make_logger(machine.trt)
    errors, runtime = logger.errors, machine.trt.Runtime(logger)
    del logger
    gc.collect()
    # The bindings keep it: TensorRT has a bare pointer.
    machine.tensorrt.log(machine.logger, "ERROR", "late")
    assert [text for _, text in errors] == ["late"] and runtime is not None
