"""A source's address, checked, and as it may be printed; what may be asked for with it."""
import re
from typing import Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.errors import UsageError

_SIDES = (32, 8192)
_RATES = (0.1, 1000.0)
# Up to the last @: a password may hold a / or @ that should have been written as %XX.
_PASSWORD = re.compile(r"(://[^/@:\s]*:)\S*@")
# Many cameras take the password behind the path: ``?user=a&password=b``, ``/user=a_password=b_channel=1``, ``?pwd=b``.
_NAMED_PASSWORD = re.compile(
    r"((?:pass?(?:w(?:or)?d|wort|phrase)?|pswd|psw|pwd|pw|token|secret|auth|key|sig|signature)=)"
    r"[^&\s\"']*?(?=_[A-Za-z]+=|[&\s\"']|$)", re.IGNORECASE)


class Address(NamedTuple):
    """A checked address.

    Attributes:
        kind: name of its kind in `camera.open.SOURCES`, such as ``csi`` or ``rtsp``.
        target: what is opened: a sensor's number, a device, a URL, a path, or a test pattern's size and rate.
        options: what followed a ``?``, for the kinds that take options.
    """

    kind: str
    target: str
    options: Dict[str, str]


def without_password(text: str) -> str:
    """Return an address or pipeline as it may be printed."""
    return _NAMED_PASSWORD.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def without_user(text: str) -> str:
    """Hide all before the last @: in text that is not an address, nobody can say where the password ends."""
    return without_password(re.sub("(:/*|//).*@", r"\1***@", text))


def check_settings(width: Optional[int], height: Optional[int], fps: Optional[float]) -> None:
    """Raise UsageError for a size in pixels or a rate in frames per second that no source could have."""
    _check("width", width, _SIDES)
    _check("height", height, _SIDES)
    _check("fps", fps, _RATES)


def _check(name: str, value: Optional[float], limits: Tuple[float, float]) -> None:
    if value is not None and not limits[0] <= value <= limits[1]:
        raise UsageError("{} must be from {:g} to {:g}, found {:g}".format(name, limits[0], limits[1], value))
