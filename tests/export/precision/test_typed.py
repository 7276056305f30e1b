"""--fp16 means FP16: typed graphs, pins, and what would have to break for an FP32 engine to slip through."""
import copy
import dataclasses
import functools
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exports import export, quick_export
from golden_exports import GOLDEN, SHAPES, export_golden
from golden_parameters import image
from onnx import TensorProto
from paths import CAT
from sweeps import sweep

from edgenext_deploy import Classifier
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import IncompatibleError, UsageError, VerificationError
from edgenext_deploy.export import precision_step
from edgenext_deploy.export.checks.rtx import build_with_rtx
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.export.pipeline import run_export
from edgenext_deploy.export.precision.fp32_pins import (
    COMPUTE,
    element_types,
    fp16_share,
    multiply_adds,
    pins_of,
    require_fp16,
    require_typed_fp16,
)
from edgenext_deploy.export.precision.typed import count_casts, to_typed
from edgenext_deploy.export.request import ExportRequest, precision_for
from edgenext_deploy.formulations import parse_formulation
from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.targets import TARGETS, get_target

PHOTO = CAT
TOLERANCE = 0.01


@functools.lru_cache(maxsize=None)
def made_graph(opset, ir_version, layout, variant):
    model = randomise(create_model(variant, num_classes=10), 0)
    graph, islands = emit(
        lower(model, LoweringContext(1, 64, 64, parse_formulation(layout))),
        (TensorSpec("image", (1, 3, 64, 64), "float32"),),
        (TensorSpec("logits", (1, 10), "float32"),), opset, ir_version, variant)
    return graph, pins_of(graph, islands)


def small_graph(opset=20, ir_version=9, layout="nchw", variant="xxs"):
    """Return a graph, the caller's own, and its pins."""
    graph, pins = made_graph(opset, ir_version, layout, variant)
    return copy.deepcopy(graph), pins


@pytest.mark.parametrize("variant", sweep(
    sorted(SHAPES), always=["xxs", "xxs_bn_hs", "mobilevit_xxs", "mobilevitv2_050"]))
def test_every_variant_typed(variant, tmp_path):
    result = export_golden(variant, tmp_path, target="a100", fp16=True)
    model = onnx.load(result.onnx_path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(result.onnx_path, providers=["CPUExecutionProvider"])
    found, expected = session.run(None, {"image": image(256, 256)})[0], GOLDEN[f"{variant}_256x256"]
    assert np.abs(found - expected).max() / np.abs(expected).max() < TOLERANCE
    assert found.argmax() == expected.argmax()
    manifest = open_engine_file(result.onnx_path).manifest()
    assert manifest.parity.top1_agreement == 1.0 and manifest.parity.max_relative_error < TOLERANCE
    assert manifest.precision.mode == "typed" and manifest.precision.fp16_share == 1.0
    pins = {name for names in manifest.precision.fp32_pins.values() for name in names}
    require_typed_fp16(model, dict.fromkeys(pins, ""))
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    halves = sum(len(tensor.raw_data) for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16)
    assert halves > 0.98 * weights


@pytest.mark.parametrize("variant", sweep(sorted(SHAPES), always=["xxs", "mobilevit_xxs", "mobilevitv2_050"]))
@pytest.mark.real
def test_tensorrt_rtx_builds_every_variant_typed(variant, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    report = build_with_rtx(export_golden(variant, tmp_path, target="a100", fp16=True).onnx_path, sms=("80",))
    assert [build.sm for build in report.builds if build.ok] == ["80"]
    assert not report.fp16_layernorm


def test_the_typed_file_is_half_the_size():
    graph, pins = small_graph()
    assert 0.48 < to_typed(graph, pins).ByteSize() / graph.ByteSize() < 0.56


@pytest.mark.parametrize("layout, opset, ir_version", [("nchw", 13, 7), ("nchw", 20, 9), ("tokens", 20, 9)])
@pytest.mark.parametrize("variant", ["xxs", "xxs_bn_hs", "mobilevit_xxs", "mobilevitv2_050"])
def test_types_are_what_the_plan_says(variant, layout, opset, ir_version):
    graph, pins = small_graph(opset, ir_version, layout, variant)
    typed = to_typed(graph, pins)
    types = element_types(typed)
    for node in typed.graph.node:
        kinds = {types[name] for name in (*node.input, *node.output) if types[name] in (1, 10)}
        if node.op_type == "Cast":
            assert kinds == {TensorProto.FLOAT, TensorProto.FLOAT16}
        elif node.name in pins:
            assert kinds == {TensorProto.FLOAT}, node.name
        else:
            assert len(kinds) == 1, node.name
            assert node.op_type not in COMPUTE or kinds == {TensorProto.FLOAT16}, node.name


def test_casts_are_shared_and_never_undo_each_other():
    graph, pins = small_graph()
    typed = to_typed(graph, pins)
    casts = [node for node in typed.graph.node if node.op_type == "Cast"]
    assert len({(cast.input[0], cast.attribute[0].i) for cast in casts}) == len(casts) == count_casts(typed)
    produced = {cast.output[0] for cast in casts}
    assert not [cast for cast in casts if cast.input[0] in produced]
    # two for each of 20 LayerNorms, four for each of 3 attentions, one at either end
    assert len(casts) == 2 * 20 + 4 * 3 + 2


def test_moves_between_islands_stay_with_them():
    from onnx import helper

    nodes = [
        helper.make_node("Mul", ["x", "x"], ["a"], name="first"),
        helper.make_node("Transpose", ["a"], ["b"], name="move1", perm=[1, 0]),
        helper.make_node("Identity", ["b"], ["c"], name="move2"),
        helper.make_node("Sqrt", ["c"], ["d"], name="second"),
        helper.make_node("Transpose", ["d"], ["e"], name="move3", perm=[1, 0]),
        helper.make_node("Relu", ["e"], ["y"], name="half"),
    ]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    typed = to_typed(model, {"first": "", "second": ""})
    types = element_types(typed)
    assert [types[name] for name in "abcde"] == [TensorProto.FLOAT] * 4 + [TensorProto.FLOAT16]
    assert count_casts(typed) == 2


def test_io_fp16_goes_through_the_classifier(tmp_path):
    result = export("xxs", tmp_path, target="orin", fp16=True, precision_mode="typed", io="fp16", image_size=64)
    model = onnx.load(result.onnx_path)
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {10}
    assert result.manifest.inputs[0].dtype == "float16"
    with Classifier(result.onnx_path) as classifier:
        assert len(classifier(str(PHOTO))) == 5


def test_flag_mode_lists_the_pins_and_leaves_the_graph_in_fp32(tmp_path):
    result = export("xxs", tmp_path, fp16=True, image_size=64)
    model = onnx.load(result.onnx_path)
    assert not [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    nodes = {node.name: node.op_type for node in model.graph.node}
    pins = json.loads(Path(result.manifest_path).read_text())["precision"]["fp32_pins"]
    pinned = {name for names in pins.values() for name in names}
    assert pinned <= set(nodes)
    statistics = {name for name in nodes if "norm/" in name or "norm_xca/" in name or "xca.normalise" in name
                  or name.endswith(("xca.softmax", "xca.temperature"))}
    assert statistics <= pinned
    assert not [name for name in pinned if nodes[name] in COMPUTE]


# What would have to go wrong for --fp16 to succeed with FP32 compute, one by one.

def test_a_typing_that_does_nothing_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(precision_step, "to_typed", lambda model, pins, io: model)
    with pytest.raises(VerificationError, match=r"computes .* nodes in FP32"):
        quick_export(ExportRequest("xxs", target="a100", fp16=True, image_size=64, output=str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_one_convolution_left_in_fp32_is_found():
    graph, pins = small_graph()
    victim = next(node.name for node in graph.graph.node if node.op_type == "Conv")
    with pytest.raises(VerificationError, match="1 nodes in FP32"):
        require_typed_fp16(to_typed(graph, {**pins, victim: "slipped in"}), pins)


@pytest.mark.parametrize("mode, target", [("flag", "nano"), ("typed", "a100")])
def test_a_plan_that_pins_everything_is_refused(tmp_path, monkeypatch, mode, target):
    monkeypatch.setattr(precision_step, "pins_of", lambda model,
                        islands: {node.name: "all" for node in model.graph.node})
    with pytest.raises(VerificationError, match="0% of the multiply-adds"):
        quick_export(ExportRequest("xxs", target=target, fp16=True, image_size=64, output=str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_the_share_counts_multiply_adds_not_nodes():
    graph, pins = small_graph()
    counts = multiply_adds(graph)
    largest = max(counts, key=counts.get)
    assert fp16_share(graph, pins) == 1.0
    assert fp16_share(graph, {largest: ""}) == pytest.approx(1 - counts[largest] / sum(counts.values()))
    assert require_fp16(graph, pins) == 1.0


def test_multiply_adds_agree_with_the_reference_count():
    from edgenext_deploy.models.counts import count_madds

    graph, _ = small_graph()
    # The reference also counts 5 for each element of a LayerNorm, and the position code's projection.
    reference = count_madds(create_model("xxs", num_classes=10), 64, 64)
    assert 0.95 < sum(multiply_adds(graph).values()) / reference < 1.0


def test_a_graph_whose_layernorm_is_in_fp16_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(precision_step, "pins_of", lambda model, islands: {})
    with pytest.raises(VerificationError, match=r"LayerNorm that computes in FP16|not finite|differs"):
        run_export(ExportRequest("xxs", target="a100", fp16=True, image_size=64, output=str(tmp_path)))


def test_a_weight_beyond_fp16_is_refused():
    graph, pins = small_graph()
    tensor = next(tensor for tensor in graph.graph.initializer if tensor.name == "stages.0.0.dwconv.conv.weight")
    tensor.raw_data = np.full(tuple(tensor.dims), 7e4, np.float32).tobytes()
    with pytest.raises(VerificationError, match=r"stages\.0\.0\.dwconv\.conv\.weight"):
        to_typed(graph, pins)
    to_typed(graph, {**pins, "stages.0.0.dwconv.conv": "weights beyond FP16"})


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "onnxruntime"])
def test_every_target_has_a_mode_that_its_releases_have(target):
    precision = precision_for(get_target(target), fp16=True)
    newest = get_target(target).tensorrt[-1]
    assert precision.mode == ("typed" if newest.startswith(("rtx", "11")) or target == "thor" else "flag")


@pytest.mark.parametrize("target, mode, words", [
    ("nano", "typed", "8.2 builds no strongly typed"),
    ("orin-jp5", "typed", "8.5"),
    ("a100", "flag", "11.x has no FP16 builder flag"),
    ("rtx", "flag", "rtx-1.7"),
    ("onnxruntime", "typed", "FP32"),
    ("onnxruntime", None, "FP32"),
])
def test_modes_that_a_target_lacks_are_refused_with_the_reason(target, mode, words):
    with pytest.raises(IncompatibleError, match=words.replace(".", r"\.")) as caught:
        precision_for(get_target(target), True, mode)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("arguments", [(False, "typed", "fp32"), (False, None, "fp16"), (True, "flag", "fp16")])
def test_options_that_need_each_other(arguments):
    with pytest.raises(UsageError):
        precision_for(get_target("orin"), *arguments)


@pytest.mark.parametrize("target, mode", [("orin", "typed"), ("thor", "flag")])
def test_overrides_where_the_releases_allow_them(target, mode):
    assert precision_for(get_target(target), True, mode).mode == mode


def shifted_checkpoint(folder, shift):
    """A network whose last stage has a large mean: FP16 has no digits left for what the norms look at."""
    parameters = randomise(create_model("xxs", num_classes=10), 0).state_dict()
    parameters["downsample_layers.3.1.bias"] += shift
    torch.save(parameters, folder / "shifted.pth")
    return ExportRequest("xxs", target="a100", fp16=True, weights=str(folder / "shifted.pth"), image_size=64,
                         output=str(folder / "out"))


def test_activations_that_fp16_does_not_hold_are_not_called_a_defect_of_the_lowering(tmp_path):
    with pytest.raises(VerificationError, match="differs from the reference module") as caught:
        quick_export(shifted_checkpoint(tmp_path, 100.0))
    assert "--auto-pin" in caught.value.fix


def test_parity_allows_what_auto_pin_was_allowed(tmp_path):
    samples = tmp_path / "samples"
    samples.mkdir()
    shutil.copy(PHOTO, samples)
    request = dataclasses.replace(
        shifted_checkpoint(tmp_path, 100.0), auto_pin=True, tolerance=0.2, samples=str(samples))
    parity = quick_export(request).manifest.parity
    assert parity.tolerance == 0.2 and TOLERANCE < parity.max_relative_error < 0.2
