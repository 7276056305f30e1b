"""MobileViT-v2 and timm's edgenext_small_rw: the logits of timm's own definitions, recorded by make_timm_golden.py."""
import dataclasses
import json
import pathlib

import golden_parameters
import numpy as np
import paths
import pytest
from sweeps import sweep

torch = pytest.importorskip("torch")

from edgenext_deploy.errors import UsageError  # noqa: E402
from edgenext_deploy.models.checkpoints.checkpoint import load_checkpoint  # noqa: E402
from edgenext_deploy.models.definitions.config import MobileViTV2Config  # noqa: E402
from edgenext_deploy.models.definitions.edgenext import EdgeNeXtBackbone  # noqa: E402
from edgenext_deploy.models.definitions.mobilevitv2 import MobileViTV2Block  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402
from edgenext_deploy.models.variants.registry import get_variant, list_variants  # noqa: E402

DATA = pathlib.Path(paths.DATA)
SHAPES = json.loads((DATA / "timm_shapes.json").read_text())
GIVEN = np.load(DATA / "timm_given.npz")


@pytest.mark.parametrize("name, size", sweep(
    [(key.rpartition("_")[0], int(key.rpartition("x")[2])) for key in GIVEN],
    always=[("s_rw", 256), ("s_rw", 224), ("mobilevitv2_050", 256), ("mobilevitv2_050", 224)]))
def test_timm_checkpoint_reproduces_timm(name, size, tmp_path):
    path = tmp_path / "timm.pth"
    given = golden_parameters.parameters(SHAPES[name])
    torch.save({"state_dict": {key: torch.from_numpy(value) for key, value in given.items()}}, path)
    assert load_checkpoint(path, variant=name).layout == "timm"
    with torch.no_grad():
        logits = create_model(name, checkpoint=path)(torch.from_numpy(golden_parameters.image(size, size))).numpy()
    expected = GIVEN[f"{name}_{size}x{size}"]
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_widths_are_those_of_the_paper():
    dims = {name: get_variant(name).config.dims for name in list_variants("mobilevitv2_*")}
    assert dims["mobilevitv2_050"] == (16, 32, 64, 128, 192, 256)
    assert dims["mobilevitv2_175"] == (56, 112, 224, 448, 672, 896)
    assert [int(name[-3:]) / 100 for name in dims] == [widths[-1] / 512 for widths in dims.values()]
    assert all(dim % 8 == 0 for widths in dims.values() for dim in widths)


@pytest.mark.parametrize("name, output_stride", [("mobilevitv2_050", 32), ("s_rw", 32), ("s_rw", 16)])
def test_feature_maps_have_the_strides(name, output_stride):
    config = get_variant(name).config
    model = create_model(name) if output_stride == 32 else EdgeNeXtBackbone(config, output_stride).eval()
    with torch.no_grad():
        maps = model.forward_features(torch.zeros(2, 3, 64, 128))
    assert [tuple(feature.shape) for feature in maps] == [
        (2, dim, 64 // stride, 128 // stride) for dim, stride in zip(config.dims[-4:], (4, 8, 16, output_stride))]


def test_maps_of_a_transformer_have_even_sides_as_in_timm():
    with torch.no_grad():
        maps = create_model("mobilevitv2_050").forward_features(torch.zeros(1, 3, 224, 96))
    assert [tuple(feature.shape[2:]) for feature in maps] == [(56, 24), (28, 12), (14, 6), (8, 4)]


def test_it_is_no_backbone_for_the_heads():
    detector = dataclasses.replace(get_variant("xxs_ssdlite"), config=get_variant("mobilevitv2_050").config)
    with pytest.raises(UsageError, match="MobileViT-v2 has no backbone for detectors and segmenters"):
        create_model(detector)


def test_fold_undoes_unfold_and_patches_come_last():
    block = MobileViTV2Block(MobileViTV2Config((8,) * 6, (8,) * 3), 8, 8, 1)
    x = torch.arange(2 * 8 * 4 * 6, dtype=torch.float32).reshape(2, 8, 4, 6)
    patches = block.unfold(x)
    assert patches.shape == (2, 8, 4, 6)
    assert torch.equal(patches[0, 3, 1], x[0, 3, 0::2, 1::2].flatten())
    assert torch.equal(block.fold(patches, 4, 6), x)


@pytest.mark.parametrize("name", ["mobilevitv2_050", "s_rw"])
def test_no_parameter_is_without_effect_in_a_random_model(name):
    model = create_model(name)
    model(torch.from_numpy(golden_parameters.image(96, 96))).square().sum().backward()
    assert [key for key, value in model.named_parameters() if not value.grad.abs().max() > 0] == []
