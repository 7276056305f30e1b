"""One logit and classes that do not exclude each other: probabilities are the sigmoid's, and the manifest says so."""
import dataclasses
import json

import numpy as np
import pytest
import torch
import trained
from command_lines import run_here
from exports import quick_export
from PIL import Image
from test_trained_preprocessing import NAMES, cropped, load, photos, tensor_of  # noqa: F401

from edgenext_deploy import Classifier
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.benchmarks.accuracy.class_names import map_presence
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models import create_model
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.run import cli


@pytest.fixture(scope="module", params=[1, 3])
def module(request):
    return randomise(create_model("xxs", num_classes=request.param), 1).eval()


def some_photos():
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, top, (64, 64, 3), dtype=np.uint8)) for top in (10, 100, 254)]


def test_probabilities_are_pytorchs_sigmoid_photo_for_photo(tmp_path, module):
    classes = module.head.out_features
    activation = None if classes == 1 else "sigmoid"
    result = quick_export(ExportRequest(module, tmp_path, image_size=64, activation=activation))
    found = manifests.read(result.manifest_path)
    assert (found.schema, found.scores) == (2, manifests.Scores("sigmoid"))
    assert any("sigmoid" in note for note in result.notes) == (classes == 1)
    with Classifier(result.onnx_path) as classify, torch.inference_mode():
        seen = set()
        for photo in some_photos():
            expected = torch.sigmoid(module(torch.from_numpy(preprocess(photo, found.preprocessing))))[0].double()
            answer = {prediction.index: prediction.probability for prediction in classify(photo)}
            assert [answer[index] for index in range(classes)] == pytest.approx(expected.tolist(), abs=1e-4)
            seen.add(round(answer[0], 6))
    assert len(seen) == 3


def test_a_softmax_is_the_default_of_schema_1_and_refused_for_one_class(tmp_path, module):
    request = ExportRequest(module, tmp_path, image_size=64, activation="softmax")
    if module.head.out_features == 1:
        with pytest.raises(UsageError, match="softmax of one class is 1 for every photo"):
            quick_export(request)
    else:
        result = quick_export(request)
        assert (result.manifest.schema, result.manifest.scores) == (1, None)
        plain = quick_export(dataclasses.replace(request, activation=None, force=True))
        assert plain.manifest == result.manifest


def test_an_older_export_of_one_class_is_a_sigmoid_too(tmp_path, module):
    if module.head.out_features > 1:
        pytest.skip("of one class")
    result = quick_export(ExportRequest(module, tmp_path, image_size=64))
    older = result.manifest._replace(schema=1, scores=None)
    (tmp_path / "xxs.json").write_bytes(manifests.dump(older))
    with Classifier(result.onnx_path) as classify:
        assert len({classify(photo)[0].probability for photo in some_photos()}) == 3
    for scores in (manifests.Scores("tanh"), manifests.Scores("sigmoid", in_graph=True), manifests.Scores("softmax")):
        (tmp_path / "xxs.json").write_bytes(manifests.dump(older._replace(schema=2, scores=scores)))
        with pytest.raises(BadInputError, match="scores cannot be read"):
            Classifier(result.onnx_path)


def test_only_a_classifier_has_an_activation(tmp_path):
    with pytest.raises(UsageError, match="--activation is for classifiers"):
        ExportRequest("s_ssdlite", tmp_path, activation="sigmoid").resolve()


@pytest.mark.parametrize("names, order, present", [
    (["ripe", "green", "rotten"], None, "ripe"), (["Ripe", "other"], None, "Ripe"), (["0", "1"], None, "1"),
    (["no", "yes"], "text", "yes"), (["10", "9"], "natural", "10"), (["10", "9"], "text", "9")])
def test_which_images_show_the_one_class(names, order, present):
    mapping, how = map_presence(names, "ripe", order)
    assert mapping == {name: int(name == present) for name in names} and repr(present) in how


@pytest.mark.parametrize("names, order", [
    (["no", "yes"], None), (["a", "b", "c"], "text"), (["ripe", "Ripe"], None), (["ripe"], None),
    (["2", "3"], "index")])
def test_one_class_is_not_guessed(names, order):
    with pytest.raises(BadInputError, match="the engine has one class, 'ripe'"):
        map_presence(names, "ripe", order)


def ripe_or_not():
    """A trained digits network with one logit: how much more a zero than the mean of the digits."""
    ten = load(trained, "digits", 10)
    with trained.registered():
        one = create_model("digits", num_classes=1)
    state = {**ten.state_dict(), "head.weight": ten.head.weight[:1] - ten.head.weight.mean(0, keepdim=True),
             "head.bias": ten.head.bias[:1] - ten.head.bias.mean(0, keepdim=True)}
    one.load_state_dict(state)
    return one.requires_grad_(False).eval()


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("threshold", [None, 0.9])
def test_the_accuracy_of_one_class_is_pytorchs_at_the_threshold(tmp_path, photos, threshold, in_graph):  # noqa: F811
    folder, truth = photos
    module = ripe_or_not()
    (tmp_path / "one.txt").write_text("zero")
    result = quick_export(ExportRequest(
        module, tmp_path, image_size=64, labels=tmp_path / "one.txt", threshold=threshold,
        mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=1.0, outputs="probabilities" if in_graph else None))
    least = threshold or 0.5
    assert result.manifest.scores == manifests.Scores("sigmoid", in_graph, least)
    inputs = torch.stack([tensor_of(cropped(Image.open(path), 64, 64, "bicubic")) for path in truth])
    found = module(inputs).sigmoid()[:, 0].numpy()
    positive = np.array([label == 0 for label in truth.values()])
    right = (found >= least) == positive
    evaluation = evaluate(result.onnx_path, data=str(folder))
    metrics = {metric.key: metric for metric in evaluation.engines[0].metrics}
    assert metrics["accuracy"].value == right.mean() and metrics["accuracy"].title == f"accuracy at {least:g}"
    assert metrics["sensitivity"].value == right[positive].mean()
    assert metrics["specificity"].value == right[~positive].mean()
    assert (right.mean() < 1) == (threshold is None) and len({round(float(value), 3) for value in found}) > 20
    with Classifier(result.onnx_path) as classify:
        assert classify.threshold == least
        for answer, value in zip(classify(list(truth)), found):
            assert answer[0].probability == pytest.approx(value, abs=1e-4)


def test_edgenext_run_marks_what_is_present(tmp_path, photos, capsys):  # noqa: F811
    paths = list(photos[1])[:6]
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    result = quick_export(ExportRequest(
        load(trained, "digits", 10), tmp_path, image_size=64, labels=tmp_path / "names.txt", activation="sigmoid",
        threshold=0.8, mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=1.0))
    with Classifier(result.onnx_path, top_k=10) as classify:
        expected = classify(paths)
    for option, least in (((), 0.8), (("--threshold", "0.05"), 0.05)):
        code, out, _ = run_here(capsys, cli.command, "--engine", result.onnx_path, "--json", *option, *paths)
        images = json.loads(out)["images"]
        assert code == 0 and all(image["threshold"] == least for image in images)
        for image, answer in zip(images, expected):
            present = [item.label for item in answer if item.probability >= least]
            assert [item["label"] for item in image["predictions"] if item["present"]] == present
            assert len(image["predictions"]) == max(5, len(present))
        assert any(item["present"] for image in images for item in image["predictions"])
    code, out, _ = run_here(capsys, cli.command, "--engine", result.onnx_path, "--top-k", "1", paths[0])
    assert code == 0 and "present" in out
    code, out, _ = run_here(capsys, cli.command, "--engine", result.onnx_path, "--save", tmp_path / "seen", *paths[:2])
    assert code == 0 and len(list((tmp_path / "seen").iterdir())) == 2


def test_a_softmax_has_no_threshold(tmp_path, capsys):
    with pytest.raises(UsageError, match="--threshold is for classes that do not exclude each other"):
        quick_export(ExportRequest("xxs", tmp_path, image_size=64, threshold=0.4))
    with pytest.raises(UsageError, match="--threshold is for classifiers"):
        ExportRequest("s_ssdlite", tmp_path, threshold=0.4).resolve()
    for wrong in (-0.1, 1.5):
        with pytest.raises(UsageError, match=r"threshold .* found, 0.0 to 1.0 expected"):
            ExportRequest("xxs", tmp_path, activation="sigmoid", threshold=wrong).resolve()
    plain = quick_export(ExportRequest("xxs", tmp_path, image_size=64)).onnx_path
    with pytest.raises(UsageError, match="there is no threshold"):
        Classifier(plain, threshold=0.4)
    with pytest.raises(UsageError, match="from 0 to 1"):
        Classifier(plain, threshold=2.0)
    code, _, err = run_here(capsys, cli.command, "--engine", plain, "--threshold", "0.4", "photo.jpg")
    assert code == 2 and "--threshold is for detectors" in err
