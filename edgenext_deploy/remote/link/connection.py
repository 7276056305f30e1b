"""One connection to a board: the far side is started over ssh, and asked.

What comes from there is bounded and read as any foreign data. All bytes that pass are counted.
"""
import contextlib
import hashlib
import json
import os
import secrets
import select
import signal
import subprocess
import time
from typing import IO, Any, Callable, Dict, Optional, Sequence, Tuple, cast

from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.files import shown
from edgenext_deploy.remote.link.sources import script
from edgenext_deploy.remote.link.ssh import LostConnectionError, Route, command_line, explain, refusal, ssh_words

Event = Dict[str, Any]
_CHUNK = 1 << 16
# The far side gives a sign of life every 3 s.
_SILENCE_S = 30.0
_OPEN_S = 60.0
# A shell's start-up file may print before the far side does.
_MOST_NOISE_BYTES = 1 << 16
_LONGEST_LINE = 1 << 20
_KEPT_ERRORS = 8192
_END_S = 2.0
_CLOCK_S = 300.0
# How the first answer begins, as `json.dumps` writes it there.
_BEGIN = b'{"hello": "'
_MOST_DIGITS = 18
FOREVER = float("inf")
_HELLO = {"python": list, "executable": str, "machine": str, "system": str, "bits": int, "folder": str,
          "time": (int, float), "user": str, "free": int, "ready": list, "packages": list,
          "cuda": bool, "model": str}


class Connection:
    """An open connection; close it, or use it in a ``with`` block.

    Args:
        route: to the host.
        batch: nobody can answer a question of ssh.
        forwards: what ``-L`` of ssh gets.

    Raises:
        LostConnectionError: ssh could not connect; the message says why.
        MissingRuntimeError: there is no ssh here, or no Python there.
        IncompatibleError: the Python there is too old, or the machine is of another kind.
    """

    def __init__(self, route: Route, batch: bool = True, forwards: Sequence[str] = ()) -> None:
        self.route = route
        self.sent_bytes = 0
        self.received_bytes = 0
        self.ended = False
        self._said = b""
        self._read = bytearray()  # bytes would be copied whole for each part that comes
        self._errors_open = True
        self._asked = False
        try:
            self._process = subprocess.Popen(command_line(route, batch, forwards), stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                                             preexec_fn=_ignore_interrupts)
        except OSError as error:
            raise MissingRuntimeError("{} cannot be started: {}".format(ssh_words()[0], error.strerror or error),
                                      "sudo apt-get install openssh-client") from error
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._in, self._out, self._err = cast("Tuple[IO[bytes], IO[bytes], IO[bytes]]", streams)
        for stream in (self._in, self._out, self._err):
            os.set_blocking(stream.fileno(), False)
        try:
            self.hello = self._open(batch)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; jobs that are not attached go on."""
        self.ended = True
        for stream in (self._in, self._out, self._err):
            with contextlib.suppress(OSError):
                stream.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, do: str, on_event: Optional[Callable[[Event], Any]] = None, **fields: Any) -> Event:
        """Send a request and return its last event.

        Args:
            do: name of the request.
            on_event: called with each event before the last.
            fields: of the request.

        Raises:
            EdgeNextError: it was refused, or the connection has ended.
        """
        self._request(dict(fields, do=do))
        return self.listen(on_event)

    def listen(self, on_event: Optional[Callable[[Event], Any]] = None) -> Event:
        """Return the last event of the request that is being answered; see `ask`."""
        while True:
            event = self._answer()
            if "done" in event:
                return event
            if "there" in event:
                self.tell("here")
            elif on_event is not None:
                on_event(event)

    def tell(self, do: str) -> None:
        """Send a word to a request that is being answered."""
        self._write(_line({"do": do}))

    def put(self, path: str, source: str, sha256: str, on_bytes: Callable[[int], Any]) -> None:
        """Copy a file there; an interrupted copy goes on where it was.

        Args:
            path: below the folder there.
            source: path here.
            sha256: its digest.
            on_bytes: called with the number of bytes of each part.
        """
        size = os.path.getsize(source)
        self._request({"do": "put", "path": path, "size": size, "sha256": sha256})
        event = self._answer()
        offset = event.get("offset")
        if not isinstance(offset, int) or not 0 <= offset <= size:
            raise _nonsense(self.route, event)
        with open(source, "rb") as stream:
            stream.seek(offset)
            on_bytes(offset)
            left = size - offset
            while left:
                part = stream.read(min(left, _CHUNK))
                if not part:
                    raise BadInputError("{} changed while it was copied".format(source))
                self._write(part)
                left -= len(part)
                on_bytes(len(part))
        self._answer()

    def get(self, path: str, most_bytes: int, tail: bool = False) -> bytes:
        """Return the content of a file there, or its last bytes if `tail`.

        Raises:
            BadInputError: it is missing, larger than that, or not what the far side said it is.
        """
        self._request({"do": "get", "path": path, "most": most_bytes, "tail": tail})
        event = self._answer()
        size = event.get("size")
        if not isinstance(size, int) or not 0 <= size <= most_bytes:
            raise _nonsense(self.route, event)
        while len(self._read) < size:
            self._more()
        data = self._take(size)
        if hashlib.sha256(data).hexdigest() != event.get("sha256"):
            raise BadInputError("{}: {} arrived damaged".format(self.route.destination, shown(path)))
        self._answer()
        return data

    def _open(self, batch: bool) -> Event:
        nonce = secrets.token_hex(16)
        # Somebody may have to type a passphrase.
        end = time.monotonic() + (_OPEN_S if batch else FOREVER)
        self._write(script(nonce, self.route.folder), end - time.monotonic())
        noise = 0
        while True:
            line = self._line(max(end - time.monotonic(), 0.0))
            begin = line.find(_BEGIN + nonce.encode("ascii"))
            if begin >= 0:  # a start-up file may have printed half a line
                line = line[begin:]
                break
            noise += len(line)
            if noise > _MOST_NOISE_BYTES:
                raise IncompatibleError("{}: the shell there prints without end".format(self.route.destination),
                                        "look at its start-up files, such as ~/.bashrc")
        hello = _read_event(self.route, line)
        if hello.get("python") and field(hello, "python", list)[:2] < [3, 6]:
            raise IncompatibleError("{}: {} is Python {}, 3.6 or newer expected".format(
                self.route.destination, self.route.python, shown(str(hello["python"]), 40)),
                "name another with --python")
        for name, kind in _HELLO.items():
            field(hello, name, kind)
        if hello.get("system") != "Linux" or hello.get("machine") not in ("aarch64", "x86_64") or hello["bits"] != 64:
            raise IncompatibleError("{} is a machine of another kind: {} {}, 64-bit Linux expected".format(
                self.route.destination, shown(str(hello.get("system")), 40), shown(str(hello.get("machine")), 40)))
        return hello

    @property
    def clock_skew_s(self) -> float:
        """How far the clock there is ahead of the one here, in seconds; 0 within five minutes."""
        skew = float(self.hello["time"]) - time.time()
        return skew if abs(skew) > _CLOCK_S else 0.0

    @property
    def usable(self) -> bool:
        """Whether it can be asked: what was cut short, as by Ctrl-C, would be taken for the next request's answer."""
        return not (self.ended or self._asked)

    def _request(self, request: Event) -> None:
        self._asked = True
        self._write(_line(request))

    def _answer(self) -> Event:
        """Return the next event; raise the error that it says."""
        event = self._event()
        self._asked = not ("done" in event or "error" in event)
        if "error" in event:
            raise refusal(self.route, str(event["error"]), str(event.get("text")))
        return event

    def _event(self) -> Event:
        while True:
            event = _read_event(self.route, self._line(_SILENCE_S))
            if "alive" not in event:
                return event

    def _line(self, patience_s: float) -> bytes:
        while b"\n" not in self._read:
            if len(self._read) > _LONGEST_LINE:
                raise _nonsense(self.route, "a line without end")
            self._more(patience_s)
        return self._take(self._read.index(b"\n") + 1)[:-1]

    def _take(self, size: int) -> bytes:
        data = bytes(self._read[:size])
        del self._read[:size]
        return data

    def _more(self, patience_s: float = _SILENCE_S) -> None:
        """Take what comes next."""
        before = self.received_bytes
        while self.received_bytes == before:
            self._wait(False, patience_s)

    def _write(self, data: bytes, patience_s: float = _SILENCE_S) -> None:
        view = memoryview(data)
        while view:
            if self._wait(True, patience_s):
                try:
                    count = os.write(self._in.fileno(), view[:_CHUNK])
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise self._lost() from error
                self.sent_bytes += count
                view = view[count:]

    def _wait(self, writing: bool, patience_s: float) -> bool:
        """Take what has come; return whether it can be written now."""
        errors = [self._err] if self._errors_open else []
        timeout = None if patience_s == FOREVER else patience_s
        ready, writable, _ = select.select([self._out, *errors], [self._in] if writing else [], [], timeout)
        if not ready and not writable:
            self.ended = True
            raise LostConnectionError("{}: nothing was heard for {:g} s".format(self.route.destination, patience_s),
                                      "run the same command again: it goes on where it was")
        if self._err in ready:
            self._take_errors()
        if self._out in ready:
            data = self._out.read(_CHUNK)
            if data == b"":
                raise self._lost()
            self.received_bytes += len(data or b"")
            self._read += data or b""
        return bool(writable)

    def _take_errors(self) -> None:
        said = self._err.read(_CHUNK)
        self._errors_open = bool(said)
        self._said = (self._said + (said or b""))[-_KEPT_ERRORS:]

    def _lost(self) -> Exception:
        self.ended = True
        end = time.monotonic() + _END_S
        while self._errors_open and time.monotonic() < end:
            if select.select([self._err], [], [], end - time.monotonic())[0]:
                self._take_errors()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        text = self._said.decode("utf-8", "replace")
        if not hasattr(self, "hello"):
            return explain(self.route, text, self._process.poll())
        return LostConnectionError("{}: the connection has ended".format(self.route.destination),
                                   "run the same command again: it goes on where it was")


def field(event: Event, name: str, kind: Any) -> Any:
    """Return a field of an event.

    Raises:
        BadInputError: it is not there, or of another type.
    """
    value = event.get(name)
    items = {"python": int, "ready": str, "packages": str, "missing": str, "made": str, "jobs": dict}.get(name, object)
    if not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(item, items) for item in value)):
        raise BadInputError("the far side answered something else than expected: {} is {}".format(
            name, shown(repr(value), 80)))
    return value


def _ignore_interrupts() -> None:
    """Have Ctrl-C end what asks the user, and not the connection below it; ssh keeps to that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _line(request: Event) -> bytes:
    return json.dumps(request).encode("ascii") + b"\n"


def _read_event(route: Route, line: bytes) -> Event:
    try:
        event = json.loads(line.decode("ascii"), parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise _nonsense(route, line[:80]) from error
    if not isinstance(event, dict):
        raise _nonsense(route, line[:80])
    return event


def _number(text: str) -> int:
    """Return a number that can be computed with; ValueError for one that no float could hold."""
    if len(text) > _MOST_DIGITS:
        raise ValueError("a number of {} digits".format(len(text)))
    return int(text)


def _nonsense(route: Route, found: Any) -> BadInputError:
    return BadInputError("{}: the far side answered something else than expected: {}".format(
        route.destination, shown(repr(found), 80)), "try again; look at what the shell there prints at its start")
