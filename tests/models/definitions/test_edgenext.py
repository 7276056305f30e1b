import json
import pathlib

import golden_parameters
import numpy as np
import paths
import pytest
from sweeps import sweep
from timm_layout import to_timm

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from edgenext_deploy.models.checkpoints.checkpoint import apply, load_checkpoint  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402
from edgenext_deploy.models.variants.registry import get_variant  # noqa: E402

DATA = pathlib.Path(paths.DATA)
SHAPES = json.loads((DATA / "official_shapes.json").read_text())
GIVEN = np.load(DATA / "official_given.npz")


def given_parameters(name):
    return {key: torch.from_numpy(value) for key, value in golden_parameters.parameters(SHAPES[name]).items()}


def assert_reproduces(model, name, size):
    with torch.no_grad():
        logits = model(torch.from_numpy(golden_parameters.image(size, size))).numpy()
    expected = GIVEN[f"{name}_{size}x{size}"]
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", SHAPES)
def test_keys_and_shapes_are_the_official_ones(name):
    with torch.device("meta"):
        model = create_model(name)
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == SHAPES[name]


@pytest.mark.parametrize("name", SHAPES)
def test_official_checkpoint_reproduces_the_published_code(name, tmp_path):
    path = tmp_path / "official.pth"
    torch.save({"model_ema": given_parameters(name)}, path)
    model = create_model(name)
    apply(model, load_checkpoint(path, variant=get_variant(name)))
    for size in (256,) if name == "b" else (256, 224):
        assert_reproduces(model, name, size)


@pytest.mark.parametrize("name", sweep(["xxs", "xs", "s", "b"], always=["xxs"]))
def test_timm_checkpoint_loads_as_the_same_model(name, tmp_path):
    given = given_parameters(name)
    path = tmp_path / "timm.safetensors"
    safetensors_torch.save_file({to_timm(key): value for key, value in given.items()}, path)
    loaded = load_checkpoint(path, variant=get_variant(name))
    assert loaded.layout == "timm"
    assert loaded.state_dict.keys() == given.keys()
    for key, value in given.items():
        assert torch.equal(loaded.state_dict[key], value), key
    if name == "xxs":
        model = create_model(name)
        apply(model, loaded)
        assert_reproduces(model, name, 224)


def test_one_changed_weight_shows_in_the_logits():
    model = create_model("xxs")
    given = given_parameters("xxs")
    given["stages.3.1.xca.temperature"] = given["stages.3.1.xca.temperature"] * 1.5
    model.load_state_dict(given)
    with pytest.raises(AssertionError):
        assert_reproduces(model, "xxs", 256)


@pytest.mark.parametrize("name", ["xxs", "xxs_bn_hs"])
def test_feature_maps_have_strides_4_to_32(name):
    model = create_model(name)
    with torch.no_grad():
        maps = model.forward_features(torch.zeros(2, 3, 96, 160))
    assert [tuple(feature.shape) for feature in maps] == [
        (2, dim, 96 // stride, 160 // stride) for dim, stride in zip(model.config.dims, (4, 8, 16, 32))]


def test_class_count_and_batch():
    with torch.no_grad():
        assert create_model("xxs", num_classes=10)(torch.zeros(3, 3, 32, 64)).shape == (3, 10)


def test_random_parameters_follow_the_seed_and_leave_the_callers_generator_alone():
    before = torch.random.get_rng_state()
    first, again, other = (create_model("xxs", seed=seed).head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not create_model("xxs").training
