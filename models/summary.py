"""What the registry, the counts and the published figures say about a variant, as plain data. No torch."""
import dataclasses
from typing import Any

from edgenext_deploy.data.published import figures
from edgenext_deploy.models.registry import Variant
from edgenext_deploy.models.stored_counts import stored_counts


def describe(variant: Variant) -> dict[str, Any]:
    """Return a registered variant as JSON values.

    `parameters` and `madds*` are counts of the reference module, from the shipped file; see `stored_counts`.
    `madds` are those at the variant's own `image_size`; `madds_224` and `madds_256` are None for detectors and
    segmenters. `top1` is the published ImageNet-1k accuracy in percent of the default checkpoint. `published` maps a
    quantity (see `edgenext_deploy.data.published`) to everything that is published about it.
    """
    counts = stored_counts(variant)
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
