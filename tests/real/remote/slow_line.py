"""A line to a board that is slow: a proxy that lets so many bytes through in a second."""
import contextlib
import select
import socket
import threading
import time

_CHUNK = 4096


class SlowLine:
    """Listens on a port of this machine and hands everything on to another, each way at `bytes_per_s`."""

    def __init__(self, target, bytes_per_s):
        self.target, self.bytes_per_s = target, bytes_per_s
        self.server = socket.socket()
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(16)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.server.close()

    def _accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        with contextlib.suppress(OSError), near, socket.create_connection(("127.0.0.1", self.target)) as far:
            other = {near: far, far: near}
            while True:
                for source in select.select([near, far], [], [])[0]:
                    data = source.recv(_CHUNK)
                    if not data:
                        return
                    other[source].sendall(data)
                    time.sleep(len(data) / self.bytes_per_s)
