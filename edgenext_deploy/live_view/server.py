"""The HTTP server of the live page: threads for viewers, no more than are good for the run, none that stays behind."""
import contextlib
import errno
import logging
import socket
import socketserver
import sys
import threading
import time
from http.server import HTTPServer
from typing import Any, Dict, Optional, Tuple

from edgenext_deploy.errors import UsageError
from edgenext_deploy.live_view.address import ServeAddress, authority
from edgenext_deploy.live_view.guard import Guard
from edgenext_deploy.live_view.handler import Handler, Services

_LOG = logging.getLogger(__name__)
# A browser takes two connections; each costs a thread. Above the first limit a viewer is told so, above the second
# one without a thread of its own.
MOST_CONNECTIONS = 48
_BUSY = (b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 5\r\nConnection: close\r\n"
         b"Content-Length: 24\r\n\r\ntoo many are connected.\n")
# What waits for the network is old by the time that it arrives: about one picture.
_SEND_BUFFER_BYTES = 1 << 17
# A viewer whose machine is off acknowledges nothing; Linux gives it up after this time.
_UNANSWERED_MS = 10000
_JOIN_S = 2.0


class LiveServer(socketserver.ThreadingMixIn, HTTPServer):
    """Listens from the moment it is made; `start` answers, `stop` ends all that it began.

    Args:
        address: where to listen.
        services: what is served.
        token: that a viewer needs, None for none.

    Raises:
        UsageError: the port is in use, or the address is not this machine's.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: ServeAddress, services: Services, token: Optional[str]) -> None:
        self.services = services
        self._viewers: Dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="live page",
                                        daemon=True)
        try:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family = found[0][0]
            super().__init__(found[0][4][:2], Handler)  # type: ignore[arg-type]
        except OSError as error:
            raise _cannot_listen(address, error) from error
        self.address = address._replace(port=self.server_address[1])
        self.guard = Guard(self.address, token)

    def server_bind(self) -> None:
        """Bind without a look at the DNS for the machine's full name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def start(self) -> None:
        """Answer from now on, in threads."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up on all viewers and stop listening; returns when no thread is left, or after two seconds."""
        self.services.stop.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            open_ones = dict(self._viewers)
        for connection in open_ones.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        end = time.monotonic() + _JOIN_S
        for thread in (self._thread, *open_ones):
            thread.join(max(0.0, end - time.monotonic()))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, unless there are too many."""
        with self._lock:
            if len(self._viewers) < MOST_CONNECTIONS:
                thread = threading.Thread(target=self._work, args=(request, client_address), daemon=True,
                                          name="live page viewer")
                self._viewers[thread] = request
                try:
                    thread.start()
                except RuntimeError:  # the system gives no more threads; it counts as too many
                    del self._viewers[thread]
                else:
                    return
        with contextlib.suppress(OSError):
            request.settimeout(0.0)
            with contextlib.suppress(BlockingIOError):
                request.recv(1 << 16)  # closed with something unread, the connection would be reset and the answer lost
            request.send(_BUSY)
        self.shutdown_request(request)

    def _work(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._viewers.pop(threading.current_thread(), None)

    def get_request(self) -> Tuple[Any, Any]:
        """Accept a connection, and bound what it may hold back."""
        connection, client = super().get_request()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MS)
        return connection, client

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong in the log, without the request: a token may be in it."""
        _LOG.warning("the live page failed to answer: %r", sys.exc_info()[1])
        _LOG.debug("the live page's connection with %s ended", client_address[0], exc_info=True)


def _cannot_listen(address: ServeAddress, error: OSError) -> UsageError:
    where = authority(*address)
    if error.errno == errno.EADDRINUSE:
        return UsageError("cannot serve on {}: another program uses the port".format(where),
                          "give another one with --serve; 0 takes a free one")
    if error.errno == errno.EACCES:
        return UsageError("cannot serve on {}: ports below 1024 are for root".format(where),
                          "give another one with --serve, such as 8080")
    return UsageError("cannot serve on {}: {}".format(where, error.strerror or error),
                      "give an address of this machine with --serve; 0.0.0.0 is all of them")
