"""The ONNX Runtime session, on a committed network, so that it also runs where `onnx` is not installed."""
import base64
import collections
import os
import signal
import sys
import threading
import time
import warnings
from unittest import mock

import numpy as np
import pytest
from onnx_files import onnx_file
from paths import DATA

from edgenext_deploy import Classifier, open_session
from edgenext_deploy.artifacts import golden
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.runtime.options import RuntimeOptions, available_threads, for_many_photos
from edgenext_deploy.runtime.ort import OnnxRuntimeSession, _specs
from edgenext_deploy.runtime.session import Session

onnxruntime = pytest.importorskip("onnxruntime")

TINY = os.path.join(DATA, "tiny_classifier.onnx")


def images(count):
    return [normalise(golden.golden_batch(seed, (1, 3, 32, 32)), open_engine_file(TINY).manifest().preprocessing)
            for seed in range(count)]


def write(tmp_path, content, name="broken.onnx"):
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def tiny_bytes():
    with open(TINY, "rb") as stream:
        return stream.read()


@pytest.fixture
def session():
    with OnnxRuntimeSession(TINY, options=RuntimeOptions(threads=1)) as opened:
        yield opened


def test_inputs_and_outputs_are_the_manifests(session):
    expected = open_engine_file(TINY).manifest()
    assert session.inputs == expected.inputs and session.outputs == expected.outputs
    assert isinstance(session, Session)


def test_golden_input_gives_the_golden_output(session):
    expected = open_engine_file(TINY).manifest().golden
    image = images(1)[0]
    assert golden.digest(image) == expected.input_sha256
    output = np.frombuffer(base64.b64decode(expected.output_base64), "<f4").reshape(expected.output_shape)
    assert session.timings is None
    found = session.infer(image)
    assert found.dtype == np.float32 and np.abs(found - output).max() <= 1e-5 * np.abs(output).max()
    assert 0.0 < session.timings.wall_ms < 1000.0 and session.timings.compute_ms is None


def test_results_belong_to_the_caller(session):
    first, second = images(2)
    kept = session.infer(first)
    copy = kept.copy()
    session.infer(second)
    assert np.array_equal(kept, copy)
    kept[:] = 0
    assert np.array_equal(session.infer(first), copy)


def test_submitted_inferences_are_collected_in_order_even_if_the_buffer_is_reused(session):
    inputs = images(6)
    expected = [session.infer(image) for image in inputs]
    assert not np.array_equal(expected[0], expected[1])
    buffer = np.empty_like(inputs[0])
    for image in inputs:
        buffer[:] = image
        session.submit(buffer)
    buffer[:] = 0
    for output in expected:
        assert np.array_equal(session.collect()[0], output)
    with pytest.raises(UsageError, match="nothing submitted"):
        session.collect()


def test_one_that_another_thread_collects_meanwhile_is_as_good_as_none(session):
    class Raced(collections.deque):
        def __len__(self):
            return 1  # what it was a moment ago

    session._worker._pending = Raced()
    with pytest.raises(UsageError, match="nothing submitted"):
        session.collect()


def test_any_memory_layout_and_byte_order_gives_the_same_answer(session):
    image = images(1)[0]
    expected = session.infer(image)
    strided = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not strided.flags["C_CONTIGUOUS"]
    assert np.array_equal(session.infer(strided), expected)
    assert np.array_equal(session.infer(image.astype(">f4")), expected)


@pytest.mark.parametrize("image", [
    np.zeros((1, 3, 32, 31), np.float32), np.zeros((2, 3, 32, 32), np.float32),
    np.zeros((3, 32, 32), np.float32), np.zeros((1, 3, 32, 32), np.float64),
    np.zeros((1, 3, 32, 32), np.uint8), [[0.0]], None])
def test_another_input_is_refused_naming_what_is_expected(session, image):
    for function in (session.infer, session.infer_all, session.submit):
        with pytest.raises(UsageError, match="'image'"):
            function(image)


def test_closed_session_cannot_be_used_and_closes_twice(session):
    image = images(1)[0]
    session.submit(image)
    session.close()
    session.close()
    for function in (lambda: session.infer(image), lambda: session.submit(image), session.collect):
        with pytest.raises(UsageError, match="closed"):
            function()


def test_describe_names_everything_a_record_needs(session):
    assert session.describe() == {"runtime": "onnxruntime", "version": onnxruntime.__version__,
                                  "provider": "CPUExecutionProvider", "threads": 1}


def test_threads_default_to_the_cores_this_process_may_use():
    with OnnxRuntimeSession(TINY) as session:
        assert session.describe()["threads"] == available_threads()
    if hasattr(os, "sched_getaffinity"):
        assert available_threads() == len(os.sched_getaffinity(0))


def test_threads_reach_onnxruntime(monkeypatch):
    seen = []
    original = onnxruntime.InferenceSession

    def spy(path, options, providers):
        seen.append((options.intra_op_num_threads, options.inter_op_num_threads, options.execution_mode,
                     options.graph_optimization_level, providers))
        return original(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    open_session(TINY, options=RuntimeOptions(threads=2)).close()
    assert seen == [(2, 1, onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
                     onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL, ["CPUExecutionProvider"])]


def test_bad_arguments_are_usage_errors():
    with pytest.raises(UsageError, match="at least 1"):
        OnnxRuntimeSession(TINY, options=RuntimeOptions(threads=0))
    with pytest.raises(UsageError, match="NoSuchProvider"):
        OnnxRuntimeSession(TINY, options=RuntimeOptions(provider="NoSuchProvider"))


def test_missing_onnxruntime_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingRuntimeError, match="pip install onnxruntime") as caught:
        open_session(TINY)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"), (b"hello world" * 10, "not a valid ONNX file"), (b"\0" * 100, "not a valid ONNX file"),
    (tiny_bytes()[:200], "not a valid ONNX file"), (tiny_bytes()[:-1], "not a valid ONNX file"),
    (tiny_bytes()[:2], "not a valid ONNX file"), (b"{}", "not a valid ONNX file")])
def test_broken_file_is_bad_input_in_one_line_and_nothing_else_is_printed(tmp_path, capfd, content, message):
    path = write(tmp_path, content)
    with pytest.raises(BadInputError, match=message) as caught:
        open_session(path)
    assert path in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_truncation_anywhere_is_bad_input(tmp_path):
    content = tiny_bytes()
    for length in range(1, len(content), 3):
        with pytest.raises((BadInputError, IncompatibleError)):
            open_session(write(tmp_path, content[:length]))


def test_missing_file_and_folder_are_bad_input(tmp_path):
    with pytest.raises(BadInputError, match="not found"):
        open_session(str(tmp_path / "none.onnx"))
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(BadInputError, match="not a file"):
        open_session(str(tmp_path / "folder.onnx"))


def test_newer_ir_version_is_incompatible_naming_found_and_supported(tmp_path, capfd):
    content = tiny_bytes()
    assert content[:2] == b"\x08\x07"  # field 1, ir_version: 7
    with pytest.raises(IncompatibleError, match=r"IR version 99 found, onnxruntime .* supports up to \d+"):
        open_session(write(tmp_path, b"\x08\x63" + content[2:]))
    assert capfd.readouterr() == ("", "")


def test_newer_opset_is_incompatible_naming_found_and_supported(tmp_path):
    content = tiny_bytes()
    opset_import = b"\x42\x04\x0a\x00\x10\x0d"  # field 8: domain "", version 13
    assert content.endswith(opset_import)
    with pytest.raises(IncompatibleError, match=r"opset 99 found, onnxruntime .* up to \d+") as caught:
        open_session(write(tmp_path, content[:-1] + b"\x63"))
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)


def test_unknown_operator_is_incompatible_naming_it(tmp_path):
    content = tiny_bytes()
    assert content.count(b"GlobalAveragePool") == 1
    with pytest.raises(IncompatibleError, match="FlobalAveragePool"):
        open_session(write(tmp_path, content.replace(b"GlobalAveragePool", b"FlobalAveragePool")))


def test_other_file_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"'\.pth' found"):
        open_session(write(tmp_path, b"weights", "xxs.pth"))


def test_dynamic_shape_is_refused_naming_the_input(tmp_path):
    path = onnx_file(tmp_path, [("image", ["batch", 3])], [("Relu", ["image"], ["y"])])
    with pytest.raises(BadInputError, match=r"'image' has shape .*batch"):
        open_session(path)


def test_what_is_no_tensor_of_numbers_is_refused_naming_its_type():
    for given in ("tensor(string)", "optional(tensor(float))", "seq(tensor(float))"):
        node = mock.Mock(type=given, shape=[1, 4])
        node.name = "x"
        with pytest.raises(BadInputError, match=r"'x' has the type .*; a tensor of numbers expected"):
            _specs("a.onnx", "input", [node])


def test_two_inputs_are_refused(tmp_path):
    path = onnx_file(tmp_path, [("a", [1]), ("b", [1])], [("Add", ["a", "b"], ["y"])])
    with pytest.raises(BadInputError, match="2 inputs"):
        open_session(path)


def test_several_outputs_come_in_order(tmp_path):
    path = onnx_file(tmp_path, [("image", [1, 2])], [("Relu", ["image"], ["y"]), ("Neg", ["image"], ["z"])],
                     [("y", [1, 2]), ("z", [1, 2])])
    with open_session(path) as session:
        positive, negative = session.infer_all(np.array([[1.0, -2.0]], np.float32))
    assert positive.tolist() == [[1.0, 0.0]] and negative.tolist() == [[-1.0, 2.0]]


def test_failure_while_running_is_one_line(tmp_path, capfd):
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Cast", ["image"], ["shape"], to=TensorProto.INT64),
             helper.make_node("Reshape", ["image", "shape"], ["y"])]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    with open_session(write(tmp_path, model.SerializeToString())) as session:
        assert session.infer(np.array([1, 2], np.float32)).shape == (1, 2)
        for run in (session.infer, lambda image: (session.submit(image), session.collect())):
            with pytest.raises(BadInputError, match="fails while it runs") as caught:
                run(np.array([7, 5], np.float32))
            assert "\n" not in str(caught.value)
        assert session.infer(np.array([1, 2], np.float32)).shape == (1, 2)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options, providers", [
    (RuntimeOptions(), ["CPUExecutionProvider"]), (RuntimeOptions(device=1), ["CPUExecutionProvider"]),
    (RuntimeOptions(provider="CUDAExecutionProvider"), ["CUDAExecutionProvider"]),
    (RuntimeOptions(provider="CUDAExecutionProvider", device=1), [("CUDAExecutionProvider", {"device_id": "1"})])])
def test_provider_and_device_reach_onnxruntime(monkeypatch, options, providers):
    """The processor runs in the GPU's place, and says so when it is asked for that it is the GPU's."""
    original, seen = onnxruntime.InferenceSession, []

    def spy(path, settings, providers):
        seen.append(providers)
        session = original(path, settings, providers=["CPUExecutionProvider"])
        monkeypatch.setattr(session, "get_providers", lambda: [options.provider or "CPUExecutionProvider"])
        return session

    monkeypatch.setattr(onnxruntime, "get_available_providers",
                        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    with open_session(TINY, options=options) as session:
        assert session.describe()["provider"] == (options.provider or "CPUExecutionProvider")
    assert seen == [providers]


def test_a_provider_whose_libraries_do_not_load_is_not_replaced_by_the_processor(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    original = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda path, settings, providers: original(
        path, settings, providers=["CPUExecutionProvider"]))
    with pytest.raises(MissingRuntimeError, match="CUDAExecutionProvider was asked for, and ONNX Runtime runs"):
        open_session(TINY, options=RuntimeOptions(provider="CUDAExecutionProvider"))


def test_layers_are_profiled_from_the_file_that_was_opened(tmp_path):
    with open(TINY, "rb") as stream:
        path = write(tmp_path, stream.read())
    with open_session(path, options=RuntimeOptions(threads=1)) as session:
        image = np.zeros(session.inputs[0].shape, np.float32)
        times = session.profile_layers(image, runs=4)
        assert times.runs == 4 and times.session == session.describe() and times.wall_ms > 0
        assert {layer.operator for layer in times.layers} >= {"Conv"} and all(layer.ms >= 0 for layer in times.layers)
        with pytest.raises(UsageError, match="expected"):
            session.profile_layers(image[:, :2])
        write(tmp_path, b"another")
        with pytest.raises(BadInputError, match="replaced since"):
            session.profile_layers(image)


@pytest.mark.parametrize("opens", [
    lambda options: OnnxRuntimeSession(TINY, options=options), lambda options: open_session(TINY, options=options),
    lambda options: Classifier(TINY, runtime=options)])
def test_every_way_to_open_refuses_a_provider_that_fell_back(monkeypatch, opens):
    """The list of providers claims CUDA; ONNX Runtime takes the processor, as it does without CUDA's libraries."""
    real = onnxruntime.get_available_providers
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", *real()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MissingRuntimeError, match=r"CUDAExecutionProvider was asked for, and .* on CPU"):
            opens(RuntimeOptions(provider="CUDAExecutionProvider"))


def test_a_provider_that_fails_while_it_runs_is_not_replaced_by_the_processor(monkeypatch, capsys):
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    with OnnxRuntimeSession(TINY) as session:
        inner = session._require_open()

        failing = mock.Mock()
        failing.run.side_effect = states.EPFail("the GPU is gone")
        failing.is_webgpu_graph_capture_enabled.return_value = False
        monkeypatch.setattr(inner, "_sess", failing)
        monkeypatch.setattr(inner, "set_providers", lambda *given: pytest.fail("fell back to " + str(given)))
        with pytest.raises(BadInputError, match="the GPU is gone"):
            session.infer_all(np.zeros(session.inputs[0].shape, np.float32))
    assert "Falling back" not in capsys.readouterr().out


def in_a_fork(work):
    """Return what `work` says in a forked child, as text; a child that hangs is killed after 20 s."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            answer = work()
        except BaseException as error:
            answer = "{}: {}".format(type(error).__name__, error)
        os.write(writing, str(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    assert os.waitpid(child, 0)[1] == 0, "the child hung"
    return said


def test_a_session_is_refused_in_a_fork():
    """Its threads do not exist there: collect waited for ever."""
    (image,) = images(1)
    with OnnxRuntimeSession(TINY, options=RuntimeOptions(threads=2)) as session:
        session.submit(image)
        for work in (session.collect, lambda: session.submit(image), lambda: session.infer(image)):
            said = in_a_fork(work)
            assert said.startswith("UsageError: the session of") and str(os.getpid()) in said and "spawn" in said
        assert in_a_fork(session.close) == "None"
        assert session.collect()[0].shape == session.infer(image).shape


def test_calls_that_race_close_are_refused_as_calls_after_it_are():
    unexpected, (image,) = [], images(1)
    for step in range(40):
        session = OnnxRuntimeSession(TINY, options=RuntimeOptions(threads=1))
        session.submit(image)

        def call(session=session):
            try:
                while True:
                    session.submit(image)
                    session.collect()
            except UsageError as error:
                if "is closed" not in str(error) and "nothing submitted" not in str(error):
                    unexpected.append(error)
            except Exception as error:
                unexpected.append(error)

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.0005 * (step % 8))
        session.close()
        for thread in threads:
            thread.join()
    assert unexpected == []


def test_a_trace_that_a_full_disk_cut_short_is_said(monkeypatch):
    (image,) = images(1)
    real = open

    def cut(name, *arguments, **options):
        if "trace" in str(name):
            with real(name, "r+b") as trace:
                trace.truncate(500)
        return real(name, *arguments, **options)

    monkeypatch.setattr("edgenext_deploy.runtime.ort.open", cut, raising=False)
    with OnnxRuntimeSession(TINY) as session, pytest.raises(UsageError, match=r"cut short.*TMPDIR"):
        session.profile_layers(image, runs=2, warmup=0)


def test_threads_that_do_not_spin_answer_the_same():
    image = np.random.RandomState(0).rand(1, 3, 32, 32).astype(np.float32)
    with OnnxRuntimeSession(TINY, options=RuntimeOptions(threads=2)) as usual, OnnxRuntimeSession(
            TINY, options=for_many_photos(RuntimeOptions(threads=2))) as other:
        assert (usual.infer(image) == other.infer(image)).all()
        assert "spinning" not in usual.describe() and other.describe()["spinning"] is False
        settings = other._session.get_session_options()
        assert settings.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert for_many_photos(RuntimeOptions(spinning=True)).spinning is True
