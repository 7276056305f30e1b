"""One file over https: every redirect checked, bounded in bytes and in time, resumed where it broke."""
import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.files import shown
from edgenext_deploy.models.checkpoints.partial_file import PartialFile, cache_errors

MOST_BYTES = 1 << 30
# Of one address. A slow line gets further each time, because the next run resumes.
_DEADLINE_S = 900.0
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 18
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)


class BrokenTransferError(Exception):
    """The transfer did not end well; what came is right as far as it goes."""


class NoAnswerError(MissingRuntimeError):
    """The network or the server gives nothing at the moment; what an earlier transfer left is as good as before."""


def transfer(
    url: str, file: PartialFile, *, allow_localhost: bool, advance: Callable[[int, int], None],
) -> str:
    """Write what `url` holds to a file, going on behind what an earlier transfer left there.

    Args:
        url: where the file is published.
        file: what has come so far.
        allow_localhost: also take plain http, from this machine only.
        advance: called with the bytes that are there and those that are expected.

    Returns:
        The SHA-256 that the publisher's server announced, 64 hexadecimal digits; empty where it announced none.

    Raises:
        UsageError: the address is not https.
        MissingRuntimeError: no such file, or an answer that is not a file.
        NoAnswerError: no network, or a server that fails.
        BrokenTransferError: the connection ended too early or took too long.
    """
    require_https(url, allow_localhost, UsageError)
    tag, there = file.left_over(url)
    watch = _Watch(_DEADLINE_S)
    with _errors(url, watch), watch:
        response, headers = _open(url, watch, {"Range": f"bytes={there}-", "If-Range": tag} if there else {},
                                  allow_localhost)
        with response:
            watch.check()
            resumed = response.status == 206
            there = there if resumed else 0
            total = _total(url, response, there)
            with cache_errors(file.path):
                file.start(there)
            tag = response.headers.get("ETag") or ""
            # A transfer can only be gone on with behind a strong tag, in a file of known length.
            resumable = tag.startswith('"') and total is not None
            received = there
            try:
                for chunk in iter(lambda: response.read1(_CHUNK_BYTES), b""):
                    received += len(chunk)
                    if received > (MOST_BYTES if total is None else total):
                        raise _answered(url, f"more than {total or MOST_BYTES} bytes")
                    with cache_errors(file.path):
                        file.stream.write(chunk)
                        if resumable and received != total:
                            file.keep(url, tag)
                    advance(received, total or 0)
                watch.check()
                if total is not None and received != total:
                    raise BrokenTransferError(f"{received} bytes of {total} came")
            except BaseException:
                if resumable and received != total:
                    with contextlib.suppress(OSError, UsageError):
                        file.keep(url, tag, at_once=True)
                raise
    linked = (headers.get("X-Linked-Etag") or "").strip('"').lower()  # the hub of timm's weights
    return linked if re.fullmatch("[0-9a-f]{64}", linked) else ""


def require_https(url: str, allow_localhost: bool, kind: type[UsageError] | type[MissingRuntimeError]) -> None:
    """Raise an error of that kind unless `url` is a well-formed https address."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise kind(f"{shown(url)} is no address: {error}") from error
    local = allow_localhost and parts.scheme == "http" and host in ("127.0.0.1", "localhost")
    if not host or (parts.scheme != "https" and not local):
        raise kind(f"weights are only downloaded over https, {shown(url)} found")


def _open(
    url: str, watch: "_Watch", headers: Mapping[str, str], allow_localhost: bool
) -> tuple[Any, Mapping[str, str]]:
    """Return the open answer with the file, and the headers of the publisher's own answer, which may redirect."""
    opener = urllib.request.build_opener(_NoRedirects, _Http(watch), _Https(watch))
    first: Any = None
    at = url
    for _ in range(_MOST_REDIRECTS):
        request = urllib.request.Request(at, headers={"User-Agent": "edgenext-deploy", **headers})
        try:
            response = opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            if error.code not in _REDIRECTS:
                raise
            error.close()  # its body is not read: it may have no end
            first = error.headers if first is None else first
            at = urllib.parse.urljoin(at, error.headers.get("Location") or "")
            require_https(at, allow_localhost, MissingRuntimeError)
            continue
        return response, response.headers if first is None else first
    raise _answered(url, f"more than {_MOST_REDIRECTS} redirects")


def _total(url: str, response: Any, there: int) -> int | None:
    """Return how long the whole file is; None where each part of it says where it ends."""
    if response.status == 206:
        found = re.fullmatch(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})",
                             response.headers.get("Content-Range") or "")
        if found is None or int(found[1]) != there:
            raise _answered(url, "another part of the file than the one asked for")
        total = int(found[2])
    else:
        lengths = set(response.headers.get_all("Content-Length") or [])
        if "chunked" in (response.headers.get("Transfer-Encoding") or ""):
            return None
        if not lengths:
            raise _answered(url, "a file of unknown length, so that a cut would go unnoticed")
        if len(lengths) > 1 or not re.fullmatch("[0-9]{1,15}", min(lengths)):
            raise _answered(url, f"a length that is no number of bytes: {shown(', '.join(lengths), 40)}")
        total = int(min(lengths))
    if not 0 < total <= MOST_BYTES:
        raise _answered(url, f"{total} bytes; 1 to {MOST_BYTES} are expected")
    return total


@contextlib.contextmanager
def _errors(url: str, watch: "_Watch") -> Iterator[None]:
    host = urllib.parse.urlsplit(url).hostname
    try:
        yield
    except urllib.error.HTTPError as error:
        kind = NoAnswerError if error.code >= 500 else MissingRuntimeError
        raise kind(f"{host} answered {error.code} {shown(str(error.reason), 80)} to {url}") from error
    except (http.client.HTTPException, ConnectionResetError, ValueError) as error:
        watch.check()
        raise BrokenTransferError(shown(str(error) or type(error).__name__, 80)) from error
    except OSError as error:  # URLError and timeouts among them
        watch.check()
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, socket.gaierror):
            what = f"no network: the name {host} cannot be resolved"
        elif isinstance(reason, ssl.SSLError):
            what = f"no trusted connection to {host}: {reason}"
        elif isinstance(reason, TimeoutError):
            what = f"no network: {host} did not answer within {_TIMEOUT_S:.0f} s"
        else:
            what = f"no network: {host} cannot be reached ({reason or type(reason).__name__})"
        raise NoAnswerError(f"{what}; {url} was not downloaded") from error


def _answered(url: str, what: str) -> MissingRuntimeError:
    host = urllib.parse.urlsplit(url).hostname
    return MissingRuntimeError(f"{host} answered {url} with {what}; nothing was kept")


class _Watch:
    """Ends every connection when the time is over: a socket's own timeout starts again with each byte."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._over_at = time.monotonic() + limit_s
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(limit_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def add(self, connected: socket.socket) -> None:
        self._sockets.append(connected)

    def check(self) -> None:
        if time.monotonic() >= self._over_at:
            raise BrokenTransferError(f"it did not end within {self._limit_s:.0f} s")

    def _end(self) -> None:
        for connected in self._sockets:
            with contextlib.suppress(OSError):
                # Not the TLS socket's own method, which takes its state from under the thread that reads.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class _Http(urllib.request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_watched(http.client.HTTPConnection, self._watch), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_watched(http.client.HTTPSConnection, self._watch), req)


def _watched(kind: Any, watch: _Watch) -> Any:
    class Connection(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            watch.add(self.sock)

    return Connection
