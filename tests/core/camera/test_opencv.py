"""Cameras that OpenCV opens: backends, pixel formats, networks, and devices that stop."""
import sys
import threading
import time
import types

import numpy as np
import pytest
from doubles.rtsp import DESCRIBED, answer, answering

from edgenext_deploy.camera.opencv import capture, elements, library, presence, source, ways
from edgenext_deploy.camera.reader import Backoff, Camera
from edgenext_deploy.errors import BadInputError, MissingRuntimeError, UsageError


def test_no_such_device():
    pytest.importorskip("cv2")
    with pytest.raises(BadInputError, match="no camera at /dev/video250; found"):
        Camera("/dev/video250")


@pytest.mark.parametrize("jetson, fix", [(True, "nvidia-opencv"), (False, "opencv-python-headless")])
def test_without_opencv(monkeypatch, jetson, fix):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(library, "on_jetson", lambda: jetson)
    with pytest.raises(MissingRuntimeError, match="not installed") as caught:
        Camera("csi://0")
    assert fix in caught.value.fix
    Camera("synthetic://64x48@30").close()  # needs none


@pytest.mark.parametrize("jetson", [True, False])
def test_an_opencv_that_finds_no_room_is_to_be_loaded_earlier_and_not_installed_again(monkeypatch, tmp_path, jetson):
    gomp = "/usr/lib/aarch64-linux-gnu/libgomp.so.1"
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('{}: cannot allocate memory in static TLS block')".format(gomp))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr(library, "on_jetson", lambda: jetson)
    with pytest.raises(MissingRuntimeError, match="static TLS block") as caught:
        library.load_cv2()
    assert caught.value.fix == "export LD_PRELOAD={}, and start again".format(gomp)


class _Property(str):
    """A property's number, which tells its name."""

    def __int__(self):
        return -1


class FakeCapture:
    """What cv2.VideoCapture is to us."""

    opened, opens_with, settings, takes_formats = [], (), {}, True

    def __init__(self, argument, backend, settings=()):
        if argument.startswith("videotestsrc"):  # asks for a pixel format
            self.good = FakeCapture.takes_formats
            return
        FakeCapture.opened.append((argument, backend))
        self.line = argument
        self.good = backend in FakeCapture.opens_with

    def isOpened(self):  # noqa: N802
        return self.good

    def set(self, name, value):
        FakeCapture.settings[name] = value

    def get(self, name):
        return {"CAP_PROP_FRAME_WIDTH": 640.0, "CAP_PROP_FRAME_HEIGHT": 480.0, "CAP_PROP_POS_MSEC": 0.0}.get(name, 25.0)

    def read(self):
        return True, np.zeros((4, 4, 3), np.uint8)

    def release(self):
        pass


@pytest.fixture
def fake_cv2(monkeypatch):
    """Put a double of OpenCV in place; returns a function that says which backends it has and open."""
    module = types.ModuleType("cv2")
    module.error = type("error", (Exception,), {})
    module.VideoCapture = FakeCapture
    module.VideoWriter_fourcc = lambda *letters: "".join(letters)
    module.__version__ = "4.1.1"
    for number, name in enumerate(("CAP_GSTREAMER", "CAP_V4L2", "CAP_FFMPEG", "CAP_PROP_FPS", "CAP_PROP_FOURCC",
                                   "CAP_PROP_FRAME_WIDTH", "CAP_PROP_FRAME_HEIGHT", "CAP_PROP_BUFFERSIZE",
                                   "CAP_PROP_POS_MSEC")):
        setattr(module, name, _Property(name) if name.startswith("CAP_PROP") else number)
    monkeypatch.setitem(sys.modules, "cv2", module)
    # Of this machine's GStreamer, if there is one, nothing is asked.
    monkeypatch.setattr(elements, "_loaded", {elements._LIBRARY: None})
    monkeypatch.setattr(ways, "_answers", {})
    monkeypatch.setattr(presence.os.path, "exists", lambda path: True)
    monkeypatch.setattr(presence.os, "access", lambda path, mode: True)

    def have(gstreamer, *opens_with):
        module.getBuildInformation = lambda: "  Video I/O:\n    GStreamer:      {}\n".format(
            "YES (1.14.5)" if gstreamer else "NO")
        FakeCapture.opened, FakeCapture.opens_with, FakeCapture.settings = [], opens_with, {}
        return module

    return have


def test_gstreamer_is_tried_first_and_a_csi_camera_needs_it(fake_cv2):
    cv2 = fake_cv2(True, 0)
    with Camera("csi://0") as camera:
        assert camera.read(5.0).image.shape == (4, 4, 3) and camera.fps == 25.0 and camera.name == "csi://0"
    ((line, backend),) = FakeCapture.opened
    assert backend == cv2.CAP_GSTREAMER and line.startswith("nvarguscamerasrc sensor-id=0 ! ")
    fake_cv2(False, 0)
    with pytest.raises(MissingRuntimeError, match="GStreamer") as caught:
        Camera("csi://0")
    assert "4.1.1" in str(caught.value) and FakeCapture.opened == []


def test_a_usb_camera_falls_back_to_opencvs_own_driver(fake_cv2):
    cv2 = fake_cv2(True, 1)
    Camera("/dev/video0?format=mjpeg", width=640, height=480, fps=15).close()
    assert [backend for _, backend in FakeCapture.opened] == [cv2.CAP_GSTREAMER, cv2.CAP_V4L2]
    assert FakeCapture.opened[1][0] == "/dev/video0"
    assert FakeCapture.settings == {"CAP_PROP_FOURCC": "MJPG", "CAP_PROP_FRAME_WIDTH": 640,
                                    "CAP_PROP_FRAME_HEIGHT": 480, "CAP_PROP_FPS": 15, "CAP_PROP_BUFFERSIZE": 1}
    fake_cv2(True)
    with pytest.raises(BadInputError, match="cannot open /dev/video0"):
        Camera("/dev/video0")


def test_a_pixel_format_that_opencv_does_not_take_becomes_bgr(fake_cv2, monkeypatch):
    fake_cv2(True, 0)
    for wanted, color in (("nv12", "nv12"), ("bgrx", "bgr"), ("bgr", "bgr")):
        with Camera("csi://0", pixel_format=wanted) as camera:
            assert camera.color == color
    assert len(FakeCapture.opened) == 3
    # OpenCV 4.1.1 opens no pipeline with BGRx; the camera itself is opened once.
    monkeypatch.setattr(FakeCapture, "takes_formats", False)
    monkeypatch.setattr(ways, "_answers", {})
    with Camera("csi://0", pixel_format="bgrx") as camera:
        assert camera.color == "bgr"
    assert ["format=BGR !" in line for line, _ in FakeCapture.opened[3:]] == [True]
    with pytest.raises(UsageError, match="pixel_format"):
        Camera("csi://0", pixel_format="yuv")


def test_nv12_of_a_file_is_not_scaled_again(fake_cv2, monkeypatch, tmp_path):
    fake_cv2(True, 0)
    (tmp_path / "a.mp4").write_bytes(b"video")
    monkeypatch.setattr(FakeCapture, "read", lambda self: (True, np.zeros((360, 320), np.uint8)))
    with Camera(str(tmp_path / "a.mp4"), width=320, height=240, pixel_format="nv12") as camera:
        assert camera.read(5.0).image.shape == (360, 320) and camera.color == "nv12"


@pytest.mark.parametrize("name, expected", [("a.mp4", [0, 2]), ("a!b.mp4", [2]), ('a".mp4', [2]), ("a\\.mp4", [2])])
def test_a_file_name_that_could_leave_its_quotes_is_opened_without_gstreamer(fake_cv2, tmp_path, name, expected):
    fake_cv2(True, 2)
    path = tmp_path / name
    path.write_bytes(b"video")
    Camera(str(path)).close()
    assert [backend for _, backend in FakeCapture.opened] == expected
    assert FakeCapture.opened[-1][0] == str(path)


def test_pipelines_are_logged_without_passwords(fake_cv2, caplog):
    fake_cv2(True, 0)
    with answering(DESCRIBED) as (port, _), caplog.at_level("DEBUG", logger="edgenext_deploy"):
        address = "rtsp://me:secret@127.0.0.1:{}/live".format(port)
        Camera(address).close()
    assert "rtspsrc" in caplog.text and "secret" not in caplog.text
    assert 'location="{}"'.format(address) in FakeCapture.opened[0][0]


def test_a_network_camera_that_does_not_answer_is_not_handed_to_opencv(fake_cv2):
    fake_cv2(True, 0, 2)
    with answering(DESCRIBED) as (port, _):
        pass
    with pytest.raises(BadInputError, match="nothing answers at 127.0.0.1:{}".format(port)) as caught:
        Camera("rtsp://me:secret@127.0.0.1:{}/live".format(port))
    assert FakeCapture.opened == [] and "secret" not in str(caught.value) and "(--wait) waits" in caught.value.fix


def test_a_device_that_stops_giving_frames_is_opened_again(fake_cv2, monkeypatch):
    fake_cv2(False, 1)
    answers = [(True, np.zeros((4, 4, 3), np.uint8)), (False, None)]
    monkeypatch.setattr(FakeCapture, "read", lambda self: answers.pop(0) if answers else (True, np.ones((4, 4, 3),
                                                                                                       np.uint8)))
    with Camera("/dev/video0", backoff=Backoff(0.001)) as camera:
        deadline = time.time() + 5.0
        while camera.counters.reconnects == 0:
            assert time.time() < deadline
        assert camera.read(5.0).image[0, 0, 0] == 1
    assert len(FakeCapture.opened) == 2


def until(condition, seconds=8.0):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline
        time.sleep(0.002)


def test_an_opening_that_hangs_is_given_up_and_tried_no_other_way(fake_cv2, monkeypatch):
    fake_cv2(True, 0, 2)
    gate = threading.Event()
    monkeypatch.setattr(FakeCapture, "isOpened", lambda self: not hasattr(self, "line") or gate.wait(20.0))
    start = time.perf_counter()
    with answering(DESCRIBED) as (port, _), pytest.raises(BadInputError, match=r"within 0\.3 s"):
        Camera("rtsp://127.0.0.1:{}/live".format(port), open_limit_s=0.3, pixel_format="nv12")
    assert time.perf_counter() - start < 3.0 and len(FakeCapture.opened) == 1
    gate.set()


def test_a_read_that_hangs_is_noticed_and_the_camera_opened_again_as_before(fake_cv2, monkeypatch):
    fake_cv2(True, 0, 2)
    gate, hanging = threading.Event(), [1]

    def read(self):
        if hanging and len(FakeCapture.opened) > 0 and hanging.pop():
            return True, np.zeros((4, 4, 3), np.uint8)
        if len(FakeCapture.opened) == 1:
            gate.wait(20.0)
        return True, np.ones((4, 4, 3), np.uint8)

    monkeypatch.setattr(FakeCapture, "read", read)
    with answering(DESCRIBED) as (port, _), Camera("rtsp://127.0.0.1:{}/live".format(port), silence_limit_s=0.3,
                                                   backoff=Backoff(0.0, 0.0)) as camera:
        assert camera.read(5.0).image[0, 0, 0] == 0
        until(lambda: camera.counters.reconnects == 1)
        # What comes from the abandoned capture is not the camera's any more.
        gate.set()
        assert camera.read(5.0).image[0, 0, 0] == 1
        # GStreamer does not open it any more, and FFmpeg would.
        FakeCapture.opens_with = (2,)
        monkeypatch.setattr(FakeCapture, "read", lambda self: (False, None))
        until(lambda: len(FakeCapture.opened) > 6)
    assert {backend for _, backend in FakeCapture.opened} == {0}


def test_no_more_than_a_few_openings_hang_at_one_time(fake_cv2, monkeypatch):
    fake_cv2(True, 0)
    gate = threading.Event()
    monkeypatch.setattr(FakeCapture, "read", lambda self: (gate.wait(30.0), None))
    monkeypatch.setattr(source, "_FIRST_FRAME_S", 0.05)
    monkeypatch.setattr(source, "_MOST_HUNG", 3)
    monkeypatch.setattr(capture, "_RELEASE_S", 0.01)
    with Camera("csi://0", silence_limit_s=0.05, backoff=Backoff(0.0, 0.001)) as camera:
        until(lambda: camera.counters.reconnects == 2)
        time.sleep(0.3)
        assert len(FakeCapture.opened) == 3 and not camera.ended
        gate.set()
        until(lambda: len(FakeCapture.opened) > 4)


def test_a_camera_that_is_not_there_yet_is_waited_for_and_a_wrong_password_is_not(fake_cv2, caplog):
    fake_cv2(False, 2)
    with answering(answer(503), answer(404), DESCRIBED) as (port, _):
        with Camera("rtsp://127.0.0.1:{}/live".format(port), wait=True, backoff=Backoff(0.01)) as camera:
            assert camera.read(5.0) is not None and camera.fps == 25.0
        assert camera.counters.reconnects == 0
    assert "refuses with 503: it is too busy; trying again in" in caplog.text
    with answering(answer(401)) as (port, _), pytest.raises(BadInputError, match="user and password"):
        Camera("rtsp://127.0.0.1:{}/live".format(port), wait=True)
    with pytest.raises(BadInputError, match="not found"):
        Camera("/none/a.mp4", wait=True)


@pytest.mark.parametrize("limits", [{"open_limit_s": 0.0}, {"silence_limit_s": float("nan")}])
def test_limits_are_checked(limits):
    with pytest.raises(UsageError, match="must be above 0"):
        Camera("synthetic://", **limits)
