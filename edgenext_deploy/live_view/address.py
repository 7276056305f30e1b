"""Where the page is served: ``[HOST:]PORT``, the names under which it is reached, and the token that guards it."""
import contextlib
import ipaddress
import os
import re
import secrets
import socket
from typing import List, NamedTuple, Optional

from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import shown

TOKEN_VARIABLE = "EDGENEXT_SERVE_TOKEN"
_LOCAL = "127.0.0.1"
_FORM = re.compile(r"(?:(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9.-]{1,253}|\*)):)?(?P<port>[0-9]{1,5})\Z")
# As it stands in an address and in a cookie; short ones can be guessed.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,200}\Z")
_EVERYWHERE = ("0.0.0.0", "::")


class ServeAddress(NamedTuple):
    """Where the server listens.

    Attributes:
        host: name or IP address, without brackets.
        port: 0 for a free one.
    """

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_local_name(self.host)


def authority(host: str, port: int) -> str:
    """Return ``HOST:PORT`` as it stands in an address."""
    return "{}:{}".format("[{}]".format(host) if ":" in host else host, port)


def parse_serve_address(text: str) -> ServeAddress:
    """Return the address that ``[HOST:]PORT`` stands for; without a host it is this machine alone.

    Raises:
        UsageError: not of this form.
    """
    found = _FORM.match(text)
    port = int(found.group("port")) if found else -1
    if found is None or not 0 <= port <= 65535:
        raise UsageError("cannot serve on {}: [HOST:]PORT expected".format(shown(repr(text), 60)),
                         "for example --serve 8080, or --serve 0.0.0.0:8080 for other machines too")
    host = found.group("six") or found.group("name") or _LOCAL
    return ServeAddress("0.0.0.0" if host == "*" else host, port)


def choose_token(address: ServeAddress, given: Optional[str]) -> Optional[str]:
    """Return the token that a viewer needs: the given one, or that of the environment, or a new one.

    Args:
        address: on this machine alone there is none unless it is given.
        given: None if none was given.

    Raises:
        UsageError: a token that cannot stand in an address, or is too short.
    """
    token = given if given is not None else os.environ.get(TOKEN_VARIABLE)
    if token is None:
        return None if address.is_local else secrets.token_urlsafe(18)
    if not _TOKEN.match(token):  # the token itself is not for a log
        raise UsageError("the token for the live page must have 8 to 200 characters, letters, digits and ._~- only",
                         "leave --serve-token out: one is made and printed")
    return token


def is_made(given: Optional[str]) -> bool:
    """Return whether `choose_token` makes the token, so that nobody knows it unless it is printed."""
    return given is None and os.environ.get(TOKEN_VARIABLE) is None


def is_local_name(host: str) -> bool:
    """Return whether a host's name or IP address always means the machine itself."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def names_of_this_machine(address: ServeAddress) -> List[str]:
    """Return the names, lower case, under which other machines may ask for the page; none if they cannot."""
    if address.is_local:
        return []
    name = socket.gethostname().lower()
    short = name.split(".")[0]
    return [address.host.lower(), name, short, short + ".local"]


def page_address(address: ServeAddress, token: Optional[str]) -> str:
    """Return what to type into a browser; where the server listens on every interface, the one that leads out."""
    host = address.host
    if host in _EVERYWHERE:
        host = _outward_address(host) or socket.gethostname()
    query = "" if token is None else "?token=" + token
    return "http://{}/{}".format(authority(host, address.port), query)


def _outward_address(everywhere: str) -> Optional[str]:
    """Return the IP address of the interface that leads to other networks; nothing is sent."""
    six = ":" in everywhere
    with contextlib.suppress(OSError), socket.socket(
            socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Addresses for documentation (RFC 5737, RFC 3849): connecting a datagram socket only chooses a route.
        probe.connect(("2001:db8::1" if six else "192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return None
