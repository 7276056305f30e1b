"""Engines whose graph gives probabilities or features, or takes pixels: run, streamed, tested, and refused."""
import json
import os

import numpy as np
import pytest
from command_lines import run_here
from doubles import gpu, kernel_double
from frame_samples import frame_of, noise, photo
from paths import DATA
from PIL import Image

from edgenext_deploy import Camera, Classifier, FeatureExtractor, Segmenter, open_network
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.data import path_of
from edgenext_deploy.engines.selftest.engine_test import test_engine as run_self_test
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.preprocess.input_form import as_input, image_shape, is_channels_last
from edgenext_deploy.preprocess.photo import normalise, scale_and_crop
from edgenext_deploy.run import cli
from edgenext_deploy.run.views import open_view
from edgenext_deploy.runtime.options import RuntimeOptions

pytest.importorskip("onnxruntime")

TINY, PROBABILITIES, FEATURES, PIXELS, ONE = (os.path.join(DATA, name + ".onnx") for name in (
    "tiny_classifier", "tiny_probabilities", "tiny_features", "tiny_pixels", "tiny_one"))
COFFEE = path_of("photos", "coffee.jpg")
RED = np.full((48, 64, 3), (0, 0, 255), np.uint8)


def same(found, expected, tolerance=1e-5):
    return [item.label for item in found] == [item.label for item in expected] and np.allclose(
        [item.probability for item in found], [item.probability for item in expected], atol=tolerance)


@pytest.mark.parametrize("engine", [PROBABILITIES, PIXELS])
def test_the_answers_are_those_of_the_plain_graph(engine):
    with Classifier(engine, top_k=10) as classify, Classifier(TINY, top_k=10) as plain:
        for source in (RED, COFFEE, Image.open(COFFEE), frame_of("bgr", noise(50, 70))):
            assert same(classify(source), plain(source))
        assert sum(item.probability for item in classify(COFFEE)) == pytest.approx(1.0, abs=1e-5)


def test_what_older_releases_would_ignore_is_schema_2():
    for engine, schema in ((TINY, 1), (PROBABILITIES, 2), (PIXELS, 2), (FEATURES, 1)):
        path = manifests.manifest_path(engine)
        assert manifests.read(path).schema == schema
        with open(path) as stream:
            document = json.load(stream)
        if schema == 2:
            document["schema"] = 1
            with pytest.raises(BadInputError, match="schema 1 with fields of schema 2"):
                manifests.parse(json.dumps(document).encode(), "older.json")


def test_an_embedding_is_a_task_of_its_own():
    with FeatureExtractor(FEATURES) as embed:
        one, other = embed([COFFEE, RED])
        assert one.shape == (3,) and one.dtype == np.float32 and embed.labels == () and embed.batch == 2
        pixels = np.asarray(scale_and_crop(Image.open(COFFEE).convert("RGB"), embed.manifest.preprocessing))
        expected = normalise(pixels.transpose(2, 0, 1)[np.newaxis], embed.manifest.preprocessing).mean((2, 3))[0]
        assert np.allclose(one, expected, atol=1e-5)
        assert other[0] > 2 and other[1] < -1  # of red, green and blue
    with open_network(FEATURES) as network:
        assert isinstance(network, FeatureExtractor)
    for network in (Classifier, Segmenter):
        with pytest.raises(UsageError, match="its manifest says 'features'"):
            network(FEATURES)
    with pytest.raises(UsageError, match="is not a feature extractor"):
        FeatureExtractor(TINY)


def test_edgenext_run_measures_an_embedding(capsys, tmp_path):
    code, out, _ = run_here(capsys, cli.command, "--engine", FEATURES, COFFEE)
    assert code == 0 and "norm" in out and "float32" in out and "│        3 │" in out
    kept = tmp_path / "kept.json"
    code, out, _ = run_here(capsys, cli.command, "--engine", FEATURES, "--json", "--json-file", kept, COFFEE)
    document = json.loads(out)
    assert code == 0 and document["task"] == "features" and json.loads(kept.read_text()) == document
    (image,) = document["images"]
    assert image["dtype"] == "float32" and len(image["features"]) == 3
    assert image["norm"] == pytest.approx(np.linalg.norm(image["features"]))


@pytest.mark.parametrize("option, words", [
    (("--save", "out.png"), "features cannot be drawn"), (("--top-k", "3"), "is a feature extractor"),
    (("--threshold", "0.5"), "is a feature extractor"), (("--labels", "imagenet1k"), "which have none")])
def test_what_makes_no_sense_for_features_is_refused_in_a_line(capsys, option, words):
    code, out, err = run_here(capsys, cli.command, "--engine", FEATURES, COFFEE, *option)
    assert code == 2 and out == "" and words in err and "fix: " in err


def test_features_have_no_accuracy(tmp_path):
    with pytest.raises(UsageError, match="neither right nor wrong"):
        evaluate(FEATURES, data=str(tmp_path))


def test_probabilities_of_a_stream():
    with Classifier(PROBABILITIES) as classify, Camera("synthetic://64x48@100?frames=3&color=blue",
                                                       every_frame=True) as camera:
        assert [result.answer[0].label for result in classify.stream(camera)] == ["blue"] * 3


def saved(folder, name, colors):
    (folder / name).mkdir(parents=True)
    for number, color in enumerate(colors):
        Image.new("RGB", (40, 50), color).save(str(folder / name / (str(number) + ".png")))


# By the network's threshold of 0.75 the last red is none.
REDS, OTHERS = [(255, 0, 0), (230, 30, 20), (150, 60, 60)], [(128, 128, 128), (0, 0, 255), (150, 100, 90)]


def test_one_class_is_measured_at_its_threshold(tmp_path):
    saved(tmp_path, "red", REDS)
    saved(tmp_path, "something else", OTHERS)
    with Classifier(ONE) as classify:
        assert classify.threshold == 0.75
        found = [[classify(Image.new("RGB", (9, 9), color))[0].probability for color in colors]
                 for colors in (REDS, OTHERS)]
    right = [sum(value >= 0.75 for value in found[0]), sum(value < 0.75 for value in found[1])]
    assert right[0] < 3 and right[1] == 3  # or the next lines would say nothing
    (result,) = evaluate(ONE, data=str(tmp_path)).engines
    metrics = {metric.key: metric.value for metric in result.metrics}
    assert metrics == {"accuracy": sum(right) / 6.0, "sensitivity": right[0] / 3.0, "specificity": 1.0}
    saved(tmp_path / "two", "0", OTHERS)
    saved(tmp_path / "two", "1", REDS)
    (again,) = evaluate(ONE, data=str(tmp_path / "two")).engines
    assert again.metrics == result.metrics
    with pytest.raises(BadInputError, match="all images are of 'red'"):
        os.rename(str(tmp_path / "something else"), str(tmp_path / "two" / "2"))
        os.rename(str(tmp_path / "two"), str(tmp_path) + ".two")
        evaluate(ONE, data=str(tmp_path))


def test_edgenext_run_says_whether_the_one_class_is_there(capsys, tmp_path):
    saved(tmp_path, "red", REDS)
    photos = sorted(str(path) for path in (tmp_path / "red").iterdir())
    code, out, _ = run_here(capsys, cli.command, "--engine", ONE, "--json", *photos)
    images = json.loads(out)["images"]
    assert code == 0 and [image["predictions"][0]["present"] for image in images] == [True, True, False]
    code, out, _ = run_here(capsys, cli.command, "--engine", ONE, "--json", "--threshold", "0", *photos)
    assert all(image["predictions"][0]["present"] and image["threshold"] == 0 for image in json.loads(out)["images"])
    code, out, _ = run_here(capsys, cli.command, "--engine", ONE, *photos)
    assert code == 0 and "present" in out and out.count("yes") == 2
    view = open_view(ONE)
    with view.network:
        answers = view.network(photos)
        assert view.headline(answers[0]) == "red 100.0%"
        assert view.headline(answers[2]).startswith("nothing from 75% (best: red ")
        assert view.draw(Image.open(photos[2]), answers[2]).size == (40, 50)


@pytest.mark.parametrize("engine", [PROBABILITIES, PIXELS, FEATURES, ONE])
def test_the_self_test_passes(engine):
    found = run_self_test(engine).self_test
    assert found.ok and found.max_relative_error < 1e-5


def test_both_forms_of_an_input():
    planar, packed = TensorSpec("x", (2, 3, 5, 7), "float32"), TensorSpec("x", (2, 5, 7, 3), "uint8")
    assert (is_channels_last(planar), is_channels_last(packed)) == (False, True)
    assert image_shape(planar) == image_shape(packed) == (2, 3, 5, 7)
    images = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)
    assert as_input(images, planar) is images
    found = as_input(images, packed)
    assert found.dtype == np.uint8 and found.flags.c_contiguous and found[1, 4, 6].tolist() == [139, 174, 209]


def test_an_input_that_its_manifest_does_not_prepare_is_refused(tmp_path):
    from test_classifier import engine_with

    def unfolded(data):
        with open(manifests.manifest_path(PIXELS)) as stream:
            data.update(json.load(stream))
        data["preprocessing"]["folded"] = False

    with pytest.raises(BadInputError, match="graph takes uint8"):
        Classifier(engine_with(tmp_path, unfolded, PIXELS))


def sigmoid_scores(**changes):
    return {"scores": dict({"activation": "sigmoid", "in_graph": False, "threshold": 0.5}, **changes)}


@pytest.mark.parametrize("change, code", [
    ({"outputs": []}, 0), ({"outputs": [{"name": "logits", "shape": [], "dtype": "float32"}]}, 0),  # the graph's count
    (sigmoid_scores(), 0), (sigmoid_scores(threshold=1.5), 3), (sigmoid_scores(threshold=-1), 3),
    (sigmoid_scores(in_graph=True), 3), (sigmoid_scores(activation="tanh"), 3)])
def test_a_manifest_that_cannot_be_is_refused_in_a_line(tmp_path, capsys, change, code):
    from test_classifier import engine_with

    engine = engine_with(tmp_path, lambda data: data.update(change, schema=2))
    found, _, err = run_here(capsys, cli.command, "--engine", engine, COFFEE)
    assert found == code and err.count("error: ") == (code != 0)


@pytest.mark.parametrize("where", ["cpu", "gpu"])
def test_plans(machine, tmp_path, monkeypatch, where):
    if where == "gpu" and kernel_double.COMPILER is None:
        pytest.skip("no g++ to compile the kernels with")
    gpu.add_compiler(monkeypatch, machine, tmp_path)
    frames = [frame_of("bgr", photo("coffee.jpg")), RED, frame_of("bgr", noise(90, 60))]
    options = RuntimeOptions(preprocess_on=where)
    with Classifier(TINY) as plain, FeatureExtractor(FEATURES) as embed:
        expected, embedded = plain(frames), embed(frames)
    for engine in (PROBABILITIES, PIXELS):
        if engine is PIXELS and machine.release == "8.2":
            continue  # which has no uint8
        name = os.path.basename(engine)[:-5]
        with Classifier(gpu.write_plan(tmp_path, machine.release, engine, name), runtime=options) as classify:
            assert all(same(found, right, 0.02) for found, right in zip(classify(frames), expected))
            assert classify.frames.where == where
    with FeatureExtractor(gpu.write_plan(tmp_path, machine.release, FEATURES, "f"), runtime=options) as embed:
        assert np.allclose(embed(frames), embedded, atol=0.02)
    assert machine.allocated_bytes() == 0
