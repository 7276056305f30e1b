"""The rows of Tables 7 to 10: parameters and multiply-adds to the last digit, and what each of them is."""
import dataclasses

import pytest

torch = pytest.importorskip("torch")

from edgenext_deploy.data.published import figures  # noqa: E402
from edgenext_deploy.models.counts import count_madds, count_parameters  # noqa: E402
from edgenext_deploy.models.definitions.edgenext import EdgeNeXtBackbone, SDTAEncoder  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402
from edgenext_deploy.models.stored_counts import stored_counts  # noqa: E402
from edgenext_deploy.models.variants.registry import VARIANTS, get_variant  # noqa: E402

S = get_variant("s").config
NO_POSITION = (False,) * 4
# Parameters, and millions at 256 and 224, by fvcore 0.1.5 on the published code where that can express the row.
ROWS = {
    "s_no_sdta": (5099304, 1165.624, 892.502),
    "s_no_sdta_k7": (5082792, 1194.427, 914.555),
    "s_k7": (5577744, 1287.655, 985.932),
    "s_no_branching": (5588592, 1261.195, 965.674),
    "s_no_branching_k579": (5618416, 1265.807, 969.205),
    "s_no_branching_no_pe": (5582352, 1254.903, 960.857),
    "s_no_pe": (5580592, 1254.297, 960.393),
    "s_sdta_0003": (6146760, 1236.993, 947.144),
    "s_sdta_0093": (7016232, 1473.688, 1128.364),
    "s_sdta_0001": (5448456, 1189.413, 910.716),
    "s_sdta_0011": (5545064, 1215.713, 930.852),
    "s_sdta_1111": (5596152, 1300.795, 995.993),
    "s_sdta_first": (5586832, 1260.589, 965.210),
}
# Other readings of what the tables leave open, by config only: parameters, and millions at 256.
READINGS = [
    ({"splits": (2, 2, 2, 2)}, 5585792, 1260.480),
    ({"splits": (3, 3, 3, 3)}, 5586752, 1260.722),
    ({"splits": (4, 4, 4, 4), "position": NO_POSITION}, 5580952, 1254.546),
    ({"sdta_blocks": (1, 1, 1, 1), "position": (True, False, False, False)}, 5593032, 1307.086),
    ({"sdta_blocks": (0, 0, 1, 1), "position": (False, False, True, False)}, 5555464, 1218.334),
    ({"sdta_blocks": (0, 0, 0, 3), "position": (False, False, False, True)}, 6206040, 1240.729),
    ({"heads": (4, 4, 4, 4)}, 5586820, 1266.065),
]


def test_these_are_all():
    assert [name for name, variant in VARIANTS.items() if variant.group == "ablation"] == list(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_row(name):
    # The file's, which test_counts.py counts again.
    stored = stored_counts(get_variant(name))
    parameters, at_256, at_224 = ROWS[name]
    assert stored.parameters == parameters
    assert stored.madds["256"] / 1e6 == pytest.approx(at_256, abs=0.00051)
    assert stored.madds["224"] / 1e6 == pytest.approx(at_224, abs=0.00051)


@pytest.mark.parametrize("changes, parameters, at_256", READINGS)
def test_reading(changes, parameters, at_256):
    variant = dataclasses.replace(get_variant("s"), config=dataclasses.replace(S, **changes))
    with torch.device("meta"):
        model = create_model(variant)
    assert count_parameters(model) == parameters
    assert count_madds(model, 256, 256) / 1e6 == pytest.approx(at_256, abs=0.00051)


@pytest.mark.parametrize("name, top1, latency_us", [
    ("s_no_sdta", 78.3, 265), ("s_no_sdta_k7", 77.9, 301), ("s_no_branching", 79.3, 332),
    ("s_no_branching_no_pe", 79.2, 301), ("s_sdta_0003", 79.3, 303), ("s_sdta_0093", 79.7, 393),
    ("s_sdta_0001", 78.6, 290), ("s_sdta_0011", 79.1, 310), ("s_sdta_1111", 79.2, 387), ("s_sdta_first", 79.0, 332)])
def test_published_figures(name, top1, latency_us):
    assert {figure.value for figure in figures(name, "top1")} == {top1}
    assert {figure.value for figure in figures(name, "a100_latency")} == {latency_us}


@pytest.mark.parametrize("name, places", [
    ("s", [(1, 2), (2, 8), (3, 2)]), ("s_sdta_first", [(1, 0), (2, 0), (3, 0)]), ("s_no_sdta", []),
    ("s_sdta_0003", [(3, 0), (3, 1), (3, 2)]), ("s_sdta_1111", [(0, 2), (1, 2), (2, 8), (3, 2)])])
def test_where_the_sdta_encoders_are(name, places):
    with torch.device("meta"):
        stages = EdgeNeXtBackbone(get_variant(name).config).stages
    assert [(stage, block) for stage, blocks in enumerate(stages) for block, module in enumerate(blocks)
            if isinstance(module, SDTAEncoder)] == places


def test_without_branching_every_channel_is_convolved():
    config = dataclasses.replace(get_variant("xxs").config, branching=False)
    block = EdgeNeXtBackbone(config).stages[2][-1]
    x = torch.randn(1, 88, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.equal(block.split_convs(x)[:, -1], x[:, -1])
        torch.testing.assert_close(block.split_convs(x), block.convs[0](x))
    assert len(block.convs) == 1
