"""The network that ships with its weights: the very file, what it knows, and that no export forgets it."""
import functools
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exports import export, quick_export

from edgenext_deploy import Classifier
from edgenext_deploy.data import path_of
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.precision.emulate import Emulator
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.files import sha256_of_file
from edgenext_deploy.models.checkpoints import download
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.models.torch_session import TorchSession
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.networks.labels import load_labels
from edgenext_deploy.preprocess.photo import preprocess
from edgenext_deploy.runtime.options import RuntimeOptions

SHA256 = "5de3da1fb34c3a1970aab52233028677a99f68b5fd9838b1cce49ab7154f3dd3"
MOST_BYTES = 3e6
RIGHT = 95  # of the 128 held-out pictures, in FP32
LOST_TO_FP16 = 2  # pictures
PER_CLASS = 4
ONE_THREAD = RuntimeOptions(threads=1)
LABELS = load_labels("icons32")
PICTURES = [(path_of("icons", label, "{}.jpg".format(number)), index)
            for index, label in enumerate(LABELS) for number in range(PER_CLASS)]
TRUTH = np.array([index for _, index in PICTURES])


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return export("icons", tmp_path_factory.mktemp("icons"))


@functools.lru_cache(maxsize=None)
def inputs(preprocessing):
    return np.concatenate([preprocess(path, preprocessing) for path, _ in PICTURES])


@pytest.fixture(scope="module")
def expected(engine):
    """Return PyTorch's logits."""
    model = create_model("icons", pretrained=True)
    with quiet_torch(), torch.inference_mode():
        return model(torch.from_numpy(inputs(engine.manifest.preprocessing))).numpy()


def answers(path):
    with Classifier(path, runtime=ONE_THREAD) as classify:
        return np.array([classify(picture)[0].index for picture, _ in PICTURES])


def right(found):
    return int((found == TRUTH).sum())


def test_the_files_are_those_that_sources_md_describes():
    weights = path_of("icons.safetensors")
    assert sha256_of_file(weights) == SHA256 and os.path.getsize(weights) < MOST_BYTES
    assert len(LABELS) == len(set(LABELS)) == get_variant("icons").num_classes == 32
    assert sorted(os.listdir(path_of("icons"))) == sorted(LABELS)
    assert all(len(os.listdir(path_of("icons", label))) == PER_CLASS for label in LABELS)
    assert sum(os.path.getsize(path) for path, _ in PICTURES) < 6e5
    assert SHA256 in Path(path_of("SOURCES.md")).read_text(encoding="utf-8")


def test_an_export_without_options_has_the_trained_weights(engine):
    weights = engine.manifest.weights
    assert not weights.random and weights.source.startswith("bundled icons.safetensors")
    assert engine.manifest.labels == LABELS and engine.manifest.labels_source == "icons32"
    assert engine.manifest.preprocessing[:3] == (96, 96, 1.0)


def test_pretrained_means_the_same_and_fetches_nothing(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_fetched", None)
    manifest = quick_export(ExportRequest("icons", tmp_path, pretrained=True)).manifest
    assert manifest.weights == engine.manifest.weights


def test_eager_pytorch_is_measured_with_the_same_weights(engine):
    session = TorchSession("icons", threads=1)
    assert session.weights.sha256 == engine.manifest.weights.sha256 and not session.weights.random
    assert session.outputs[0].shape == (1, 32)


def test_another_number_of_classes_is_random_and_says_so(tmp_path):
    manifest = quick_export(ExportRequest("icons", tmp_path, num_classes=5)).manifest
    assert manifest.weights.random and manifest.labels == ()


def test_xxs_keeps_its_meaning():
    assert not get_variant("xxs").bundled_weights and get_variant("xxs").labels == "imagenet1k"


def test_it_answers_as_pytorch_does_image_for_image(engine, expected):
    assert right(expected.argmax(1)) == RIGHT
    assert (answers(engine.engine_path) == expected.argmax(1)).all()


def test_emulated_fp16_is_as_good(engine, expected):
    emulator, pins = Emulator(onnx.load(engine.onnx_path)), {}  # every node in FP16
    found = np.concatenate([
        emulator.run(image[np.newaxis], pins, "fp32")["logits"] for image in inputs(engine.manifest.preprocessing)])
    assert right(found.argmax(1)) >= RIGHT - LOST_TO_FP16
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_a_graph_typed_in_fp16_is_as_good(tmp_path):
    typed = export("icons", tmp_path, fp16=True, target="a100")
    assert typed.manifest.precision.mode == "typed" and not typed.manifest.weights.random
    assert right(answers(typed.engine_path)) >= RIGHT - LOST_TO_FP16
