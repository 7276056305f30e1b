"""The counts of the shipped variants, as `models.counts` has written them down. No torch.

Counting a variant takes about half a second; a listing has to come at once.
"""
import functools
from typing import NamedTuple

from edgenext_deploy import data
from edgenext_deploy.artifacts import json_records
from edgenext_deploy.models.variants.registry import Variant

FILE = "counts.json"


class Counts(NamedTuple):
    """Size and cost of one variant with its own number of classes.

    Attributes:
        parameters: see `counts.count_parameters`.
        madds: multiply-adds of one image by the side of the square input in pixels, as text; see
            `counts.count_madds`.
    """

    parameters: int
    madds: dict[str, int]


def counted_sizes(variant: Variant) -> list[int]:
    """Return the image sizes that a variant is counted at: its own, and for a classifier the two usual ones."""
    return sorted({variant.image_size, *((224, 256) if variant.task == "classification" else ())})


def stored_counts(variant: Variant) -> Counts | None:
    """Return the counts in the file; None if it has none for this variant, or none at one of `counted_sizes`."""
    row = _rows().get(variant.name)
    return row if row is not None and {str(size) for size in counted_sizes(variant)} <= set(row.madds) else None


@functools.lru_cache(maxsize=1)
def _rows() -> dict[str, Counts]:
    return {name: json_records.from_json(Counts, row, f"{FILE} row {name}")
            for name, row in data.read_json(FILE)["variants"].items()}
