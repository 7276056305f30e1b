"""Names of parameters: from the layouts of published files to the reference modules' own."""
import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgenext_deploy.errors import BadInputError

OWN = "own"


@dataclass(frozen=True)
class KeyLayout:
    """How one publisher names the parameters of a family.

    Attributes:
        name: such as ``official`` or ``timm``.
        marker: regular expression that is found in a key of every file with this layout, and of no other.
        renames: regular expressions with their replacements, applied to every key one after another. None where the
            reference module has the publisher's names.
        way_out: of a layout that is known but not read: a sentence on how to get a file that is.
    """

    name: str
    marker: str
    renames: tuple[tuple[str, str], ...] = ()
    way_out: str = ""

    def is_of(self, keys: Iterable[str]) -> bool:
        """Say whether keys are named in this layout."""
        return any(map(self.marks, keys))

    def marks(self, key: str) -> bool:
        """Say whether a key has the marker."""
        return re.search(self.marker, key) is not None

    def rename(self, key: str) -> str:
        """Return what the reference module calls a key."""
        for pattern, replacement in self.renames:
            key = re.sub(pattern, replacement, key)
        return key


def to_reference(keys: Iterable[str], layouts: Iterable[KeyLayout]) -> tuple[str, dict[str, str]]:
    """Find the layout of a state dict and what the reference module calls each of its keys.

    A key that belongs to no model is passed on as it is, for the caller to report.

    Args:
        keys: of the file, without the wrappers around the network.
        layouts: of the family; the first whose marker is found is taken.

    Returns:
        The layout's name, ``own`` for the reference module's own names, and a dictionary from the file's keys to the
        reference keys.

    Raises:
        BadInputError: two keys of the file mean the same parameter.
    """
    keys = list(keys)
    layout = next((layout for layout in layouts if not layout.way_out and layout.is_of(keys)), KeyLayout(OWN, ""))
    mapping = {key: layout.rename(key) for key in keys}
    _require_one_to_one(mapping)
    return layout.name, mapping


def _require_one_to_one(mapping: dict[str, str]) -> None:
    first: dict[str, str] = {}
    for key, reference in mapping.items():
        if reference in first:
            raise BadInputError(f"its keys {first[reference]} and {key} both mean {reference}")
        first[reference] = key
