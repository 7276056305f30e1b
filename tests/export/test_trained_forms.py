"""Trained networks behind every form of the graph: image for image what PyTorch answers."""
import numpy as np
import pytest
import shapes
import torch
import trained
from PIL import Image
from test_trained_preprocessing import NAMES, ONE_THREAD, cropped, export, load, photos, tensor_of  # noqa: F401

from edgenext_deploy import Classifier, Detector, Segmenter
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.export.checks.torch_settings import quiet_torch


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
