"""Names of parameters: from the layouts of published files to the reference modules' own."""
import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgenext_deploy.errors import BadInputError

OWN = "own"
# Wrappers for parallel training, averaging and compilation put these in front of every key.
_WRAPPERS = ("module.", "_orig_mod.")


@dataclass(frozen=True)
class KeyLayout:
    """How one publisher names the parameters of a family.

    Attributes:
        name: such as ``official`` or ``timm``.
        marker: regular expression that is found in a key of every file with this layout, and of no other.
        renames: regular expressions with their replacements, applied to every key one after another. None where the
            reference module has the publisher's names.
    """

    name: str
    marker: str
    renames: tuple[tuple[str, str], ...] = ()

    def rename(self, key: str) -> str:
        """Return what the reference module calls a key."""
        for pattern, replacement in self.renames:
            key = re.sub(pattern, replacement, key)
        return key


def to_reference(keys: Iterable[str], layouts: Iterable[KeyLayout]) -> tuple[str, dict[str, str]]:
    """Find the layout of a state dict and what the reference module calls each of its keys.

    A key that belongs to no model is passed on as it is, for the caller to report.

    Args:
        keys: of the file.
        layouts: of the family; the first whose marker is found is taken.

    Returns:
        The layout's name, ``own`` for the reference module's own names, and a dictionary from the file's keys to the
        reference keys.

    Raises:
        BadInputError: two keys of the file mean the same parameter.
    """
    plain = {key: _without_wrappers(key) for key in keys}
    layout = next((layout for layout in layouts
                   if any(re.search(layout.marker, key) for key in plain.values())), KeyLayout(OWN, ""))
    mapping = {key: layout.rename(name) for key, name in plain.items()}
    _require_one_to_one(mapping)
    return layout.name, mapping


def _without_wrappers(key: str) -> str:
    while key.startswith(_WRAPPERS):
        key = key.split(".", 1)[1]
    return key


def _require_one_to_one(mapping: dict[str, str]) -> None:
    first: dict[str, str] = {}
    for key, reference in mapping.items():
        if reference in first:
            raise BadInputError(f"its keys {first[reference]} and {key} both mean {reference}")
        first[reference] = key
