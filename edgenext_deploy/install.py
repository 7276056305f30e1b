"""How the project is installed, in one place: every message that tells a user to install it takes it from here."""

import sys
from typing import Sequence

# It is not on PyPI. Once it is, this becomes "edgenext-deploy", and the place in front of the command goes.
PACKAGE = "."
_WHERE = "in the checkout, on a workstation: "


def install_command(extra: str) -> str:
    """Return the words of an error's fix that install the project with one of the extras of setup.cfg."""
    return '{}python3 -m pip install "{}[{}]"'.format(_WHERE, PACKAGE, extra)


def opencv_package(python: Sequence[int] = sys.version_info[:2]) -> str:
    """Return what pip installs OpenCV by; for Python 3.6 it would compile the sources of later releases, for hours.

    Args:
        python: version of the Python that gets it.
    """
    return "opencv-python-headless" + ("<4.7" if tuple(python[:2]) < (3, 7) else "")
