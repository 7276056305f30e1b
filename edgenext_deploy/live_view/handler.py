"""One request of a viewer: what is asked for, whether it may be seen, and the answer."""
import contextlib
import io
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, NamedTuple, Optional
from urllib.parse import parse_qs, quote, urlsplit

from edgenext_deploy.live_view.metrics import CONTENT_TYPE, metrics_text
from edgenext_deploy.live_view.page import Page
from edgenext_deploy.live_view.shared import Shared
from edgenext_deploy.live_view.state import STALE_S, LiveState

# Of each kind of stream, pictures and figures.
MOST_STREAMS = 16
# Seconds for the whole head of a request, and for what is sent at once to be taken.
_HEAD_S, _SEND_S = 10.0, 5.0
_FIRST_PICTURE_S = 2.0
# Something is sent at least so often, so that a viewer who has gone is noticed.
_SILENCE_S = 5.0
_BOUNDARY = b"edgenext-frame"


class Services(NamedTuple):
    """What the server serves.

    Attributes:
        state: figures of the run.
        page: the page.
        pictures: JPEG files, made for all viewers together.
        documents: figures and labels as dictionaries, likewise.
        picture_streams: free places for streams of pictures.
        document_streams: free places for streams of figures.
        stop: set when the run ends.
    """

    state: LiveState
    page: Page
    pictures: "Shared[bytes]"
    documents: "Shared[Dict[str, Any]]"
    picture_streams: "Places"
    document_streams: "Places"
    stop: threading.Event


class Places:
    """A number of places, some of them taken."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()
        self.taken = 0

    def take(self) -> bool:
        """Take a place; return whether there was one."""
        with self._lock:
            if self.taken >= self._number:
                return False
            self.taken += 1
            return True

    def give_back(self) -> None:
        """Give a place back."""
        with self._lock:
            self.taken -= 1


class Handler(BaseHTTPRequestHandler):
    """Answers one request, and closes the connection."""

    protocol_version = "HTTP/1.1"
    server_version = "edgenext-deploy"
    sys_version = ""
    server: Any

    def setup(self) -> None:
        """Bound the time that the head of the request may take, and that of each answer's parts."""
        super().setup()
        self.rfile = io.BufferedReader(_UntilDeadline(self.connection, time.monotonic() + _HEAD_S))
        self._services: Services = self.server.services

    def handle(self) -> None:
        """Answer; a viewer who goes away, or takes nothing, is no error."""
        with contextlib.suppress(OSError):
            self.close_connection = True
            self.handle_one_request()

    def do_GET(self) -> None:
        """Answer a request."""
        self.connection.settimeout(_SEND_S)
        try:
            parts = urlsplit(self.path)
        except ValueError:
            self._text(400, "not understood")
            return
        token = (parse_qs(parts.query).get("token") or [None])[-1]  # type: ignore[list-item]
        refusal = self.server.guard.refusal(self.headers, token)  # type: ignore[arg-type]
        if refusal is not None:
            self._text(refusal.status, refusal.reason)
        elif parts.path not in _ROUTES:
            self._text(404, "there is /, /stream.mjpg, /snapshot.jpg, /events, /metrics and /healthz")
        elif parts.path == "/" and token is not None:
            # Kept in a cookie, the token leaves the address, and with it the history and what is copied from there.
            self._answer(303, b"", "text/plain", {"Location": "/", "Set-Cookie": (
                "{}={}; Path=/; HttpOnly; SameSite=Strict".format(self.server.guard.cookie, quote(token)))})
        else:
            _ROUTES[parts.path](self)

    def do_HEAD(self) -> None:
        """Answer a request without the body."""
        self.do_GET()

    def send_error(self, code: int, message: Optional[str] = None, explain: Optional[str] = None) -> None:
        """Answer what is no request of ours; http.server's own answer repeats it."""
        self.connection.settimeout(_SEND_S)
        self.request_version = "HTTP/1.1"
        self._text(405 if code == 501 else code, "only GET and HEAD are answered" if code == 501 else "not understood")

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: requests may hold the token."""

    def page(self) -> None:
        """Send the page."""
        self._answer(200, self._services.page.html, "text/html; charset=utf-8",
                     {"Content-Security-Policy": self._services.page.policy})

    def snapshot(self) -> None:
        """Send the newest picture."""
        services = self._services
        found = services.pictures.newer(0, services.stop, _FIRST_PICTURE_S)
        if found is None:
            self._text(503, "no frame came yet")
        else:
            self._answer(200, found[1], "image/jpeg", {"Content-Disposition": 'inline; filename="snapshot.jpg"'})

    def stream(self) -> None:
        """Send picture after picture, each as soon as the viewer has taken the one before."""
        services = self._services
        with self._place(services.picture_streams) as free:
            if not free:
                return
            self._start("multipart/x-mixed-replace; boundary=" + _BOUNDARY.decode())
            if self.command == "HEAD":
                return
            self.wfile.write(b"--" + _BOUNDARY + b"\r\n")
            seen, last = 0, b""
            while not services.stop.is_set():
                found = services.pictures.newer(seen, services.stop, _SILENCE_S)
                if found is not None:
                    seen, last = found
                if last:
                    # The boundary after it comes at once: a browser shows a picture when it sees that.
                    self.wfile.write(b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n--%s\r\n" % (
                        len(last), last, _BOUNDARY))

    def events(self) -> None:
        """Send figures and labels as server-sent events."""
        services = self._services
        with self._place(services.document_streams) as free:
            if not free:
                return
            self._start("text/event-stream")
            if self.command == "HEAD":
                return
            self.wfile.write(b"retry: 1000\n\n")
            seen = 0
            while not services.stop.is_set():
                found = services.documents.newer(seen, services.stop, _SILENCE_S)
                if found is not None:
                    seen = found[0]
                    self.wfile.write(b"data: " + json.dumps(found[1]).encode("ascii") + b"\n\n")

    def metrics(self) -> None:
        """Send the figures for Prometheus."""
        services = self._services
        found = services.documents.newer(0, services.stop, _FIRST_PICTURE_S)
        meter = services.state.meter
        if found is not None:
            text = metrics_text(found[1], meter.count, meter.total_ms, services.picture_streams.taken)
            self._answer(200, text.encode("utf-8"), CONTENT_TYPE)

    def health(self) -> None:
        """Say whether answers come."""
        age_s = self._services.state.age_s()
        healthy = age_s <= STALE_S and self._services.state.newest is not None
        self._answer(200 if healthy else 503, json.dumps(
            {"status": "ok" if healthy else "no frame", "frame_age_s": round(age_s, 3)}).encode("ascii"),
            "application/json")

    @contextlib.contextmanager
    def _place(self, places: Places) -> Any:
        """Hold a place of a stream while it lasts; where none is free, say so and yield False."""
        if not places.take():
            self._text(503, "{} are watching, which is the limit".format(MOST_STREAMS), {"Retry-After": "5"})
            yield False
            return
        try:
            yield True
        finally:
            places.give_back()

    def _text(self, status: int, sentence: str, headers: Optional[Dict[str, str]] = None) -> None:
        self._answer(status, sentence.encode("utf-8") + b"\n", "text/plain; charset=utf-8", headers)

    def _answer(self, status: int, body: bytes, kind: str, headers: Optional[Dict[str, str]] = None) -> None:
        self._start(kind, status, dict(headers or {}, **{"Content-Length": str(len(body))}))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _start(self, kind: str, status: int = 200, headers: Optional[Dict[str, str]] = None) -> None:
        self.send_response(status)
        fixed = {"Content-Type": kind, "Cache-Control": "no-store", "Connection": "close",
                 "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
                 "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY"}
        for name, value in {**fixed, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()


_ROUTES: Dict[str, Callable[[Handler], None]] = {
    "/": Handler.page, "/stream.mjpg": Handler.stream, "/snapshot.jpg": Handler.snapshot, "/events": Handler.events,
    "/metrics": Handler.metrics, "/healthz": Handler.health}


class _UntilDeadline(io.RawIOBase):
    """Reads from a socket until a moment: one byte every few seconds must not hold a thread for ever."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come, waiting until the deadline."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise socket.timeout("the request took too long")
        self._connection.settimeout(left_s)
        return self._connection.recv_into(buffer)
