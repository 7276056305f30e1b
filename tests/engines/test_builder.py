"""The builder on doubles of the releases: what it asks TensorRT for, and what it makes of the answers."""
import json
import os
import struct
import weakref

import pytest
from command_lines import parse
from doubles import onnx_reader
from doubles import onnx_writer as ow
from engine_cases import ALL_RELEASES, FLAG_RELEASES, MIB, TYPED_RELEASES, install, normed, request, tiny

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.engines.builder import build
from edgenext_deploy.engines.precision.mode import export_command
from edgenext_deploy.engines.precision.proof import BUILDER_LOG, INSPECTOR
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, VerificationError
from edgenext_deploy.targets import TARGETS
from edgenext_deploy.tensorrt_api.builder_api import Release
from edgenext_deploy.tensorrt_api.precision_modes import refusal_of_mode


def layers_of(plan):
    return {layer["name"]: layer for layer in json.loads(plan[28:].decode())["layers"]}


@pytest.mark.parametrize("name", FLAG_RELEASES)
def test_flag_mode_builds_fp16_with_pins(monkeypatch, tmp_path, name):
    module = install(monkeypatch, name)
    result = build(request(normed(tmp_path)))
    report = result.report
    assert (report.mode, report.precision, report.version) == ("flag", "fp16", module.__version__)
    assert report.flags == ("FP16", "STRICT_TYPES" if name == "8.0" else "OBEY_PRECISION_CONSTRAINTS")
    assert report.pins.layers == ("norm/mean", "norm/centre")
    layers = layers_of(result.plan)
    assert {key: layers[key]["outputs"] for key in ("conv", "norm/mean", "norm/centre", "head")} == {
        "conv": ["HALF"], "norm/mean": ["FLOAT"], "norm/centre": ["FLOAT"], "head": ["HALF"]}
    assert report.proof.source == (BUILDER_LOG if name == "8.0" else INSPECTOR)
    assert [(layer.name, layer.pinned, layer.reason) for layer in report.proof.fp32] == [
        ("norm/mean", True, "LayerNorm"), ("norm/centre", True, "LayerNorm")]
    assert (report.proof.fp16_layers, report.proof.fp32_layers, report.proof.layers) == (4, 2, 6)
    assert report.proof.fp16_compute_share == 1.0
    assert report.plan_bytes == len(result.plan) and report.network_layers == 6


@pytest.mark.parametrize("name", FLAG_RELEASES)
def test_a_pin_that_fits_no_layer_is_reported(monkeypatch, tmp_path, name):
    install(monkeypatch, name)
    report = build(request(normed(tmp_path))).report
    assert report.pins.unmatched == ("gone",)
    assert any("gone" in warning for warning in report.warnings)


def test_integer_layers_are_not_pinned(monkeypatch, tmp_path):
    install(monkeypatch, "8.2")
    path = normed(tmp_path, pins={"test": ("norm/mean", "shape", "best")}, nodes_after=[
        ow.node("Shape", "shape", ["features"], ["sizes"]), ow.node("ArgMax", "best", ["logits"], ["index"])])
    report = build(request(path)).report
    assert report.pins.layers == ("norm/mean",) and report.pins.refused == ("shape", "best")


def test_all_layers_of_a_pinned_node_are_pinned(monkeypatch, tmp_path):
    install(monkeypatch, "8.2")
    path = normed(tmp_path, nodes_after=[ow.node("Sub", "norm/centre", ["logits", "logits"], ["again"])])
    assert build(request(path)).report.pins.layers == ("norm/mean", "norm/centre", "norm/centre_1")


def test_without_pins_nothing_is_obeyed_and_that_is_said(monkeypatch, tmp_path):
    install(monkeypatch, "8.2")
    report = build(request(tiny(tmp_path), precision="fp16")).report
    assert report.flags == ("FP16",) and any("may overflow" in warning for warning in report.warnings)


@pytest.mark.parametrize("name", ALL_RELEASES)
def test_fp32(monkeypatch, tmp_path, name):
    module = install(monkeypatch, name)
    report = build(request(tiny(tmp_path))).report
    assert (report.mode, report.precision, report.flags) == ("fp32", "fp32", ())
    assert module.double.configs[-1]._flags == set()
    assert report.proof.fp16_layers == 0 and report.proof.fp32_layers == 3
    assert report.proof.fp16_compute_share == 0.0


@pytest.mark.parametrize("name", TYPED_RELEASES)
def test_typed_mode(monkeypatch, tmp_path, name):
    module = install(monkeypatch, name)
    report = build(request(normed(tmp_path, "typed"))).report
    assert (report.mode, report.precision, report.flags) == ("typed", "fp16", ())
    assert module.double.configs[-1]._flags == set()
    assert report.pins.layers == ()
    assert report.proof.fp16_compute_share == 1.0
    assert {layer.name for layer in report.proof.fp32 if layer.pinned} == {"norm/mean", "norm/centre"}


@pytest.mark.parametrize("name", ["8.0", "8.2", "8.5", "8.6"])
def test_a_typed_graph_needs_a_later_release(monkeypatch, tmp_path, name):
    install(monkeypatch, name)
    with pytest.raises(IncompatibleError) as caught:
        build(request(normed(tmp_path, "typed")))
    assert_exports(caught.value.fix, "flag")


@pytest.mark.parametrize("asked", ["nano", "orin", "h100"])
def test_an_fp32_graph_on_11_names_the_export_that_fixes_it(monkeypatch, tmp_path, asked):
    install(monkeypatch, "11.1")
    with pytest.raises(IncompatibleError) as caught:
        build(request(normed(tmp_path), target=asked))
    assert caught.value.exit_code == 4 and "11.1.0.106" in caught.value.message
    assert_exports(caught.value.fix, "typed")


def assert_exports(fix, mode):
    words = fix.split()
    assert words[:2] == ["edgenext-export", "xxs"] and words[-2:] == ["--fp16", "--force"]
    target = TARGETS[words[words.index("--target") + 1]]
    assert target.precision_mode == mode and refusal_of_mode(target, mode) is None


def test_a_typed_graph_cannot_be_fp32(monkeypatch, tmp_path):
    install(monkeypatch, "10.3")
    with pytest.raises(IncompatibleError) as caught:
        build(request(normed(tmp_path, "typed"), precision="fp32"))
    assert "--fp16" not in caught.value.fix.split(": ")[1]


@pytest.mark.parametrize("name", ALL_RELEASES)
def test_a_parser_error_names_the_node_where_the_release_tells(monkeypatch, tmp_path, name):
    install(monkeypatch, name)
    path = normed(tmp_path, "typed" if name == "11.1" else "flag",
                  nodes_after=[ow.node("NotAnOperator", "odd", ["logits"], ["end"])])
    with pytest.raises(IncompatibleError) as caught:
        build(request(path))
    assert "No importer registered for op: NotAnOperator" in caught.value.message
    expected = "node 'odd' (NotAnOperator)" if name in ("10.3", "10.13", "11.1") else "node number 6"
    assert expected in caught.value.message.replace("number 9", "number 6")


def test_a_build_without_memory_advises_swap(monkeypatch, tmp_path):
    install(monkeypatch, "8.2", out_of_memory=True)
    with pytest.raises(IncompatibleError) as caught:
        build(request(normed(tmp_path)))
    assert "out of memory" in caught.value.message and "swapon" in caught.value.fix


def test_a_build_without_workspace_advises_more(monkeypatch, tmp_path):
    install(monkeypatch, "8.2")
    with pytest.raises(IncompatibleError) as caught:
        build(request(normed(tmp_path), workspace_bytes=0))
    assert "Could not find any implementation" in caught.value.message and "--workspace-mib 2" in caught.value.fix


def test_no_gpu(monkeypatch, tmp_path):
    install(monkeypatch, "8.6", gpu=False)
    with pytest.raises(MissingRuntimeError) as caught:
        build(request(normed(tmp_path)))
    assert "error: 35" in caught.value.message


@pytest.mark.parametrize("name", FLAG_RELEASES)
def test_an_engine_that_stays_in_fp32_is_refused(monkeypatch, tmp_path, name):
    install(monkeypatch, name, ignore_fp16=True)
    with pytest.raises(VerificationError) as caught:
        build(request(normed(tmp_path)))
    assert caught.value.exit_code == 5 and "6 layers in FP32" in caught.value.message


def test_an_engine_without_details_proves_nothing(monkeypatch, tmp_path):
    install(monkeypatch, "8.6", names_only=True)
    with pytest.raises(VerificationError):
        build(request(normed(tmp_path)))


def test_without_any_list_of_layers_a_typed_networks_types_are_shown_and_labelled(monkeypatch, tmp_path):
    install(monkeypatch, "10.3")
    monkeypatch.setattr(Release, "has_inspector", False)
    proof = build(request(normed(tmp_path, "typed"))).report.proof
    assert proof.source == "from the network, not the engine" and proof.fp16_compute_share == 1.0
    with pytest.raises(VerificationError):  # in flag mode the network says nothing
        build(request(normed(tmp_path)))


def test_a_file_that_its_manifest_does_not_describe(monkeypatch, tmp_path):
    install(monkeypatch, "8.2")
    path = normed(tmp_path)
    with open(path, "ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BadInputError):
        build(request(path))
    os.unlink(str(tmp_path / "net.json"))
    with pytest.raises(BadInputError):
        build(request(path))


@pytest.mark.parametrize("name", ALL_RELEASES)
def test_the_timing_cache_is_shared_between_builds(monkeypatch, tmp_path, name):
    install(monkeypatch, name)
    mode = "typed" if name == "11.1" else "flag"
    path, cache = normed(tmp_path, mode), str(tmp_path / "deep" / "cache")
    uses = [build(request(path, timing_cache=cache)).report.timing_cache_use for _ in range(2)]
    assert uses == ["new", "reused"]
    (tmp_path / "more").mkdir()
    more = normed(tmp_path / "more", mode, nodes_after=[ow.node("Erf", "extra", ["logits"], ["end"])])
    assert build(request(more, timing_cache=cache)).report.timing_cache_use == "extended"


def test_a_damaged_timing_cache_is_replaced_with_a_warning(monkeypatch, tmp_path):
    install(monkeypatch, "8.2")
    path, cache = normed(tmp_path), tmp_path / "cache"
    cache.write_bytes(b"not a cache")
    report = build(request(path, timing_cache=str(cache))).report
    assert report.timing_cache_use == "new" and any("ignored" in warning for warning in report.warnings)
    assert build(request(path, timing_cache=str(cache))).report.timing_cache_use == "reused"


def test_a_timing_cache_that_cannot_be_written_does_not_stop_the_build(monkeypatch, tmp_path):
    install(monkeypatch, "8.2")
    (tmp_path / "cache").mkdir()
    report = build(request(normed(tmp_path), timing_cache=str(tmp_path / "cache"))).report
    assert report.plan_bytes and len([warning for warning in report.warnings if "timing cache" in warning]) == 2


def test_no_plan_no_timing_cache_of_a_refused_build(monkeypatch, tmp_path):
    install(monkeypatch, "8.2", ignore_fp16=True)
    with pytest.raises(VerificationError):
        build(request(normed(tmp_path), timing_cache=str(tmp_path / "cache")))
    assert sorted(os.listdir(str(tmp_path))) == ["net.json", "net.onnx"]


def test_the_optimization_level(monkeypatch, tmp_path):
    path = normed(tmp_path)
    old = install(monkeypatch, "8.5")
    report = build(request(path, optimization_level=5)).report
    assert report.optimization_level is None and any("--optimization-level 5" in text for text in report.warnings)
    new = install(monkeypatch, "8.6")
    assert build(request(path, optimization_level=5)).report.optimization_level == 5
    assert new.double.configs[-1].builder_optimization_level == 5
    assert old.double.builds == new.double.builds == 1


def test_cublas_can_be_left_out(monkeypatch, tmp_path):
    module = install(monkeypatch, "8.2")
    assert build(request(normed(tmp_path), drop_cublas=True)).report.dropped_tactics == ("CUBLAS", "CUBLAS_LT")
    left = {source.name for source in module.TacticSource if module.double.configs[-1]._sources >> int(source) & 1}
    assert left == {"CUDNN"}
    install(monkeypatch, "11.1")
    report = build(request(normed(tmp_path, "typed"), drop_cublas=True)).report
    assert report.dropped_tactics == () and any("--no-cublas has no effect" in text for text in report.warnings)


def test_a_timing_cache_that_is_not_kept_is_said(monkeypatch, tmp_path):
    install(monkeypatch, "8.2")
    monkeypatch.setattr(Release, "has_timing_cache", False)  # as in TensorRT-RTX
    report = build(request(normed(tmp_path), timing_cache=str(tmp_path / "cache"))).report
    assert report.timing_cache_use == "none" and not (tmp_path / "cache").exists()
    assert any("--timing-cache has no effect" in text for text in report.warnings)


@pytest.mark.parametrize("name", ["8.2", "10.3"])
def test_progress_is_asked_for_where_there_is_any(monkeypatch, tmp_path, name):
    install(monkeypatch, name)
    seen = []
    build(request(normed(tmp_path)), seen.append)
    assert ("Building engine" in seen) == (name == "10.3")


@pytest.mark.parametrize("name", ALL_RELEASES)
def test_details_are_kept_in_the_engine(monkeypatch, tmp_path, name):
    module = install(monkeypatch, name)
    build(request(tiny(tmp_path)))
    assert module.double.configs[-1].profiling_verbosity.name == ("VERBOSE" if name == "8.0" else "DETAILED")


def test_the_doubles_plan_has_a_header_that_trtexec_would_read(monkeypatch, tmp_path):
    install(monkeypatch, "10.3")
    plan = build(request(tiny(tmp_path))).plan
    assert plan[:4] == b"ftrt" and plan[24:28] == bytes((10, 3, 0, 30))
    install(monkeypatch, "8.2")
    assert struct.unpack("<I", build(request(tiny(tmp_path))).plan[8:12]) == (205,)


def test_the_reader_agrees_with_the_committed_graph(tmp_path):
    with open(tiny(tmp_path), "rb") as stream:
        data = stream.read()
    graph = onnx_reader.read(data)
    assert [(node.name, node.op) for node in graph.nodes] == [
        ("pool", "GlobalAveragePool"), ("head", "Conv"), ("flatten", "Flatten")]
    assert graph.tensors["scores"].shape == (1, 10, 1, 1) and graph.tensors["logits"].shape == (1, 10)
    with pytest.raises(ValueError):
        onnx_reader.read(data[:100])
    with pytest.raises(ValueError):
        onnx_reader.read(b"text, and no graph")


def test_workspace_is_what_was_asked_for(monkeypatch, tmp_path):
    module = install(monkeypatch, "8.2")
    assert build(request(tiny(tmp_path), workspace_bytes=48 * MIB)).report.workspace_bytes == 48 * MIB
    assert module.double.configs[-1].max_workspace_size == 48 * MIB


@pytest.mark.parametrize("release", ["8.2", "10.3"])
def test_the_builders_memory_is_free_before_the_plan_is_opened(monkeypatch, tmp_path, release):
    install(monkeypatch, release)
    held, alive = [], []

    def watched(method):
        def call(self, *arguments, **options):
            made = method(self, *arguments, **options)
            held.append(weakref.ref(made))
            return made

        return call

    inspect = Release.inspect

    def opened(self, logger, plan):
        alive.extend(reference() for reference in held if reference() is not None)
        return inspect(self, logger, plan)

    for name in ("create_builder", "create_network"):
        monkeypatch.setattr(Release, name, watched(getattr(Release, name)))
    monkeypatch.setattr(Release, "inspect", opened)
    build(request(normed(tmp_path)))
    assert len(held) == 2 and alive == []


@pytest.mark.parametrize("source, file, words", [
    ("random weights (seed 7)", "net.onnx", "--seed 7 --image-size 32x32 --name net"),
    ("bundled icons.safetensors (bare, official layout)", "xxs.onnx", "--image-size 32x32"),
    ("my net.pth (bare, official layout)", "xxs.onnx", "--weights 'my net.pth' --image-size 32x32"),
    ("m.pth (model_ema, timm layout; beside it: model (fits too))", "xxs.onnx",
     "--weights m.pth --state model_ema --image-size 32x32")])
def test_the_export_that_fixes_it_has_what_the_manifest_knows(tmp_path, source, file, words):
    manifest = manifests.read(manifests.manifest_path(normed(tmp_path)))
    manifest = manifest._replace(weights=manifest.weights._replace(source=source, random="seed" in source),
                                 graph=manifest.graph._replace(file=file))
    line = export_command(manifest, "a100", fp16=True)
    assert line == "edgenext-export xxs --target a100 {} --fp16 --force".format(words)
    parse(line)
