import dataclasses
import subprocess
import sys

import pytest

from edgenext_deploy.data.published import figures
from edgenext_deploy.errors import UsageError
from edgenext_deploy.models.variants.registry import VARIANTS, EdgeNeXtConfig, get_variant

NAMES = [
    "xxs", "xs", "s", "b", "xxs_bn_hs", "xs_bn_hs", "s_bn_hs", "mobilevit_xxs", "mobilevit_xs", "mobilevit_s",
    "mobilevitv2_050", "mobilevitv2_075", "mobilevitv2_100", "mobilevitv2_125", "mobilevitv2_150", "mobilevitv2_175",
    "mobilevitv2_200", "s_rw"]


def test_holds_the_variants_of_the_paper_and_its_baselines():
    assert [name for name, variant in VARIANTS.items() if variant.group in ("paper", "baseline")] == NAMES
    assert {variant.group for variant in VARIANTS.values()} == {"paper", "baseline", "bundled", "task", "ablation"}


@pytest.mark.parametrize("name", VARIANTS)
def test_config_is_consistent(name):
    variant = get_variant(name)
    assert variant.name == name
    assert variant.family == (name.split("_")[0] if name.startswith("mobilevit") else "edgenext")
    assert variant.note or variant.group in ("paper", "baseline")
    config = variant.config
    if isinstance(config, EdgeNeXtConfig):
        for stage in range(4):
            assert config.sdta_blocks[stage] <= config.depths[stage]
            if config.sdta_blocks[stage]:
                assert config.dims[stage] % config.heads[stage] == 0
    elif variant.family == "mobilevit":
        assert all(dim % config.heads == 0 for dim in config.transformer_dims)


@pytest.mark.parametrize("name", NAMES)
def test_records_are_frozen_and_hashable(name):
    variant = get_variant(name)
    assert isinstance(hash(variant), int)
    with pytest.raises(dataclasses.FrozenInstanceError):
        variant.config.dims = ()


def test_checkpoints_have_their_own_cache_names_and_https_addresses():
    checkpoints = [checkpoint for variant in VARIANTS.values() for checkpoint in variant.checkpoints]
    assert len({checkpoint.file for checkpoint in checkpoints}) == len(checkpoints) == 21
    for checkpoint in checkpoints:
        assert checkpoint.url.startswith("https://")
        assert "/" not in checkpoint.file
        assert checkpoint.layout == ("official" if "EdgeNeXt" in checkpoint.url else "timm")


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_of_every_checkpoint_is_among_the_published_figures(name):
    published = {figure.value for figure in figures(name, "top1") if figure.image_size == 256}
    for checkpoint in get_variant(name).checkpoints:
        assert checkpoint.top1 in published


def test_published_figures_are_of_registered_variants():
    assert {figure.variant for figure in figures()} <= set(VARIANTS)
    assert set(NAMES) < {figure.variant for figure in figures()}


@pytest.mark.parametrize(("wrong", "near"), [
    ("xss", "xs"), ("mobilevit_ss", "mobilevit_s"), ("edgenext_xxl", "xxs"), ("s_sdlite", "s_ssdlite"),
    ("mobilevitv2_200.cvnets", "mobilevitv2_200")])
def test_unknown_variant_suggests_the_nearest(wrong, near):
    with pytest.raises(UsageError, match=f"{wrong}.*did you mean '{near}'") as caught:
        get_variant(wrong)
    assert "xxs" in caught.value.fix
    assert caught.value.exit_code == 2


def test_unknown_variant_far_from_all_lists_them():
    with pytest.raises(UsageError) as caught:
        get_variant("resnet50")
    assert "did you mean" not in caught.value.message
    assert [name in caught.value.fix.split(";")[0].split(": ")[1].split(", ") for name in VARIANTS].count(True) == 10
    assert f"edgenext-models lists all {len(VARIANTS)}" in caught.value.fix


@pytest.mark.parametrize(("spelling", "name"), [
    ("s-bn-hs", "s_bn_hs"), ("XXS", "xxs"), ("edgenext_xxs", "xxs"), ("EdgeNeXt-S", "s"), ("edgenext_xx_small", "xxs"),
    ("edgenext_small", "s"), ("edgenext_base", "b"), ("edgenext_s_ssdlite", "s_ssdlite"),
    ("MobileViT-XXS", "mobilevit_xxs"), ("edgenext_small_rw", "s_rw")])
def test_other_spellings_of_a_name_are_understood(spelling, name):
    assert get_variant(spelling).name == name


def test_registry_needs_no_torch():
    code = "import sys, edgenext_deploy.models.variants.registry; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
