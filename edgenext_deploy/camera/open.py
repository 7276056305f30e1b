"""The kinds of frame sources, and the choice of one by its address.

An address comes from a command line, a configuration file or a web form, and parts of it end up in a GStreamer
pipeline, where ``!`` starts another element. So each kind has a closed alphabet, and the rest is refused here.
"""
import importlib
import os
import re
from typing import TYPE_CHECKING, Any, Callable, Dict, NamedTuple, Optional, Pattern, Sequence, Tuple, Union
from urllib.parse import parse_qsl

from edgenext_deploy.camera.address import Address, check_settings, without_user
from edgenext_deploy.errors import UsageError

if TYPE_CHECKING:
    from edgenext_deploy.camera.source import FrameSource

PIXEL_FORMATS = ("bgr", "bgrx", "nv12")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".h264", ".h265")
# Called as ``(address, width=, height=, fps=, pixel_format=)``, each of them None where it was not asked for.
SourceMaker = Callable[..., "FrameSource"]
_LONGEST_ADDRESS = 1000


class SourceKind(NamedTuple):
    """A kind of source.

    Attributes:
        name: such as ``rtsp``; the `kind` of its addresses.
        form: an address, or what it is, for messages and ``--help``: ``rtsp://HOST/PATH``, ``a video file``.
        starts: what its addresses begin with; empty for a path on the disk.
        pattern: of a whole address without its options; the first group, if there is one, is the target.
        options: name of each option after a ``?`` and the pattern of its value.
        make: the `FrameSource` class or a function that returns one, or ``module:name`` to import it only when such a
            source is opened.
        is_path: whether a path on the disk is of this kind; only where `starts` is empty.
        local: whether it is a camera of this machine.
    """

    name: str
    form: str
    starts: Tuple[str, ...]
    pattern: Optional[Pattern[str]]
    options: Dict[str, str]
    make: Union[str, SourceMaker]
    is_path: Optional[Callable[[str], bool]]
    local: bool

    def maker(self) -> SourceMaker:
        """Return what makes a source, imported if need be."""
        if not isinstance(self.make, str):
            return self.make
        module, _, name = self.make.partition(":")
        found: SourceMaker = getattr(importlib.import_module(module), name)
        return found


# By name; paths are tried in this order.
SOURCES: Dict[str, SourceKind] = {}


def register_source(name: str, *, form: str, make: Union[str, SourceMaker], starts: Sequence[str] = (),
                    pattern: str = "", options: Optional[Dict[str, str]] = None,
                    is_path: Optional[Callable[[str], bool]] = None, local: bool = False) -> None:
    """Add a kind of source: `Camera` and ``edgenext-run`` then take its addresses.

    Args:
        name: short, in lower case.
        form: see `SourceKind`.
        make: called as ``make(address, width=, height=, fps=, pixel_format=)``, with an `Address`, pixels, frames per
            second and one of `PIXEL_FORMATS`; numbers are None where nothing was asked for. See `SourceKind`.
        starts: what its addresses begin with, such as ``toy://``.
        pattern: regular expression of a whole address without its options. Allow no more than is needed: quotes,
            backslashes, spaces and ``!`` have a meaning in pipelines.
        options: name of each option after a ``?`` and a regular expression of its value.
        is_path: for sources that are paths, in place of `starts` and `pattern`.
        local: whether it is a camera of this machine.

    Raises:
        UsageError: the name is taken, or there is no telling its addresses from others.
    """
    if name in SOURCES:
        raise UsageError("a source {!r} is registered already".format(name), "choose another name")
    if (is_path is None) != bool(starts and pattern):
        raise UsageError("the source {!r} needs either starts and pattern, or is_path".format(name))
    SOURCES[name] = SourceKind(name, form, tuple(starts), re.compile("(?:{})\\Z".format(pattern)) if pattern else None,
                               dict(options or {}), make, is_path, local)


def forms(*, local: bool = True) -> str:
    """Return what an address may be, for a sentence.

    Args:
        local: with the cameras of this machine.
    """
    found = [kind.form for kind in SOURCES.values() if local or not kind.local]
    return "{} or {}".format(", ".join(found[:-1]), found[-1])


def is_stream(text: str) -> bool:
    """Return True for what can only be a stream: an address, a camera's device or number, a video's name."""
    return ("://" in text or _kind_of(text) is not None or text.lower().endswith(VIDEO_SUFFIXES) or _is_number(text))


def parse_address(text: str) -> Address:
    """Return the checked address; whether the source exists is not looked at, except that a folder is one.

    Raises:
        UsageError: no known form, an unknown option, or a character that has no place there.
    """
    if not isinstance(text, str):
        raise UsageError("a camera is opened by its address, {!r} found".format(text), "pass " + forms())
    if len(text) > _LONGEST_ADDRESS:
        raise UsageError("a source's address has {} characters, at most {} expected".format(
            len(text), _LONGEST_ADDRESS), "pass " + forms())
    if not text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise UsageError("a source's address is empty or has control characters: {!r}".format(without_user(text)),
                         "pass " + forms())
    if _is_number(text):
        text = "/dev/video" + text
    kind = _kind_of(text)
    if kind is not None:
        return _parse_as(kind, text)
    if text.lower().startswith(("http://", "https://")):
        raise UsageError("nothing is read over HTTP: {!r}".format(without_user(text)),
                         "fetch a photo or video first (curl -fLO URL) and pass the file; of a camera pass the rtsp:// "
                         "address, which its manual or an ONVIF tool names")
    for kind in SOURCES.values():
        # rtsp:/HOST is not a file called so; what it holds may be secret.
        if any("://" in start and text.startswith(start.rstrip("/")) for start in kind.starts):
            return _parse_as(kind, text)
    if "://" in text:
        raise UsageError("unknown kind of source: {!r}".format(without_user(text)), "pass " + forms())
    for kind in SOURCES.values():
        if kind.is_path is not None and kind.is_path(text):
            return Address(kind.name, text, {})
    raise UsageError("not a source: {!r}".format(text), "pass " + forms())


def make_source(text: str, *, width: Optional[int] = None, height: Optional[int] = None,
                fps: Optional[float] = None, pixel_format: str = "bgr") -> "FrameSource":
    """Return the source of an address, not yet open.

    Args:
        text: see `parse_address`.
        width: of the frames, in pixels; by default the source's own.
        height: of the frames, in pixels; by default the source's own.
        fps: frames per second that a camera is asked for, or at which a file or folder is played.
        pixel_format: see `Camera`.

    Raises:
        UsageError: not an address, a size or rate that cannot be, or an unknown pixel format.
    """
    address = parse_address(text)
    check_settings(width, height, fps)
    if pixel_format not in PIXEL_FORMATS:
        raise UsageError("pixel_format must be one of {}, found {!r}".format(", ".join(PIXEL_FORMATS), pixel_format))
    if pixel_format == "nv12" and ((width or 0) % 4 or (height or 0) % 2):
        raise UsageError("NV12 needs a width that 4 divides and an even height, found {}x{}".format(
            width or "?", height or "?"), "choose another size, or leave out the pixel format")
    make = SOURCES[address.kind].maker()
    return make(address, width=width, height=height, fps=fps, pixel_format=pixel_format)


def _kind_of(text: str) -> Optional[SourceKind]:
    return next((kind for kind in SOURCES.values() if kind.starts and text.startswith(kind.starts)), None)


def _is_number(text: str) -> bool:
    """Return True for a camera as people and OpenCV count them: 0 is ``/dev/video0``, unless a file is called so."""
    return text.isdigit() and not os.path.exists(text)


def _parse_as(kind: SourceKind, text: str) -> Address:
    base, _, query = text.partition("?") if kind.options else (text, "", "")
    match = kind.pattern.match(base) if kind.pattern is not None else None
    if match is None:
        raise UsageError("not a valid {} address: {!r}".format(kind.name.upper(), without_user(text)),
                         "write {}; other characters as %XX where they can be".format(kind.form))
    return Address(kind.name, match.group(1) if match.groups() else base, _options(kind.options, query, text))


def _options(allowed: Dict[str, str], query: str, text: str) -> Dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        pairs = [(query, "")]
    for name, value in pairs:
        if name not in allowed or not re.match("(?:{})\\Z".format(allowed[name]), value):
            raise UsageError("{!r}: option {!r} with the value {!r} is not known".format(text, name, value),
                             "options here: " + ", ".join("{}={}".format(*item) for item in sorted(allowed.items())))
    return dict(pairs)


def _anything(path: str) -> bool:
    return True


_PORT = r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_OPENCV: Dict[str, Any] = {"make": "edgenext_deploy.camera.opencv.source:OpenCvSource"}
register_source("csi", form="csi://0", starts=["csi://"], pattern="csi://([0-9]{1,2})", options={"flip": "[0-7]"},
                local=True, **_OPENCV)
register_source("v4l2", form="/dev/video0", starts=["/dev/"], options={"format": "raw|mjpeg"}, local=True,
                pattern=r"/dev/(?:video[0-9]{1,3}|v4l/by-(?:id|path)/[A-Za-z0-9._:+-]+)", **_OPENCV)
# The characters of RFC 3986 without "!", and without quotes and brackets that no camera's address needs. A "!" in a
# password is written as %21.
register_source("rtsp", form="rtsp://HOST/PATH", starts=["rtsp://", "rtsps://"], **_OPENCV, pattern=(
    r"rtsps?://(?:[A-Za-z0-9\-._~%$&*+,;=:]*@)?(?:[A-Za-z0-9\-._~]+|\[[0-9A-Fa-f:.]+\])(?::(?:" + _PORT + r"))?"
    r"(?:[/?][A-Za-z0-9\-._~%$&*+,;=:@/?]*)?"))
register_source("synthetic", form="synthetic://640x480@30", starts=["synthetic://"],
                pattern=r"synthetic://((?:[0-9]{1,5}x[0-9]{1,5})?(?:@[0-9]{1,4}(?:\.[0-9]{1,3})?)?)",
                options={"frames": "[1-9][0-9]{0,8}",
                         "color": "black|white|grey|red|green|blue|yellow|cyan|magenta|cycle"},
                make="edgenext_deploy.camera.synthetic:make_synthetic")
register_source("folder", form="a folder of photos", is_path=os.path.isdir,
                make="edgenext_deploy.camera.folder:make_folder")
register_source("file", form="a video file", is_path=_anything, **_OPENCV)
