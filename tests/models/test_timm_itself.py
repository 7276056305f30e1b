"""Checkpoints that timm saves answer here as they do in timm: its own definitions, run beside ours.

`requirements/timm.txt` installs timm; `make environments` does it.
"""
import exports
import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from golden_parameters import image
from timm_itself import NAMES, timm_model

from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.models.variants.registry import VARIANTS

pytestmark = pytest.mark.real


def saved(variant, path, num_classes=1000):
    """Save a random network of timm's and return it."""
    model = randomise(timm_model(variant, num_classes), seed=7)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(model.state_dict(), path)
    else:
        # As timm's training script does.
        torch.save({"arch": NAMES[variant], "state_dict": model.state_dict()}, path)
    return model


def answer(model, size):
    with torch.no_grad():
        return model(torch.from_numpy(image(size, size))).numpy()


def error(found, expected):
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_these_are_all_of_timm_that_are_here():
    assert {checkpoint.file.split(".")[0] for variant in VARIANTS.values() for checkpoint in variant.checkpoints
            if checkpoint.layout == "timm"} <= set(NAMES.values())
    assert {variant.config for variant in map(VARIANTS.get, NAMES)} == {
        variant.config for variant in VARIANTS.values() if variant.group in ("paper", "baseline")
        and getattr(variant.config, "norm", "layer") == "layer"}


# At 224 the last map has 7x7 pixels, which MobileViT and MobileViT-v2 resize.
@pytest.mark.parametrize("ending, size, num_classes", [(".pth", 256, 1000), (".safetensors", 224, 5)])
@pytest.mark.parametrize("variant", NAMES)
def test_the_loaded_network_is_timms(variant, ending, size, num_classes, tmp_path):
    path = tmp_path / ("weights" + ending)
    expected = answer(saved(variant, path, num_classes), size)
    assert error(answer(create_model(variant, checkpoint=path), size), expected) <= 1e-5


def test_one_changed_weight_would_show(tmp_path):
    path = tmp_path / "weights.pth"
    model = saved("mobilevitv2_050", path, 5)
    with torch.no_grad():
        model.stages[4][1].transformer[0].attn.qkv_proj.weight[0] *= 3
    assert error(answer(create_model("mobilevitv2_050", checkpoint=path), 256), answer(model, 256)) > 1e-4


@pytest.mark.parametrize("variant, target", [
    ("xxs", "nano"), ("s_rw", "onnxruntime"), ("mobilevit_xxs", "nano"), ("mobilevitv2_050", "nano")])
def test_the_exported_graph_is_timms(variant, target, tmp_path):
    path = tmp_path / "weights.safetensors"
    expected = answer(saved(variant, path), 256)
    result = exports.export(variant, tmp_path, weights=str(path), target=target)
    session = onnxruntime.InferenceSession(result.onnx_path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image(256, 256)})
    assert error(found, expected) <= 1e-5
