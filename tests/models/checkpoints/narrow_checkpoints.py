"""Parameters of narrow networks, for tests of what weights files hold."""
import torch

from edgenext_deploy.models.definitions.config import EdgeNeXtConfig, MobileViTConfig, MobileViTV2Config
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.models.variants.reference import reference_module
from edgenext_deploy.models.variants.registry import Variant

SMALL = {"dims": (8, 12, 16, 20), "depths": (1, 1, 2, 1), "heads": (4, 4, 4, 4), "splits": (2, 2, 2, 2)}
NARROW = Variant("narrow", EdgeNeXtConfig(**SMALL))
NARROW_BN = Variant("narrow_bn", EdgeNeXtConfig(**SMALL, norm="batch"))
NARROW_VIT = Variant("narrow_vit", MobileViTConfig((8, 8, 8, 8, 8, 8), (8, 8, 8), 16, expansion=2,
                                                   transformer_depths=(1, 1, 1)))

NARROW_VIT_V2 = Variant("narrow_vit_v2", MobileViTV2Config((8, 8, 8, 8, 8, 8), (8, 8, 8), transformer_depths=(1, 1, 1)))


def parameters(variant=NARROW, seed=1, classes=10):
    return dict(randomise(reference_module(variant, classes), seed).state_dict())


def prefixed(prefix, given):
    return {prefix + key: value for key, value in given.items()}


def without(given, *keys):
    return {key: value for key, value in given.items() if key not in keys}


GIVEN, OTHER = parameters(), parameters(seed=2)
GIVEN_BN, GIVEN_VIT = parameters(NARROW_BN), parameters(NARROW_VIT)
BODY = without(GIVEN, "head.weight", "head.bias")


def assert_same(loaded, expected):
    assert loaded.state_dict.keys() == expected.keys()
    assert [key for key, value in expected.items() if not torch.equal(loaded.state_dict[key], value)] == []
