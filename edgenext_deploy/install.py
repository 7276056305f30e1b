"""How the project is installed, in one place: every message that tells a user to install it takes it from here."""

# It is not on PyPI. Once it is, this becomes "edgenext-deploy", and the place in front of the command goes.
PACKAGE = "."
_WHERE = "in the checkout, on a workstation: "


def install_command(extra: str) -> str:
    """Return the words of an error's fix that install the project with one of the extras of setup.cfg."""
    return '{}python3 -m pip install "{}[{}]"'.format(_WHERE, PACKAGE, extra)
