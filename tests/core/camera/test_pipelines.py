"""Addresses, hostile ones first, and the pipelines made of them."""
import pytest

from edgenext_deploy.camera.address import without_password
from edgenext_deploy.camera.open import is_stream, parse_address
from edgenext_deploy.camera.opencv import pipelines
from edgenext_deploy.camera.opencv.library import has_gstreamer
from edgenext_deploy.camera.opencv.pipelines import Wanted, pipeline
from edgenext_deploy.errors import UsageError
from edgenext_deploy.preprocess.pixel_formats import nv12_to_rgb

NEWEST = "appsink drop=true max-buffers=1 sync=false"
LEAKY = "queue leaky=downstream max-size-buffers=1"
BGR = "videoconvert ! video/x-raw,format=BGR"


def made(text, *arguments, **options):
    return pipeline(parse_address(text), Wanted(*arguments, **options))


@pytest.mark.parametrize("text, options, expected", [
    ("csi://0", {},
     "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1,format=NV12 ! "
     "nvvidconv flip-method=0 ! video/x-raw,format=BGRx ! " + LEAKY + " ! " + BGR + " ! " + NEWEST),
    ("csi://1?flip=2", {"width": 640, "height": 480, "fps": 29.97},
     "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=640,height=480,framerate=2997/100,format=NV12 ! "
     "nvvidconv flip-method=2 ! video/x-raw,format=BGRx ! " + LEAKY + " ! " + BGR + " ! " + NEWEST),
    ("csi://0", {"width": 640},
     "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=640,height=360,framerate=30/1,format=NV12 ! "
     "nvvidconv flip-method=0 ! video/x-raw,format=BGRx ! " + LEAKY + " ! " + BGR + " ! " + NEWEST),
    ("/dev/video0", {},
     'v4l2src device="/dev/video0" do-timestamp=true ! video/x-raw ! ' + LEAKY + " ! " + BGR + " ! " + NEWEST),
    ("/dev/v4l/by-id/usb-Cam_1-index0?format=mjpeg", {"width": 1280, "height": 720, "fps": 30},
     'v4l2src device="/dev/v4l/by-id/usb-Cam_1-index0" do-timestamp=true ! '
     "image/jpeg,width=1280,height=720,framerate=30/1 ! " + LEAKY + " ! jpegdec ! " + BGR + " ! " + NEWEST),
    ("rtsp://me:p%21@10.0.0.2:554/live?channel=1&subtype=0", {},
     'rtspsrc location="rtsp://me:p%21@10.0.0.2:554/live?channel=1&subtype=0" protocols=tcp latency=100 '
     "drop-on-latency=true buffer-mode=none timeout=5000000 tcp-timeout=5000000 ! application/x-rtp,media=video ! "
     "decodebin ! " + LEAKY + " ! " + BGR + " ! " + NEWEST),
    ("rtsp://camera/live", {"jetson": True, "width": 640, "height": 360},
     'rtspsrc location="rtsp://camera/live" protocols=tcp latency=100 drop-on-latency=true '
     "buffer-mode=none timeout=5000000 tcp-timeout=5000000 ! "
     "application/x-rtp,media=video ! decodebin ! " + LEAKY +
     " ! nvvidconv ! video/x-raw,width=640,height=360,format=BGRx ! " + BGR + " ! " + NEWEST),
    ("my videos/a.mp4", {},
     'filesrc location="my videos/a.mp4" ! decodebin ! ' + BGR + " ! appsink drop=false max-buffers=1 sync=false"),
    ("a.mp4", {"width": 320, "height": 240},
     'filesrc location="a.mp4" ! decodebin ! videoscale add-borders=false ! video/x-raw,width=320,height=240 ! ' + BGR +
     " ! appsink drop=false max-buffers=1 sync=false"),
    ("a.mp4", {"jetson": True},
     'filesrc location="a.mp4" ! decodebin ! nvvidconv ! video/x-raw,format=BGRx ! ' + BGR +
     " ! appsink drop=false max-buffers=1 sync=false"),
    # One side alone is OpenCvSource's to scale, with the shape kept.
    ("a.mp4", {"width": 320, "turn": 90},
     'filesrc location="a.mp4" ! decodebin ! videoconvert ! videoflip video-direction=90r ! ' + BGR +
     " ! appsink drop=false max-buffers=1 sync=false"),
    ("a.mp4", {"jetson": True, "turn": 270, "width": 360, "height": 640},
     'filesrc location="a.mp4" ! decodebin ! nvvidconv flip-method=1 ! video/x-raw,width=360,height=640,format=BGRx ! '
     + BGR + " ! appsink drop=false max-buffers=1 sync=false"),
])
def test_pipelines(text, options, expected):
    assert made(text, **options) == expected


@pytest.mark.parametrize("properties, jetson, expected", [
    (("wait-for-keyframe", "output-corrupt"), False,
     "rtph264depay wait-for-keyframe=true ! h264parse ! avdec_h264 output-corrupt=false"),
    (("output-corrupt",), False, "rtph264depay ! h264parse ! avdec_h264 output-corrupt=false"),
    (("wait-for-keyframe", "output-corrupt"), True, "rtph264depay wait-for-keyframe=true ! h264parse ! decodebin"),
    ((), True, "rtph264depay ! h264parse ! decodebin")])
def test_a_stream_is_decoded_from_a_key_frame_on(monkeypatch, properties, jetson, expected):
    monkeypatch.setattr(pipelines, "has_property", lambda element, name: name in properties)
    line = made("rtsp://camera/live", codec="H264", jetson=jetson)
    assert " ! application/x-rtp,media=video,encoding-name=H264 ! {} ! queue".format(expected) in line
    assert "media=video ! decodebin ! queue" in made("rtsp://camera/live", codec="JPEG")


NV12 = "video/x-raw,format=NV12,colorimetry=bt601"


@pytest.mark.parametrize("text, options, expected", [
    ("csi://0", {"pixel_format": "bgrx"}, "video/x-raw,format=BGRx ! " + LEAKY + " ! " + NEWEST),
    ("csi://0", {"pixel_format": "nv12"},
     "nvvidconv flip-method=0 ! video/x-raw,format=NV12 ! " + LEAKY + " ! " + NEWEST),
    ("/dev/video0", {"pixel_format": "nv12"}, " ! " + LEAKY + " ! videoconvert ! " + NV12 + " ! " + NEWEST),
    ("rtsp://camera/live", {"jetson": True, "pixel_format": "nv12"},
     " ! " + LEAKY + " ! nvvidconv ! video/x-raw,format=NV12 ! " + NEWEST),
    ("a.mp4", {"pixel_format": "bgrx", "width": 320},
     "decodebin ! videoconvert ! video/x-raw,format=BGRx ! appsink drop=false max-buffers=1 sync=false")])
def test_pipelines_without_the_last_conversion(text, options, expected):
    line = made(text, **options)
    assert line.endswith(expected) and "format=BGR " not in line


@pytest.mark.parametrize("text", [
    "", "csi://", "csi://x", "csi://0 ! filesink location=/tmp/x", "csi://0?flip=9", "csi://0?flip=0 ! fakesink",
    "csi://0?flip=0%20!%20fakesink", "csi://0?sensor=1", "csi://0\n", "csi://0?flip", "csi://٣",
    "/dev/video0 ! filesink location=/tmp/x", '/dev/video0" ! fakesink name="', "/dev/../etc/passwd", "/dev/sda",
    "/dev/video", "/dev/v4l/by-id/../../sda", "/dev/video0?format=h264", "/dev/video0\x00",
    "rtsp://host/a ! filesink location=/tmp/x", 'rtsp://host/a" ! filesink location="/tmp/x', "rtsp://host/a!b",
    "rtsp://host/a\\b", "rtsp://host/a b", "rtsp://host/a\tb", "rtsp://host/(a)", "rtsp://", "rtsp:///x",
    "rtsp://host:port/x", "rtsp://host:99999/x", "rtsp://host:0/x", "rtsp://user:pa!ss@host/x", "rtsp://host/a\n", "rtsp://hö/x",
    "http://host/video.mp4", "file:///etc/passwd", "pipeline://videotestsrc ! appsink",
    "synthetic://0", "synthetic://64x", "synthetic://64x48@", "synthetic://64x48@1e9", "synthetic://64x48?frames=0",
    "synthetic://64x48?frames=2&frames=x", "synthetic://64x48?color=pink", "synthetic:// 64x48", "a\nb.mp4",
])
def test_hostile_and_wrong_addresses(text):
    with pytest.raises(UsageError):
        parse_address(text)


@pytest.mark.parametrize("path", ['a".mp4', "a\\.mp4", "a!b.mp4"])
def test_a_file_name_that_could_leave_its_quotes_gets_no_pipeline(path):
    with pytest.raises(UsageError):
        made(path)


def test_passwords_are_not_shown():
    assert without_password("rtsp://me:secret@host/x") == "rtsp://me:***@host/x"
    assert "secret" not in without_password(made("rtsp://me:secret@host/x"))
    # Such an address is a valid one, of the host "me".
    assert without_password("rtsp://me:12/secret@host/x") == "rtsp://me:***@host/x"
    for text in ("rtsp://me:secret@host/x\r", "rtsp://me:secret@host/x y",
                 "rtsp://me:se/cret@host/x", "rtsp://me:se!cr@et@host/x", "http://a:secret@b",
                 "rtsp:/me:secret@host/x", "rtsps:me:secret@host", "rtsp:secret@host"):
        with pytest.raises(UsageError) as caught:
            parse_address(text)
        assert "cr" not in str(caught.value).replace("character", "")


def test_a_folder_whose_name_is_a_number_is_a_folder(tmp_path, monkeypatch):
    (tmp_path / "2024").mkdir()
    monkeypatch.chdir(str(tmp_path))
    assert parse_address("2024").kind == "folder" and not is_stream("2024") and is_stream("2025")


def test_what_is_a_stream():
    for text in ("csi://0", "/dev/video0", "rtsp://h/x", "synthetic://", "a.mp4", "A.AVI", "nonsense://x"):
        assert is_stream(text), text
    for text in ("a.jpg", "photos", "photos/", "", "mp4"):
        assert not is_stream(text), text


def test_options_are_read():
    address = parse_address("synthetic://64x48@12.5?frames=7&color=red")
    assert address == ("synthetic", "64x48@12.5", {"frames": "7", "color": "red"})
    assert parse_address("synthetic://").target == ""
    assert parse_address("csi://1?flip=2") == ("csi", "1", {"flip": "2"})


# What stands in for hardware that is not here, so that the rest of the pipeline meets the real GStreamer.
STAND_INS = [
    ('v4l2src device="/dev/video0" do-timestamp=true ! image/jpeg', "videotestsrc is-live=true ! jpegenc ! image/jpeg"),
    ('v4l2src device="/dev/video0" do-timestamp=true', "videotestsrc is-live=true"),
    ("nvarguscamerasrc sensor-id=0", "videotestsrc is-live=true"), ("(memory:NVMM)", ""),
    ("nvvidconv flip-method=0", "videoconvert")]


@pytest.mark.parametrize("pixel_format, shape", [("bgr", (240, 320, 3)), ("bgrx", (240, 320, 4)), ("nv12", (360, 320))])
@pytest.mark.parametrize("text", ["csi://0", "/dev/video0", "/dev/video0?format=mjpeg"])
def test_pipelines_give_frames_in_gstreamer(text, pixel_format, shape):
    cv2 = pytest.importorskip("cv2")
    if not has_gstreamer(cv2):
        pytest.skip("this OpenCV has no GStreamer")
    line = made(text, 320, 240, 15.0, pixel_format=pixel_format)
    for hardware, stand_in in STAND_INS:
        line = line.replace(hardware, stand_in)
    capture = cv2.VideoCapture(line, cv2.CAP_GSTREAMER)
    given, image = capture.read()
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    assert given and image.shape == shape and rate == 15.0
    # The test pattern's bars begin with white, yellow, cyan, green, magenta, red and blue, at 75 and 100 per cent.
    rgb = nv12_to_rgb(image) if pixel_format == "nv12" else image[:, :, 2::-1]
    bars = [tuple((rgb[100, 320 * index // 7 + 20] > 128).tolist()) for index in range(7)]
    assert bars == [(True, True, True), (True, True, False), (False, True, True), (False, True, False),
                    (True, False, True), (True, False, False), (False, False, True)]


@pytest.mark.parametrize("text, shown", [
    ("rtsp://h/x?user=a&password=se&c=1", "rtsp://h/x?user=a&password=***&c=1"),
    ("rtsp://h/user=admin_password=se_cret_channel=1_stream=0.sdp", "rtsp://h/user=admin_password=***_channel=1_stream=0.sdp"),
    ("rtsp://h/user=admin_password=x_", "rtsp://h/user=admin_password=***"), ("rtsp://h/x?a=1&pwd=", "rtsp://h/x?a=1&pwd=***"),
    ("rtsp://h/11?loginuse=a&loginpas=se", "rtsp://h/11?loginuse=a&loginpas=***"),
    ('rtspsrc location="rtsp://h/x?Token=se" latency=100', 'rtspsrc location="rtsp://h/x?Token=***" latency=100'),
    ("rtsp://h/x?auth=se&channel=1", "rtsp://h/x?auth=***&channel=1"), ("rtsp://h/x?key=se", "rtsp://h/x?key=***"),
    ("rtsp://h/compass=3", "rtsp://h/compass=***"), ("rtsp://h/x?channel=1", "rtsp://h/x?channel=1")])
def test_passwords_in_queries_and_paths_are_not_shown(text, shown):
    assert without_password(text) == shown
    if text.startswith("rtsp://"):
        assert parse_address(text).target == text
        with pytest.raises(UsageError) as caught:
            parse_address(text + " x")
        assert "se" not in str(caught.value).replace("user", "").replace("characters", "").replace("loginuse", "")
