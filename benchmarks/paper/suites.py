"""The tables of the paper as lists of variants, so that each can be measured and printed with the published figures."""
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.data import published
from edgenext_deploy.errors import unknown_name

PAPER = "EdgeNeXt paper"
_COMMENTS = "EdgeNeXt models/model.py, comments"
_README = "EdgeNeXt README"
_US_PER_S = 1e6


class Published(NamedTuple):
    """What was published about one row; None where nothing was.

    The figures are as printed, with 1.30G as 1300 M. `a100_us` is one over the throughput at batch 256, not a latency
    of one image. `sources` says where each of the eight before it is from, in their order: a table of the paper does
    not have them all.
    """

    input_side: Optional[int] = None
    parameters_m: Optional[float] = None
    madds_m: Optional[float] = None
    top1: Optional[float] = None
    coco_map: Optional[float] = None
    voc_miou: Optional[float] = None
    a100_us: Optional[float] = None
    nano_ms: Optional[float] = None
    sources: Tuple[Optional[str], ...] = ()


class SuiteRow(NamedTuple):
    """A row of a published table.

    Attributes:
        label: its name there.
        variant: in the registry; of a network that is not ours, the network's name.
        native: the variant is in the registry.
        image_size: side of the square input in pixels; None for the variant's usual one.
        printed: the figures of the row itself; None to look them up by variant.
    """

    label: str
    variant: str
    native: bool = True
    image_size: Optional[int] = None
    printed: Optional[Published] = None

    @property
    def key(self) -> str:
        """The network and its input: rows that differ in their training alone share a measurement."""
        return "{}_{}".format(self.variant, self.image_size) if self.native and self.image_size else self.variant


class Suite(NamedTuple):
    """A published table that can be measured.

    Attributes:
        name: what ``edgenext-bench table NAME`` takes.
        title: what the table shows.
        source: where it was published; also selects the figures of `published_of`.
        rows: variants in the published order.
        reference: the `SuiteRow.key` that ratios are taken to.
    """

    name: str
    title: str
    source: str
    rows: Tuple[SuiteRow, ...]
    reference: str


def _printed(table: str, *rows: Tuple[Any, ...], quality: str = "top1",
             side: Optional[int] = None) -> Tuple[SuiteRow, ...]:
    """Return rows of label, variant, whether it is native, input, parameters, multiply-adds and `quality`.

    `side` is that of the input of all rows, where the table has no column for it.
    """
    source = "{}, {}".format(PAPER, table)
    made = []
    for label, variant, native, size, parameters, madds, figure in rows:
        figures = Published(None if side else size, parameters, madds)._replace(**{quality: figure})
        made.append(SuiteRow(label, variant, native, size or side, figures._replace(sources=tuple(
            None if value is None else source for value in figures[:-1]))))
    return tuple(made)


def _rows(*pairs: Tuple[str, str]) -> Tuple[SuiteRow, ...]:
    return tuple(SuiteRow(*pair) for pair in pairs)


_SIZES = (("xxs", "XXS"), ("xs", "XS"), ("s", "S"))
_TABLE = (
    Suite("table2", "EdgeNeXt and other light networks on ImageNet-1K", PAPER + ", Table 2", _printed(
        "Table 2",
        ("MobileNetV2", "MobileNetV2", False, 224, 6.9, 585, 74.7),
        ("ShuffleNetV2", "ShuffleNetV2", False, 224, 5.5, 597, 74.5),
        ("MobileNetV3", "MobileNetV3", False, 224, 5.4, 219, 75.2),
        ("T2T-ViT", "T2T-ViT", False, 224, 6.9, 1800, 76.5),
        ("DeiT-T", "DeiT-T", False, 224, 5.7, 1250, 72.2),
        ("MobileFormer", "MobileFormer", False, 224, 9.4, 214, 76.7),
        ("ViT-C", "ViT-C", False, 224, 4.6, 1100, 75.3),
        ("CoaT-Lite-T", "CoaT-Lite-T", False, 224, 5.7, 1600, 77.5),
        ("MobileViT-S", "mobilevit_s", True, 256, 5.6, 2010, 78.4),
        ("EdgeNeXt-S", "s", True, 224, 5.6, 965, 78.8),
        ("EdgeNeXt-S", "s", True, 256, 5.6, 1300, 79.4)), "s_256"),
    Suite("table3", "EdgeNeXt and MobileViT on Jetson Nano and A100", PAPER + ", Table 3", _rows(
        *[("MobileViT-" + size, "mobilevit_" + name) for name, size in _SIZES],
        *[("EdgeNeXt-" + size, name) for name, size in _SIZES]), "s"),
    Suite("table4", "EdgeNeXt-B with and without ImageNet-21K", PAPER + ", Table 4", _printed(
        "Table 4",
        ("ConvNeXt-T", "ConvNeXt-T", False, 224, 28.6, 4500, 82.1),
        ("ConvNeXt-T, ImageNet-21K", "ConvNeXt-T", False, 224, 28.6, 4500, 82.9),
        ("MobileViT-V2", "mobilevitv2_200", True, 256, 18.5, 7500, 81.2),
        ("MobileViT-V2, ImageNet-21K-P", "mobilevitv2_200", True, 256, 18.5, 7500, 82.4),
        ("EdgeNeXt-B", "b", True, 256, 18.5, 3800, 82.5),
        ("EdgeNeXt-B, ImageNet-21K-P", "b", True, 256, 18.5, 3800, 83.3)), "b_256"),
    Suite("table5", "SSDLite detectors on COCO, 320x320", PAPER + ", Table 5", _printed(
        "Table 5",
        ("MobileNetV1", "MobileNetV1", False, None, 5.1, 1300, 22.2),
        ("MobileNetV2", "MobileNetV2", False, None, 4.3, 800, 22.1),
        ("MobileNetV3", "MobileNetV3", False, None, 5.0, 620, 22.0),
        ("MobileViT-S", "mobilevit_s_ssdlite", True, None, 5.7, 3400, 27.7),
        ("EdgeNeXt-S", "s_ssdlite", True, None, 6.2, 2100, 27.9), quality="coco_map", side=320), "s_ssdlite_320"),
    Suite("table6", "DeepLabv3 segmenters on Pascal VOC, 512x512", PAPER + ", Table 6", _printed(
        "Table 6",
        ("MobileNetV1", "MobileNetV1", False, None, 11.1, 14200, 75.3),
        ("MobileNetV2", "MobileNetV2", False, None, 4.5, 5800, 75.7),
        ("MobileViT-S", "mobilevit_s_deeplabv3", True, None, 5.7, 13700, 79.1),
        ("EdgeNeXt-S", "s_deeplabv3", True, None, 6.5, 8700, 80.2), quality="voc_miou", side=512), "s_deeplabv3_512"),
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


def find_row(suite: Suite, name: str) -> SuiteRow:
    """Return the first row of that label or variant, in any case of letters.

    Raises:
        UsageError: there is none; the message suggests the nearest.
    """
    for row in suite.rows:
        if name.lower() in (row.label.lower(), row.variant.lower(), row.key.lower()):
            return row
    raise unknown_name("row of {}".format(suite.name), name, list(dict.fromkeys(row.label for row in suite.rows)))


def published_of(suite: Suite, variant: str) -> Published:
    """Return what was published about a variant, from the suite's own table where that has it."""
    parameters, madds, top1, a100, nano = [_first(variant, quantity, _sources(suite)) for quantity in (
        "parameters", "madds", "top1", "a100_latency", "nano_latency")]
    return Published(None, parameters[0], madds[0], top1[0], None, None, a100[0], nano[0], (
        None, parameters[1], madds[1], top1[1], None, None, a100[1], nano[1]))


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
