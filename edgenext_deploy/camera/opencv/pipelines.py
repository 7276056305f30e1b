"""GStreamer pipelines, built from parts.

The rules are those of a source that must not lag: no clock synchronisation (``sync=false``), one buffer in the sink and
the older one dropped, and in front of the conversion a queue of one frame that leaks the older one (GStreamer's own
default is 200). OpenCV takes no memory of the GPU, so on a Jetson ``nvvidconv`` brings a frame to system memory. It has
no BGR: for that it gives BGRx, and the CPU drops the fourth byte. With BGRx or NV12 asked for, the CPU does nothing.

A file's pipeline neither leaks nor drops. It keeps the file's own pace, or that of whoever reads it.
"""
from fractions import Fraction
from typing import List, NamedTuple, Optional, Tuple

from edgenext_deploy.camera.address import Address
from edgenext_deploy.camera.opencv.elements import has_property
from edgenext_deploy.errors import UsageError

# A CSI sensor has to be asked for something; this mode exists on the common ones (IMX219, IMX477).
CSI_SIZE = (1280, 720)
CSI_FPS = 30.0
# Jitter buffer of an RTSP source, where GStreamer's default is 2000 ms.
RTSP_LATENCY_MS = 100
_LEAKY = "queue leaky=downstream max-size-buffers=1"
_NEWEST = "appsink drop=true max-buffers=1 sync=false"
_ALL = "appsink drop=false max-buffers=1 sync={}"
# What a frame may be handed over as, in GStreamer's words. Without its colorimetry NV12 would keep the matrix of its
# source, which for high definition is another one than `pixels` undoes.
_CAPS = {"bgr": "video/x-raw,format=BGR", "bgrx": "video/x-raw,format=BGRx",
         "nv12": "video/x-raw,format=NV12,colorimetry=bt601"}
# What nvvidconv gives for it.
_JETSON = {"bgr": "BGRx", "bgrx": "BGRx", "nv12": "NV12"}
# Microseconds after which ``rtspsrc`` gives a silent server up by itself.
_RTSP_TIMEOUT_US = 5000000
# RTP's name of an encoding: depayloader, parser, decoder.
_CODECS = {"H264": ("rtph264depay", "h264parse", "avdec_h264"), "H265": ("rtph265depay", "h265parse", "avdec_h265")}
# Degrees clockwise: videoflip's video-direction and nvvidconv's flip-method. videoflip's own method does nothing in
# GStreamer 1.22.0.
_TURNS = {90: ("90r", 3), 180: ("180", 2), 270: ("90l", 1)}
_UNQUOTABLE = '"\\!'


class Wanted(NamedTuple):
    """What a pipeline is to give.

    Attributes:
        width: of the frames, in pixels. None leaves it to a camera. A stream or file is scaled only where both sides
            are given: `OpenCvSource` keeps the shape of its frames for one alone.
        height: of the frames, in pixels; as `width`.
        fps: that a camera is asked for; None leaves it to the source.
        jetson: convert and scale with ``nvvidconv``.
        pixel_format: ``bgr``, ``bgrx`` or ``nv12``.
        codec: encoding of an RTSP stream as `rtsp.describe` has it; None leaves it to ``decodebin``.
        played: a file's frames come at their own times, not as fast as they are read.
        turn: degrees by which a file's pictures are turned clockwise: 0, 90, 180 or 270.
    """

    width: Optional[int] = None
    height: Optional[int] = None
    fps: Optional[float] = None
    jetson: bool = False
    pixel_format: str = "bgr"
    codec: Optional[str] = None
    turn: int = 0
    played: bool = False


def pipeline(address: Address, wanted: Wanted) -> str:
    """Return the pipeline for a CSI, V4L2, RTSP or file address from `parse_address`.

    Raises:
        UsageError: a path that cannot be quoted, see `can_be_quoted`, or a kind without pipeline.
    """
    parts = {"csi": _csi, "v4l2": _v4l2, "rtsp": _rtsp, "file": _file}
    if address.kind not in parts:
        raise UsageError("a source of the kind {} has no GStreamer pipeline".format(address.kind))
    return " ! ".join(parts[address.kind](address, wanted))


def can_be_quoted(value: str) -> bool:
    """Return False for text that could end a quoted value and start an element of its own.

    GStreamer's releases differ in how they undo a backslash between quotes, so nothing is escaped: such text is
    not put into a pipeline at all.
    """
    return not any(character in _UNQUOTABLE or ord(character) < 32 for character in value)


def size_of(width: Optional[int], height: Optional[int], own: Tuple[int, int]) -> Tuple[int, int]:
    """Return the width and height that are meant; one alone keeps the shape of `own`, as GStreamer's scalers do.

    The side that is worked out is even, as NV12 and sensors want it.
    """
    if width and not height:
        return width, max(2, 2 * round(width * own[1] / own[0] / 2))
    if height and not width:
        return max(2, 2 * round(height * own[0] / own[1] / 2)), height
    return width or own[0], height or own[1]


def _csi(address: Address, wanted: Wanted) -> List[str]:
    size = size_of(wanted.width, wanted.height, CSI_SIZE)
    return [
        "nvarguscamerasrc sensor-id=" + address.target,
        _caps("video/x-raw(memory:NVMM)", size[0], size[1], wanted.fps or CSI_FPS) + ",format=NV12",
        "nvvidconv flip-method=" + address.options.get("flip", "0"),
        "video/x-raw,format=" + _JETSON[wanted.pixel_format],
        _LEAKY, *_from_jetson(wanted.pixel_format), _NEWEST,
    ]


def _v4l2(address: Address, wanted: Wanted) -> List[str]:
    parts = ["v4l2src device={} do-timestamp=true".format(_quoted(address.target))]
    asked = (wanted.width, wanted.height, wanted.fps)
    if address.options.get("format") == "mjpeg":
        parts += [_caps("image/jpeg", *asked), _LEAKY, "jpegdec"]
    else:
        parts += [_caps("video/x-raw", *asked), _LEAKY]
    return [*parts, "videoconvert", _CAPS[wanted.pixel_format], _NEWEST]


def _rtsp(address: Address, wanted: Wanted) -> List[str]:
    # Without buffer-mode the frames' times follow their arrival, and a stream that falls behind cannot be told.
    known = wanted.codec in _CODECS
    return [
        "rtspsrc location={} protocols=tcp latency={} drop-on-latency=true buffer-mode=none timeout={} "
        "tcp-timeout={}".format(
            _quoted(address.target), RTSP_LATENCY_MS, _RTSP_TIMEOUT_US, _RTSP_TIMEOUT_US),
        "application/x-rtp,media=video" + (",encoding-name={}".format(wanted.codec) if known else ""),
        *(_decoding(str(wanted.codec), wanted.jetson) if known else ["decodebin"]),
        _LEAKY, *_converted(wanted), _NEWEST,
    ]


def _decoding(codec: str, jetson: bool) -> List[str]:
    """Return the elements that decode a stream and give only whole frames.

    A stream is joined between two key frames, and packets get lost. Left to itself the decoder then shows what it has,
    mostly grey or green, for up to the distance of the key frames.
    """
    depayloader, parser, decoder = _CODECS[codec]
    waiting = " wait-for-keyframe=true" if has_property(depayloader, "wait-for-keyframe") else ""
    # decodebin takes a Jetson's hardware decoder. It cannot hand the property to another one.
    whole = not jetson and has_property(decoder, "output-corrupt")
    return [depayloader + waiting, parser, decoder + " output-corrupt=false" if whole else "decodebin"]


def _file(address: Address, wanted: Wanted) -> List[str]:
    return ["filesrc location=" + _quoted(address.target), "decodebin", *_converted(wanted),
            _ALL.format("true" if wanted.played else "false")]


def _converted(wanted: Wanted) -> List[str]:
    """Return the parts that bring decoded frames, which a Jetson's decoder leaves in its own memory, to the sink."""
    size = (wanted.width, wanted.height) if wanted.width and wanted.height else (None, None)
    caps = _CAPS[wanted.pixel_format]
    if wanted.jetson:
        flip = " flip-method={}".format(_TURNS[wanted.turn][1]) if wanted.turn else ""
        made = _caps("video/x-raw", size[0], size[1], None) + ",format=" + _JETSON[wanted.pixel_format]
        return ["nvvidconv" + flip, made, *_from_jetson(wanted.pixel_format)]
    turned = ["videoconvert", "videoflip video-direction=" + _TURNS[wanted.turn][0]] if wanted.turn else []
    # Like OpenCV's own readers, without borders and whatever shape the pixels have.
    scaled = ["videoscale add-borders=false", _caps("video/x-raw", size[0], size[1], None)] if size[0] else []
    return [*turned, *scaled, "videoconvert", caps]


def _from_jetson(pixel_format: str) -> List[str]:
    return ["videoconvert", _CAPS["bgr"]] if pixel_format == "bgr" else []


def _caps(media: str, width: Optional[int], height: Optional[int], fps: Optional[float]) -> str:
    text = media
    if width:
        text += ",width={}".format(width)
    if height:
        text += ",height={}".format(height)
    if fps:
        rate = Fraction(fps).limit_denominator(1001)
        text += ",framerate={}/{}".format(rate.numerator, rate.denominator)
    return text


def _quoted(value: str) -> str:
    if not can_be_quoted(value):
        raise UsageError("{!r} cannot be part of a GStreamer pipeline".format(value),
                         "rename it without quotes, backslashes and exclamation marks")
    return '"{}"'.format(value)
