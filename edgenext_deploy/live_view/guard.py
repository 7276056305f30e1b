"""Who may look: the host that was asked for, the page that asks, and the token.

A page of somebody else in the same browser must not read the camera: neither through a name of its own that leads to
127.0.0.1 (DNS rebinding; its name is then in ``Host``), nor with a script (``Origin``).
"""
import hmac
import ipaddress
from typing import Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from edgenext_deploy.live_view.address import ServeAddress, is_local_name, names_of_this_machine

_BEARER = "Bearer "


class Refusal(NamedTuple):
    """Why a request is not answered: an HTTP status and a sentence."""

    status: int
    reason: str


class Guard:
    """Decides about requests.

    Args:
        address: where the server listens, with the port that it got.
        token: that a request has to bring; None for none.
    """

    def __init__(self, address: ServeAddress, token: Optional[str]) -> None:
        # Cookies do not tell ports apart: two servers on one machine must not take each other's.
        self.cookie = "edgenext_token_{}".format(address.port)
        self._local = address.is_local
        self._names = set(names_of_this_machine(address))
        self._token = token

    def refusal(self, headers: Mapping[str, str], query_token: Optional[str]) -> Optional[Refusal]:
        """Return why a request is refused, None if it is not.

        Args:
            headers: of the request.
            query_token: the token in its address.
        """
        asked = headers.get("Host", "")
        if not self._is_ours(_host_name(asked)):
            return Refusal(421, "this server does not answer to the name in the Host header")
        origin = headers.get("Origin")
        # The ports of both are those that the browser sees: one may be forwarded to another.
        if origin is not None and origin.lower() not in ("http://" + asked.lower(), "https://" + asked.lower()):
            return Refusal(403, "a page of another origin asked")
        if self._token is not None and not self._has_token(headers, query_token):
            return Refusal(401, "the token is missing or wrong; the command printed it, unless it was chosen")
        return None

    def _is_ours(self, name: str) -> bool:
        """Compare the name alone: the port may be forwarded. An IP address cannot be pointed elsewhere, a name can."""
        if is_local_name(name) or name in self._names:
            return True
        return not self._local and _is_ip_address(name)

    def _has_token(self, headers: Mapping[str, str], query_token: Optional[str]) -> bool:
        assert self._token is not None
        bearer = headers.get("Authorization", "")
        brought = [query_token, bearer[len(_BEARER):] if bearer.startswith(_BEARER) else None,
                   self._cookie_token(headers.get("Cookie", ""))]
        expected = self._token.encode("ascii")
        return any(hmac.compare_digest(token.encode("utf-8", "replace"), expected)
                   for token in brought if token is not None)

    def _cookie_token(self, text: str) -> Optional[str]:
        # Not http.cookies: it undoes quotes, which a token never has, in seconds for a header that is made for that.
        pairs = (part.strip().partition("=") for part in text.split(";"))
        return next((value for name, _, value in pairs if name == self.cookie), None)


def _host_name(authority: str) -> str:
    """Return the name in ``NAME[:PORT]``, lower case, empty if it is none."""
    try:
        parts = urlsplit("//" + authority)
        return "" if parts.username is not None or parts.path or parts.query else parts.hostname or ""
    except ValueError:
        return ""


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
