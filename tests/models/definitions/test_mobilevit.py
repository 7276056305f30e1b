import json
import pathlib

import golden_parameters
import numpy as np
import paths
import pytest

torch = pytest.importorskip("torch")

from edgenext_deploy.models.checkpoints.checkpoint import apply, load_checkpoint  # noqa: E402
from edgenext_deploy.models.definitions.mobilevit import MobileViTBlock  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402
from edgenext_deploy.models.variants.registry import get_variant  # noqa: E402

DATA = pathlib.Path(paths.DATA)
SHAPES = json.loads((DATA / "mobilevit_shapes.json").read_text())
GIVEN = np.load(DATA / "mobilevit_given.npz")


def loaded_model(name, tmp_path):
    given = golden_parameters.parameters(SHAPES[name])
    path = tmp_path / "timm.pth"
    torch.save({"state_dict": {key: torch.from_numpy(value) for key, value in given.items()}}, path)
    model = create_model(name)
    apply(model, load_checkpoint(path, variant=get_variant(name)))
    return model


@pytest.mark.parametrize(("name", "parameters"), [
    ("mobilevit_xxs", 1272024), ("mobilevit_xs", 2317848), ("mobilevit_s", 5578632)])
def test_keys_shapes_and_size_are_those_of_timm(name, parameters):
    with torch.device("meta"):
        model = create_model(name)
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == SHAPES[name]
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("name", SHAPES)
def test_timm_checkpoint_reproduces_timm(name, tmp_path):
    model = loaded_model(name, tmp_path)
    with torch.no_grad():
        logits = model(torch.from_numpy(golden_parameters.image(256, 256))).numpy()
    expected = GIVEN[f"{name}_256x256"]
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_odd_maps_are_resized_as_in_timm(tmp_path):
    # At 224 the last stage has 7x7 pixels. Expected: from timm 1.0.31 with the recipe's parameters and image.
    model = loaded_model("mobilevit_xxs", tmp_path)
    with torch.no_grad():
        logits = model(torch.from_numpy(golden_parameters.image(224, 224)))[0, :8]
    expected = [43.752377, -74.456337, -50.222763, 29.496279, -58.345783, 67.426727, -17.420008, -18.736423]
    assert logits.tolist() == pytest.approx(expected, abs=1e-5 * 150.9)


def test_feature_maps_have_strides_4_to_32():
    model = create_model("mobilevit_xxs")
    with torch.no_grad():
        maps = model.forward_features(torch.zeros(2, 3, 64, 160))
    assert [tuple(feature.shape) for feature in maps] == [
        (2, dim, 64 // stride, 160 // stride) for dim, stride in zip(model.config.dims[2:], (4, 8, 16, 32))]


def test_class_count_and_batch():
    with torch.no_grad():
        assert create_model("mobilevit_xxs", num_classes=7)(torch.zeros(2, 3, 32, 96)).shape == (2, 7)


def test_fold_undoes_unfold_and_tokens_of_a_sequence_share_their_place_in_the_patch():
    block = MobileViTBlock(get_variant("mobilevit_xxs").config, 8, 8, 1)
    x = torch.arange(2 * 8 * 4 * 6, dtype=torch.float32).reshape(2, 8, 4, 6)
    tokens = block.unfold(x)
    assert tokens.shape == (8, 6, 8)
    assert torch.equal(tokens[1], x[0, :, 0::2, 1::2].flatten(1).T)
    assert torch.equal(block.fold(tokens, 4, 6), x)


def test_no_parameter_is_without_effect_in_a_random_model():
    model = create_model("mobilevit_xxs")
    image = torch.from_numpy(golden_parameters.image(64, 64))
    model(image).square().sum().backward()
    idle = [key for key, value in model.named_parameters() if not value.grad.abs().max() > 0]
    assert idle == []
