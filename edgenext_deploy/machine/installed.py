"""Which version of a library is installed, without importing it."""
import importlib.util
import os
import re
from typing import NamedTuple, Optional


class Installed(NamedTuple):
    """An installed library.

    Attributes:
        origin: path of its first file.
        version: by the metadata next to it; None where there is none, or where several contradict each other.
    """

    origin: str
    version: Optional[str]


def find_installed(module: str) -> Optional[Installed]:
    """Return what is installed under a module's name, None if nothing is; the library is not imported."""
    spec = importlib.util.find_spec(module)
    # A namespace without a file is a leftover folder, not the library.
    if spec is None or spec.origin is None or spec.origin == "namespace":
        return None
    folder = os.path.dirname(os.path.dirname(spec.origin))
    pattern = re.compile(re.escape(module) + r"(?:_cu\d+)?-(\d[^-]*?)(?:-py[\d.]+)?\.(?:dist|egg)-info$")
    try:
        names = os.listdir(folder)
    except OSError:  # an archive, or a folder whose modules may be imported and not listed
        names = []
    versions = {match.group(1) for match in map(pattern.match, names) if match}
    return Installed(spec.origin, versions.pop() if len(versions) == 1 else None)
