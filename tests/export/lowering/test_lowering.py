"""Each lowering rule, proved in FP64 on randomised parameters, and the whole networks."""
import functools

import pytest
import torch
from sweeps import sweep
from torch import nn

from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.lowering import algebra, edgenext, mobilevit, mobilevitv2
from edgenext_deploy.export.lowering.context import RULES, LoweringContext, activation_op
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.shape_ops import Pad
from edgenext_deploy.formulations import parse_formulation
from edgenext_deploy.models.definitions.edgenext import ConvEncoder, SDTAEncoder
from edgenext_deploy.models.definitions.mobilevit import MobileViTBlock
from edgenext_deploy.models.definitions.mobilevitv2 import MobileViTV2Block
from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.models.variants.registry import VARIANTS

TOLERANCE = 1e-12


@functools.lru_cache(maxsize=None)
def random_model(name, num_classes=7):
    return randomise(create_model(name, num_classes=num_classes), seed=3).double().requires_grad_(False)


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def error(found, expected):
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def context(layout="nchw", padding="node", batch=2, size=64, **options):
    return LoweringContext(batch, size, size, parse_formulation(layout).replaced(padding=padding), **options)


@pytest.fixture(scope="module")
def tensors():
    weight, bias = images(6, 4, 2, 2), images(6)
    return weight, bias, images(4), images(4), images(6), images(6)


def test_affine_before_linear(tensors):
    weight, bias, scale, shift, _, _ = tensors
    weight, x = weight[:, :, 0, 0], images(3, 4)
    folded = algebra.affine_before_linear(weight, bias, scale, shift)
    assert error(nn.functional.linear(x, *folded), nn.functional.linear(x * scale + shift, weight, bias)) < TOLERANCE


@pytest.mark.parametrize("with_bias", [True, False])
def test_affine_before_conv(tensors, with_bias):
    weight, bias, scale, shift, _, _ = tensors
    bias = bias if with_bias else None
    x = images(2, 4, 6, 6)
    moved = x * scale[:, None, None] + shift[:, None, None]
    folded = algebra.affine_before_conv(weight, bias, scale, shift)
    assert error(nn.functional.conv2d(x, *folded), nn.functional.conv2d(moved, weight, bias)) < TOLERANCE


@pytest.mark.parametrize("with_bias", [True, False])
def test_affine_after_conv(tensors, with_bias):
    weight, bias, _, _, scale, shift = tensors
    bias = bias if with_bias else None
    x = images(2, 4, 6, 6)
    expected = nn.functional.conv2d(x, weight, bias, padding=1) * scale[:, None, None] + shift[:, None, None]
    folded = algebra.affine_after_conv(weight, bias, scale, shift)
    assert error(nn.functional.conv2d(x, *folded, padding=1), expected) < TOLERANCE


def test_scale_after_linear(tensors):
    weight, bias, _, _, scale, _ = tensors
    weight, x = weight[:, :, 0, 0], images(3, 4)
    folded = algebra.scale_after_linear(weight, bias, scale)
    assert error(nn.functional.linear(x, *folded), nn.functional.linear(x, weight, bias) * scale) < TOLERANCE


def test_batch_norm_is_an_affine():
    norm = randomise(nn.BatchNorm2d(5), 0).double().eval().requires_grad_(False)
    scale, shift = algebra.batch_norm_affine(norm)
    x = images(2, 5, 3, 3)
    assert error(x * scale[:, None, None] + shift[:, None, None], norm(x)) < TOLERANCE
    with pytest.raises(TypeError, match="LayerNorm"):
        algebra.batch_norm_affine(nn.LayerNorm(5))


@pytest.mark.parametrize("layout", ["nchw", "tokens"])
@pytest.mark.parametrize("name", ["xxs", "xxs_bn_hs"])
@pytest.mark.parametrize("stage", range(4))
def test_blocks_one_by_one(name, stage, layout):
    model = random_model(name)
    size, channels = 8, model.config.dims[stage]
    for block in model.stages[stage]:
        what = context(layout)
        cls = edgenext.LoweredSDTAEncoder if isinstance(block, SDTAEncoder) else edgenext.LoweredConvEncoder
        with torch.no_grad():
            lowered = cls(block, (size, size), what)
        x = images(2, channels, size, size)
        stream = what.to_tokens(channels, (size, size))(x)
        found = what.to_map(channels, (size, size))(lowered(stream))
        assert error(found, block(x)) < TOLERANCE


@pytest.mark.parametrize("layout", ["nchw", "tokens"])
@pytest.mark.parametrize("name", ["xxs", "xxs_bn_hs"])
def test_stem_downsample_and_head(name, layout):
    model, what, x = random_model(name), context(layout), images(2, 3, 64, 64)
    with torch.no_grad():
        stem = edgenext.lower_stem(model.downsample_layers[0], (16, 16), what)
        down = edgenext.lower_downsample(model.downsample_layers[1], (8, 8), what)
        head = edgenext.LoweredHead(model, (4, 4), what)
    dims = model.config.dims
    assert error(what.to_map(dims[0], (16, 16))(stem(x)), model.downsample_layers[0](x)) < TOLERANCE
    x = images(2, dims[0], 16, 16)
    found = what.to_map(dims[1], (8, 8))(down(what.to_tokens(dims[0], (16, 16))(x)))
    assert error(found, model.downsample_layers[1](x)) < TOLERANCE
    x = images(2, dims[3], 4, 4)
    pooled = model.norm(x).mean((2, 3)) if name.endswith("hs") else model.norm(x.mean((2, 3)))
    assert error(head(what.to_tokens(dims[3], (4, 4))(x)), model.head(pooled)) < TOLERANCE


@pytest.mark.parametrize("layout", ["nchw", "tokens"])
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (7, 10)])
def test_mobilevit_blocks(layout, size):
    model, what = random_model("mobilevit_xxs"), context(layout)
    blocks = [block for stage in model.stages for block in stage if isinstance(block, MobileViTBlock)]
    for block in blocks:
        x = images(2, block.conv_kxk.conv.in_channels, *size)
        with torch.no_grad():
            lowered = mobilevit.LoweredMobileViTBlock(block, size, what)
        assert error(lowered(x), block(x)) < TOLERANCE
    assert (what.applied["resize_as_matmul"] > 0) == (size != (8, 8))


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (7, 10)])
def test_mobilevitv2_blocks(size):
    model, what = random_model("mobilevitv2_050"), context()
    blocks = [block for stage in model.stages for block in stage if isinstance(block, MobileViTV2Block)]
    for block in blocks:
        x = images(2, block.conv_kxk.conv.in_channels, *size)
        with torch.no_grad():
            lowered = mobilevitv2.LoweredMobileViTV2Block(block, size, what)
        assert error(lowered(x), block(x)) < TOLERANCE
        assert lowered.size == tuple(block(x).shape[2:])
    assert (what.applied["resize_as_matmul"] > 0) == (size != (8, 8))
    assert what.applied["key_behind_sum"] == 2 + 4 + 3


@pytest.mark.parametrize("layout, padding", [("nchw", "node"), ("tokens", "attribute")])
@pytest.mark.parametrize("name", sweep(
    [name for name, variant in VARIANTS.items() if variant.group in ("paper", "baseline") and name != "b"],
    always=["xxs", "s", "xxs_bn_hs", "mobilevit_xxs", "s_rw", "mobilevitv2_050"]))
def test_whole_networks(name, layout, padding):
    model, what, x = random_model(name), context(layout, padding, batch=1), images(1, 3, 64, 64)
    assert error(lower(model, what)(x), model(x)) < TOLERANCE
    assert set(what.applied) <= set(RULES)


@pytest.mark.parametrize("name, shape", [
    ("xxs", (32, 32)), ("xxs", (96, 64)), ("xxs", (224, 320)), ("s_rw", (70, 101)), ("mobilevit_xxs", (70, 101)),
    ("mobilevitv2_050", (70, 101))])
def test_other_input_sizes(name, shape):
    model = random_model(name)
    x = images(1, 3, *shape)
    assert error(lower(model, LoweringContext(1, *shape, parse_formulation("tokens")))(x), model(x)) < TOLERANCE


def test_position_code_is_checked_at_a_size_where_rows_and_columns_differ():
    model = random_model("xxs")
    with torch.no_grad():
        code = model.stages[1][1].pos_embd(4, 6)
    assert code.shape == (1, 48, 4, 6)
    assert error(code[:, :, :, 0], code[:, :, :, 1]) > 1e-3
    assert error(code[:, :, 0], code[:, :, 1]) > 1e-3


@pytest.mark.parametrize("name, refused", [("xxs", False), ("xxs_bn_hs", False), ("mobilevit_xxs", True),
                                           ("mobilevitv2_050", True), ("s_rw", True)])
def test_input_normalisation_folds_only_where_it_is_exact(name, refused):
    model, pixels = random_model(name), images(2, 3, 64, 64).abs() * 60
    scale = torch.tensor([0.017, 0.018, 0.019], dtype=torch.float64)
    shift = torch.tensor([-2.1, -2.0, -1.8], dtype=torch.float64)
    what = context(input_affine=(scale, shift))
    if refused:
        with pytest.raises(UsageError, match="padded"):
            lower(model, what)
        shift = torch.zeros(3, dtype=torch.float64)
        what = context(input_affine=(scale, shift))
    expected = model(pixels * scale[:, None, None] + shift[:, None, None])
    assert error(lower(model, what)(pixels), expected) < TOLERANCE
    assert what.applied["input_normalisation_folded"] == 1


def test_only_the_9x9_convolutions_get_a_pad_node():
    model = random_model("s")
    pads = {name for name, module in lower(model, context("nchw", "node")).named_modules() if isinstance(module, Pad)}
    assert pads == {"stages.3.0.dwconv.pad", "stages.3.1.dwconv.pad"}
    assert not [m for m in lower(model, context("nchw", "attribute")).modules() if isinstance(m, Pad)]


def test_the_reference_module_is_left_alone():
    model = create_model("xxs", num_classes=7)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    lower(model, context())
    assert all(torch.equal(before[key], value) and value.dtype == before[key].dtype
               for key, value in model.state_dict().items())


def test_every_rule_fires_somewhere():
    fired = set()
    for name in ("xxs", "xxs_bn_hs", "mobilevit_xxs", "mobilevit_xxs_ssdlite", "mobilevit_xxs_deeplabv3",
                 "mobilevitv2_050"):
        for layout in ("nchw", "tokens", "nchw-matmul-scaled-scores", "nchw-onepass", "tokens-instance",
                       "nchw-channelslast", "nchw-behind"):
            affine = (torch.ones(3).double(), torch.zeros(3).double())
            what = context(layout, size=224, input_affine=affine)
            lower(random_model(name), what)
            fired |= set(what.applied)
    embedding = context(features=True)
    lower(random_model("xxs"), embedding)
    assert fired | set(embedding.applied) == set(RULES)


def test_what_no_rule_knows_is_refused():
    with pytest.raises(TypeError, match="Tanh"):
        activation_op(nn.Tanh())
    with pytest.raises(TypeError, match="tanh"):
        activation_op(nn.GELU(approximate="tanh"))
    with pytest.raises(TypeError, match="Linear"):
        lower(nn.Linear(2, 2), context())
    assert isinstance(random_model("xxs").stages[0][0], ConvEncoder)
