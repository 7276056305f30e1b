"""Lines and bytes to and from the workstation, on standard input and output.

A request is a JSON object on a line, and so is an event. The content of a file follows its line as it is. The last
event of a request has the key ``done`` or ``error``.
"""
import json
import os
import select
import time
from typing import Any, Dict, Iterator

Json = Dict[str, Any]
ALIVE_S = 3.0
CHUNK = 1 << 16
LONGEST_LINE = 1 << 20
# A workstation that takes nothing and says nothing for so long is gone: it was switched off, or its network was.
GONE_S = 60.0
_WRITTEN = 4096  # what a pipe takes at once where it takes anything


class RefusedError(Exception):
    """A request that cannot be done; `kind` says to the workstation which error it is."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


class Wire:
    """Lines and bytes to and from the workstation."""

    def __init__(self) -> None:
        self._left = b""
        # What else prints, prints into nothing.
        self._out = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 1)
        self._sent = time.monotonic()

    def close(self) -> None:
        """Let go of standard input and output, in a process that outlives the connection."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.close(self._out)

    def send(self, **event: Any) -> None:
        """Send an event."""
        self.send_bytes(json.dumps(event).encode("ascii") + b"\n")

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are; EOFError where nobody takes them."""
        view = memoryview(data)
        while view:
            if not select.select([], [self._out], [], GONE_S)[1]:
                raise EOFError
            view = view[os.write(self._out, view[:_WRITTEN]):]
        self._sent = time.monotonic()

    def alive(self) -> None:
        """Send a sign of life if nothing was sent for some time."""
        if time.monotonic() - self._sent > ALIVE_S:
            self.send(alive=True)

    def waiting(self, seconds: float) -> bool:
        """Return whether a request, or the end of the connection, comes within the time."""
        if self._left or select.select([0], [], [], seconds)[0]:
            return True
        self.alive()
        return False

    def _more(self) -> None:
        while not self.waiting(ALIVE_S):
            pass
        data = os.read(0, CHUNK)
        if not data:
            raise EOFError
        self._left += data

    def request(self) -> Json:
        """Return the next request; EOFError at the end of the connection."""
        while b"\n" not in self._left:
            if len(self._left) > LONGEST_LINE:
                raise EOFError
            self._more()
        line, _, self._left = self._left.partition(b"\n")
        found: Json = json.loads(line.decode("ascii"))
        return found

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield the next bytes, as many as `size`."""
        while size:
            if not self._left:
                self._more()
            part, self._left = self._left[:size], self._left[size:]
            size -= len(part)
            yield part
            self.alive()
