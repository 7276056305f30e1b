"""Each release is asked for what it has, by name; a builder that reaches for anything else fails on the double."""
import json
import os

import pytest
from engine_cases import ALL_RELEASES, DATA, FLAG_RELEASES, MIB, TYPED_RELEASES, install, normed, request

from edgenext_deploy.engines.builder import build
from edgenext_deploy.errors import EdgeNextError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.tensorrt_api import builder_api as releases
from edgenext_deploy.tensorrt_api.builder_api import Release


def opened(monkeypatch, name):
    install(monkeypatch, name)
    return releases.load("tensorrt")


@pytest.mark.parametrize("name", ALL_RELEASES)
def test_the_double_has_exactly_the_members_of_the_release(monkeypatch, name):
    module = install(monkeypatch, name)
    with open(os.path.join(DATA, "trt_python_api.json")) as stream:
        table = json.load(stream)[name]
    for owner, (kind, *members) in table.items():
        if "." in owner:
            continue
        found = getattr(module, owner)
        public = set(found.__members__) if kind == "e" else {
            member for member in dir(found) if not member.startswith("_")}
        assert public == {member for member in members if not member.startswith("__")}, owner


def test_the_double_refuses_what_its_release_lacks(monkeypatch):
    old = install(monkeypatch, "8.2")
    config = old.Builder(old.ILogger()).create_builder_config()
    with pytest.raises(AttributeError):
        config.set_memory_pool_limit(None, 1)
    with pytest.raises(AttributeError):
        config.builder_optimization_level = 3
    with pytest.raises(AttributeError):
        install(monkeypatch, "8.0").ILogger.ERROR  # noqa: B018
    new = install(monkeypatch, "11.1")
    with pytest.raises(AttributeError):
        new.BuilderFlag.FP16  # noqa: B018
    with pytest.raises(AttributeError):
        new.Builder(new.ILogger()).create_builder_config().max_workspace_size = 1
    assert not hasattr(new.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH")


@pytest.mark.parametrize("name", ALL_RELEASES)
def test_networks_have_explicit_batch_where_that_is_a_choice(monkeypatch, name):
    release = opened(monkeypatch, name)
    network = release.create_network(release.create_builder(release.make_logger()), typed=False)
    assert network._flags == (set() if name == "11.1" else {"EXPLICIT_BATCH"})


@pytest.mark.parametrize("name", TYPED_RELEASES)
def test_typed_networks(monkeypatch, name):
    release = opened(monkeypatch, name)
    network = release.create_network(release.create_builder(release.make_logger()), typed=True)
    assert network._typed and "STRONGLY_TYPED" in network._flags


@pytest.mark.parametrize("name", ["8.0", "8.2", "8.5", "8.6"])
def test_no_typed_networks_before(monkeypatch, name):
    release = opened(monkeypatch, name)
    with pytest.raises(IncompatibleError):
        release.create_network(release.create_builder(release.make_logger()), typed=True)


@pytest.mark.parametrize("name", ALL_RELEASES)
def test_the_workspace_is_always_set(monkeypatch, name):
    release = opened(monkeypatch, name)
    config = release.create_builder(release.make_logger()).create_builder_config()
    release.set_workspace(config, 7 * MIB)
    if name in ("8.0", "8.2"):
        assert config.max_workspace_size == 7 * MIB
    else:
        assert config._pools == {"WORKSPACE": 7 * MIB}


@pytest.mark.parametrize("name", FLAG_RELEASES)
def test_pins_are_binding(monkeypatch, name):
    release = opened(monkeypatch, name)
    config = release.create_builder(release.make_logger()).create_builder_config()
    assert release.set_fp16(config, obey_pins=True) == (
        "FP16", "STRICT_TYPES" if name == "8.0" else "OBEY_PRECISION_CONSTRAINTS")
    assert config._flags == {"FP16", "STRICT_TYPES" if name == "8.0" else "OBEY_PRECISION_CONSTRAINTS"}


def test_no_gpu(monkeypatch):
    install(monkeypatch, "8.2", gpu=False)
    release = releases.load("tensorrt")
    with pytest.raises(MissingRuntimeError) as caught:
        release.create_builder(release.make_logger())
    assert "error: 35" in caught.value.message and caught.value.exit_code == 6


def test_another_type_error_is_not_taken_for_a_missing_gpu(monkeypatch):
    release = opened(monkeypatch, "8.2")
    monkeypatch.setattr(release.trt.Builder, "__init__", lambda self, logger: (_ for _ in ()).throw(TypeError("other")))
    with pytest.raises(TypeError):
        release.create_builder(release.make_logger())


def test_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(MissingRuntimeError) as caught:
        releases.load("tensorrt")
    assert caught.value.exit_code == 6 and "JetPack" in caught.value.fix


def test_layer_names_lead_back_to_nodes():
    assert releases.nodes_in_metadata("[ONNX Layer: a/b][ONNX Layer: c.1]") == ["a/b", "c.1"]
    assert releases.nodes_in_metadata("") == []


# --- mutations: a builder that uses what a release lacks, or writes numbers down, fails on its double ---------------


def _pool(self, config, size):
    config.set_memory_pool_limit(self.trt.MemoryPoolType.WORKSPACE, size)


def _size(self, config, size):
    config.max_workspace_size = size


def _no_workspace(self, config, size):
    pass


def _fp16(self, config, obey_pins):
    config.set_flag(self.trt.BuilderFlag.FP16)
    return ("FP16",)


def _obey(self, config, obey_pins):
    config.set_flag(self.trt.BuilderFlag.FP16)
    config.set_flag(self.trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    return ("FP16", "OBEY_PRECISION_CONSTRAINTS")


def _bit_zero(self, builder, typed):
    return builder.create_network(1)


def _no_flags(self, builder, typed):
    return builder.create_network(0)


def _bit_one(self, builder, typed):
    return builder.create_network(2)


def _named_explicit(self, builder, typed):
    return builder.create_network(1 << int(self.trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))


def _detailed(self, config):
    config.profiling_verbosity = self.trt.ProfilingVerbosity.DETAILED


def _verbose(self, config):
    config.profiling_verbosity = self.trt.ProfilingVerbosity.VERBOSE


def _always_watch(self, config, progress):
    config.progress_monitor = None


def _always_level(self, config, level):
    config.builder_optimization_level = level
    return True


def _metadata(self, layer):
    return (layer.metadata,)


def _pin_all(self, layer):
    layer.precision = self.trt.DataType.FLOAT
    for index in range(layer.num_outputs):
        layer.set_output_type(index, self.trt.DataType.FLOAT)
    return True


MUTATIONS = [
    ("set_workspace", _pool, "8.2", "flag", AttributeError),
    ("set_workspace", _size, "10.3", "typed", AttributeError),
    ("set_workspace", _size, "11.1", "typed", AttributeError),
    ("set_workspace", _no_workspace, "8.2", "flag", IncompatibleError),
    ("set_fp16", _obey, "8.0", "flag", AttributeError),
    ("create_network", _bit_zero, "10.3", "typed", EdgeNextError),
    ("create_network", _no_flags, "8.2", "flag", IncompatibleError),
    ("create_network", _bit_one, "8.2", "flag", IncompatibleError),
    ("create_network", _named_explicit, "11.1", "typed", AttributeError),
    ("set_detailed", _detailed, "8.0", "flag", AttributeError),
    ("set_detailed", _verbose, "11.1", "typed", AttributeError),
    ("watch", _always_watch, "8.6", "flag", AttributeError),
    ("set_optimization_level", _always_level, "8.2", "flag", AttributeError),
    ("layer_nodes", _metadata, "8.2", "flag", AttributeError),
]


@pytest.mark.parametrize("member, mutant, name, mode, expected", MUTATIONS, ids=[
    "{}-{}-{}".format(case[0], case[1].__name__.strip("_"), case[2]) for case in MUTATIONS])
def test_a_mutant_fails(monkeypatch, tmp_path, member, mutant, name, mode, expected):
    install(monkeypatch, name)
    path = normed(tmp_path, mode)
    asked = request(path, optimization_level=2, timing_cache=str(tmp_path / "cache"))
    assert build(asked).plan
    if member == "watch":
        monkeypatch.setattr(Release, "has_progress_monitor", True)
    monkeypatch.setattr(Release, member, mutant)
    with pytest.raises(expected):
        build(asked)


def test_a_mutant_that_asks_11_for_the_fp16_flag_fails(monkeypatch, tmp_path):
    install(monkeypatch, "11.1")
    path = normed(tmp_path, "flag")
    monkeypatch.setattr(Release, "has_fp16_flag", True)
    with pytest.raises(AttributeError):  # the pins already: layers have no precision there
        build(request(path))
    monkeypatch.setattr(Release, "pin_to_fp32", lambda self, layer: True)
    monkeypatch.setattr(Release, "set_fp16", _fp16)
    with pytest.raises(AttributeError):
        build(request(path))


def test_a_mutant_that_pins_shape_layers_fails(monkeypatch, tmp_path):
    from doubles import onnx_writer as ow

    install(monkeypatch, "8.2")
    path = normed(tmp_path, pins={"LayerNorm": ("norm/mean",), "test": ("shape",)},
                  nodes_after=[ow.node("Shape", "shape", ["features"], ["sizes"])])
    assert build(request(path)).report.pins.refused == ("shape",)
    monkeypatch.setattr(Release, "pin_to_fp32", _pin_all)
    with pytest.raises(IncompatibleError):
        build(request(path))
