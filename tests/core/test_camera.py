"""The reader thread: the newest frame, counters, reconnecting, and the sources it reads."""
import contextlib
import socket
import sys
import threading
import time
import types

import numpy as np
import pytest
from PIL import Image

from edgenext_deploy.camera import Backoff, Camera, Clock, FrameSource, SourceLostError, number_in, opencv
from edgenext_deploy.errors import BadInputError, MissingRuntimeError, UsageError

LOST = SourceLostError("unplugged")
SINK = "appsink drop=true max-buffers=1 sync=false"


class Script(FrameSource):
    """A source that does what a list says: a number is a frame, an exception is raised, a callable is called."""

    live = True
    name = "script"

    def __init__(self, reads, opens=(), fps=None, live=True):
        self.reads, self.opens, self.fps, self.live = list(reads), list(opens), fps, live
        self.closed = 0

    def open(self):
        error = self.opens.pop(0) if self.opens else None
        if error is not None:
            raise error

    def read(self):
        if not self.reads:
            return None
        step = self.reads.pop(0)
        if isinstance(step, Exception):
            raise step
        return np.full((2, 2, 3), step() if callable(step) else step, np.uint8)

    def close(self):
        self.closed += 1


class FakeClock(Clock):
    def __init__(self):
        self.time, self.waits = 100.0, []

    def now(self):
        return self.time

    def wait(self, event, seconds):
        self.waits.append(seconds)
        self.time += seconds
        return event.is_set()


def ended(camera, seconds=5.0):
    deadline = time.time() + seconds
    while not camera.ended:
        assert time.time() < deadline
        time.sleep(0.001)
    return camera


def add_up(counters):
    return counters.captured == counters.processed + counters.dropped + counters.waiting and counters.waiting in (0, 1)


def camera_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("camera")]


def check_newest(camera, frames, busy_s):
    """Read as a slow consumer does; every frame must be the newest at that moment, by its number in its pixels."""
    numbers, ages = [], []
    while len(numbers) < frames:
        before = camera.counters.captured
        frame = camera.read(5.0)
        if frame is None:
            break
        ages.append(camera.now() - frame.captured_at)
        assert frame.number >= before - 1
        assert number_in(frame.image) == frame.number
        assert add_up(camera.counters)
        numbers.append(frame.number)
        time.sleep(busy_s)
    assert numbers == sorted(set(numbers))
    return numbers, sorted(ages)


def test_a_slow_consumer_always_gets_the_newest_frame():
    with Camera("synthetic://320x240@120") as camera:
        numbers, ages = check_newest(camera, 30, 0.03)
        counters = camera.counters
    assert counters.dropped >= 30 and numbers[-1] > 60
    assert ages[len(ages) // 2] < 2.0 / 120.0
    assert camera.counters.waiting == 0 and add_up(camera.counters)
    assert camera.counters.captured == counters.captured or camera.counters.captured == counters.captured + 1


def test_a_fast_consumer_gets_every_frame_in_time():
    start = time.perf_counter()
    with Camera("synthetic://64x48@50?frames=20") as camera:
        numbers = []
        while len(numbers) < 20:
            frame = camera.read(1.0)
            if frame is None:
                break
            numbers.append(number_in(frame.image))
        assert camera.read(1.0) is None and camera.ended
    assert numbers[-1] == 19 and len(numbers) >= 15  # a busy machine may miss some
    assert 0.37 < time.perf_counter() - start < 2.0


def test_pace_is_kept_without_bursts():
    clock, source = FakeClock(), Script(range(6), live=False, fps=10.0)

    def pause():
        clock.time += 5.0
        return 3

    source.reads[3] = pause
    with Camera(source, clock=clock) as camera:
        ended(camera)
    # Frame 3 took five seconds; the next comes at once, and then one period passes again. The end is a read as well.
    assert [round(wait, 6) for wait in clock.waits] == [0.1, 0.1, 0.1, 0.1, 0.1]


def test_every_frame_waits_for_the_consumer():
    with Camera("synthetic://64x48@1000?frames=50", every_frame=True) as camera:
        frames = []
        while True:
            frame = camera.read(1.0)
            if frame is None:
                break
            frames.append(number_in(frame.image))
            if len(frames) % 10 == 0:
                time.sleep(0.02)
    assert frames == list(range(50))
    assert camera.counters == (50, 50, 0, 0, 0)
    with pytest.raises(UsageError, match="live"):
        Camera(Script([1]), every_frame=True)


def test_reading_with_a_timeout_and_after_close():
    gate = threading.Event()
    source = Script([lambda: gate.wait(10.0) and 7])
    camera = Camera(source)
    start = time.perf_counter()
    assert camera.read(0.05) is None and not camera.ended
    assert 0.04 < time.perf_counter() - start < 1.0
    gate.set()
    assert camera.read(5.0).image[0, 0, 0] == 7
    assert camera.read(5.0) is None and camera.ended
    camera.close()
    camera.close()
    assert camera.read() is None and source.closed >= 1


def test_close_wakes_a_reader_and_leaves_no_thread():
    with Camera("synthetic://64x48@0.1") as camera:
        camera.read(5.0)
        results = []
        reader = threading.Thread(target=lambda: results.append(camera.read()))
        reader.start()
        time.sleep(0.05)
        start = time.perf_counter()
        camera.close()
        reader.join(2.0)
        assert results == [None] and time.perf_counter() - start < 1.0
    assert camera_threads() == []


def test_a_source_that_is_unplugged_comes_back_with_growing_pauses():
    clock = FakeClock()
    # Opened, then: frame, loss, two failed attempts, one that opens but gives nothing, a frame, another loss.
    source = Script([0, LOST, LOST, 1, LOST, 2], opens=[None, BadInputError("gone"), BadInputError("gone")])
    with Camera(source, backoff=Backoff(0.5, 3.0), clock=clock) as camera:
        ended(camera)
        frame = camera.read()
    assert clock.waits == [0.5, 1.0, 2.0, 3.0, 0.5]
    assert camera.counters.reconnects == 3 and source.closed == 4
    assert frame.image[0, 0, 0] == 2 and frame.number == 2 and frame.captured_at == 107.0


def test_a_frame_from_before_a_loss_is_never_shown():
    gate = threading.Event()

    def wait():
        gate.wait(10.0)
        return 9

    with Camera(Script([5, LOST, wait]), backoff=Backoff(0.001, 0.001)) as camera:
        deadline = time.time() + 5.0
        while camera.counters.reconnects == 0:
            assert time.time() < deadline
        assert camera.counters.waiting == 0 and camera.counters.dropped == 1
        gate.set()
        assert camera.read(5.0).image[0, 0, 0] == 9


def test_backoff_ends_when_the_camera_is_closed():
    camera = Camera(Script([LOST]), backoff=Backoff(60.0, 60.0))
    time.sleep(0.05)
    start = time.perf_counter()
    camera.close()
    assert time.perf_counter() - start < 1.0 and camera_threads() == []


def test_backoff_has_a_limit_and_starts_again():
    backoff = Backoff(0.5, 30.0)
    assert [backoff.next_s() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


@pytest.mark.parametrize("error", [BadInputError("broken"), ValueError("a bug")])
def test_errors_of_a_file_reach_the_consumer_after_the_last_frame(error):
    with Camera(Script([1, error], live=False)) as camera:
        assert camera.read(5.0).number == 0
        with pytest.raises(type(error)):
            camera.read(5.0)


def test_the_first_opening_must_work():
    with pytest.raises(BadInputError, match="gone"):
        Camera(Script([1], opens=[BadInputError("gone")]))
    assert camera_threads() == []


def test_a_folder_is_read_in_order_photo_by_photo(tmp_path):
    for name, color in (("b.png", (0, 255, 0)), ("a.PNG", (255, 0, 0)), (".c.png", (0, 0, 255))):
        Image.new("RGB", (5, 4), color).save(str(tmp_path / name))
    (tmp_path / "notes.txt").write_text("x")
    with Camera(str(tmp_path)) as camera:
        time.sleep(0.05)
        colors = [camera.read(5.0).image[0, 0].tolist() for _ in range(2)]
        assert camera.read(5.0) is None
    assert colors == [[0, 0, 255], [0, 255, 0]]  # BGR
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="no photo"):
        Camera(str(tmp_path / "empty"))
    (tmp_path / "d.png").write_bytes(b"no image")
    with Camera(str(tmp_path)) as camera:
        camera.read(5.0), camera.read(5.0)
        with pytest.raises(BadInputError, match=r"d\.png"):
            camera.read(5.0)


@pytest.mark.parametrize("options", [{"width": 31}, {"height": 100000}, {"fps": 0.0}, {"fps": float("nan")}])
def test_sizes_and_rates_are_checked(options):
    with pytest.raises(UsageError):
        Camera("synthetic://", **options)
    with pytest.raises(UsageError):
        Camera("synthetic://9x9@30")


@pytest.fixture
def numbered_video(tmp_path):
    """Return a function that writes a video whose frames carry their numbers."""
    cv2 = pytest.importorskip("cv2")
    from edgenext_deploy.camera.synthetic import write_number

    def make(name, codec, frames, fps):
        path = str(tmp_path / name)
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*codec), fps, (320, 240))
        assert writer.isOpened()
        for number in range(frames):
            image = np.full((240, 320, 3), 90, np.uint8)
            write_number(image, number)
            writer.write(image)
        writer.release()
        return path

    return make


@pytest.mark.parametrize("name, codec", [("a b.mp4", "mp4v"), ("a!b.avi", "MJPG")])
def test_a_video_file_gives_every_frame(numbered_video, name, codec):
    with Camera(numbered_video(name, codec, 40, 200.0), every_frame=True, width=256, height=192) as camera:
        frames = [camera.read(5.0) for _ in range(40)]
        assert camera.read(5.0) is None
    assert [number_in(frame.image) for frame in frames] == list(range(40))
    assert frames[0].image.shape == (192, 256, 3) and camera.counters == (40, 40, 0, 0, 0)
    assert camera.fps == 200.0


def test_a_video_file_is_played_like_a_camera(numbered_video):
    path = numbered_video("a.mp4", "mp4v", 60, 60.0)
    start = time.perf_counter()
    with Camera(path) as camera:
        numbers, _ = check_newest(camera, 60, 0.05)
        assert camera.read(5.0) is None
    assert 0.9 < time.perf_counter() - start < 3.0
    assert numbers[-1] == 59 and 10 <= len(numbers) <= 25
    assert camera.counters.captured == 60 and add_up(camera.counters)


def test_files_that_are_no_videos(tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "a.mp4").write_bytes(b"not a video, but long enough to be looked at" * 10)
    with pytest.raises(BadInputError, match="not a video"):
        Camera(str(tmp_path / "a.mp4"))
    (tmp_path / "b.mp4").write_bytes(b"")
    with pytest.raises(BadInputError, match="empty"):
        Camera(str(tmp_path / "b.mp4"))
    with pytest.raises(BadInputError, match="not found"):
        Camera(str(tmp_path / "c.mp4"))


def test_no_such_device():
    pytest.importorskip("cv2")
    with pytest.raises(BadInputError, match="no camera at /dev/video250; found"):
        Camera("/dev/video250")


@pytest.mark.parametrize("jetson, fix", [(True, "nvidia-opencv"), (False, "opencv-python-headless")])
def test_without_opencv(monkeypatch, jetson, fix):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setattr(opencv, "on_jetson", lambda: jetson)
    with pytest.raises(MissingRuntimeError, match="not installed") as caught:
        Camera("csi://0")
    assert fix in caught.value.fix
    Camera("synthetic://64x48@30").close()  # needs none


class FakeCapture:
    """What cv2.VideoCapture is to us."""

    opened, opens_with, settings = [], (), {}

    def __init__(self, argument, backend):
        FakeCapture.opened.append((argument, backend))
        self.line = argument
        self.good = backend in FakeCapture.opens_with

    def isOpened(self):  # noqa: N802
        return self.good

    def set(self, name, value):
        FakeCapture.settings[name] = value

    def get(self, name):
        return 25.0

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
                                   "CAP_PROP_FRAME_WIDTH", "CAP_PROP_FRAME_HEIGHT", "CAP_PROP_BUFFERSIZE")):
        setattr(module, name, name if name.startswith("CAP_PROP") else number)
    monkeypatch.setitem(sys.modules, "cv2", module)
    monkeypatch.setattr(opencv.os.path, "exists", lambda path: True)
    monkeypatch.setattr(opencv.os, "access", lambda path, mode: True)

    def have(gstreamer, *opens_with):
        module.getBuildInformation = lambda: "  Video I/O:\n    GStreamer:      {}\n".format(
            "YES (1.14.5)" if gstreamer else "NO")
        FakeCapture.opened, FakeCapture.opens_with, FakeCapture.settings = [], opens_with, {}
        return module

    return have


@contextlib.contextmanager
def listening():
    """Yield the port of a server that accepts connections."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield server.getsockname()[1]


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
    # OpenCV 4.1.1 opens no pipeline with BGRx.
    monkeypatch.setattr(FakeCapture, "isOpened", lambda self: self.line.endswith("format=BGR ! " + SINK), raising=False)
    with Camera("csi://0", pixel_format="bgrx") as camera:
        assert camera.color == "bgr"
    assert ["format=BGR !" in line for line, _ in FakeCapture.opened[3:]] == [False, True]
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
    with listening() as port, caplog.at_level("DEBUG", logger="edgenext_deploy"):
        address = "rtsp://me:secret@127.0.0.1:{}/live".format(port)
        Camera(address).close()
    assert "rtspsrc" in caplog.text and "secret" not in caplog.text
    assert 'location="{}"'.format(address) in FakeCapture.opened[0][0]


def test_a_network_camera_that_does_not_answer_is_not_handed_to_opencv(fake_cv2):
    fake_cv2(True, 0, 2)
    with listening() as port:
        pass
    with pytest.raises(BadInputError, match="nothing answers at 127.0.0.1:{}".format(port)) as caught:
        Camera("rtsp://me:secret@127.0.0.1:{}/live".format(port))
    assert FakeCapture.opened == [] and "secret" not in str(caught.value)


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
