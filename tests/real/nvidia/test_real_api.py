"""Our use of TensorRT's and pycuda's Python APIs against the real ones, and the shipped table of TensorRT's API."""
import inspect
import json
import os
import subprocess
import sys

import pytest
from paths import DATA
from real.nvidia import api_uses, places

pytestmark = pytest.mark.real

# What the code uses although a release lacks it, and how it knows.
_BINDINGS = "numbered bindings: only where an engine has no num_io_tensors"
GUARDED = {
    "ComputeCapability": "TensorRT-RTX's: asked by hasattr",
    "IBuilderConfig.max_workspace_size": "only where there is no set_memory_pool_limit",
    "IBuilderConfig.progress_monitor": "has_progress_monitor",
    "IProgressMonitor": "has_progress_monitor",
    "IProgressMonitor.__init__": "has_progress_monitor",
    "IProgressMonitor.phase_start": "has_progress_monitor",
    "IProgressMonitor.phase_finish": "has_progress_monitor",
    "IProgressMonitor.step_complete": "has_progress_monitor",
    "ICudaEngine.has_implicit_batch_dimension": "only where there is num_bindings",
    "ILayer.precision": "only with the FP16 flag, which 11 lacks",
    "ILayer.set_output_type": "only with the FP16 flag, which 11 lacks",
    "ParserError.node_name": "asked by hasattr", "ParserError.node_operator": "asked by hasattr",
    "IExecutionContext.execute_async_v2": _BINDINGS,
    **{"ICudaEngine." + name: _BINDINGS for name in (
        "num_bindings", "get_binding_name", "get_binding_shape", "get_binding_dtype", "get_binding_format",
        "get_location", "binding_is_input")},
}
# Python's own, and a method of ours on a class derived from one of TensorRT's.
OURS = {"__members__", "begin"}
_loaded = {}


def api(release):
    """Return the real API of a release; a child reads it, because a process can hold one release."""
    reason = places.missing(places.bindings(release, "3.11"), places.slots(release))
    if reason:
        pytest.skip(reason)
    if release not in _loaded:
        script = os.path.join(places.HERE, "api_members.py")
        _loaded[release] = json.loads(subprocess.run([sys.executable, script, release], check=True,
                                                     stdout=subprocess.PIPE).stdout.decode())
    return _loaded[release]


def members(found, owner):
    """Return an owner's members with their signatures; those of the module for an empty name. None: no such class."""
    if not owner:
        constructors = {name: value[1].get("__init__") for name, value in found["classes"].items() if value[0] == "c"}
        return {**dict.fromkeys(found["classes"]), **constructors, **found["functions"], "__version__": None}
    return found["classes"][owner][1] if owner in found["classes"] else None


def all_uses():
    union = {}
    for release in places.RELEASES:
        for owner, (_, names) in api(release)["classes"].items():
            union.setdefault(owner, set()).update(names)
    return [use for use in api_uses.uses("trt", api_uses.TENSORRT, union)
            if use.name not in OURS and "__members__" not in use.owner]


def full_name(use):
    return "{}.{}".format(use.owner, use.name).lstrip(".")


def test_the_walk_finds_what_the_code_uses():
    found = {full_name(use) for use in all_uses()}
    # One of each form: a class, a function, an enum's member, a method, a property, a setter, a callback.
    assert {"Builder", "init_libnvinfer_plugins", "DataType.HALF", "ICudaEngine.get_tensor_mode", "ITensor.shape",
            "IExecutionContext.profiler", "IProfiler.report_layer_time"} <= found
    assert len(found) > 80


@pytest.mark.parametrize("release", places.RELEASES)
def test_a_release_has_all_that_is_used_without_a_question(release):
    real = api(release)
    lacking = {full_name(use): "{}:{}".format(use.path, use.line) for use in all_uses()
               if use.name not in (members(real, use.owner) or ())}
    assert {name: where for name, where in lacking.items() if name not in GUARDED} == {}


def test_every_question_is_needed():
    uses = all_uses()
    for name in GUARDED:
        owner, _, member = name.rpartition(".")
        assert [use for use in uses if full_name(use) == name], name
        assert any(member not in (members(api(release), owner) or ()) for release in places.RELEASES), name


@pytest.mark.parametrize("release", places.RELEASES)
def test_every_call_has_a_form_that_the_release_takes(release):
    real, refused = api(release), []
    for use in all_uses():
        overloads = (members(real, use.owner) or {}).get(use.name)
        if use.call is not None and overloads and not any(takes(parameters, use.call) for parameters in overloads):
            refused.append("{}:{}: {}{}, {} expected".format(use.path, use.line, full_name(use), use.call, overloads))
    assert refused == []


def takes(parameters, call):
    count, keywords = call
    names = [parameter.split(":")[0] for parameter in parameters]
    needed = [name for name, parameter in zip(names, parameters) if "=" not in parameter]
    given = names[:count] + list(keywords)
    return count <= len(names) and set(keywords) <= set(names[count:]) and set(needed) <= set(given)


def test_a_wrong_form_is_refused():
    form = ["pool: MemoryPoolType", "pool_size: int", "exact: bool = False"]
    assert takes(form, (2, ())) and takes(form, (1, ("pool_size",))) and takes(form, (3, ()))
    assert not takes(form, (1, ())) and not takes(form, (4, ())) and not takes(form, (2, ("size",)))


@pytest.mark.parametrize("release", places.RELEASES)
def test_the_shipped_table_equals_the_release(release):
    with open(os.path.join(DATA, "trt_python_api.json")) as stream:
        shipped = json.load(stream)[release]
    real = api(release)["classes"]
    for owner, (kind, *names) in shipped.items():
        found_kind, found = real[owner]
        assert (kind, listed(names)) == (found_kind, listed(found)), owner


def listed(names):
    return {name for name in names if not name.startswith("_") or name in ("__len__", "__getitem__", "__del__")}


# --- pycuda ------------------------------------------------------------------------------------------------------


def test_pycuda_has_all_that_is_used_without_a_question():
    folder = places.pycuda("2026.1", "3.11")
    reason = places.missing(folder, places.DRIVER)
    if reason:
        pytest.skip(reason)
    from real.nvidia import pycuda_members

    done = subprocess.run([sys.executable, inspect.getsourcefile(pycuda_members), folder], check=True,
                          stdout=subprocess.PIPE)
    real = json.loads(done.stdout.decode())
    uses = api_uses.uses("driver", api_uses.PYCUDA, real)
    assert len({full_name(use) for use in uses}) > 25
    lacking = {full_name(use): "{}:{}".format(use.path, use.line) for use in uses
               if use.name not in real.get(use.owner, ())}
    assert lacking == {}
