"""Every formulation computes what the reference module computes, in FP64 on randomised parameters."""
import functools

import pytest
import torch
from sweeps import sweep

from edgenext_deploy.export.lowering import norms
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.scales import set_scales
from edgenext_deploy.formulations import AXES, candidates_for, parse_formulation
from edgenext_deploy.models.factory import create_model, randomise

TOLERANCE = 1e-12
SIZE = 64
NAMES = sorted({*candidates_for(True, "nchw"), *candidates_for(False, "tokens-attribute")})


@functools.lru_cache(maxsize=None)
def random_model(name):
    return randomise(create_model(name, num_classes=7), seed=3).double().requires_grad_(False)


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def lowered(model, name, batch=2, calibrate=True):
    context = LoweringContext(batch, SIZE, SIZE, parse_formulation(name))
    module = lower(model, context)
    if calibrate:
        set_scales(module, context.scalings, [3 * images(batch, 3, SIZE, SIZE)])
    return module, context


def error(found, expected):
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("variant", sweep(["xxs", "xxs_bn_hs", "mobilevit_xxs", "mobilevitv2_050", "s"],
                                          always=["xxs", "mobilevit_xxs"]))
@pytest.mark.parametrize("name", NAMES)
def test_every_candidate_is_exact(name, variant):
    model, x = random_model(variant), images(2, 3, SIZE, SIZE)
    module, _ = lowered(model, name)
    assert error(module(x), model(x)) < TOLERANCE


def test_every_choice_is_a_candidate_somewhere():
    """A choice that no candidate has would be proved by no test."""
    chosen = {choice for name in NAMES for choice in parse_formulation(name)}
    assert {choice for choices in AXES.values() for choice in choices} - chosen == {"primitives"}


def test_scales_are_powers_of_two_that_leave_room():
    model = random_model("xxs")
    module, context = lowered(model, "nchw-scaled-scores")
    scales = [part.scale * part.taken for part in module.modules() if isinstance(part, norms.ScaledNormalise)]
    assert len(scales) == context.applied["norm_scaled"] == 1 + 3 + 12 + 3 + 1
    assert all(torch.frexp(torch.tensor(scale)).mantissa == 0.5 for scale in scales) and len(set(scales)) > 1

    def hook(part, taken, largest=65504.0 / norms.MARGIN):
        centred = taken[0] * part.scale
        centred = centred - centred.mean(part.axes, keepdim=True)
        assert (taken[0] * part.scale).abs().sum(part.axes).max() <= largest
        assert centred.square().sum(part.axes).max() <= largest / norms.MARGIN

    for part in module.modules():
        if isinstance(part, norms.ScaledNormalise):
            part.register_forward_pre_hook(hook)
    module(3 * images(2, 3, SIZE, SIZE))


@pytest.mark.parametrize("name", ["nchw-scaled", "nchw-scaled-behind"])
def test_a_depthwise_convolution_takes_the_scale_of_the_norm_behind_it(name):
    """Then no multiplication is left in front of the norm."""
    plain, _ = lowered(random_model("xxs"), name, calibrate=False)
    module, _ = lowered(random_model("xxs"), name)
    block, before = module.stages[0][0], plain.stages[0][0]
    norm = block.mlp.norm if name == "nchw-scaled" else block.mlp.pwconv1.norm
    assert norm.scale == 1.0 != norm.taken
    assert torch.equal(block.dwconv.conv.weight, before.dwconv.conv.weight * norm.taken)
    assert torch.equal(block.dwconv.conv.bias, before.dwconv.conv.bias * norm.taken)


def test_rows_of_queries_and_keys_are_scaled_and_values_are_not():
    model = random_model("xxs")
    plain, _ = lowered(model, "nchw-scaled", calibrate=False)
    scaled, _ = lowered(model, "nchw-scaled")
    before, after = (module.stages[2][5].xca.qkv.weight for module in (plain, scaled))
    ratio = (after / before).flatten(1)
    assert torch.equal(ratio, ratio[:, :1].expand_as(ratio))
    channels = len(before) // 3
    assert torch.equal(ratio[2 * channels:], torch.ones_like(ratio[2 * channels:]))
    assert len(set(ratio[:2 * channels, 0].tolist())) > 1


def test_a_norm_of_nothing_but_zeros_is_finite():
    norm = norms.ScaledNormalise((1,), 1e-6, torch.ones(4, dtype=torch.float64))
    scaling = norms.NormScaling(norm)
    zeros = torch.zeros(1, 4, 2, 2, dtype=torch.float64)
    scaling.apply(scaling.measure(zeros))
    assert norm.scale == 1.0 and torch.equal(norm(zeros), zeros)
