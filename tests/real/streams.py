"""A real RTSP server to start, freeze and kill, and how old the frames are that come from it."""
import os
import signal
import socket
import subprocess
import time

import pytest
from paths import ROOT

from edgenext_deploy.camera.synthetic import number_in

SYSTEM_PYTHON = "/usr/bin/python3"
NEEDS = "import gi, numpy; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def require_server():
    """Skip unless Debian's RTSP server is here; see requirements/debian.txt."""
    done = None
    if os.path.exists(SYSTEM_PYTHON):
        done = subprocess.run([SYSTEM_PYTHON, "-c", NEEDS], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done is None or done.returncode:
        pytest.skip("no RTSP server for {}: gir1.2-gst-rtsp-server-1.0 and python3-gi".format(SYSTEM_PYTHON))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The server as a process; `start` again after `kill` takes the same port."""

    def __init__(self, credentials="", host="127.0.0.1"):
        self.port, self.start_time, self._credentials, self._host = free_port(), time.time(), credentials, host
        self._process = None
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, os.path.join(ROOT, "tests", "real", "rtsp_server.py"), self._host, str(self.port),
             repr(self.start_time), self._credentials], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            universal_newlines=True, env=dict(os.environ, PYTHONPATH=ROOT))
        assert self._process.stdout.readline() == "ready\n"

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def close(self):
        if self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()

    def url(self, path, user=""):
        host = "[{}]".format(self._host) if ":" in self._host else self._host
        return "rtsp://{}{}:{}/{}".format(user, host, self.port, path)

    def age_ms(self, image):
        """Return the age of a frame; a broken one has any."""
        return (time.time() - self.start_time) * 1000.0 - number_in(image)

    def is_whole(self, image):
        # FFmpeg looks at a stream for seconds before it gives its first frame where the machine is busy.
        return -50.0 < self.age_ms(image) < 20000.0


def wait_for(condition, seconds, step_s=0.01):
    """Wait until a condition holds; return the seconds that it took."""
    start = time.perf_counter()
    while not condition():
        assert time.perf_counter() - start < seconds, "not within {} s".format(seconds)
        time.sleep(step_s)
    return time.perf_counter() - start


def frames(camera, count, seconds=20.0):
    """Read that many frames."""
    found, deadline = [], time.perf_counter() + seconds
    while len(found) < count:
        assert time.perf_counter() < deadline and not camera.ended, "{} of {} frames".format(len(found), count)
        frame = camera.read(0.5)
        if frame is not None:
            found.append(frame)
    return found
