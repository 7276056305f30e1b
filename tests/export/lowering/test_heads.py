"""Detectors, segmenters and ablations through the whole export: exact in FP64, accepted by 8.2, built in FP16."""
import base64
import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exports import export, quick_export

from edgenext_deploy.artifacts import golden
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.engines.selftest.golden_test import compare, golden_outputs
from edgenext_deploy.errors import BadInputError, UsageError, VerificationError
from edgenext_deploy.export.checks.rtx import build_with_rtx
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.precision.drift import compare_outputs
from edgenext_deploy.export.precision.emulate import Emulator
from edgenext_deploy.export.precision.fp32_pins import element_types
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.export.tasks import up_to_logits
from edgenext_deploy.formulations import parse_formulation
from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.preprocess import photo
from edgenext_deploy.runtime.open import open_session

FORBIDDEN = {"Einsum", "Shape", "Gather", "CumSum", "Expand", "If", "Loop", "Range", "ConstantOfShape", "Where"}
HEADS = ["xxs_ssdlite", "xxs_deeplabv3"]
TOLERANCE = 1e-12


def small(folder, variant, **options):
    return ExportRequest(**{"model_or_variant": variant, "image_size": 96, "output": str(folder), **options})


def random_model(variant):
    return randomise(create_model(variant, num_classes=5), seed=3).double().requires_grad_(False)


def error(found, expected):
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def context(batch, height, width, formulation):
    return LoweringContext(batch, height, width, parse_formulation(formulation))


def image(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize("formulation", ["nchw", "tokens-attribute", "nchw-matmul-attribute-scaled-scores"])
@pytest.mark.parametrize("name", ["xxs_ssdlite", "mobilevit_xxs_ssdlite"])
def test_lowered_detector_is_exact(name, formulation):
    model, x = random_model(name), image(2, 3, 96, 64)
    boxes, scores = lower(model, context(2, 96, 64, formulation))(x)
    expected_boxes, expected_scores = model.detect(x)
    assert error(boxes, expected_boxes) < TOLERANCE and error(scores, expected_scores) < TOLERANCE


@pytest.mark.parametrize("formulation", ["nchw", "tokens-attribute", "nchw-matmul-attribute-scaled-scores"])
@pytest.mark.parametrize("name, norm", [
    ("xxs_deeplabv3", "layer"), ("xxs_deeplabv3", "batch"), ("mobilevit_xxs_deeplabv3", None)])
def test_lowered_segmenter_is_exact(name, norm, formulation):
    # The norm before stage 4's padded convolution has a shift: folded across the padding, the border would be wrong.
    variant = get_variant(name)
    if norm is not None:
        variant = dataclasses.replace(variant, config=dataclasses.replace(variant.config, norm=norm))
    model, x = random_model(variant), image(2, 3, 96, 64)
    lowered = lower(model, context(2, 96, 64, formulation))
    assert error(lowered.logits(x), model(x)) < TOLERANCE
    assert torch.equal(lowered(x), model.segment(x))


@pytest.mark.parametrize("formulation", ["nchw", "tokens-matmul-instance"])
def test_heads_where_the_blocks_downsample(formulation):
    detector, segmenter = (random_model(dataclasses.replace(get_variant(head), config=get_variant("s_rw").config))
                           for head in HEADS)
    x = image(1, 3, 96, 64)
    boxes, scores = lower(detector, context(1, 96, 64, formulation))(x)
    expected_boxes, expected_scores = detector.detect(x)
    assert error(boxes, expected_boxes) < TOLERANCE and error(scores, expected_scores) < TOLERANCE
    assert error(lower(segmenter, context(1, 96, 64, formulation)).logits(x), segmenter(x)) < TOLERANCE


@pytest.mark.parametrize("formulation", ["nchw", "tokens-attribute", "nchw-matmul-attribute-scaled-scores"])
@pytest.mark.parametrize("name", ["s_no_branching_k579", "s_sdta_first", "s_sdta_1111"])
def test_lowered_ablations_are_exact(name, formulation):
    narrow = {"dims": (16, 24, 40, 48), "heads": (4, 4, 4, 4), "depths": (2, 2, 2, 2)}
    variant = dataclasses.replace(get_variant(name), config=dataclasses.replace(get_variant(name).config, **narrow))
    model, x = random_model(variant), image(1, 3, 64, 64)
    assert error(lower(model, context(1, 64, 64, formulation))(x), model(x)) < TOLERANCE


@pytest.mark.parametrize("name", HEADS)
def test_the_nano_file(name, nano_head):
    result = nano_head(name)
    model, manifest = onnx.load(result.onnx_path), open_engine_file(result.onnx_path).manifest()
    assert model.opset_import[0].version == 13 and model.ir_version <= 7
    assert not {node.op_type for node in model.graph.node} & FORBIDDEN
    assert manifest.verdicts["8.2"]["supported"] and manifest.precision.mode == "flag"
    assert manifest.parity.max_relative_error < 2e-5 and manifest.parity.top1_agreement > 0.999
    assert manifest.preprocessing.fit == "stretch" and manifest.preprocessing.crop_pct == 1.0
    ends = [(spec.name, spec.shape, spec.dtype) for spec in manifest.outputs]
    assert [end[0] for end in ends] == [output.name for output in model.graph.output]
    if name == "xxs_ssdlite":
        assert ends == [("boxes", (1, 310, 4), "float32"), ("scores", (1, 310, 80), "float32")]
        assert manifest.task == "detection" and manifest.detection == manifests.Detection(0.01, 0.5, 400, 200)
        assert (len(manifest.labels), manifest.labels_source, manifest.labels[0]) == (80, "coco80", "person")
    else:
        assert ends == [("classes", (1, 96, 96), "int32")]
        assert manifest.task == "segmentation" and manifest.detection is None
        assert (len(manifest.labels), manifest.labels_source, manifest.labels[0]) == (21, "voc21", "background")


@pytest.mark.parametrize("name", HEADS)
def test_the_self_test_passes_and_notices(name, nano_head):
    result = nano_head(name)
    manifest = result.manifest
    with open_session(result.onnx_path) as session:
        assert compare(session, manifest).ok
        first = next(iter(golden_outputs(manifest).values()))
        wrong = np.roll(first, 7, axis=1).astype("u1" if name == "xxs_deeplabv3" else "<f4")
        altered = manifest.golden._replace(output_base64=base64.b64encode(wrong.tobytes()).decode())
        assert not compare(session, manifest._replace(golden=altered)).ok


def test_boxes_and_probabilities_are_computed_in_fp32(nano_head):
    pins = nano_head("xxs_ssdlite").manifest.precision.fp32_pins
    (boxes,) = (names for reason, names in pins.items() if reason.startswith("box decoding"))
    assert {"boxes.exp", "boxes.centre", "boxes.extent", "boxes.low", "boxes.high"} <= set(boxes)
    assert any("softmax" in names for names in pins.values())


@pytest.mark.parametrize("name, options", [
    ("xxs_ssdlite", {"target": "a100"}), ("xxs_deeplabv3", {"target": "rtx", "io": "fp16"})])
def test_typed_fp16(name, options, tmp_path):
    result = export(name, tmp_path, image_size=96, fp16=True, num_classes=4, **options)
    assert result.manifest.precision.fp16_share > 0.99
    types = element_types(onnx.load(result.onnx_path))
    if name == "xxs_deeplabv3":
        assert result.manifest.outputs[0].dtype == "int32" and types["classes"] == onnx.TensorProto.INT32
        assert types["resize"] == onnx.TensorProto.FLOAT16 and result.manifest.parity.top1_agreement > 0.98
    else:
        assert types["boxes"] == types["boxes.exp"] == onnx.TensorProto.FLOAT
        assert types["heads.0.predict.pwconv2"] == onnx.TensorProto.FLOAT16


def test_mobilevit_heads_and_tokens(tmp_path):
    result = export("mobilevit_xxs_ssdlite", tmp_path, image_size=96, batch=2, num_classes=4, target="onnxruntime")
    assert result.manifest.inputs[0].shape == (2, 3, 96, 96)
    assert result.manifest.preprocessing.mean == (0.0, 0.0, 0.0)
    assert result.manifest.labels == () and result.manifest.labels_source == "none"


@pytest.mark.parametrize("name, target", [("s_no_branching_no_pe", "thor"), ("s_sdta_first", "nano")])
def test_an_ablation_is_exported_like_any_other(name, target, tmp_path):
    result = export(name, tmp_path, fp16=True, image_size=64, target=target)
    assert result.manifest.precision.mode == ("typed" if target == "thor" else "flag")
    assert result.manifest.verdicts["8.2"]["supported"] == (target == "nano")
    assert result.manifest.parity.top1_agreement == 1.0 and result.manifest.labels_source == "imagenet1k"


def test_own_detector_goes_through_with_its_labels(export_here, tmp_path):
    names, weights = tmp_path / "my.txt", tmp_path / "ft.pth"
    names.write_text("cat\ndog\nbird\n")
    torch.save(create_model("xxs_ssdlite", num_classes=3).state_dict(), weights)
    done = export_here("--variant", "xxs_ssdlite", "--image-size", "64", "--weights", weights, "--output", tmp_path,
                       "--labels", names)
    assert done.returncode == 0, done.stderr
    manifest = open_engine_file(str(tmp_path / "xxs_ssdlite.onnx")).manifest()
    assert manifest.labels == ("cat", "dog", "bird") and manifest.labels_source == "my.txt"
    assert manifest.outputs[1].shape[-1] == 3 and not manifest.weights.random
    names.write_text("cat\ndog\n")
    with pytest.raises(BadInputError, match="2 labels found, 3 expected"):
        quick_export(small(tmp_path / "other", "xxs_ssdlite", weights=str(weights), labels=str(names)))


def test_a_wrong_weight_in_a_head_is_noticed(tmp_path):
    def broken_boxes(model, context):
        lowered = lower(model, context)
        lowered.boxes.centre.value[0, 100] += 0.01
        return lowered

    def broken_map(model, context):
        lowered = lower(model, context)
        lowered.classifier.bias[1] += 0.01 * lowered.classifier.bias.abs().max()
        return lowered

    for name, broken in (("xxs_ssdlite", broken_boxes), ("xxs_deeplabv3", broken_map)):
        with pytest.raises(VerificationError, match="differs from the reference module"):
            quick_export(small(tmp_path, name), lower_module=broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", HEADS)
def test_the_drift_analysis_reads_both_heads(name, nano_head):
    result = nano_head(name)
    graph = up_to_logits(onnx.load(result.onnx_path))
    pins = {node: reason for reason, nodes in result.manifest.precision.fp32_pins.items() for node in nodes}
    emulator = Emulator(graph)
    x = photo.normalise(golden.golden_batch(0, (1, 3, 96, 96)), result.manifest.preprocessing)
    exact, half = (list(emulator.run(x, plan).values()) for plan in (None, pins))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for found, expected in zip(exact, session.run(None, {"image": x})):
        assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-4
    effect = compare_outputs(exact, half, "fp32", 0)
    assert 0 < effect.error < 0.02 and 0.95 < effect.top1_agreement <= 1.0


def test_pretrained_says_that_nothing_is_published(tmp_path):
    with pytest.raises(UsageError, match="no weights are published for xxs_ssdlite"):
        quick_export(small(tmp_path, "xxs_ssdlite", pretrained=True))


@pytest.mark.real
@pytest.mark.parametrize("name, options", [
    ("xxs_ssdlite", {}), ("xxs_ssdlite", {"target": "a100"}), ("xxs_deeplabv3", {}),
    ("xxs_deeplabv3", {"target": "rtx", "io": "fp16"}), ("s_no_branching_no_pe", {"target": "thor"}),
    ("s_sdta_first", {})])
def test_tensorrt_rtx_builds_heads_and_ablations(name, options, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    path = export(name, tmp_path, fp16=True, image_size=96, num_classes=4, **options).onnx_path
    report = build_with_rtx(path, sms=("80",))
    assert report.ok and not report.fp16_layernorm


@pytest.mark.sweep
@pytest.mark.parametrize("name, outputs", [
    ("s_ssdlite", [("boxes", (1, 3232, 4)), ("scores", (1, 3232, 80))]),
    ("s_deeplabv3", [("classes", (1, 512, 512))])])
def test_the_paper_s_networks_at_their_size(name, outputs, tmp_path):
    manifest = export(name, tmp_path, fp16=True).manifest
    assert [(spec.name, spec.shape) for spec in manifest.outputs] == outputs
    assert manifest.verdicts["8.2"]["supported"] and manifest.parity.max_relative_error < 1e-5
    pixels = golden.golden_batch(manifest.golden.seed, manifest.inputs[0].shape)
    session = onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": photo.normalise(pixels, manifest.preprocessing)})
    for value, expected in zip(found, golden_outputs(manifest).values()):
        if value.dtype == np.int32:
            assert (value == expected).mean() > 0.999
        else:
            assert np.abs(value - expected).max() / np.abs(expected).max() < 1e-4
