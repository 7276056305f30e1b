"""RTSP from a real server that is killed, frozen, mute, joined late and wrong, through whichever backend OpenCV has.

pip's OpenCV reads with FFmpeg. ``make test-gstreamer`` runs this with Debian's, which has GStreamer.
"""
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
from doubles.rtsp import answering
from paths import ROOT
from streams import Server, frames, free_port, require_server, wait_for
from sweeps import sweep

from edgenext_deploy.camera.opencv.library import has_gstreamer
from edgenext_deploy.camera.reader import Backoff, Camera
from edgenext_deploy.camera.source import SourceLostError, SourceRefusedError
from edgenext_deploy.errors import EdgeNextError

cv2 = pytest.importorskip("cv2")
GSTREAMER = has_gstreamer(cv2)
TINY = os.path.join(ROOT, "tests", "data", "tiny_classifier.onnx")
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server():
    require_server()
    made = Server()
    yield made
    made.close()


@pytest.fixture
def own_server():
    require_server()
    made = Server()
    yield made
    made.close()


@pytest.mark.parametrize("path", ["h264", "h265", "mjpeg"])
def test_each_encoding_gives_new_and_whole_frames(server, path, caplog):
    with caplog.at_level("DEBUG", logger="edgenext_deploy"), Camera(server.url(path)) as camera:
        found = frames(camera, 30)
        ages = sorted(server.age_ms(frame.image) for frame in frames(camera, 15))
    assert all(frame.image.shape == (480, 640, 3) for frame in found)
    # An encoder of H.265 on a busy machine is late by itself.
    assert all(server.is_whole(frame.image) for frame in found) and (path == "h265" or ages[7] < 1500.0)
    opened = [record.getMessage() for record in caplog.records if record.getMessage().startswith("opening")]
    assert len(opened) == 1 and ("with GStreamer" in opened[0]) == GSTREAMER
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("joins", sweep([4, 20], [4]))
def test_a_stream_joined_between_key_frames_shows_nothing_broken(server, joins):
    broken = []
    with Camera(server.url("gop")) as first:
        frames(first, 5)
        for _ in range(joins):
            time.sleep(random.uniform(0.2, 1.5))
            with Camera(server.url("gop"), open_limit_s=20.0) as camera:
                broken += [frame for frame in frames(camera, 10) if not server.is_whole(frame.image)]
    assert len(broken) == 0


def test_a_server_that_is_killed_and_started_again(own_server):
    with Camera(own_server.url("h264"), backoff=Backoff(0.2, 0.5)) as camera:
        frames(camera, 5)
        own_server.kill()
        wait_for(lambda: camera.read(0.0) is None and camera.counters.waiting == 0, 5.0)
        time.sleep(1.0)
        own_server.start()
        wait_for(lambda: camera.counters.reconnects > 0, 15.0)
        found = frames(camera, 10)
    assert all(own_server.age_ms(frame.image) < 3000.0 for frame in found)


def test_a_server_that_freezes_is_noticed_within_five_seconds_and_nothing_old_is_shown(own_server, caplog):
    with Camera(own_server.url("h264"), backoff=Backoff(0.2, 0.5)) as camera:
        frames(camera, 5)
        own_server.signal(signal.SIGSTOP)
        assert wait_for(lambda: "no frame for" in caplog.text, 8.0) < 5.0
        while camera.read(0.0) is not None:
            pass
        assert camera.read(3.0) is None
        own_server.signal(signal.SIGCONT)
        found = frames(camera, 10)
        assert camera.counters.reconnects == 1
    assert all(own_server.is_whole(frame.image) and own_server.age_ms(frame.image) < 3000.0 for frame in found)


def test_what_is_wrong_is_said_in_time():
    require_server()
    locked = Server("me:sEcr3t")
    try:
        for user in ("", "me:no@"):
            with pytest.raises(SourceRefusedError, match="401") as caught:
                Camera(locked.url("h264", user))
            assert "no@" not in str(caught.value)
        with Camera(locked.url("h264", "me:sEcr3t@")) as camera:
            frames(camera, 2)
        with pytest.raises(SourceLostError, match="404"):
            Camera(locked.url("none", "me:sEcr3t@"))
    finally:
        locked.close()
    with pytest.raises(SourceLostError, match="nothing answers"):
        Camera("rtsp://127.0.0.1:{}/x".format(free_port()))
    start = time.perf_counter()
    with answering(None) as (port, _), pytest.raises(SourceLostError, match="does not answer within 5 s"):
        Camera("rtsp://127.0.0.1:{}/x".format(port))
    assert time.perf_counter() - start < 8.0


def test_a_server_at_an_address_of_ipv6():
    require_server()
    server = Server(host="::1")
    try:
        with Camera(server.url("h264")) as camera:
            assert all(server.is_whole(frame.image) for frame in frames(camera, 5))
    finally:
        server.close()


def child(*arguments):
    return subprocess.Popen([sys.executable, "-m", "edgenext_deploy.run.cli", "--engine", TINY, "--threads", "1",
                             *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True, env=dict(os.environ, PYTHONPATH=ROOT))


def interrupt(process):
    """Send Ctrl-C; return (exit code, seconds until it ended, stdout, stderr)."""
    start = time.perf_counter()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, time.perf_counter() - start, out, err


def test_ctrl_c_ends_an_opening_and_a_read_that_hang(own_server):
    pytest.importorskip("onnxruntime")
    with answering(None) as (port, requests):
        process = child("rtsp://127.0.0.1:{}/x".format(port))
        wait_for(lambda: requests, 30.0)
        code, seconds, _, err = interrupt(process)
        assert code == 130 and seconds < 2.0 and err == "interrupted\n"
    process = child(own_server.url("h264"), "--json")
    assert '"stream"' in process.stdout.readline() and '"frame"' in process.stdout.readline()
    own_server.signal(signal.SIGSTOP)
    time.sleep(1.0)
    code, seconds, out, err = interrupt(process)
    assert code == 130 and seconds < 2.0 and '"summary"' in out and err == ""


def test_a_camera_that_comes_later_is_waited_for(own_server):
    pytest.importorskip("onnxruntime")
    own_server.kill()
    process = child(own_server.url("h264"), "--wait", "--frames", "3")
    assert "trying again in" in process.stderr.readline()
    own_server.start()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "frame limit: 3 frames" in out and "secret" not in err


def test_a_file_without_its_index_does_not_hang(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (320, 240))
    for number in range(20):
        writer.write(cv2.resize(cv2.UMat(4, 4, cv2.CV_8UC3, (number, 0, 0)).get(), (320, 240)))
    writer.release()
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[:content.index(b"moov")])
    for _ in range(5):
        start = time.perf_counter()
        with pytest.raises(EdgeNextError):
            Camera(str(tmp_path / "a.mp4"), open_limit_s=3.0)
        assert time.perf_counter() - start < 4.5


@pytest.mark.skipif(not GSTREAMER, reason="this OpenCV has no GStreamer")
def test_a_csi_camera_without_its_elements_is_an_error_and_not_a_hang():
    with pytest.raises(EdgeNextError, match="nvarguscamerasrc"):
        Camera("csi://0")


def state():
    return (threading.active_count(), len(os.listdir("/proc/self/fd")),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


@pytest.mark.parametrize("count", sweep([30, 500], [30]))
def test_a_source_that_never_opens_costs_nothing(count):
    url = "rtsp://127.0.0.1:{}/x".format(free_port())
    with pytest.raises(SourceLostError):
        Camera(url)
    before, tries = state(), []
    camera = Camera(url, wait=True, backoff=_Counting(tries))
    wait_for(lambda: len(tries) > count, 120.0)
    camera.close()
    after = state()
    assert after[0] <= before[0] and after[1] <= before[1] + 2 and after[2] <= before[2] + 10


class _Counting(Backoff):
    def __init__(self, tries):
        super().__init__(0.0, 0.0)
        self._tries = tries

    def next_s(self):
        self._tries.append(1)
        return super().next_s()


@pytest.mark.parametrize("rounds", sweep([1, 20], [1]))
def test_no_opening_of_a_bad_source_takes_longer_than_its_limit(rounds, tmp_path):
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 8)
    longest = 0.0
    with answering(None) as (mute, _), answering(b"x\r\n\r\n") as (odd, _):
        for _ in range(rounds):
            for url in ("rtsp://127.0.0.1:{}/x".format(mute), "rtsp://127.0.0.1:{}/x".format(odd),
                        "rtsp://127.0.0.1:{}/x".format(free_port()), "csi://0", str(broken)):
                start = time.perf_counter()
                with pytest.raises(EdgeNextError):
                    Camera(url, open_limit_s=2.0)
                longest = max(longest, time.perf_counter() - start)
    assert longest < 3.0


@pytest.mark.parametrize("seconds", sweep([60], []))
def test_age_of_frames_of_a_slow_consumer(server, seconds):
    with Camera(server.url("h264")) as camera:
        frames(camera, 5)
        ages, start = [], time.perf_counter()
        while time.perf_counter() - start < seconds:
            (frame,) = frames(camera, 1)
            if time.perf_counter() - start > 0.75 * seconds:
                ages.append(server.age_ms(frame.image))
            time.sleep(0.2)
    ages.sort()
    sys.stdout.write("ages of {} frames: median {:.0f}, p90 {:.0f}, largest {:.0f} ms\n".format(
        len(ages), ages[len(ages) // 2], ages[len(ages) * 9 // 10], ages[-1]))
    assert ages[len(ages) // 2] < (60.0 if GSTREAMER else 150.0)
