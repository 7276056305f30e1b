"""What a source's address may be, checked before any of it reaches a pipeline or a device.

An address comes from a command line, a configuration file or a web form, and parts of it end up in a GStreamer
pipeline, where ``!`` starts another element. So each kind has a closed alphabet, and the rest is refused here.
"""
import os
import re
from typing import Dict, NamedTuple, Optional, Tuple
from urllib.parse import parse_qsl

from edgenext_deploy.errors import UsageError

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".h264", ".h265")
COLORS = ("black", "white", "grey", "red", "green", "blue", "yellow", "cyan", "magenta", "cycle")
_FORMS = "csi://0, /dev/video0, rtsp://HOST/PATH, a video file, a folder of photos, or synthetic://640x480@30"
_CSI = re.compile(r"csi://([0-9]{1,2})\Z")
_V4L2 = re.compile(r"/dev/(?:video[0-9]{1,3}|v4l/by-(?:id|path)/[A-Za-z0-9._:+-]+)\Z")
# The characters of RFC 3986 without "!", and without quotes and brackets that no camera's address needs. A "!" in a
# password is written as %21.
_RTSP = re.compile(r"rtsps?://(?:[A-Za-z0-9\-._~%$&*+,;=:]*@)?[A-Za-z0-9\-._~]+(?::([0-9]{1,5}))?"
                   r"(?:[/?][A-Za-z0-9\-._~%$&*+,;=:@/?]*)?\Z")
_SYNTHETIC = re.compile(r"synthetic://(?:([0-9]{1,5})x([0-9]{1,5}))?(?:@([0-9]{1,4}(?:\.[0-9]{1,3})?))?\Z")
_PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]*@")
_OPTIONS = {
    "csi": {"flip": r"[0-7]"},
    "v4l2": {"format": r"raw|mjpeg"},
    "synthetic": {"frames": r"[1-9][0-9]{0,8}", "color": "|".join(COLORS)},
}


class Address(NamedTuple):
    """A checked address.

    Attributes:
        kind: ``csi``, ``v4l2``, ``rtsp``, ``file``, ``folder`` or ``synthetic``.
        target: sensor number, device, URL, or path; empty for ``synthetic``.
        options: what followed a ``?``, for the kinds that take options.
        size: width and height in pixels, of ``synthetic`` only.
        fps: frames a second, of ``synthetic`` only.
    """

    kind: str
    target: str
    options: Dict[str, str]
    size: Optional[Tuple[int, int]] = None
    fps: Optional[float] = None


def is_stream(text: str) -> bool:
    """Return True for what can only be a stream: an address, a camera's device or number, a video's name."""
    return ("://" in text or text.startswith("/dev/") or text.lower().endswith(VIDEO_SUFFIXES)
            or _is_number(text))


def _is_number(text: str) -> bool:
    """Return True for a camera as OpenCV counts them; no address, but said so better than as a missing file."""
    return text.isdigit() and not os.path.exists(text)


def without_password(text: str) -> str:
    """Return an address or pipeline as it may be printed."""
    return _PASSWORD.sub(r"\1***@", text)


def _without_user(text: str) -> str:
    """Hide all before the last @: in an address that is none, nobody can say where the password ends."""
    return re.sub("//.*@", "//***@", text)


def parse_address(text: str) -> Address:
    """Return the checked address; whether the source exists is not looked at, except that a folder is one.

    Raises:
        UsageError: no known form, an unknown option, or a character that has no place there.
    """
    if not isinstance(text, str) or _is_number(text):
        raise UsageError("a camera is opened by its address, {!r} found".format(text),
                         "pass " + _FORMS)
    if not text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise UsageError("a source's address is empty or has control characters: {!r}".format(text),
                         "pass " + _FORMS)
    if text.startswith(("rtsp://", "rtsps://")):
        match = _RTSP.match(text)
        if not match or int(match.group(1) or 1) not in range(1, 1 << 16):
            raise UsageError("not an RTSP address: {!r}".format(_without_user(text)),
                             "write rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH, other characters as %XX")
        return Address("rtsp", text, {})
    if text.startswith(("csi://", "synthetic://", "/dev/")):
        return _with_options(text)
    if "://" in text:
        raise UsageError("unknown kind of source: {!r}".format(_without_user(text)), "pass " + _FORMS)
    return Address("folder" if os.path.isdir(text) else "file", text, {})


def _with_options(text: str) -> Address:
    base, _, query = text.partition("?")
    csi, synthetic = _CSI.match(base), _SYNTHETIC.match(base)
    if csi:
        return Address("csi", csi.group(1), _options("csi", query, text))
    if _V4L2.match(base):
        return Address("v4l2", base, _options("v4l2", query, text))
    if synthetic:
        width, height, fps = synthetic.groups()
        return Address("synthetic", "", _options("synthetic", query, text),
                       (int(width), int(height)) if width else None, float(fps) if fps else None)
    raise UsageError("not a source's address: {!r}".format(text), "pass " + _FORMS)


def _options(kind: str, query: str, text: str) -> Dict[str, str]:
    allowed = _OPTIONS[kind]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        pairs = [(query, "")]
    for name, value in pairs:
        if name not in allowed or not re.match("(?:{})\\Z".format(allowed[name]), value):
            raise UsageError("{!r}: option {!r} with the value {!r} is not known".format(text, name, value),
                             "options here: " + ", ".join("{}={}".format(*item) for item in sorted(allowed.items())))
    return dict(pairs)
