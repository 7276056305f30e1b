"""What the registry, the counts and the published figures say about a variant, as plain data."""
import dataclasses
from typing import Any

import torch

from edgenext_deploy.models.counts import count_madds, count_parameters
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.models.registry import Variant
from edgenext_deploy.published import figures


def describe(variant: Variant) -> dict[str, Any]:
    """Return one variant as JSON values; `parameters` and `madds*` are counted, not looked up.

    `madds` are those at the variant's own `image_size`; `madds_224` and `madds_256` are None for detectors and
    segmenters. `top1` is the published ImageNet-1k accuracy in percent of the default checkpoint. `published` maps a
    quantity (see `edgenext_deploy.published`) to everything that is published about it.
    """
    with torch.device("meta"):
        model = create_model(variant)
    classifier = variant.task == "classification"
    madds = {size: count_madds(model, size, size) for size in ((224, 256) if classifier else (variant.image_size,))}
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
        "parameters": count_parameters(model),
        "madds": madds[variant.image_size],
        "madds_224": madds.get(224),
        "madds_256": madds.get(256),
        "top1": variant.checkpoints[0].top1 if variant.checkpoints else None,
        "image_size": variant.image_size,
        "crop_pct": variant.crop_pct,
        "published": published,
        "checkpoints": [dataclasses.asdict(checkpoint) for checkpoint in variant.checkpoints],
    }
