"""The pipelines of a Jetson, negotiated by the real GStreamer with stand-ins for NVIDIA's elements."""
import json
import os
import subprocess
import sys

import pytest
from paths import ROOT
from streams import Server, require_server
from sweeps import sweep

from edgenext_deploy.camera.opencv.library import has_gstreamer

pytestmark = pytest.mark.real
BARS = ["rgb", "rg", "gb", "g", "rb", "r", "b"]
SHAPES = {"bgr": (lambda w, h: [h, w, 3]), "bgrx": (lambda w, h: [h, w, 4]), "nv12": (lambda w, h: [h * 3 // 2, w])}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    cv2 = pytest.importorskip("cv2")
    if not has_gstreamer(cv2):
        pytest.skip("this OpenCV has no GStreamer")
    pytest.importorskip("gi")
    require_server()
    server = Server()
    path = str(tmp_path_factory.mktemp("videos") / "bars.mp4")
    subprocess.run(["gst-launch-1.0", "-q", "videotestsrc", "num-buffers=30", "pattern=smpte75", "!",
                    "video/x-raw,width=1280,height=720", "!", "x264enc", "!", "mp4mux", "!", "filesink",
                    "location=" + path], check=True)
    yield {"csi": "csi://0", "rtsp": server.url("bars"), "file": path}
    server.close()


@pytest.mark.parametrize("kind, pixel_format, asked, size", sweep(
    [(kind, pixel_format, asked, size) for kind in ("csi", "rtsp", "file") for pixel_format in ("bgr", "bgrx", "nv12")
     for asked, size in (((0, 0), (1280, 720)), ((640, 0), (640, 360)), ((320, 240), (320, 240)))],
    [("csi", "bgr", (0, 0), (1280, 720)), ("csi", "bgrx", (640, 0), (640, 360)),
     ("csi", "nv12", (320, 240), (320, 240)), ("rtsp", "bgr", (640, 0), (640, 360)),
     ("rtsp", "bgrx", (320, 240), (320, 240)), ("rtsp", "nv12", (640, 0), (640, 360)),
     ("file", "bgr", (320, 240), (320, 240)), ("file", "bgrx", (0, 0), (1280, 720)),
     ("file", "nv12", (640, 0), (640, 360))]))
def test_frames_come_in_each_format_and_size(addresses, kind, pixel_format, asked, size):
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "real", "jetson_elements.py"), addresses[kind],
                           pixel_format, str(asked[0]), str(asked[1])], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=60, env=dict(os.environ, PYTHONPATH=ROOT))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["shape"] == SHAPES[pixel_format](*size)
    assert found["color"] == ("nv12" if pixel_format == "nv12" else "bgr") and found["bars"] == BARS
    assert found["decoders"] == (0 if kind == "csi" else 1)
