"""CUDA graphs in the session, on doubles of TensorRT, pycuda and the driver library."""
import logging

import pytest
from doubles import gpu, libcuda_double
from doubles.tensorrt_runtime_double import LAUNCH_MS
from trt_cases import frames, in_thread, right, run_all, two_heads

from edgenext_deploy.runtime import cuda, graph, warmup
from edgenext_deploy.runtime.graph import GraphApi, GraphError
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.trt import TensorRTSession


def install(monkeypatch, driver="12.6", **options):
    machine = gpu.install(monkeypatch, driver=driver, **options)
    return machine, graph.driver_library().driver


# --- what is recorded and replayed ------------------------------------------------------------------------------


def test_every_inference_is_one_launch_of_its_sets_graph(machine, tmp_path):
    images = frames(6)
    with TensorRTSession(two_heads(machine, tmp_path),
                         options=RuntimeOptions(cuda_graph=True), buffer_sets=3) as session:
        assert session.describe()["cuda_graph"] is True
        assert len(machine.graphs) == 4 and machine.recorded_graphs == {}  # one for each set, and one for infer
        del machine.launches[:]
        assert run_all(session, images) == 1.0
        assert machine.launches == ["graph"] * 12
    assert machine.graphs == {}


def test_prepared_inputs_are_replayed_too(new_machine, tmp_path):
    (image,) = frames(1)
    with TensorRTSession(two_heads(new_machine, tmp_path), options=RuntimeOptions(cuda_graph=True)) as session:
        with session._cuda.active() as driver:
            memory = driver.pagelocked_empty(image.shape, image.dtype)
        memory[...] = image
        del new_machine.launches[:]
        outputs = session.infer_prepared(lambda driver, stream, address: driver.memcpy_htod_async(
            address, memory, stream))
        assert right(session, outputs, image) and new_machine.launches == ["graph"]


@pytest.mark.parametrize("driver, used", [
    ("10.2", "cuGraphInstantiate"), ("11.0", "cuGraphInstantiate_v2"), ("11.3", "cuGraphInstantiate_v2"),
    ("11.4", "cuGraphInstantiateWithFlags"), ("13.0", "cuGraphInstantiateWithFlags")])
def test_each_driver_has_its_own_way_to_instantiate(monkeypatch, tmp_path, driver, used):
    machine, library = install(monkeypatch, driver)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=True)) as session:
        assert session.describe()["cuda_graph"] is True and run_all(session, frames(3)) == 1.0
    assert {name for name in library.calls if name.startswith("cuGraphInstantiate")} == {used}
    assert machine.violations == []


@gpu.needs_doubles  # pycuda's streams do not tell their flags
def test_the_stream_has_nothing_to_do_with_the_default_stream(new_machine, tmp_path):
    with TensorRTSession(two_heads(new_machine, tmp_path)) as session:
        assert session._runner.stream.flags == 1  # CU_STREAM_NON_BLOCKING


# --- when graphs are used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("replay_ms, used", [(0.5, True), (LAUNCH_MS, True), (1.5, False)])
def test_by_default_unless_they_are_slower(monkeypatch, tmp_path, caplog, replay_ms, used):
    machine, _ = install(monkeypatch, replay_ms=replay_ms)
    caplog.set_level(logging.INFO)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        assert session.describe()["cuda_graph"] is used and bool(machine.graphs) is used
        assert "CUDA graph: {:.3f} ms, without: 1.000 ms".format(replay_ms) in caplog.text
        assert run_all(session, frames(3)) == 1.0
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=True)) as session:
        assert session.describe()["cuda_graph"] is True
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=False)) as session:
        assert session.describe()["cuda_graph"] is False and machine.graphs == {}
    assert machine.violations == []


# Each with what the log has to say.
TROUBLE = [({"capture": "refuses"}, "this network has a loop"), ({"capture": "trips"}, "this network has a loop"),
           ({"capture": "allocates"}, "operation not permitted when stream is capturing"),
           ({"capture": "forgets"}, "replayed, the inference gives another result")]


@pytest.mark.parametrize("wanted", [None, True])
@pytest.mark.parametrize("changes, reason", TROUBLE)
@pytest.mark.parametrize("release", gpu.RELEASES)
def test_an_engine_that_cannot_be_recorded_runs_plainly(
        monkeypatch, tmp_path, caplog, release, changes, reason, wanted):
    machine = gpu.install(monkeypatch, release)
    caplog.set_level(logging.INFO)
    with TensorRTSession(two_heads(machine, tmp_path, **changes), options=RuntimeOptions(cuda_graph=wanted)) as session:
        assert session.describe()["cuda_graph"] is False and machine.graphs == {} == machine.recorded_graphs
        del machine.launches[:]
        assert run_all(session, frames(4)) == 1.0
        assert machine.launches == ["plain"] * 8
    said = [record for record in caplog.records if "no CUDA graph" in record.getMessage()]
    assert len(said) == 1 and reason in said[0].getMessage()
    assert said[0].levelno == (logging.WARNING if wanted else logging.INFO)
    assert machine.violations == [] and machine.streams == {}


STEPS = ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphLaunch"]


@pytest.mark.parametrize("step", STEPS)
def test_a_driver_that_refuses_any_step_leaves_plain_inferences(monkeypatch, tmp_path, caplog, step):
    machine, library = install(monkeypatch)
    caplog.set_level(logging.INFO)
    library.fails[step] = libcuda_double.INVALID_VALUE
    if step == "cuStreamEndCapture":
        # As the real one does: the capture is over, and there is no graph.
        library_of_driver = graph.driver_library()

        def ended(stream, out, original=library_of_driver.cuStreamEndCapture):
            original(libcuda_double.ctypes.c_void_p(stream), out)
            library_of_driver.cuGraphDestroy(libcuda_double.ctypes.c_void_p(out[0]))
            out[0] = None
            return libcuda_double.CAPTURE_INVALIDATED

        del library.fails[step]
        monkeypatch.setattr(library_of_driver, step, libcuda_double.c_function(step, ended))
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        assert session.describe()["cuda_graph"] is False
        assert run_all(session, frames(4)) == 1.0
    assert ("invalid argument" if step in library.fails else "previous error during capture") in caplog.text
    assert machine.graphs == {} == machine.recorded_graphs and machine.violations == []


@pytest.mark.parametrize("driver, missing", [("10.0", "cuStreamBeginCapture_v2"), (None, "libcuda.so.1")])
def test_a_driver_without_graphs_is_said_in_one_line(monkeypatch, tmp_path, caplog, driver, missing):
    machine, _ = install(monkeypatch, driver or "12.6")
    caplog.set_level(logging.INFO)
    if driver is None:
        def no_library():
            raise GraphError("the driver library cannot be loaded: libcuda.so.1: cannot open shared object file")

        monkeypatch.setattr(graph, "driver_library", no_library)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        assert session.describe()["cuda_graph"] is False and run_all(session, frames(2)) == 1.0
    said = [record.getMessage() for record in caplog.records if "no CUDA graph" in record.getMessage()]
    assert len(said) == 1 and missing in said[0]


# --- when something goes wrong later ----------------------------------------------------------------------------


def test_a_launch_that_is_refused_ends_graphs_for_good(monkeypatch, tmp_path, caplog):
    machine, library = install(monkeypatch)
    images = frames(5)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        session.submit(images[0])
        library.fails["cuGraphLaunch"] = libcuda_double.INVALID_VALUE
        session.submit(images[1])
        assert right(session, session.collect(), images[0]) and right(session, session.collect(), images[1])
        library.fails.clear()
        del machine.launches[:]
        assert run_all(session, images) == 1.0 and set(machine.launches) == {"plain"}
        assert session.describe()["cuda_graph"] is False
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no CUDA graph from now on: cuGraphLaunch: invalid argument" in caplog.text
    assert machine.graphs == {} and machine.violations == []


def test_a_lasting_error_at_launch_says_restart(monkeypatch, tmp_path):
    machine, library = install(monkeypatch)
    with TensorRTSession(two_heads(machine, tmp_path)) as session:
        library.fails["cuGraphLaunch"] = libcuda_double.LAUNCH_FAILED
        for function in (session.infer, session.submit):
            with pytest.raises(cuda.CudaError, match="restart this process"):
                function(frames(1)[0])
        calls = len(library.calls)
    assert len(library.calls) == calls  # a driver that is broken is not asked to clean up


def test_a_stream_that_stays_in_capture_is_not_used(monkeypatch, tmp_path):
    machine, library = install(monkeypatch)
    library.fails["cuStreamEndCapture"] = libcuda_double.CAPTURE_WRONG_THREAD
    with pytest.raises(cuda.CudaError, match=r"stays in capture mode.*cuda_graph=False"):
        TensorRTSession(two_heads(machine, tmp_path))


def test_four_threads_share_the_graphs(machine, tmp_path):
    images, wrong = frames(80), []
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=True)) as session:
        def work(mine):
            for image in mine:
                if not right(session, session.infer_all(image), image):
                    wrong.append(image)

        in_thread(*[lambda start=start: work(images[start::4]) for start in range(4)])
    assert wrong == []


def test_another_threads_allocations_do_not_spoil_a_capture(machine, tmp_path, monkeypatch):
    # As torch and a second session do: thread-local mode.
    from edgenext_deploy.runtime import runner

    original = runner.capture

    def busy(api, handle, enqueue, reason):
        def both():
            def allocate():
                with cuda.acquire(0).active() as driver:
                    driver.mem_alloc(16).free()

            in_thread(allocate)
            return enqueue()

        return original(api, handle, both, reason)

    monkeypatch.setattr(runner, "capture", busy)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=True)) as session:
        assert session.describe()["cuda_graph"] is True and run_all(session, frames(2)) == 1.0
        for _ in range(3):
            session._cuda.release()


# --- mutations --------------------------------------------------------------------------------------------------


def test_mutation_another_sets_graph_is_replayed(machine, tmp_path):
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=True)) as session:
        first, second = session._sets[1:]
        first.graph, second.graph = second.graph, first.graph
        assert run_all(session, frames(4)) < 1.0


def test_mutation_the_answer_of_the_replay_is_not_compared(monkeypatch, tmp_path):
    machine, _ = install(monkeypatch)
    monkeypatch.setattr(warmup, "_bytes", lambda runner, buffers, image: runner.run(buffers, image) and None)
    with TensorRTSession(two_heads(machine, tmp_path, capture="forgets")) as session:
        assert run_all(session, frames(4)) == 0.0


def test_mutation_no_plain_run_before_the_capture(monkeypatch, tmp_path, caplog):
    machine, _ = install(monkeypatch)
    caplog.set_level(logging.INFO)
    with TensorRTSession(two_heads(machine, tmp_path), options=RuntimeOptions(cuda_graph=False)) as session:
        machine.forget_first_run(session)
        with session._cuda.active(), pytest.raises(GraphError, match="not permitted when stream is capturing"):
            session._runner.capture(GraphApi(graph.driver_library()), session._sets[0])
        assert run_all(session, frames(2)) == 1.0


def test_mutation_graphs_are_not_released(monkeypatch, tmp_path):
    machine, _ = install(monkeypatch)
    monkeypatch.setattr(graph.Graph, "close", lambda self: None)
    TensorRTSession(two_heads(machine, tmp_path)).close()
    assert len(machine.graphs) == 3


# --- the double -------------------------------------------------------------------------------------------------


@gpu.needs_doubles
def test_the_double_refuses_what_the_driver_does(monkeypatch, tmp_path):
    machine, _ = install(monkeypatch)
    api = GraphApi(graph.driver_library())
    with TensorRTSession(two_heads(machine, tmp_path)) as session, session._cuda.active() as driver:
        handle, kept = session._runner.stream.handle, session._sets[0].graph
        api.call("cuStreamBeginCapture_v2", handle, 1)
        with pytest.raises(GraphError, match="present state"):
            api.call("cuStreamBeginCapture_v2", handle, 1)
        assert graph.is_capturing(api, handle)
        for forbidden in (session._runner.stream.synchronize, lambda: driver.mem_alloc(16), driver.Context.synchronize):
            with pytest.raises(driver.LogicError, match="not permitted when stream is capturing"):
                forbidden()
        out = graph.ctypes.c_void_p()
        with pytest.raises(GraphError, match="previous error during capture"):
            api.call("cuStreamEndCapture", handle, graph.ctypes.byref(out))
        assert not graph.is_capturing(api, handle)
        executable = graph.ctypes.c_void_p(kept._executable.value)
        kept.close()
        kept.close()
        with pytest.raises(GraphError, match="invalid resource handle"):
            api.call("cuGraphLaunch", executable, handle)
        session._sets[0].graph = None
    assert machine.violations == ["a capture begun in a capture", "a destroyed graph launched"]
