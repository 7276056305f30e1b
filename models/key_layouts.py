"""Names of parameters: from the layouts of published files to the reference modules' own."""
import re
from collections.abc import Iterable

from edgenext_deploy.errors import BadInputError

# The inverse of `checkpoint_filter_fn` in timm 1.0.31 `models/definitions/edgenext.py`, which only renames: no tensor
# of an EdgeNeXt changes its shape between the two layouts. Order matters: the rules apply one after another.
_TIMM_EDGENEXT = tuple((re.compile(pattern), replacement) for pattern, replacement in (
    (r"^stem\.", "downsample_layers.0."),
    (r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
    (r"^stages\.(\d+)\.blocks\.", r"stages.\1."),
    (r"\.conv_dw\.", ".dwconv."),
    (r"\.mlp\.fc([12])\.", r".pwconv\1."),
    (r"^head\.norm\.", "norm."),
    (r"^head\.fc\.", "head."),
))
# Wrappers for parallel training, averaging and compilation put these in front of every key.
_WRAPPERS = ("module.", "_orig_mod.")


def strip_wrappers(key: str) -> str:
    """Return the key without what training wrappers put in front of it."""
    while key.startswith(_WRAPPERS):
        key = key.split(".", 1)[1]
    return key


def to_reference(keys: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Find the layout of a state dict and what the reference module calls each of its keys.

    EdgeNeXt's reference layout is the official one, MobileViT's is timm's, and a detector's or segmenter's is its
    own: nobody has published one. A key that belongs to no model is passed on as it is, for the caller to report.

    Returns:
        The layout, ``official``, ``timm`` or ``own``, and a dictionary from the file's keys to the reference keys.

    Raises:
        BadInputError: two keys of the file mean the same parameter.
    """
    plain = {key: strip_wrappers(key) for key in keys}
    if any(key.startswith("backbone.") for key in plain.values()):
        layout, mapping = "own", plain
    elif any(key.startswith("downsample_layers.") for key in plain.values()):
        layout, mapping = "official", plain
    elif any(key.startswith("stem.0.") or ".blocks." in key for key in plain.values()):
        layout, mapping = "timm", {key: _edgenext_from_timm(name) for key, name in plain.items()}
    else:
        layout, mapping = "timm", plain
    _require_one_to_one(mapping)
    return layout, mapping


def _edgenext_from_timm(key: str) -> str:
    for pattern, replacement in _TIMM_EDGENEXT:
        key = pattern.sub(replacement, key)
    return key


def _require_one_to_one(mapping: dict[str, str]) -> None:
    first: dict[str, str] = {}
    for key, reference in mapping.items():
        if reference in first:
            raise BadInputError(f"its keys {first[reference]} and {key} both mean {reference}")
        first[reference] = key
