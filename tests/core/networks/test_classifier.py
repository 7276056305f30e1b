import json
import os
import shutil

import numpy as np
import pytest
from paths import DATA
from PIL import Image

from edgenext_deploy import Classifier, Prediction
from edgenext_deploy.data import path_of
from edgenext_deploy.errors import BadInputError, UsageError, VerificationError
from edgenext_deploy.files import sha256_of_file
from edgenext_deploy.networks.classifier import softmax
from edgenext_deploy.runtime.options import RuntimeOptions

pytest.importorskip("onnxruntime")

TINY = os.path.join(DATA, "tiny_classifier.onnx")


def engine_with(tmp_path, change, onnx_path=TINY):
    """Copy the tiny network and let `change` edit its manifest's JSON."""
    engine = str(tmp_path / "engine.onnx")
    shutil.copyfile(onnx_path, engine)
    with open(os.path.splitext(TINY)[0] + ".json") as stream:
        data = json.load(stream)
    data["graph"]["sha256"] = sha256_of_file(engine)
    change(data)
    with open(str(tmp_path / "engine.json"), "w") as stream:
        json.dump(data, stream)
    return engine


def frame(red, green, blue):
    """Return a BGR frame of one colour."""
    return np.full((48, 64, 3), (blue, green, red), np.uint8)


@pytest.fixture
def classify():
    with Classifier(TINY) as opened:
        yield opened


@pytest.mark.parametrize("color, name", [
    ((255, 0, 0), "red"), ((0, 255, 0), "green"), ((0, 0, 255), "blue"), ((255, 255, 0), "yellow"),
    ((250, 250, 250), "white"), ((120, 80, 45), "brown"), ((3, 0, 4), "black")])
def test_opencv_frame_is_named_by_its_colour(classify, color, name):
    predictions = classify(frame(*color))
    assert predictions[0].label == name and predictions[0].index == classify.labels.index(name)
    assert isinstance(predictions[0], Prediction) and len(predictions) == 5
    probabilities = [prediction.probability for prediction in predictions]
    assert probabilities == sorted(probabilities, reverse=True) and probabilities[0] > 0.5


def test_channel_order_can_be_rgb():
    with Classifier(TINY, color="rgb") as classify:
        assert classify(frame(255, 0, 0))[0].label == "blue"


def test_pil_image_and_photo_path_know_their_own_order(classify, tmp_path):
    image = Image.new("RGB", (40, 50), (255, 0, 0))
    path = tmp_path / "red.png"
    image.save(str(path))
    expected = classify(frame(255, 0, 0))
    for source in (image, str(path), path):
        assert classify(source) == expected
    assert classify(path_of("photos", "coffee.jpg"))[0].label == "brown"


def test_all_probabilities_sum_to_one_and_match_the_logits():
    with Classifier(TINY, top_k=1000) as classify:
        predictions = classify(frame(130, 90, 40))
        image = np.empty((1, 3, 32, 32), np.float32)
        color = (np.array([130, 90, 40]) / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        image[:] = color.reshape(1, 3, 1, 1)
        logits = classify.session.infer(image)[0].astype(np.float64)
    assert len(predictions) == 10
    assert sum(prediction.probability for prediction in predictions) == pytest.approx(1.0)
    order = np.argsort(-logits)
    assert [prediction.index for prediction in predictions] == order.tolist()
    expected = np.exp(logits) / np.exp(logits).sum()
    found = [prediction.probability for prediction in predictions]
    assert found == pytest.approx(expected[order].tolist(), rel=1e-4)


@pytest.mark.parametrize("top_k", [1, 2, 9, 10])
def test_top_k_is_the_beginning_of_the_full_order(top_k):
    with Classifier(TINY, top_k=10) as all_of_them, Classifier(TINY, top_k=top_k) as classify:
        assert classify(frame(200, 30, 90)) == all_of_them(frame(200, 30, 90))[:top_k]


@pytest.mark.parametrize("top_k", [1, 5, 100, 1000])
def test_best_come_first_among_a_thousand_classes(monkeypatch, top_k):
    logits = (np.random.RandomState(0).permutation(1000) / 100.0).astype(np.float32)[None]
    with Classifier(TINY, top_k=top_k) as classify:
        classify.labels = tuple(str(index) for index in range(1000))
        monkeypatch.setattr(classify.session, "infer_all", lambda image: (logits,))
        found = classify(frame(0, 0, 0))
    assert [prediction.index for prediction in found] == np.argsort(-logits[0])[:top_k].tolist()
    assert [prediction.label for prediction in found] == [str(prediction.index) for prediction in found]


def test_softmax_is_stable_for_large_logits():
    assert softmax(np.array([1e4, 1e4, -1e4], np.float32)).tolist() == [0.5, 0.5, 0.0]
    assert softmax(np.array([65504.0, 0.0], np.float16)).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_error_not_a_prediction(classify, monkeypatch, value):
    logits = np.zeros((1, 10), np.float32)
    logits[0, 3] = value
    monkeypatch.setattr(classify.session, "infer_all", lambda image: (logits,))
    with pytest.raises(VerificationError, match="1 values that are not finite, out of 10"):
        classify(frame(0, 0, 0))


def test_labels_can_be_given(tmp_path):
    names = ["name {}".format(index) for index in range(10)]
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(names))
    for labels in (names, tuple(names), str(path), path):
        with Classifier(TINY, labels=labels) as classify:
            assert classify(frame(255, 0, 0))[0].label == "name 3"


def test_without_any_labels_classes_are_numbered(tmp_path):
    engine = engine_with(tmp_path, lambda data: data.update(labels=[]))
    with Classifier(engine) as classify:
        assert classify(frame(255, 0, 0))[0].label == "class 3"


def test_wrong_number_of_labels_is_bad_input(tmp_path):
    for labels in ("imagenet1k", ["a", "b"]):
        with pytest.raises(BadInputError, match="10 expected"):
            Classifier(TINY, labels=labels)
    with pytest.raises(BadInputError, match="the manifest: 1 labels found, 10 expected"):
        Classifier(engine_with(tmp_path, lambda data: data.update(labels=["only one"])))


def test_random_weights_are_told(classify, tmp_path):
    assert classify.random_weights is False
    with Classifier(engine_with(tmp_path, lambda data: data["weights"].update(random=True))) as random:
        assert random.random_weights is True


def test_timings_are_of_the_last_call(classify):
    assert classify.timings is None
    classify(frame(0, 0, 0))
    first = classify.timings
    assert first.preprocess_ms > 0.0 and first.inference_ms > 0.0
    classify(frame(0, 0, 0))
    assert classify.timings is not first


def test_closed_classifier_cannot_be_used(classify):
    classify.close()
    classify.close()
    with pytest.raises(UsageError, match="closed"):
        classify(frame(0, 0, 0))


def test_bad_arguments_are_usage_errors():
    with pytest.raises(UsageError, match="top_k"):
        Classifier(TINY, top_k=0)
    with pytest.raises(UsageError, match="color"):
        Classifier(TINY, color="hsv")
    with pytest.raises(UsageError, match="threads"):
        Classifier(TINY, runtime=RuntimeOptions(threads=0))


def test_bad_photo_and_frame_leave_the_classifier_usable(classify, tmp_path):
    with pytest.raises(BadInputError):
        classify(str(tmp_path / "none.jpg"))
    with pytest.raises(UsageError):
        classify(np.zeros((3, 3)))
    assert classify(frame(255, 0, 0))[0].label == "red"


def test_engine_without_its_manifest_or_with_another_ones_is_bad_input(tmp_path):
    engine = str(tmp_path / "alone.onnx")
    shutil.copyfile(TINY, engine)
    with pytest.raises(BadInputError, match="manifest not found"):
        Classifier(engine)
    with pytest.raises(BadInputError, match="not the file its manifest describes"):
        Classifier(engine_with(tmp_path, lambda data: data["graph"].update(sha256="0" * 64)))
    with pytest.raises(BadInputError, match="engine not found"):
        Classifier(str(tmp_path / "none.onnx"))


def test_a_file_called_plan_has_to_be_one(tmp_path):
    plan = tmp_path / "engine.plan"
    plan.write_bytes(b"plan")
    engine_with(tmp_path, lambda data: data["graph"].update(sha256=sha256_of_file(str(plan))))
    for trust in (False, True):
        with pytest.raises(BadInputError, match="not a TensorRT plan"):
            Classifier(str(plan), runtime=RuntimeOptions(trust=trust))


def test_manifest_that_prepares_another_size_is_bad_input(tmp_path):
    engine = engine_with(tmp_path, lambda data: data["preprocessing"].update(height=64))
    with pytest.raises(BadInputError, match=r"\[1, 3, 64, 32\].*\[1, 3, 32, 32\]"):
        Classifier(engine)


def changed_onnx(tmp_path, change):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(TINY)
    change(model.graph)
    path = str(tmp_path / "changed.onnx")
    onnx.save(model, path)
    return engine_with(tmp_path, lambda data: None, path)


def test_network_without_class_scores_is_a_usage_error(tmp_path):
    def feature_map(graph):
        del graph.node[2], graph.output[0].type.tensor_type.shape.dim[:]
        graph.output[0].name = "scores"
        for size in (1, 10, 1, 1):
            graph.output[0].type.tensor_type.shape.dim.add().dim_value = size

    with pytest.raises(UsageError, match=r"not a classifier.*\[1, 10, 1, 1\]"):
        Classifier(changed_onnx(tmp_path, feature_map))


def test_committed_network_is_what_its_script_writes(tmp_path):
    pytest.importorskip("onnx")
    import runpy

    runpy.run_path(os.path.join(DATA, "make_tiny.py"))["main"](str(tmp_path))
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(name for name in os.listdir(DATA) if name.startswith("tiny_"))
    for name in written:
        with open(os.path.join(DATA, name), "rb") as stream:
            assert (tmp_path / name).read_bytes() == stream.read()
