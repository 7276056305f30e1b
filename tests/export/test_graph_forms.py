"""The options for the form of a graph: what is refused, and what people look for under another name."""
import dataclasses

import numpy as np
import onnx
import pytest
import torch
from command_lines import run_here
from exports import quick_export

from edgenext_deploy.artifacts import golden
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.errors import IncompatibleError, UsageError, VerificationError
from edgenext_deploy.export.checks.parity import compare
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.export.commands.wanted_options import ANSWERS
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.export.verdict.judge import judge
from edgenext_deploy.models import create_model
from edgenext_deploy.models.definitions.edgenext import EdgeNeXt
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.networks.classifier import ACTIVATIONS


@pytest.mark.parametrize("option", sorted(ANSWERS))
def test_an_option_of_another_name_is_answered_in_a_line(capsys, tmp_path, option):
    for words in ((option,), (option + "=1",)):
        code, out, err = run_here(capsys, export_command, "--variant", "xxs", *words, "--output", tmp_path)
        assert code == 2 and out == "" and err.startswith("error: " + option) and "\n  fix: " in err
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option, says", [
    ("--dynamic-batch", "--batch 4"), ("--int8", "sm_53"), ("--softmax", "--outputs")])
def test_the_answer_is_of_use(capsys, option, says):
    assert says in run_here(capsys, export_command, "--variant", "xxs", option)[2]


@pytest.mark.parametrize("options, words", [
    ({"model_or_variant": "s_ssdlite", "outputs": "features"}, "--outputs is for classifiers"),
    ({"model_or_variant": "s_deeplabv3", "outputs": "probabilities"}, "--outputs is for classifiers"),
    ({"outputs": "features", "activation": "sigmoid"}, "--activation is about classes"),
    ({"outputs": "features", "labels": "imagenet1k"}, "--labels is about classes"),
    ({"outputs": "maps"}, "outputs 'maps' found"), ({"input": "int8"}, "input 'int8' found")])
def test_what_does_not_go_together(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        ExportRequest(**{"model_or_variant": "xxs", "output": tmp_path, **options}).resolve()


@pytest.mark.parametrize("form", ["uint8", "uint8-nhwc"])
@pytest.mark.parametrize("target", ["nano", "xavier"])
def test_a_target_without_uint8_is_refused_with_those_that_have_it(tmp_path, target, form):
    with pytest.raises(IncompatibleError, match=rf"target {target} .* does not take pixels as uint8: Cast") as caught:
        ExportRequest("xxs", tmp_path, input=form, target=target).resolve()
    assert "orin" in caught.value.fix and target not in caught.value.fix


def test_the_verdict_says_the_same_of_the_file(tmp_path):
    model = onnx.load(quick_export(ExportRequest(
        "xxs", tmp_path, image_size=64, input="uint8-nhwc", target="onnxruntime")).onnx_path)
    model.opset_import[0].version = 13
    for release, able in (("8.2", False), ("8.5", False), ("8.6", True)):
        found = [finding for finding in judge(model, release).findings
                 if finding.node == "input.cast" and finding.severity == "error"]
        assert (found == []) == able


@pytest.mark.parametrize("variant, folded", [("xxs", True), ("mobilevit_xxs", False)])
def test_the_normalisation_goes_into_the_stem_where_that_is_exact(tmp_path, variant, folded):
    result = quick_export(ExportRequest(
        variant, tmp_path, image_size=64, input="uint8", mean=(0.4, 0.5, 0.6), target="onnxruntime"))
    assert ("input_normalisation_folded" in result.manifest.lowering["rules"]) == folded
    names = {node.name for node in onnx.load(result.onnx_path).graph.node}
    assert ({"input.scale", "input.shift"} <= names) == (not folded) and "input.cast" in names
    if not folded:
        with pytest.raises(UsageError, match="not exact here"):
            quick_export(ExportRequest(variant, tmp_path / "again", image_size=64, input="uint8", mean=(0.4, 0.5, 0.6),
                                       fold_normalization=True, target="onnxruntime"))


@pytest.mark.parametrize("layout", ["nchw", "tokens"])
@pytest.mark.parametrize("variant", ["xs", "xxs_bn_hs", "mobilevit_xxs", "mobilevitv2_050"])
def test_features_of_every_family_and_layout(tmp_path, variant, layout):
    result = quick_export(ExportRequest(
        variant, tmp_path, image_size=64, outputs="features", layout=layout, target="onnxruntime"))
    assert result.manifest.parity.max_relative_error < 1e-5 and result.manifest.parity.top1_agreement == 1
    assert not any(node.name in ("head.fc", "head") for node in onnx.load(result.onnx_path).graph.node)


def test_a_family_without_an_embedding_is_refused(tmp_path):
    class Plain(EdgeNeXt):
        embed = None

    def whole(module, context):
        return lower(module, dataclasses.replace(context, features=False))

    config = get_variant("xxs").config
    with pytest.raises(UsageError, match="Plain has no embedding"):
        quick_export(ExportRequest(Plain(config, 5), tmp_path, image_size=64, outputs="features"))
    with pytest.raises(UsageError, match="lowering of EdgeNeXt has none"):
        quick_export(ExportRequest(EdgeNeXt(config, 5), tmp_path, image_size=64, outputs="features"),
                     lower_module=whole)


def test_probabilities_that_are_not_those_of_the_logits_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "softmax", lambda logits: np.full(len(logits), 1 / len(logits)))
    with pytest.raises(VerificationError, match="probabilities are off the softmax of its logits"):
        quick_export(ExportRequest("xxs", tmp_path, image_size=64, num_classes=5, outputs="probabilities"))
    assert list(tmp_path.iterdir()) == []


def test_a_lowering_that_is_wrong_shows_in_the_logits_of_probabilities(tmp_path):
    def broken(module, context):
        lowered = lower(module, context)
        lowered.head.fc.bias += 0.05
        return lowered

    with pytest.raises(VerificationError, match="parity"):
        quick_export(ExportRequest("xxs", tmp_path, image_size=64, outputs="probabilities"), lower_module=broken)


def test_a_logit_near_zero_is_not_measured_by_itself(tmp_path):
    """Relative to itself, the rounding of such a logit is larger than any tolerance."""
    def answer(value):
        return lambda image: (np.array([[value]], np.float32),)

    images = [np.zeros((1, 3, 8, 8), np.float32)]
    assert compare(answer(1e-4), answer(1.5e-4), images, 1e-4).max_relative_error == pytest.approx(5e-5)
    with pytest.raises(VerificationError, match="parity"):
        compare(answer(1e-4), answer(1e-3), images, 1e-4)
    with pytest.raises(VerificationError, match="parity"):
        compare(answer(200.0), answer(200.1), images, 1e-4)
    assert golden.magnitude(np.array([[1e-4, -2e-4]])) == 2e-4 and golden.magnitude(np.array([[1e-4], [-3.0]])) == 3.0
    module = randomise(create_model("xxs", num_classes=1), 0).eval()
    with torch.no_grad():
        module.head.weight *= 1e-5
        module.head.bias.zero_()
    found = quick_export(ExportRequest(module, tmp_path, image_size=64)).manifest
    assert found.parity.max_relative_error < 1e-5 and found.scores == manifests.Scores("sigmoid")
