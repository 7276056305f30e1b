"""Trained networks behind every form of the graph: image for image what PyTorch answers."""
import numpy as np
import pytest
import shapes
import torch
import trained
from exports import quick_export
from PIL import Image
from test_trained_preprocessing import (
    NAMES,
    ONE_THREAD,
    OPTIONS,
    cropped,
    export,
    load,
    photos,  # noqa: F401
    tensor_of,
)

from edgenext_deploy import Classifier, Detector, FeatureExtractor, Segmenter
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.engines.selftest.engine_test import test_engine as run_self_test
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.request import ExportRequest


@pytest.fixture(scope="module")
def truth(photos):  # noqa: F811
    """Return folder, paths, labels, and PyTorch's probabilities `[N, 10]` of the held-out digits."""
    folder, labels = photos
    images = [Image.open(path) for path in labels]
    inputs = torch.stack([tensor_of(cropped(image, trained.SIZE, trained.SIZE, "bicubic")) for image in images])
    with quiet_torch():
        logits = load(trained, "digits", 10)(inputs)
    return str(folder), list(labels), list(labels.values()), logits.softmax(1).numpy(), inputs


def check(engine, truth, tolerance=1e-4):
    """Compare photos, PIL images and the accuracy with PyTorch's."""
    folder, paths, labels, expected, _ = truth
    with Classifier(engine, runtime=ONE_THREAD, top_k=10) as classify:
        for answer, row in zip(classify(paths), expected, strict=True):
            assert answer[0].index == row.argmax()
            assert max(abs(item.probability - row[item.index]) for item in answer) < tolerance
        assert classify(Image.open(paths[0])) == classify(paths[:1])[0]
    right = np.mean(expected.argmax(1) == labels)
    assert right > 0.9
    assert evaluate(engine, data=folder, runtime=ONE_THREAD).engines[0].metrics[0].value == right


@pytest.mark.parametrize("batch", [2, 7])
def test_a_batch_of_digits(truth, tmp_path, batch):
    check(export(tmp_path, trained, "digits", NAMES, batch=batch), truth)


def folder(tmp_path, name):
    made = tmp_path / str(name)
    made.mkdir()
    return made


@pytest.mark.parametrize("name, network", [("shapes_ssdlite", Detector), ("shapes_deeplabv3", Segmenter)])
def test_a_batch_of_scenes_is_each_scene_alone(tmp_path, name, network):
    labels = shapes.SHAPES if network is Detector else ["background", *shapes.SHAPES]
    scenes = [Image.fromarray(image) for image in shapes.held_out_scenes()[0][:5]]
    engines = [export(folder(tmp_path, batch), shapes, name, labels, batch=batch) for batch in (1, 3)]
    with network(engines[0], runtime=ONE_THREAD) as alone, network(engines[1], runtime=ONE_THREAD) as together:
        answers, expected = together(scenes), [alone(scene) for scene in scenes]
    for found, right in zip(answers, expected, strict=True):
        if network is Segmenter:
            assert (found.classes != right.classes).mean() < 1e-3
            continue
        assert [item.index for item in found if item.score > 0.05] == [i.index for i in right if i.score > 0.05]
        assert np.allclose([item[2:] for item in found[:3]], [item[2:] for item in right[:3]], atol=0.05)


@pytest.mark.parametrize("options", [
    {"outputs": "probabilities"}, {"outputs": "probabilities", "batch": 3, "input": "uint8-nhwc"},
    {"input": "uint8"}, {"input": "uint8", "fold_normalization": True}, {"input": "uint8-nhwc"}],
    ids=lambda options: "-".join(map(str, options.values())))
def test_every_form_of_the_graph_answers_as_pytorch(truth, tmp_path, options):
    engine = export(tmp_path, trained, "digits", NAMES, **options)
    found = manifests.read(manifests.manifest_path(engine))
    assert found.schema == 2 and found.parity.max_relative_error < 1e-5
    check(engine, truth)
    # The self-test of a device compares what the graph gives.
    assert run_self_test(engine).self_test.max_relative_error < 1e-5


def test_pixels_take_every_way_to_prepare_them(truth, tmp_path):
    """With BGR planes, another mean, and a border: what is in the graph is not done twice, and not in another order."""
    options, by_hand = OPTIONS["all"]
    engine = export(tmp_path, trained, "digits", NAMES, **{**options, "input": "uint8-nhwc"})
    images = [Image.open(path) for path in truth[1][:20]]
    with quiet_torch():
        expected = load(trained, "digits", 10)(torch.stack([by_hand(image) for image in images])).softmax(1).numpy()
    with Classifier(engine, runtime=ONE_THREAD, top_k=10) as classify:
        assert classify.session.inputs[0] == TensorSpec("image", (1, 64, 64, 3), "uint8")
        for image, row in zip(images, expected, strict=True):
            assert max(abs(item.probability - row[item.index]) for item in classify(image)) < 1e-4


def test_sigmoids_in_the_graph(truth, tmp_path):
    engine = export(tmp_path, trained, "digits", NAMES, outputs="probabilities", activation="sigmoid")
    with quiet_torch():
        expected = load(trained, "digits", 10)(truth[4]).sigmoid().numpy()
    with Classifier(engine, runtime=ONE_THREAD, top_k=10) as classify:
        for answer, row in zip(classify(truth[1]), expected, strict=True):
            assert max(abs(item.probability - row[item.index]) for item in answer) < 1e-4


@pytest.mark.parametrize("variant", ["digits", "digits_bn_hs"])
def test_features_are_pytorchs_and_their_classifier_gives_its_logits(truth, tmp_path, variant):
    with trained.registered():
        result = quick_export(ExportRequest(
            variant, tmp_path, weights=trained.weights_file(variant), image_size=64, outputs="features", batch=4,
            target="onnxruntime"))
    module = load(trained, variant, 10)
    with quiet_torch():
        expected = module.embed(truth[4])
        assert torch.allclose(module.head(expected), module(truth[4]), atol=1e-5)
    assert (result.manifest.task, result.manifest.labels, result.manifest.schema) == ("features", (), 1)
    with FeatureExtractor(result.onnx_path, runtime=ONE_THREAD) as embed:
        found = np.stack(embed(truth[1]))
    assert found.shape == (len(truth[1]), 32)
    assert np.abs(found - expected.numpy()).max() < 1e-4 * np.abs(expected.numpy()).max()


@pytest.mark.parametrize("options", [
    {"outputs": "probabilities"}, {"outputs": "features"}, {"input": "uint8-nhwc"}], ids=lambda o: "-".join(o.values()))
@pytest.mark.parametrize("precision", [{"target": "orin"}, {"target": "thor"}, {"target": "thor", "io": "fp16"}],
                         ids=lambda options: "-".join(options.values()))
def test_fp16(truth, tmp_path, options, precision):
    """In both modes; a typed graph computes in FP16 here too, and most digits stay what they are."""
    with trained.registered():
        result = quick_export(ExportRequest(
            "digits", tmp_path, weights=trained.weights_file("digits"), image_size=64, fp16=True, **options,
            **precision))
    typed = precision["target"] == "thor"
    assert result.manifest.precision.mode == ("typed" if typed else "flag")
    pinned = [name for names in result.manifest.precision.fp32_pins.values() for name in names]
    assert ("softmax" in pinned) == ("outputs" in options and options["outputs"] == "probabilities")
    given = "float16" if "io" in precision else "float32"
    assert result.manifest.outputs[0].dtype == given
    assert result.manifest.inputs[0].dtype == ("uint8" if "input" in options else given)
    network = FeatureExtractor if options.get("outputs") == "features" else Classifier
    with network(result.onnx_path, runtime=ONE_THREAD) as opened:
        answers = opened(truth[1])
    if network is Classifier:
        assert np.mean([answer[0].index == row.argmax() for answer, row in zip(answers, truth[3])]) > 0.97


def test_auto_pin_looks_at_the_logits(truth, tmp_path):
    with trained.registered():
        result = quick_export(ExportRequest(
            "digits", tmp_path, weights=trained.weights_file("digits"), image_size=64, fp16=True, target="thor",
            outputs="probabilities", auto_pin=True, tolerance=0.005))
    assert [node.name for node in result.precision.drift.nodes][-1] == "head.fc"
    assert result.manifest.parity.max_relative_error <= 0.01
