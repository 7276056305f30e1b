"""Every call that builds an engine, on the real bindings of one release; run in a child by test_real_calls.py."""
import ctypes
import gc
import json
import threading

import pytest
from paths import TINY
from real.nvidia.builder import BuilderMachine
from real.nvidia.plugin import RELEASE
from real.nvidia.trap import function

from edgenext_deploy.engines.build_records import BuildRequest
from edgenext_deploy.engines.builder import build
from edgenext_deploy.engines.precision.layer_work import network_work
from edgenext_deploy.errors import EdgeNextError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.tensorrt_api import builder_api
from edgenext_deploy.tensorrt_api.load import all_errors, load_tensorrt, make_logger, register_plugins, shared_logger
from edgenext_deploy.tensorrt_api.runtime_api import make_runtime

MAJOR = int(RELEASE.split(".")[0])
TYPED = MAJOR >= 10
FLAG = MAJOR <= 10


@pytest.fixture
def machine(monkeypatch):
    made = BuilderMachine(RELEASE)
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", made.trt)
    yield made
    assert made.errors == []


@pytest.fixture
def release(machine):
    return builder_api.load("tensorrt")


@pytest.fixture
def config(machine, release):
    config = release.create_builder(release.make_logger()).create_builder_config()
    machine.names()
    return config


def test_a_release_is_known_by_what_it_has(release):
    assert (release.has_fp16_flag, release.has_typed_networks) == (FLAG, TYPED)
    assert release.has_progress_monitor == TYPED and release.has_inspector and release.has_timing_cache
    assert not release.builds_ahead and release.version.split(".")[:2] == RELEASE.split(".")


def test_messages_are_kept_by_severity(machine, release):
    logger = release.make_logger()
    builder = release.create_builder(logger)
    for severity in ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"):
        machine.tensorrt.log(machine.logger, severity, severity + "\n text")
    machine.tensorrt.log(machine.logger, "VERBOSE", "Engine:\nLayer(Cask): a")
    assert all_errors(logger) == ["INTERNAL_ERROR text", "ERROR text"] and list(logger.warnings) == ["WARNING text"]
    assert logger.layer_list == "Engine:\nLayer(Cask): a" and builder is not None


def test_a_message_of_another_thread_and_one_that_is_no_text(machine, release):
    logger = release.make_logger()
    builder = release.create_builder(logger)
    thread = threading.Thread(target=machine.tensorrt.log, args=(machine.logger, "ERROR", "of a thread"))
    thread.start()
    thread.join()
    machine.tensorrt.log(machine.logger, "WARNING", "f\u00fcr")
    assert all_errors(logger) == ["of a thread"] and list(logger.warnings) == ["f\u00fcr"] and builder is not None


def test_plugins_get_the_shared_logger(machine):
    trt = load_tensorrt("tensorrt")
    register_plugins(trt)
    pointer, namespace = machine.words("init_libnvinfer_plugins")
    machine.tensorrt.log(pointer, "ERROR", "of a plugin")
    assert namespace == "" and "of a plugin" in all_errors(shared_logger(trt))


@pytest.mark.parametrize("typed", [False, True])
def test_networks(machine, release, typed):
    builder = release.create_builder(release.make_logger())
    if typed and not TYPED:
        with pytest.raises(IncompatibleError, match="strongly typed"):
            release.create_network(builder, True)
        return
    flags = machine.trt.NetworkDefinitionCreationFlag.__members__
    assert release.create_network(builder, typed) is not None
    wanted = {"EXPLICIT_BATCH"} | ({"STRONGLY_TYPED"} if typed else set())
    expected = sum(1 << int(value) for name, value in flags.items() if name in wanted)
    assert machine.words("Builder.create_network")[0] & 0xffffffff == expected


def test_settings(machine, release, config):
    release.set_workspace(config, 3 << 30)
    name = [name for name in machine.names() if "workspace" in name or "memory_pool" in name]
    assert name == ["IBuilderConfig.set_memory_pool_limit"]
    release.set_detailed(config)
    assert machine.words("IBuilderConfig.profiling_verbosity_is")[0] == int(machine.trt.ProfilingVerbosity.DETAILED)
    assert release.set_optimization_level(config, 5)
    assert machine.words("IBuilderConfig.builder_optimization_level_is")[0] == 5


@pytest.mark.skipif(not FLAG, reason="11 has no FP16 flag")
@pytest.mark.parametrize("obey", [False, True])
def test_the_fp16_flag_and_that_which_obeys_pins(machine, release, config, obey):
    flags = machine.trt.BuilderFlag
    names = release.set_fp16(config, obey)
    set_ = [words[0] for name, words, _ in machine.calls if name == "IBuilderConfig.set_flag"]
    assert set_ == [int(getattr(flags, name)) for name in names]
    assert names == (("FP16", "OBEY_PRECISION_CONSTRAINTS") if obey else ("FP16",))


def test_tactic_sources(machine, release, config):
    members = machine.trt.TacticSource.__members__
    dropped = release.drop_cublas(config)
    assert dropped == tuple(name for name in ("CUBLAS", "CUBLAS_LT") if name in members)
    if dropped:
        left = 0x1f & ~sum(1 << int(members[name]) for name in dropped)
        assert machine.words("IBuilderConfig.set_tactic_sources")[0] == left


def test_a_timing_cache_that_is_taken_refused_or_unreadable(machine, release, config):
    assert release.attach_timing_cache(config, b"old")
    assert release.serialized_timing_cache(config) == b"cache"
    machine.config.answers["set_timing_cache"] = 0
    assert not release.attach_timing_cache(config, b"old")
    readable = machine.config.answers["create_timing_cache"]
    machine.config.answers.update(create_timing_cache=lambda blob, size, *_: readable() if size == 0 else None,
                                  set_timing_cache=1)
    assert not release.attach_timing_cache(config, b"bad")


def test_the_parsers_errors(machine, release):
    logger = release.make_logger()
    network = release.create_network(release.create_builder(logger), TYPED)
    parser = machine.trt.OnnxParser(network, logger)
    assert release.parse(parser, b"onnx") == []
    machine.parses = False
    (first, _) = release.parse(parser, b"onnx")
    assert first["reason"] == "Assertion failed: x y" and first["index"] == "7"
    named = ("/stages/conv", "Foo") if hasattr(machine.trt.ParserError, "node_name") else ("", "")
    assert (first["node"], first["op"]) == named


LAYERS = [("conv", "CONVOLUTION", [((1, 4, 18, 18),)], [((1, 8, 16, 16),)]),
          ("mm", "MATRIX_MULTIPLY", [((1, 3, 7),), ((1, 7, 5),)], [((1, 3, 5),)]),
          ("size", "SHAPE", [((1, 3, 5),)], [((4,), "INT32", True)])]


@pytest.fixture
def network(machine, release):
    machine.layers = [machine.layer(*layer, metadata="[ONNX Layer: /net/{}]".format(layer[0])) for layer in LAYERS]
    original = machine.tensorrt.add

    def add(thing):
        # A layer's own class has an object behind that of all layers, see trap.cpp.
        address = original(thing)
        if thing is not None and thing.kind == "ILayer":
            machine.tensorrt.objects[address + 128] = machine.make("IConvolutionLayer", num_groups=2,
                                                                   kernel_size_nd=(3, 3))
        return address

    machine.tensorrt.add = add
    yield release.create_network(release.create_builder(release.make_logger()), False)
    del machine.tensorrt.add


def test_layers(machine, release, network):
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    assert [release.layer_kind(layer) for layer in layers] == ["CONVOLUTION", "MATRIX_MULTIPLY", "SHAPE"]
    assert release.layer_nodes(layers[0]) == ("conv", "/net/conv")
    assert [release.is_floating(layer.get_output(0)) for layer in layers] == [True, True, False]
    assert [tuple(layer.get_output(0).shape) for layer in layers] == [(1, 8, 16, 16), (1, 3, 5), (4,)]
    assert [(work.nodes[0], work.multiply_adds) for work in network_work(release, network)] == [
        ("conv", 8 * 16 * 16 * (4 // 2) * 9), ("mm", 3 * 5 * 7)]


@pytest.mark.skipif(not FLAG, reason="11 has no FP16 flag, so nothing to pin")
def test_pins(machine, release, network):
    assert [release.pin_to_fp32(network.get_layer(index)) for index in range(3)] == [True, True, False]
    float_ = int(machine.trt.DataType.FLOAT)
    assert machine.words("ILayer.precision_is")[0] == float_
    assert [word & 0xffffffff for word in machine.words("ILayer.set_output_type")[:2]] == [0, float_]


@pytest.mark.skipif(not TYPED, reason="from TensorRT 9 on")
def test_progress_from_another_thread_and_errors_in_it(machine, release, config):
    phases = []
    monitor = release.watch(config, phases.append)
    pointer = machine.words("IBuilderConfig.progress_monitor_is")[0]
    first = 4  # of its own functions, behind those of IVersionedInterface, in every release that has it
    text = ctypes.c_char_p
    start = function(pointer, first, ctypes.CFUNCTYPE(None, ctypes.c_void_p, text, text, ctypes.c_int))
    step = function(pointer, first + 1, ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, text, ctypes.c_int))
    finish = function(pointer, first + 2, ctypes.CFUNCTYPE(None, ctypes.c_void_p, text))
    went_on = []

    def work():
        start(pointer, b"Building", None, 5)
        start(pointer, b"Tactics", b"Building", 2)
        went_on.append(step(pointer, b"Tactics", 1))
        finish(pointer, b"Tactics")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert phases == ["Building", "Tactics"] and went_on == [True] and monitor is not None


def test_the_inspector(machine, release):
    logger = release.make_logger()
    assert release.inspect(logger, b"ftrt" + b"x" * 60) is None
    machine.engine = machine.make("ICudaEngine", create_engine_inspector=lambda *_: machine.make(
        "EngineInspector", get_engine_information='{"Layers": []}'))
    assert release.inspect(logger, b"ftrt" + b"x" * 60) == '{"Layers": []}'


def test_without_a_gpu_there_is_no_builder_and_no_runtime(machine, release):
    machine.has_gpu = False
    with pytest.raises(MissingRuntimeError, match=r"no usable GPU: CUDA initialization failure with error: 35"):
        release.create_builder(release.make_logger())
    with pytest.raises(MissingRuntimeError, match=r"cannot use the GPU: CUDA initialization failure.*update NVIDIA"):
        make_runtime(machine.trt, make_logger(machine.trt))


def layer_record(name, datatype):
    tensor = {"Name": name, "Dimensions": [1], "Format/Datatype": "Row major linear FP32", "Datatype": datatype}
    return {"Name": name, "LayerType": "CaskConvolution", "Inputs": [tensor], "Outputs": [tensor],
            "Weights": {"Type": datatype, "Count": 64}, "Metadata": "[ONNX Layer: {}]".format(name)}


def test_a_whole_build(machine, release, network, tmp_path):
    machine.engine = machine.make("ICudaEngine", create_engine_inspector=lambda *_: machine.make(
        "EngineInspector", get_engine_information=json.dumps({"Layers": [layer_record("conv", "Float")]})))
    phases = []
    result = build(BuildRequest(TINY, "tensorrt", "gpu", "fp32", None, 1 << 28, timing_cache=str(tmp_path / "cache"),
                                optimization_level=3, drop_cublas=True), phases.append)
    assert result.plan == b"planplan" and result.report.optimization_level == 3
    assert (tmp_path / "cache").read_bytes() == b"cache"
    gc.collect()
    names = machine.names()
    # The network uses the parser's weights, and both the builder.
    ends = [name for name in names if name in ("~OnnxParser", "~IBuilderConfig", "~INetworkDefinition", "~Builder")]
    assert ends == ["~IBuilderConfig", "~INetworkDefinition", "~OnnxParser", "~Builder"]


def test_a_build_that_gives_nothing_says_what_tensorrt_said(machine, release, network, tmp_path):
    machine.plan = None
    with pytest.raises(EdgeNextError, match="built no engine"):
        build(BuildRequest(TINY, "tensorrt", "gpu", "fp32", None, 1 << 28))


def test_long_calls_give_pythons_lock_away(machine, release, network):
    """Where they do not, the progress of a build cannot be shown; each release was asked what it does."""
    logger = release.make_logger()
    builder = release.create_builder(logger)
    config = builder.create_builder_config()
    machine.trt.OnnxParser(network, logger).parse(b"onnx")
    builder.build_serialized_network(network, config)
    machine.trt.Runtime(logger).deserialize_cuda_engine(b"x" * 64)
    held = {name: lock for name, _, lock in machine.calls}
    assert not held["Builder.build_serialized_network"] and not held["Runtime.deserialize_cuda_engine"]
