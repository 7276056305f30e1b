"""Stand-ins for ``nvarguscamerasrc``, ``nvvidconv`` and ``nvv4l2decoder``: the formats of NVIDIA's, in system memory.

``jetson_elements.py ADDRESS FORMAT WIDTH HEIGHT`` opens an address as on a Jetson and prints a line of JSON about it.
"""
import json
import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstBase", "1.0")
from gi.repository import GObject, Gst, GstBase  # noqa: E402 - the versions come first

Gst.init(None)
ALWAYS = Gst.PadPresence.ALWAYS
PLAIN, NVMM = Gst.Caps.from_string("video/x-raw"), Gst.Caps.from_string("video/x-raw(memory:NVMM)")
FORMATS = "{NV12,I420,BGRx,RGBA,GRAY8,UYVY,YUY2,YVYU,P010_10LE}"


def template(name, direction, caps):
    return Gst.PadTemplate.new(name, direction, ALWAYS, caps)


def with_memory(caps, nvmm):
    """Return caps whose frames lie in NVIDIA's memory, or not."""
    made = Gst.Caps.new_empty()
    for index in range(caps.get_size()):
        structure = Gst.Structure.from_string(caps.get_structure(index).to_string())[0]
        made.append_structure_full(
            structure, Gst.CapsFeatures.from_string("memory:NVMM") if nvmm else Gst.CapsFeatures.new_empty())
    return made


def register_passage(name, sink, source, nvmm):
    """Register an element that only changes what the memory is called."""
    class Passage(GstBase.BaseTransform):
        __gstmetadata__ = (name, "Filter", name, "test")
        __gsttemplates__ = (template("sink", Gst.PadDirection.SINK, sink),
                            template("src", Gst.PadDirection.SRC, source))

        def do_transform_caps(self, direction, caps, wanted):
            made = with_memory(caps, nvmm == (direction == Gst.PadDirection.SINK))
            return made.intersect(wanted) if wanted else made

        def do_transform_ip(self, buffer):
            return Gst.FlowReturn.OK

    Passage.__name__ = name
    register(name, Passage)


def register(name, kind, rank=0):
    GObject.type_register(kind)
    Gst.Element.register(None, name, rank, kind)


def fill(element, line, source, sink=None):
    inner = Gst.parse_bin_from_description(line, True)
    element.add(inner)
    for name, made in (("sink", sink), ("src", source)):
        if made is not None:
            element.add_pad(Gst.GhostPad.new_from_template(name, inner.get_static_pad(name), made))


class Camera(Gst.Bin):
    SOURCE = template("src", Gst.PadDirection.SRC, Gst.Caps.from_string("video/x-raw(memory:NVMM),format=NV12"))
    __gstmetadata__ = ("nvarguscamerasrc", "Source/Video", "double", "test")
    __gsttemplates__ = (SOURCE,)
    sensor_id = GObject.Property(type=int, default=0)

    def __init__(self):
        super().__init__()
        fill(self, "videotestsrc is-live=true pattern=smpte75 ! video/x-raw,format=NV12 ! tonvmm", self.SOURCE)


class Converter(Gst.Bin):
    SINK = template("sink", Gst.PadDirection.SINK, Gst.Caps.from_string("video/x-raw(memory:NVMM); video/x-raw"))
    SOURCE = template("src", Gst.PadDirection.SRC, Gst.Caps.from_string("video/x-raw,format=" + FORMATS))
    __gstmetadata__ = ("nvvidconv", "Filter/Converter/Video/Scaler", "double", "test")
    __gsttemplates__ = (SINK, SOURCE)
    flip_method = GObject.Property(type=int, default=0)

    def __init__(self):
        super().__init__()
        fill(self, "fromnvmm ! videoscale add-borders=false ! videoconvert ! "
                   "capsfilter caps=video/x-raw,format=" + FORMATS, self.SOURCE, self.SINK)


class Decoder(Gst.Bin):
    SINK = template("sink", Gst.PadDirection.SINK,
                    Gst.Caps.from_string("video/x-h264,stream-format=byte-stream,alignment=au"))
    SOURCE = template("src", Gst.PadDirection.SRC, NVMM)
    __gstmetadata__ = ("nvv4l2decoder", "Codec/Decoder/Video/Hardware", "double", "test")
    __gsttemplates__ = (SINK, SOURCE)
    made = 0

    def __init__(self):
        Decoder.made += 1
        super().__init__()
        fill(self, "avdec_h264 ! videoconvert ! video/x-raw,format=NV12 ! tonvmm", self.SOURCE, self.SINK)


def install():
    register_passage("tonvmm", PLAIN, NVMM, True)
    register_passage("fromnvmm", NVMM, PLAIN, False)
    register("nvarguscamerasrc", Camera)
    register("nvvidconv", Converter)
    register("nvv4l2decoder", Decoder, Gst.Rank.PRIMARY + 20)


def bars(image, color):
    """Return the seven bars of the test picture, as which of red, green and blue are there."""
    from edgenext_deploy.preprocess.pixel_formats import nv12_to_rgb

    rgb = nv12_to_rgb(image) if color == "nv12" else image[:, :, 2::-1]
    height, width = rgb.shape[:2]
    columns = [width * index // 7 + width // 14 for index in range(7)]
    return ["".join(name for name, value in zip("rgb", rgb[height // 3, column]) if value > 110) for column in columns]


def look(address, pixel_format, width, height):
    from edgenext_deploy.camera import reader
    from edgenext_deploy.camera.opencv import ways

    ways.on_jetson = lambda: True
    with reader.Camera(address, pixel_format=pixel_format, width=width or None, height=height or None) as camera:
        frame = camera.read(10.0)
        found = {"shape": frame.image.shape, "color": camera.color, "bars": bars(frame.image, camera.color),
                 "decoders": Decoder.made}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    install()
    look(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    os._exit(0)  # Python's elements must not be taken down by C's
