"""JetPack releases: which Jetson Linux (L4T) they are, and what comes with them.

Versions are those pinned by the meta-tegra recipes of each branch (github.com/OE4T/meta-tegra), L4T by JetPack
is from jetson_stats (jtop/core/jetson_variables.py), Python is that of the Ubuntu release.
"""
import re
from typing import NamedTuple, Optional

from edgenext_deploy.machine.versions import version_numbers


class JetPack(NamedTuple):
    """One JetPack release, or several with the same contents.

    Attributes:
        name: the release.
        first: the first Jetson Linux release it stands for, such as ``32.7.1``.
        last: the last.
        python: of the Ubuntu below it; TensorRT's bindings are for this one.
        cuda: version of the toolkit.
        tensorrt: leading numbers of its version.
    """

    name: str
    first: str
    last: str
    python: str
    cuda: str
    tensorrt: str


JETPACKS = (
    JetPack("4.4 DP", "32.4.2", "32.4.2", "3.6", "10.2", "7.1.0"),
    JetPack("4.4", "32.4.3", "32.4.3", "3.6", "10.2", "7.1.3"),
    JetPack("4.4.1", "32.4.4", "32.4.4", "3.6", "10.2", "7.1.3"),
    JetPack("4.5", "32.5.0", "32.5.0", "3.6", "10.2", "7.1.3"),
    JetPack("4.5.1", "32.5.1", "32.5.2", "3.6", "10.2", "7.1.3"),
    JetPack("4.6", "32.6.1", "32.6.1", "3.6", "10.2", "8.0.1"),
    JetPack("4.6.1", "32.7.1", "32.7.1", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.2", "32.7.2", "32.7.2", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.3", "32.7.3", "32.7.3", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.4", "32.7.4", "32.7.4", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.5", "32.7.5", "32.7.5", "3.6", "10.2", "8.2.1"),
    JetPack("4.6.6", "32.7.6", "32.7.6", "3.6", "10.2", "8.2.1"),
    JetPack("5.0 DP", "34.1.0", "34.1.0", "3.8", "11.4", "8.4.0"),
    JetPack("5.0.2", "35.1.0", "35.1.0", "3.8", "11.4", "8.4.1"),
    JetPack("5.1", "35.2.1", "35.2.1", "3.8", "11.4", "8.5.2"),
    JetPack("5.1.1 to 5.1.6", "35.3.0", "35.6.4", "3.8", "11.4", "8.5.2"),
    JetPack("6.0 DP", "36.2.0", "36.2.0", "3.10", "12.2", "8.6.2"),
    JetPack("6.0", "36.3.0", "36.3.0", "3.10", "12.2", "8.6.2"),
    JetPack("6.1", "36.4.0", "36.4.0", "3.10", "12.6", "10.3.0"),
    JetPack("6.2", "36.4.3", "36.4.3", "3.10", "12.6", "10.3.0"),
    JetPack("6.2.1", "36.4.4", "36.4.7", "3.10", "12.6", "10.3.0"),
    JetPack("6.2.2", "36.5.0", "36.5.0", "3.10", "12.6", "10.3.0"),
    JetPack("7.0", "38.2.0", "38.2.99", "3.12", "13.0", "10.13.3"),
    JetPack("7.1", "38.4.0", "38.4.0", "3.12", "13.0", "10.13.3"),
    JetPack("7.2", "39.2.0", "39.2.0", "3.12", "13.2", "10.16.2"),
)


def parse_l4t(text: Optional[str]) -> Optional[str]:
    """Return the Jetson Linux release that /etc/nv_tegra_release names, such as ``32.7.1``."""
    match = re.search(r"R(\d+)\D+REVISION:\s*(\d+(?:\.\d+)*)", text or "")
    return "{}.{}".format(match.group(1), match.group(2)) if match else None


def find_jetpack(l4t: Optional[str]) -> Optional[JetPack]:
    """Return the JetPack of a Jetson Linux release, None for one that is not in the table."""
    if l4t is None:
        return None
    number = version_numbers(l4t, 3)
    return next((row for row in JETPACKS
                 if version_numbers(row.first, 3) <= number <= version_numbers(row.last, 3)), None)
