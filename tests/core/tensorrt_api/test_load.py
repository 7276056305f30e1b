"""What building and running share of TensorRT."""
import _thread
import enum
import sys
import threading
import types

import pytest

from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.tensorrt_api import load

Severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])


class FakeLogger:
    def __init__(self):
        self.made = True


@pytest.fixture
def trt():
    return types.SimpleNamespace(ILogger=FakeLogger, __version__="8.5.2.2.post1")


def test_the_logger_sorts_messages_and_calls_its_base(trt):
    logger = load.make_logger(trt)
    for severity, message in ((Severity.ERROR, "first\n  line"), (Severity.INTERNAL_ERROR, "second"),
                              (Severity.ERROR, "second"), (Severity.WARNING, "careful"), (Severity.INFO, "chatter"),
                              (Severity.VERBOSE, "Engine:\nLayer(Conv): a")):
        logger.log(severity, message)
    assert logger.made
    assert load.all_errors(logger) == ["first line", "second"]
    assert list(logger.warnings) == ["careful"] and logger.layer_list == "Engine:\nLayer(Conv): a"


def test_the_newest_errors_are_told_once(trt):
    logger = load.make_logger(trt)
    for number in range(5):
        logger.log(Severity.ERROR, str(number))
    assert load.last_errors(logger) == "2; 3; 4"
    assert load.last_errors(logger) == "TensorRT gives no reason"
    assert load.last_errors(logger, "something else") == "something else"


def test_errors_of_another_thread_stay_its_own(trt):
    logger = load.make_logger(trt)
    logged, told, found = threading.Event(), threading.Event(), []

    def other():
        logger.log(Severity.ERROR, "theirs")
        logged.set()
        told.wait(10)
        found.append(load.last_errors(logger))

    thread = threading.Thread(target=other)
    thread.start()
    logged.wait(10)
    logger.log(Severity.ERROR, "ours")
    assert load.last_errors(logger) == "ours"
    told.set()
    thread.join()
    assert found == ["theirs"]


def test_an_error_of_a_thread_that_has_ended_is_told_of_no_other_call(trt):
    logger = load.make_logger(trt)
    found = []
    for _ in range(20):  # numbers of threads that have ended are given again
        for function in (lambda: logger.log(Severity.ERROR, "theirs"), lambda: found.append(load.last_errors(logger))):
            thread = threading.Thread(target=function)
            thread.start()
            thread.join()
    assert {*found, load.last_errors(logger)} == {"TensorRT gives no reason"}


def test_an_error_of_a_thread_of_tensorrts_own_is_told(trt):
    logger = load.make_logger(trt)
    logged = threading.Event()
    _thread.start_new_thread(lambda: (logger.log(Severity.ERROR, "from below"), logged.set()), ())
    assert logged.wait(10) and load.last_errors(logger) == "from below"


def test_the_logger_does_not_grow_without_bound(trt):
    logger = load.make_logger(trt)
    for number in range(1000):
        logger.log(Severity.ERROR, str(number))
        logger.log(Severity.WARNING, str(number))
    assert len(logger.errors) == len(logger.warnings) == 100 and load.all_errors(logger)[-1] == "999"


def test_plugins_get_a_logger_that_stays(trt):
    class Module(types.ModuleType):
        ILogger = FakeLogger

    module, given = Module("trt"), []
    module.init_libnvinfer_plugins = lambda logger, namespace: given.append((logger, namespace))
    load.register_plugins(module)
    load.register_plugins(module)
    assert given == [(load.shared_logger(module), "")] * 2


def test_why_there_is_no_object(trt):
    logger = load.make_logger(trt)
    assert load.why_no_object(logger) == "no reason was given"
    logger.log(Severity.WARNING, "CUDA initialization failure with error: 35")
    assert load.why_no_object(logger).endswith("error: 35")
    logger.log(Severity.ERROR, "a better reason")
    assert load.why_no_object(logger) == "a better reason"
    assert load.is_null_pointer(TypeError("pybind11::init(): factory function returned nullptr"))
    assert not load.is_null_pointer(TypeError("__init__() takes 2 arguments"))


def test_a_version_has_no_suffix(trt):
    assert load.version_of(trt) == "8.5.2.2"
    assert load.version_of(types.SimpleNamespace(__version__="unknown")) == "unknown"


@pytest.mark.parametrize("name, words", [("tensorrt", "python3-libnvinfer"), ("tensorrt_rtx", 'pip install ".[rtx]"')])
def test_a_missing_runtime_comes_with_the_command_that_installs_it(monkeypatch, name, words):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingRuntimeError) as caught:
        load.load_tensorrt(name, "or do without")
    assert name in caught.value.message and words in caught.value.fix and caught.value.fix.endswith("; or do without")


def test_a_library_that_cannot_be_loaded_is_a_missing_runtime(monkeypatch):
    def fail(name):
        raise OSError("libnvinfer.so.8: cannot open shared object file")

    monkeypatch.setattr(load.importlib, "import_module", fail)
    with pytest.raises(MissingRuntimeError, match=r"libnvinfer\.so\.8"):
        load.load_tensorrt()
