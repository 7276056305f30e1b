"""Plans and machines that the TensorRT session refuses, on doubles."""
import gc
import os
import shutil
import sys

import pytest
from doubles import gpu
from trt_cases import frames, right, run_all, two_heads

from edgenext_deploy import open_session
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.machine.environment import present_environment
from edgenext_deploy.runtime import cuda
from edgenext_deploy.runtime import trt as module
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.trt import TensorRTSession

_ILLEGAL = "an illegal memory access was encountered"

# --- plans that do not run --------------------------------------------------------------------------------------


def test_without_a_sidecar_only_on_trust(machine, tmp_path):
    path = two_heads(machine, tmp_path, sidecar=False)
    with pytest.raises(BadInputError, match="no sidecar"):
        open_session(path)
    assert machine.log == []  # nothing was deserialised
    with open_session(path, options=RuntimeOptions(trust=True)) as session:
        assert session.record is None and right(session, session.infer_all(frames(1)[0]), frames(1)[0])


def test_a_changed_plan_is_not_deserialised(machine, tmp_path):
    path = two_heads(machine, tmp_path)
    with open(path, "r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")
    with pytest.raises(BadInputError, match="sha256"):
        open_session(path)
    assert machine.log == [] and machine.allocated_bytes() == 0


def test_a_plan_for_another_gpu_or_release_is_refused(machine, tmp_path):
    path = two_heads(machine, tmp_path, capability="5.3")
    with pytest.raises(IncompatibleError, match=r"5\.3.*8\.7.*edgenext-build"):
        open_session(path)
    other = "8.6" if machine.release != "8.6" else "10.3"
    path = gpu.write_plan(tmp_path, other, onnx_path=None, name="other")
    with pytest.raises(IncompatibleError, match="built for TensorRT {}.*found TensorRT {}".format(
            other, machine.release)):
        open_session(path)
    assert machine.log == [] and machine.allocated_bytes() == 0


def test_what_tensorrt_refuses_is_said_in_its_words(new_machine, tmp_path, monkeypatch):
    path = gpu.write_plan(tmp_path, "8.4", onnx_path=None, name="old", sidecar=False)
    monkeypatch.setattr(module, "require_fit", lambda *_: None)
    with pytest.raises(IncompatibleError) as caught:
        TensorRTSession(path, options=RuntimeOptions(trust=True))
    text = str(caught.value)
    assert "expecting library version {} got 8.4.3.1, please rebuild".format(gpu.VERSIONS[new_machine.release]) in text
    assert "Double GPU (compute capability 8.7)" in text and "no sidecar" in text and "edgenext-build" in text
    assert "nobody's business" not in text and new_machine.allocated_bytes() == 0


@pytest.mark.parametrize("severity", ["WARNING", "INTERNAL_ERROR"])
def test_a_driver_too_old_for_tensorrt_is_no_bug_of_ours(machine, tmp_path, severity):
    machine.refuses_runtime = (severity, "CUDA initialization failure with error: 35. Please check\nyour installation")
    with pytest.raises(MissingRuntimeError, match=r"TensorRT \d+\..*failure with error: 35.*update NVIDIA's driver"):
        TensorRTSession(two_heads(machine, tmp_path))
    assert machine.everything_released()


@pytest.mark.parametrize("changes, message", [
    ({"profiles": 2}, "2 optimisation profiles"), ({"shape": [-1, 3, 4, 5]}, r"shape \[-1, 3, 4, 5\], fixed"),
    ({"layout": "CHW4"}, "format CHW4"), ({"location": "HOST"}, "HOST memory"),
    ({"implicit_batch": True}, "implicit batch"), ({"context": False}, "execution context.* 5 MB")])
@pytest.mark.parametrize("release", [gpu.RELEASES[0], gpu.usual_release()])
def test_engines_that_a_session_cannot_run_are_refused(monkeypatch, tmp_path, release, changes, message):
    if release[:2] in ("10", "11") and "implicit_batch" in changes:
        pytest.skip("10.0 and later build no such plan")
    machine = gpu.install(monkeypatch, release)
    path = gpu.write_plan(tmp_path, release, onnx_path=None, name="odd", **changes)
    with pytest.raises(IncompatibleError, match=message):
        open_session(path)
    assert machine.allocated_bytes() == 0 and machine.page_locked_bytes() == 0 and machine.driver_stack == []


def test_a_type_that_numpy_lacks_is_refused(new_machine, tmp_path):
    path = two_heads(new_machine, tmp_path, dtype="FP8")
    with pytest.raises(IncompatibleError, match="of type FP8"):
        open_session(path)


def test_a_refused_inference_says_why_and_the_next_one_runs(machine, tmp_path, monkeypatch):
    images = frames(2)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=False)) as session:
        changes = machine.changes(session)
        changes["refusal"] = "Error Code 9: not today"
        for function in (session.infer, session.submit):
            with pytest.raises(cuda.CudaError, match="not today"):
                function(images[0])
        del changes["refusal"]
        assert run_all(session, frames(4)) == 1.0

        def dies(fail, log, go_on):
            fail(_ILLEGAL)
            log(_ILLEGAL)
            return False

        machine.on_enqueue(monkeypatch, dies)
        with pytest.raises(cuda.CudaError, match="restart this process"):
            session.infer(images[0])
        with pytest.raises(cuda.CudaError, match="restart this process"):
            session.infer(images[0])


@pytest.mark.parametrize("way", [{}, {"cuda_graph": True}, {"zero_copy": True}])
def test_an_engine_that_never_runs_is_refused_at_opening_where_it_is_tried_out(machine, tmp_path, way):
    with pytest.raises(cuda.CudaError, match="not ever"):
        TensorRTSession(two_heads(machine, tmp_path, refusal="Error Code 9: not ever"), options=RuntimeOptions(**way))
    assert machine.everything_released()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("way", ["dropped", "closed", "at exit", "views dropped"])
def test_a_forked_child_ends_without_an_abort(machine, tmp_path, way):
    session = TensorRTSession(two_heads(machine, tmp_path))
    views = session.infer_all(frames(1)[0], views=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if way == "closed":
                session.close()
            elif way == "dropped":
                del session
                gc.collect()
            elif way == "views dropped":
                del views
                gc.collect()
            else:
                cuda._close_all()
            code = 0 if machine.violations == [] else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0 and views is not None
    session.close()


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("way", [{}, {"cuda_graph": True}, {"zero_copy": True}])
def test_an_opening_that_breaks_the_gpu_says_so_and_drops_nothing(machine, tmp_path, monkeypatch, way, logged):
    def dies(fail, log, go_on):
        fail(_ILLEGAL)
        if logged:
            log(_ILLEGAL)
        return False

    machine.on_enqueue(monkeypatch, dies)
    with pytest.raises(cuda.CudaError, match="restart this process" if logged else "no reason"):
        session = TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(**way))
        session.infer(frames(1)[0])  # without graphs and mapped memory, opening runs nothing
    session = None
    gc.collect()
    assert machine.violations == []


def test_too_little_memory_is_said_and_nothing_stays_allocated(monkeypatch, tmp_path):
    machine = gpu.install(monkeypatch, gpu.RELEASES[0], memory_bytes=6400)
    with pytest.raises(IncompatibleError, match=r"out of memory.*close other programs"):
        TensorRTSession(gpu.write_plan(tmp_path, gpu.RELEASES[0], onnx_path=None, name="two"))
    assert machine.allocated_bytes() == 0 and machine.page_locked_bytes() == 0 and machine.violations == []


# --- machines without a GPU -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".plan", ".engine", ".TRT"])
def test_without_tensorrt_and_gpu_the_plan_says_where_it_runs(monkeypatch, tmp_path, suffix):
    for name in ("tensorrt", "pycuda"):
        monkeypatch.setitem(sys.modules, name, None)
    path = gpu.write_plan(tmp_path, "8.2", onnx_path=None, name="two")
    renamed = path[:-5] + suffix
    if renamed != path:
        shutil.move(path, renamed)
        shutil.move(path + ".json", renamed + ".json")
    monkeypatch.setattr(module, "present_environment", _bare)
    with pytest.raises(MissingRuntimeError, match=r"plan for TensorRT 8\.2.*two\.onnx"):
        open_session(renamed)


def _bare():
    return present_environment()._replace(tensorrt=None, gpu=None, compute_capability=None, l4t=None)


def test_without_pycuda_the_way_to_install_it_is_given(new_machine, monkeypatch, tmp_path):
    path = two_heads(new_machine, tmp_path)
    version = gpu.VERSIONS[new_machine.release]
    environment = _bare()._replace(tensorrt=version, gpu="Double GPU", compute_capability="8.7")
    monkeypatch.setattr(module, "present_environment", lambda: environment)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.delitem(sys.modules, "pycuda.driver")
    with pytest.raises(MissingRuntimeError, match=r"pip install .*pycuda"):
        open_session(path)


def test_a_file_that_is_no_plan_is_bad_input_on_any_machine(tmp_path):
    path = tmp_path / "xxs.plan"
    path.write_bytes(b"plan")
    with pytest.raises(BadInputError, match="not a TensorRT plan"):
        open_session(str(path))
