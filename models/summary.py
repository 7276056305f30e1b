"""What the registry, the counts and the published figures say about a variant, as plain data.

A shipped variant needs no torch; another one is counted on the spot.
"""
import dataclasses
from typing import Any

from edgenext_deploy.commands.entry import require_libraries
from edgenext_deploy.data.published import figures
from edgenext_deploy.models.stored_counts import Counts, stored_counts
from edgenext_deploy.models.variants.registry import Variant


def describe(variant: Variant) -> dict[str, Any]:
    """Return a variant as JSON values.

    `parameters` and `madds*` are counts of the reference module, see `models.counts`. `madds` is the count at the
    variant's own `image_size`; `madds_224` and `madds_256` are None for detectors and segmenters. `top1` is the
    published ImageNet-1k accuracy of the default checkpoint in percent. `published` maps a quantity (see
    `edgenext_deploy.data.published`) to everything that is published about it.

    Raises:
        MissingRuntimeError: a variant that is not shipped, and no torch to count it.
    """
    counts = stored_counts(variant) or _counted(variant)
    classifier = variant.task == "classification"
    published: dict[str, list[dict[str, Any]]] = {}
    for figure in figures(variant.name):
        row = figure._asdict()
        del row["variant"]
        published.setdefault(row.pop("quantity"), []).append(row)
    return {
        "name": variant.name,
        "family": variant.family,
        "task": variant.task,
        "group": variant.group,
        "note": variant.note,
        "parameters": counts.parameters,
        "madds": counts.madds[str(variant.image_size)],
        "madds_224": counts.madds["224"] if classifier else None,
        "madds_256": counts.madds["256"] if classifier else None,
        "top1": variant.checkpoints[0].top1 if variant.checkpoints else None,
        "image_size": variant.image_size,
        "crop_pct": variant.crop_pct,
        "published": published,
        "checkpoints": [dataclasses.asdict(checkpoint) for checkpoint in variant.checkpoints],
    }


def _counted(variant: Variant) -> Counts:
    require_libraries(f"counting {variant.name}", ("torch",))
    from edgenext_deploy.models.counts import count

    return count(variant)
