"""The page: one HTML file without anything from elsewhere, and the policy that holds it to that."""
import base64
import hashlib
import os
import re
from typing import NamedTuple

_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")


class Page(NamedTuple):
    """The file, and the header ``Content-Security-Policy`` that goes with it."""

    html: bytes
    policy: str


def read_page() -> Page:
    """Return the page. Its policy runs its own script and style, by their digests, and asks this server alone."""
    with open(_PATH, encoding="utf-8") as stream:
        text = stream.read()
    digests = {kind: " ".join("'sha256-{}'".format(base64.b64encode(hashlib.sha256(part.encode("utf-8")).digest())
                                                   .decode("ascii"))
                              for part in re.findall("<{0}>(.*?)</{0}>".format(kind), text, flags=re.S))
               for kind in ("script", "style")}
    return Page(text.encode("utf-8"), (
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src {script}; style-src {style}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'").format(**digests))
