"""Figures that others have published about the variants, each with its source and what it means."""
import functools
from typing import NamedTuple, Optional, Tuple

from edgenext_deploy import data
from edgenext_deploy.artifacts import json_records


class PublishedFigure(NamedTuple):
    """One number, as printed there.

    Attributes:
        variant: a name in the registry.
        quantity: ``parameters``, ``madds``, ``top1`` and ``top5`` (ImageNet-1k validation set),
            ``coco_map`` (COCO 2017, box AP), ``voc_miou`` (Pascal VOC validation set), ``nano_latency``,
            ``nano_throughput``, ``a100_latency``, ``a100_throughput_batch1`` or
            ``a100_throughput_batch256``.
        value: in `unit`.
        unit: ``M`` (millions), ``%``, ``ms``, ``us`` or ``images/s``.
        image_size: side of the square input in pixels, None where it does not matter.
        source: who says so, and where.
        note: how it was measured, or what is odd about it.
    """

    variant: str
    quantity: str
    value: float
    unit: str
    image_size: Optional[int]
    source: str
    note: str


@functools.lru_cache(maxsize=None)
def _all() -> Tuple[PublishedFigure, ...]:
    rows = data.read_json("published.json")["rows"]
    return tuple(
        json_records.from_json(PublishedFigure, row, "published.json row {}".format(index))
        for index, row in enumerate(rows))


def figures(variant: Optional[str] = None, quantity: Optional[str] = None) -> Tuple[PublishedFigure, ...]:
    """Return the published figures, of one variant or quantity if given, in the order of the data file."""
    return tuple(
        figure for figure in _all()
        if variant in (None, figure.variant) and quantity in (None, figure.quantity))
