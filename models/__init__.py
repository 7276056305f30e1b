"""PyTorch definitions, the registry of variants, checkpoint loading and counts. Importing this loads no torch."""
from typing import TYPE_CHECKING

from edgenext_deploy.lazy_names import lazy_names

if TYPE_CHECKING:
    from edgenext_deploy.models.checkpoints.checkpoint import LoadedWeights, load_backbone, load_checkpoint
    from edgenext_deploy.models.factory import create_model
    from edgenext_deploy.models.variants.families import Family, family_of, register_family
    from edgenext_deploy.models.variants.key_layouts import KeyLayout
    from edgenext_deploy.models.variants.registry import (
        Checkpoint,
        Variant,
        get_variant,
        list_variants,
        register_variant,
    )

__all__ = [
    "Checkpoint", "Family", "KeyLayout", "LoadedWeights", "Variant", "create_model", "family_of", "get_variant",
    "list_variants", "load_backbone", "load_checkpoint", "register_family", "register_variant"]

lazy_names(__name__, {
    "Checkpoint": "edgenext_deploy.models.variants.registry",
    "Family": "edgenext_deploy.models.variants.families",
    "KeyLayout": "edgenext_deploy.models.variants.key_layouts",
    "LoadedWeights": "edgenext_deploy.models.checkpoints.checkpoint",
    "Variant": "edgenext_deploy.models.variants.registry",
    "create_model": "edgenext_deploy.models.factory",
    "family_of": "edgenext_deploy.models.variants.families",
    "get_variant": "edgenext_deploy.models.variants.registry",
    "list_variants": "edgenext_deploy.models.variants.registry",
    "load_backbone": "edgenext_deploy.models.checkpoints.checkpoint",
    "load_checkpoint": "edgenext_deploy.models.checkpoints.checkpoint",
    "register_family": "edgenext_deploy.models.variants.families",
    "register_variant": "edgenext_deploy.models.variants.registry",
}, "export")
