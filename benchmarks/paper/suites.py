"""The tables of the paper as lists of variants, so that each can be measured and printed with the published figures."""
from typing import Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.data import published
from edgenext_deploy.errors import unknown_name

PAPER = "EdgeNeXt paper"
_COMMENTS = "EdgeNeXt models/model.py, comments"
_README = "EdgeNeXt README"
_US_PER_S = 1e6


class SuiteRow(NamedTuple):
    """A row of a published table: its name there, and the variant in the registry."""

    label: str
    variant: str


class Suite(NamedTuple):
    """A published table that can be measured.

    Attributes:
        name: what ``edgenext-bench table NAME`` takes.
        title: what the table shows.
        source: where it was published; also selects the figures of `published_of`.
        rows: variants in the published order.
        reference: the variant that ratios are taken to.
    """

    name: str
    title: str
    source: str
    rows: Tuple[SuiteRow, ...]
    reference: str


class Published(NamedTuple):
    """What was published about one row; None where nothing was.

    The figures are as printed. `a100_us` is one over the throughput at batch 256, not a latency of one image.
    `sources` says where each of the five is from, in their order: a table of the paper does not have them all.
    """

    parameters_m: Optional[float]
    madds_m: Optional[float]
    top1: Optional[float]
    a100_us: Optional[float]
    nano_ms: Optional[float]
    sources: Tuple[Optional[str], ...]


def _rows(*pairs: Tuple[str, str]) -> Tuple[SuiteRow, ...]:
    return tuple(SuiteRow(*pair) for pair in pairs)


_SIZES = (("xxs", "XXS"), ("xs", "XS"), ("s", "S"))
_TABLE = (
    Suite("table3", "EdgeNeXt and MobileViT on Jetson Nano and A100", PAPER + ", Table 3", _rows(
        *[("MobileViT-" + size, "mobilevit_" + name) for name, size in _SIZES],
        *[("EdgeNeXt-" + size, name) for name, size in _SIZES]), "s"),
    Suite("table7", "Components of EdgeNeXt-S and of its SDTA encoder", PAPER + ", Table 7", _rows(
        ("Base", "s"), ("w/o SDTA encoders", "s_no_sdta"), ("+ w/o adaptive kernels", "s_no_sdta_k7"),
        ("w/o adaptive branching", "s_no_branching"), ("+ w/o position code", "s_no_branching_no_pe")), "s"),
    Suite("table8", "Which blocks of EdgeNeXt-S are SDTA encoders", PAPER + ", Table 8", _rows(
        ("Conv 3,3,9,0, SDTA 0,0,0,3", "s_sdta_0003"), ("Conv 3,3,0,0, SDTA 0,0,9,3", "s_sdta_0093"),
        ("Conv 3,2,8,2, SDTA 0,1,1,1", "s")), "s"),
    Suite("table9", "SDTA encoders stage by stage", PAPER + ", Table 9", _rows(
        ("Conv 3,3,9,3, SDTA 0,0,0,0", "s_no_sdta"), ("Conv 3,3,9,2, SDTA 0,0,0,1", "s_sdta_0001"),
        ("Conv 3,3,8,2, SDTA 0,0,1,1", "s_sdta_0011"), ("Conv 3,2,8,2, SDTA 0,1,1,1", "s"),
        ("Conv 2,2,8,2, SDTA 1,1,1,1", "s_sdta_1111")), "s"),
    Suite("table10", "SDTA encoders first or last in their stages", PAPER + ", Table 10", _rows(
        ("Start of stage", "s_sdta_first"), ("End of stage", "s")), "s"),
    Suite("fig3", "GELU and layer norm against hard-swish and batch norm",
          PAPER + ", Fig. 3; figures from the repository's README and comments", _rows(
              *[row for name, size in _SIZES for row in (
                  ("EdgeNeXt-" + size, name), ("EdgeNeXt-{}, BN and hard-swish".format(size), name + "_bn_hs"))]),
          "s"),
)
SUITES: Dict[str, Suite] = {suite.name: suite for suite in _TABLE}


def get_suite(name: str) -> Suite:
    """Return the suite of that name; ``3`` and ``"Table 3"`` mean ``table3``.

    Raises:
        UsageError: there is none; the message suggests the nearest.
    """
    plain = name.lower().replace(" ", "")
    for known in (plain, "table" + plain):
        if known in SUITES:
            return SUITES[known]
    raise unknown_name("table", name, SUITES)


def published_of(suite: Suite, variant: str) -> Published:
    """Return what was published about a variant, from the suite's own table where that has it."""
    parameters, madds, top1, a100, nano = found = [_first(variant, quantity, _sources(suite)) for quantity in (
        "parameters", "madds", "top1", "a100_latency", "nano_latency")]
    return Published(parameters[0], madds[0], top1[0], a100[0], nano[0], tuple(source for _, source in found))


def _sources(suite: Suite) -> Tuple[str, ...]:
    if suite.name == "fig3":
        return (_README, _COMMENTS, PAPER)
    return (suite.source, PAPER + ", Table 3", PAPER, _README)


def _first(variant: str, quantity: str, sources: Tuple[str, ...]) -> Tuple[Optional[float], Optional[str]]:
    """Return the figure at the variant's usual input and its source, the first that has one."""
    for source in sources:
        for figure in published.figures(variant, quantity):
            if figure.source.startswith(source) and figure.image_size in (None, 256):
                return figure.value, figure.source
        if quantity == "a100_latency" and source == _COMMENTS:
            for figure in published.figures(variant, "a100_throughput_batch256"):
                return _US_PER_S / figure.value, figure.source
    return None, None
