"""One record says how an engine is run; the keywords of earlier versions still become one."""
import warnings

import click
import numpy as np
import pytest
from click.testing import CliRunner
from doubles.gpu import TINY

from edgenext_deploy import Classifier, Detector, RuntimeOptions, load_session, open_network, open_session
from edgenext_deploy.commands.runtime_options import runtime_options, say_what_is_unused
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.networks import base
from edgenext_deploy.runtime import table
from edgenext_deploy.runtime.ort import OnnxRuntimeSession
from edgenext_deploy.runtime.session import Session, SessionTimings

TWO = RuntimeOptions(threads=2)


@pytest.fixture
def opened(monkeypatch):
    """Return the options of every session that a network opens."""
    found = []

    def spy(path, *, options):
        found.append(options)
        return open_session(path, options=options)

    monkeypatch.setattr(base, "open_session", spy)
    return found


def warned(call):
    """Return what a call returned, and what it said about its form."""
    with pytest.warns(DeprecationWarning) as caught:
        result = call()
    assert [warning.filename for warning in caught] == [__file__]
    return result, str(caught[0].message)


def test_the_record_shows_what_differs_from_the_defaults():
    assert repr(RuntimeOptions()) == "RuntimeOptions()"
    text = repr(RuntimeOptions(runtime="tensorrt", cuda_graph=False, trust=True))
    assert text == "RuntimeOptions(runtime='tensorrt', cuda_graph=False, trust=True)"
    assert eval(text) == RuntimeOptions("tensorrt", None, 0, None, False, None, "auto", True)


@pytest.mark.parametrize("wrong, message", [
    (RuntimeOptions(threads=0), "threads must be at least 1"), (RuntimeOptions(device=-1), "index of a GPU"),
    (RuntimeOptions(device="cuda"), "provider=.CUDAExecutionProvider"), (RuntimeOptions(threads="2"), "threads must"),
    (RuntimeOptions(preprocess_on="fpga"), "auto, cpu, gpu"), (RuntimeOptions(runtime="tvm"), "tvm"),
    (RuntimeOptions(runtime="tensorrt"), "does not run"), ("onnxruntime", "must be a RuntimeOptions")])
def test_what_no_runtime_could_take_is_refused(wrong, message):
    for call in (lambda: open_session(TINY, options=wrong), lambda: Classifier(TINY, runtime=wrong)):
        with pytest.raises(UsageError, match=message):
            call()


def test_the_record_travels_unchanged_to_the_session(opened):
    for make in (Classifier, open_network):
        options = RuntimeOptions("onnxruntime", "CPUExecutionProvider", threads=2)
        with make(TINY, runtime=options) as network:
            assert network.session.describe()["threads"] == 2
        assert opened.pop() is options


@pytest.mark.parametrize("call, options, new", [
    (lambda: Classifier(TINY, threads=2), TWO, "Classifier(..., runtime=RuntimeOptions(threads=2))"),
    (lambda: Classifier(TINY, None, 3, 2), TWO,
     "Classifier(..., labels=None, top_k=3, runtime=RuntimeOptions(threads=2))"),
    (lambda: Classifier(TINY, threads=2, runtime=RuntimeOptions(trust=True)), TWO._replace(trust=True),
     "Classifier(..., runtime=RuntimeOptions(threads=2, trust=True))"),
    (lambda: Classifier(TINY, None, 5, None, "rgb", True, "cpu", True, False),
     RuntimeOptions(trust=True, preprocess_on="cpu", zero_copy=True, cuda_graph=False), None),
    (lambda: open_network(TINY, None, 2, True), TWO._replace(trust=True),
     "open_network(..., labels=None, runtime=RuntimeOptions(threads=2, trust=True))"),
])
def test_earlier_calls_work_and_say_how_to_write_them(opened, monkeypatch, call, options, new):
    monkeypatch.setattr("edgenext_deploy.deprecated._shown", lambda value: "..." if value == TINY else repr(value))
    network, message = warned(call)
    network.close()
    assert opened == [options] and (new is None or message.endswith("write " + new))


def test_load_session_is_open_session(monkeypatch):
    for call in (lambda: load_session(TINY, 2), lambda: load_session(TINY, threads=2)):
        session, message = warned(call)
        with session:
            assert session.describe()["threads"] == 2
        assert message.endswith("write open_session({!r}, options=RuntimeOptions(threads=2))".format(TINY))
    with pytest.raises(TypeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_session(TINY, nothing=1)


def test_a_keyword_that_contradicts_the_record_is_refused():
    for call in (lambda: Classifier(TINY, threads=2, runtime=RuntimeOptions(threads=4)),
                 lambda: OnnxRuntimeSession(TINY, threads=2, options=RuntimeOptions(threads=4))):
        with pytest.raises(UsageError, match=r"threads=2 and (runtime|options)=RuntimeOptions\(threads=4\) contradict"):
            call()
    network, _ = warned(lambda: Classifier(TINY, threads=2, runtime=TWO))
    network.close()


def test_calls_in_todays_form_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Classifier(TINY, runtime=TWO, top_k=3, color="rgb", labels=None).close()
        open_network(TINY, runtime=TWO, top_k=3).close()
        open_session(TINY, options=TWO).close()
        with pytest.raises(UsageError, match="not a detector"):
            Detector(TINY, runtime=TWO, keep=2)


# --- on the command line ----------------------------------------------------------------------------------------


def command_with(**settings):
    found = []

    @click.command()
    @click.option("--device", default="nano")
    @runtime_options(**settings)
    def command(device, runtime):
        found.append((device, runtime))

    return command, found


def test_a_command_gets_one_record():
    command, found = command_with()
    assert CliRunner().invoke(command, []).exit_code == 0
    CliRunner().invoke(command, [
        "--runtime", "onnxruntime", "--provider", "CUDAExecutionProvider", "--gpu", "1", "--threads", "2",
        "--no-cuda-graph", "--zero-copy", "--preprocess-on", "cpu", "--trust", "--device", "orin"])
    assert found == [("nano", RuntimeOptions()), ("orin", RuntimeOptions(
        "onnxruntime", "CUDAExecutionProvider", 1, 2, False, True, "cpu", True))]
    assert found[0][1].cuda_graph is None  # as yet undecided, which False is not


def test_every_field_has_an_option_unless_it_is_left_out():
    command, found = command_with(without=("preprocess_on", "trust"))
    options = {name for parameter in command.params for name in parameter.opts}
    assert options == {"--device", "--runtime", "--provider", "--gpu", "--threads", "--cuda-graph", "--zero-copy",
                       "--optimization", "--spinning"}
    assert len(command_with()[0].params) == len(RuntimeOptions._fields) + 1
    assert CliRunner().invoke(command, ["--threads", "3"]).exit_code == 0
    assert found[0][1] == RuntimeOptions(threads=3)
    assert CliRunner().invoke(command, ["--threads", "0"]).exit_code == 2
    assert "'tvm'" in str(CliRunner().invoke(command, ["--runtime", "tvm"]).exception)


# --- runtimes ---------------------------------------------------------------------------------------------------


class ToySession(Session):
    """Answers with zeros."""

    def __init__(self, file, *, options):
        self.options = options
        found = file.manifest()
        self.inputs, self.outputs = found.inputs, found.outputs

    def infer_all(self, image):
        self.timings = SessionTimings(1.0)
        return tuple(np.zeros(spec.shape, spec.dtype) for spec in self.outputs)

    def submit(self, image):
        raise AssertionError("not used")

    def collect(self):
        raise AssertionError("not used")

    def describe(self):
        return {"runtime": "toy", "version": "1", "provider": "CPU", "threads": self.options.threads}

    def close(self):
        pass


@pytest.fixture
def runtimes(monkeypatch):
    monkeypatch.setattr(table, "RUNTIMES", dict(table.RUNTIMES))


def test_a_registered_runtime_opens_its_files_and_is_chosen_by_name(runtimes, tmp_path):
    table.register_runtime("toy", title="Toy", endings=(".toy", ".onnx"), session=ToySession)
    path = tmp_path / "net.toy"
    for source, name in ((TINY, "net.toy"), (TINY[:-5] + ".json", "net.json")):
        with open(source, "rb") as stream:
            (tmp_path / name).write_bytes(stream.read())
    with open_network(path, runtime=TWO) as network:
        assert network.session.describe() == {"runtime": "toy", "version": "1", "provider": "CPU", "threads": 2}
        assert network(np.zeros((40, 50, 3), np.uint8))[0].probability == pytest.approx(0.1)
    with open_session(TINY) as session:
        assert session.describe()["runtime"] == "onnxruntime"  # the first that takes the ending
    with Classifier(TINY, runtime=RuntimeOptions(runtime="toy")) as classify:
        assert classify.session.describe()["runtime"] == "toy"
    with pytest.raises(UsageError, match=r"ONNX Runtime does not run .*net\.toy: it opens \.onnx files"):
        open_session(path, options=RuntimeOptions(runtime="onnxruntime"))


def test_a_built_in_runtime_is_imported_only_when_it_opens_a_file():
    assert all(isinstance(runtime.session, str) for runtime in table.RUNTIMES.values())
    assert [runtime.session_class().__name__ for runtime in table.RUNTIMES.values()] == [
        "OnnxRuntimeSession", "TensorRTSession", "OpenVINOSession", "KServeSession", "GrpcSession"]


def test_what_cannot_be_registered(runtimes):
    for name, endings in (("tensorrt", (".x",)), ("auto", (".x",)), ("toy", ()), ("toy", ("onnx",)), ("toy", (".X",))):
        with pytest.raises(UsageError):
            table.register_runtime(name, endings=endings, session=ToySession)
    with pytest.raises(BadInputError, match="is not an engine"):
        table.require_engine(__file__)


@pytest.mark.parametrize("options, engines, notes", [
    (RuntimeOptions(cuda_graph=True, device=3), ["a.onnx"], ["--gpu does nothing for ONNX Runtime",
                                                             "--cuda-graph does nothing for ONNX Runtime"]),
    (RuntimeOptions(device=1, provider="CUDAExecutionProvider"), ["a.onnx"], []),
    (RuntimeOptions(threads=2), ["a.plan"], ["--threads does nothing for TensorRT"]),
    (RuntimeOptions(threads=2, cuda_graph=False, device=1), ["a.plan", "b.onnx", "torch:xxs"], []),
    (RuntimeOptions(threads=2), ["torch:xxs", "photos"], []), (RuntimeOptions(), ["a.onnx"], [])])
def test_an_option_that_does_nothing_is_named(capsys, options, engines, notes):
    say_what_is_unused(options, engines)
    assert capsys.readouterr().err.splitlines() == ["note: " + note for note in notes]
