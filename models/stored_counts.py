"""The counts of every registered variant, as `models.counts` has written them down. No torch.

Counting a variant takes about half a second, and a listing has to come at once.
"""
import functools
from typing import NamedTuple

from edgenext_deploy import data
from edgenext_deploy.artifacts import json_records
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.models.registry import Variant

FILE = "counts.json"
REWRITE = "python -m edgenext_deploy.models.counts"


class Counts(NamedTuple):
    """What one variant is made of and costs, with its own number of classes.

    Attributes:
        parameters: see `counts.count_parameters`.
        madds: side of the square input in pixels, as text, to the multiply-adds of one image; see
            `counts.count_madds`.
    """

    parameters: int
    madds: dict[str, int]


def counted_sizes(variant: Variant) -> tuple[int, ...]:
    """Return the image sizes that a variant is counted at: the two usual ones of classifiers, otherwise its own."""
    return (224, 256) if variant.task == "classification" else (variant.image_size,)


def stored_counts(variant: Variant) -> Counts:
    """Return the counts of a variant of the registry.

    Raises:
        BadInputError: the file has none for it, or none for one of `counted_sizes`.
    """
    row = _rows().get(variant.name)
    if row is None or not {str(size) for size in counted_sizes(variant)} <= set(row.madds):
        raise BadInputError(f"{FILE} has no counts of {variant.name!r} at {counted_sizes(variant)}", REWRITE)
    return row


@functools.lru_cache(maxsize=1)
def _rows() -> dict[str, Counts]:
    return {name: json_records.from_json(Counts, row, f"{FILE} row {name}")
            for name, row in data.read_json(FILE)["variants"].items()}
