"""GStreamer's RTSP server with test streams: ``/usr/bin/python3 rtsp_server.py HOST PORT T0 [USER:PASSWORD]``.

Frames carry the milliseconds since the Unix time T0 as `write_number` writes them. Prints ``ready`` once it listens.
"""
import sys
import threading
import time

import gi
import numpy as np

from edgenext_deploy.camera.synthetic import write_number

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - the versions come first

WIDTH, HEIGHT, FPS = 640, 480, 30
SOURCE = ("appsrc name=src is-live=true format=time do-timestamp=true block=false max-bytes=4000000 "
          "caps=video/x-raw,format=BGR,width={},height={},framerate={}/1 ! videoconvert ! video/x-raw,format=I420 ! "
          ).format(WIDTH, HEIGHT, FPS)
H264 = "x264enc tune=zerolatency speed-preset=ultrafast bitrate=2000 key-int-max={} ! "
STREAMS = {
    "/h264": SOURCE + H264.format(30) + "rtph264pay name=pay0 pt=96 config-interval=1",
    # A key frame each five seconds.
    "/gop": SOURCE + H264.format(150) + "rtph264pay name=pay0 pt=96",
    "/h265": SOURCE + "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! "
             "rtph265pay name=pay0 pt=96 config-interval=1",
    "/mjpeg": SOURCE + "jpegenc ! rtpjpegpay name=pay0 pt=26",
    "/bars": "videotestsrc is-live=true pattern=smpte100 ! video/x-raw,width=1280,height=720,framerate=15/1 ! "
             + H264.format(15) + "rtph264pay name=pay0 pt=96 config-interval=1",
}


def feed(source, start):
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    due, count = time.time(), 0
    while True:
        due = max(due + 1.0 / FPS, time.time() - 1.0)
        time.sleep(max(0.0, due - time.time()))
        # A camera drops what its encoder is too slow for: a queue would only make its frames older.
        if source.get_property("current-level-bytes") > 2 * image.nbytes:
            continue
        image[HEIGHT // 2:] = (count * 3) % 200
        write_number(image, int((time.time() - start) * 1000))
        if source.emit("push-buffer", Gst.Buffer.new_wrapped(image.tobytes())) != Gst.FlowReturn.OK:
            return
        count += 1


def serve(host, port, start, credentials):
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_service(port)
    server.set_address(host)
    if credentials:
        auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*credentials.split(":")), token)
        server.set_auth(auth)

    def configure(factory, media):
        source = media.get_element().get_child_by_name("src")
        if source is not None:
            threading.Thread(target=feed, args=(source, start), daemon=True).start()

    for path, launch in STREAMS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch("( {} )".format(launch))
        factory.set_shared(True)
        factory.connect("media-configure", configure)
        factory.add_role_from_structure(Gst.Structure.new_from_string(
            "user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"))
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.timeout_add_seconds(2, lambda: server.get_session_pool().cleanup() or True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "")
