"""A question to an RTSP server before its stream is opened: is it there, does it let us in, what does it send?

OpenCV tells none of that: a wrong password, a wrong path and a camera that is off look the same. RFC 2326 has the
protocol; the answer to DESCRIBE is a session description (SDP, RFC 8866).
"""
import base64
import re
import socket
import time
import urllib.request
from typing import Dict, NamedTuple, Optional, Tuple
from urllib.parse import unquote, urlsplit

from edgenext_deploy.camera.source import SourceLostError, SourceRefusedError
from edgenext_deploy.foreign_text import visible

_PORTS = {"rtsp": 554, "rtsps": 322}
_LARGEST_ANSWER = 1 << 20
# The payload types with a fixed meaning that are video (RFC 3551, table 5).
_FIXED = {"26": "JPEG", "31": "H261", "32": "MPV", "33": "MP2T", "34": "H263"}
_REASONS = {401: "it does not take the user and password", 403: "it does not allow this stream",
            404: "it has no such stream", 454: "it has no such session", 503: "it is too busy"}
_FIXES = {401: "check user and password; characters such as @ and / are written as %40 and %2F",
          403: "check the rights of the user", 404: "check the path: the camera's manual or an ONVIF tool names it"}


class Described(NamedTuple):
    """What a server said.

    Attributes:
        encoding: of the video as RTP calls it, such as ``H264``. None where it is not known: the server sends us
            elsewhere, asks for a password in a way that is not known here, or encrypts (``rtsps``; then only its port
            is tried).
        connection: close it once the stream is open. A server whose last client goes stops the stream, and refuses
            for that moment the next one (seen with GStreamer's server).
    """

    encoding: Optional[str]
    connection: socket.socket


class _Answer(NamedTuple):
    status: int
    headers: Dict[str, str]
    body: str


def describe(name: str, url: str, limit_s: float) -> Described:
    """Ask a server for a stream.

    Args:
        name: of the source, for messages.
        url: an ``rtsp://`` or ``rtsps://`` address, with user and password if there are any.
        limit_s: seconds in which the server has to answer.

    Raises:
        SourceLostError: nothing or something else answers, or not in time, or there is no such stream, or no video.
        SourceRefusedError: the user and password are not taken.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    shown = "{}:{}".format("[{}]".format(host) if ":" in host else host, port)
    deadline = time.monotonic() + limit_s
    try:
        connection = socket.create_connection((host, port), limit_s)
    except (OSError, UnicodeError) as error:
        raise SourceLostError("{}: nothing answers at {} ({})".format(name, shown, error),
                              "check the address, and that the camera is on and reachable from here") from error
    try:
        answer = None if parts.scheme == "rtsps" else _ask(connection, url, deadline)
        if answer is None or 300 <= answer.status < 400:
            return Described(None, connection)
        _require_ok(answer, "{}: {} refuses".format(name, shown))
        return Described(video_encoding(name, answer.body), connection)
    except socket.timeout as error:
        connection.close()
        raise SourceLostError("{}: {} takes connections and does not answer within {:g} s".format(
            name, shown, limit_s), "start the camera again") from error
    except (OSError, ValueError) as error:
        connection.close()
        raise SourceLostError("{}: {} does not answer as an RTSP server does ({})".format(
            name, shown, visible(str(error))), "check host and port") from error
    except SourceLostError:
        connection.close()
        raise


def _require_ok(answer: _Answer, start: str) -> None:
    status = answer.status
    if status != 200:
        kind = SourceRefusedError if status in (401, 403) else SourceLostError
        raise kind("{} with {}: {}".format(start, status, _REASONS.get(status, "it cannot give the stream")),
                   _FIXES.get(status, "look at the camera's own page or log"))


def video_encoding(name: str, description: str) -> Optional[str]:
    """Return the encoding of the first video in a session description; None if it has no name.

    Raises:
        SourceLostError: there is no video.
    """
    match = re.search(r"^m=video +\S+ +\S+ +(\d+)([^\n]*)\n?((?:(?!m=)[^\n]*\n?)*)", description, re.MULTILINE)
    if match is None:
        raise SourceLostError("{}: the stream has no video".format(name), "pass another path of the camera")
    named = re.search(r"^a=rtpmap:{} +([\w.-]+)/".format(match.group(1)), match.group(3), re.MULTILINE)
    return named.group(1).upper() if named else _FIXED.get(match.group(1))


def _ask(connection: socket.socket, url: str, deadline: float) -> Optional[_Answer]:
    """Send DESCRIBE, and once more with the password where the server asks for one; None if we do not know how."""
    parts = urlsplit(url)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    answer = _exchange(connection, plain, 1, None, deadline)
    if answer.status != 401 or parts.username is None:
        return answer
    user, password = unquote(parts.username), unquote(parts.password or "")
    # Most servers that know both name Digest first.
    for challenge in answer.headers.get("www-authenticate", "").split("\n"):
        credentials = _credentials(plain, user, password, challenge)
        if credentials is not None:
            return _exchange(connection, plain, 2, credentials, deadline)
    return None


def _credentials(url: str, user: str, password: str, challenge: str) -> Optional[str]:
    """Return the Authorization header for a challenge; RTSP has taken Basic and Digest over from HTTP."""
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic":
        return "Basic " + base64.b64encode("{}:{}".format(user, password).encode()).decode()
    if scheme.lower() != "digest":
        return None
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, "http://camera/", user, password)  # type: ignore[arg-type]
    request = urllib.request.Request("http://camera/", method="DESCRIBE")
    request.selector = url
    fields = urllib.request.parse_keqv_list(urllib.request.parse_http_list(rest))
    try:
        found = urllib.request.AbstractDigestAuthHandler(passwords).get_authorization(request, fields)
    except ValueError:  # another algorithm
        return None
    return "Digest " + found if found else None


def _exchange(connection: socket.socket, url: str, number: int, credentials: Optional[str], deadline: float) -> _Answer:
    lines = ["DESCRIBE {} RTSP/1.0".format(url), "CSeq: {}".format(number), "Accept: application/sdp",
             "User-Agent: edgenext-deploy"]
    if credentials is not None:
        lines.append("Authorization: " + credentials)
    connection.settimeout(_left(deadline))
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection, deadline, len(received))
    head, _, body = received.partition(b"\r\n\r\n")
    status, headers = _head(head.decode("utf-8", "replace"))
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        body += _receive(connection, deadline, len(body))
    return _Answer(status, headers, body.decode("utf-8", "replace").replace("\r\n", "\n"))


def _head(text: str) -> Tuple[int, Dict[str, str]]:
    first, *others = text.split("\r\n")
    match = re.match(r"RTSP/\d\.\d (\d{3})", first)
    if match is None:
        raise ValueError("it begins with {!r}".format(first[:40]))
    headers: Dict[str, str] = {}
    for line in others:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers[name] = headers[name] + "\n" + value.strip() if name in headers else value.strip()
    return int(match.group(1)), headers


def _receive(connection: socket.socket, deadline: float, so_far: int) -> bytes:
    connection.settimeout(_left(deadline))
    data = connection.recv(65536)
    if not data:
        raise ValueError("it closes the connection")
    if so_far > _LARGEST_ANSWER:
        raise ValueError("its answer has more than {} bytes".format(_LARGEST_ANSWER))
    return data


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0.0:
        raise socket.timeout("timed out")
    return left
