"""The rule of counting, and the file of counts: every variant counted again and compared with what was published."""
import dataclasses

import pytest

torch = pytest.importorskip("torch")

from edgenext_deploy import data  # noqa: E402
from edgenext_deploy.models import counts  # noqa: E402
from edgenext_deploy.models.counts import count, count_madds, count_parameters  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402
from edgenext_deploy.models.stored_counts import FILE, stored_counts  # noqa: E402
from edgenext_deploy.models.summary import describe  # noqa: E402
from edgenext_deploy.models.variants.registry import VARIANTS, get_variant  # noqa: E402

# Parameters and fvcore 0.1.5's totals, in millions, of the published EdgeNeXt code, of MobileViT, and, as defined here,
# of MobileViT-v2 and timm's edgenext_small_rw (timm's own pooling and 2-d norms count up to 1.0 M more).
EXPECTED = {
    "xxs": (1327216, 260.576, 199.543),
    "xs": (2336804, 537.996, 411.948),
    "s": (5586832, 1260.589, 965.210),
    "b": (18511292, 3840.925, 2940.846),
    "xxs_bn_hs": (1326184, 259.531, 198.743),
    "xs_bn_hs": (2335008, 535.844, 410.301),
    "s_bn_hs": (5584000, 1257.280, 962.676),
    "mobilevit_xxs": (1272024, 418.184, None),
    "mobilevit_xs": (2317848, 1052.168, None),
    "mobilevit_s": (5578632, 2033.383, None),
    "mobilevitv2_050": (1370593, 480.455, 374.241),
    "mobilevitv2_075": (2866009, 1051.770, 819.458),
    "mobilevitv2_100": (4901841, 1843.810, 1436.740),
    "mobilevitv2_125": (7478089, 2856.576, 2226.087),
    "mobilevitv2_150": (10594753, 4090.067, 3187.499),
    "mobilevitv2_175": (14251833, 5544.283, 4320.975),
    "mobilevitv2_200": (18449329, 7219.225, 5626.516),
    "s_rw": (7826512, 1575.972, 1206.694),
}


def on_meta(name, **options):
    with torch.device("meta"):
        return create_model(name, **options)


@pytest.mark.parametrize("name", EXPECTED)
def test_counts_agree_to_the_last_printed_digit(name):
    parameters, at_256, at_224 = EXPECTED[name]
    stored = stored_counts(get_variant(name))
    assert stored.parameters == parameters
    assert stored.madds["256"] / 1e6 == pytest.approx(at_256, abs=0.00051)
    if at_224 is not None:
        assert stored.madds["224"] / 1e6 == pytest.approx(at_224, abs=0.00051)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_file_has_what_the_module_counts(name):
    assert stored_counts(get_variant(name)) == count(get_variant(name))


def test_the_file_has_exactly_the_variants():
    assert list(data.read_json(FILE)["variants"]) == list(VARIANTS)


@pytest.mark.parametrize("changes", [{"name": "s_new"}, {"name": "xxs_ssdlite", "image_size": 512}])
def test_other_variants_are_counted_on_the_spot(changes):
    variant = dataclasses.replace(get_variant("xxs_ssdlite"), **changes)
    assert stored_counts(variant) is None
    found = describe(variant)
    assert found["parameters"] == stored_counts(get_variant("xxs_ssdlite")).parameters
    assert found["madds"] == count(variant).madds[str(variant.image_size)]


def test_the_command_rewrites_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "VARIANTS", {"xxs": get_variant("xxs")})
    monkeypatch.setattr(data, "path_of", lambda name: str(tmp_path / name))
    counts.main()
    assert data.read_json(FILE)["variants"] == {"xxs": stored_counts(get_variant("xxs"))._asdict()}


def test_counting_leaves_a_real_model_as_it_is():
    model = create_model("xxs_bn_hs")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert count_madds(model, 256, 256) == 259531200
    assert not model.training
    for key, value in model.state_dict().items():
        assert value.device.type == "cpu"
        assert torch.equal(value, before[key])


def test_class_count_changes_only_the_head():
    few, many = on_meta("xxs", num_classes=10), on_meta("xxs")
    assert count_parameters(many) - count_parameters(few) == 990 * (168 + 1)
    assert count_madds(many, 64, 64) - count_madds(few, 64, 64) == 990 * 168


@pytest.mark.parametrize(("layer", "shape", "expected"), [
    (torch.nn.Conv2d(3, 8, 3, padding=1), (4, 6), 3 * 8 * 9 * 4 * 6),
    (torch.nn.LayerNorm(6), (4, 6), 5 * 3 * 4 * 6),
    (torch.nn.GroupNorm(1, 3), (4, 6), 5 * 3 * 4 * 6),
    (torch.nn.BatchNorm2d(3).eval(), (4, 6), 2 * 3 * 4 * 6),
    (torch.nn.Linear(6, 10), (4, 6), 3 * 4 * 6 * 10),
    (torch.nn.GELU(), (4, 6), 0),
])
def test_rule_by_layer(layer, shape, expected):
    assert count_madds(layer, *shape) == expected


def test_products_of_tensors_count():
    class Product(torch.nn.Module):
        def forward(self, x):
            return x @ x.transpose(-2, -1)

    assert count_madds(Product(), 4, 6) == 3 * 4 * 6 * 4
