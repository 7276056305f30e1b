"""One logit and classes that do not exclude each other: probabilities are the sigmoid's, and the manifest says so."""
import dataclasses

import numpy as np
import pytest
import torch
from exports import quick_export
from PIL import Image

from edgenext_deploy import Classifier
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.benchmarks.accuracy.classification import ClassificationTask
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models import create_model
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.preprocess.photo import preprocess


@pytest.fixture(scope="module", params=[1, 3])
def module(request):
    return randomise(create_model("xxs", num_classes=request.param), 1).eval()


def photos():
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
        for photo in photos():
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
        assert len({classify(photo)[0].probability for photo in photos()}) == 3
    for scores in (manifests.Scores("tanh"), manifests.Scores("sigmoid", in_graph=True), manifests.Scores("softmax")):
        (tmp_path / "xxs.json").write_bytes(manifests.dump(older._replace(schema=2, scores=scores)))
        with pytest.raises(BadInputError, match="scores cannot be read"):
            Classifier(result.onnx_path)


def test_only_a_classifier_has_an_activation(tmp_path):
    with pytest.raises(UsageError, match="--activation is for classifiers"):
        ExportRequest("s_ssdlite", tmp_path, activation="sigmoid").resolve()


def test_one_class_has_no_accuracy(tmp_path):
    with pytest.raises(UsageError, match="the engine has one class, 'ripe'"):
        ClassificationTask().read_data(str(tmp_path), None, ["ripe"], None)
