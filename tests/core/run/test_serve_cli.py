"""edgenext-run --serve and serve(): the page of a real run, and what both refuse."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from command_lines import run_here
from paths import DATA, ROOT

from edgenext_deploy.camera.reader import Backoff, Camera
from edgenext_deploy.camera.source import FrameSource, SourceLostError
from edgenext_deploy.errors import UsageError
from edgenext_deploy.networks.classifier import Classifier, Prediction
from edgenext_deploy.networks.detector import DetectedObject
from edgenext_deploy.networks.segmenter import Segmentation
from edgenext_deploy.run import cli
from edgenext_deploy.run.serving import serve
from edgenext_deploy.run.views import ClassificationView, DetectionView, PresenceView, SegmentationView, UntrainedView

pytest.importorskip("onnxruntime")

TINY = os.path.join(DATA, "tiny_classifier.onnx")
CHILD = [sys.executable, "-m", "edgenext_deploy.run.cli", "--engine", TINY, "--threads", "1"]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(address):
    try:
        with OPENER.open(address, timeout=10) as answer:
            return answer.getcode(), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@contextlib.contextmanager
def running(*arguments, **environment):
    """Start the command; give it, and the address that it prints."""
    child = subprocess.Popen([*CHILD, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             universal_newlines=True, env=dict(os.environ, **environment))
    try:
        first = child.stderr.readline()
        found = re.match(r"live page: (http://\S+)$", first.strip())
        assert found, first + child.stderr.read()
        yield child, found.group(1)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


def healthy(address):
    end = time.monotonic() + 20
    while fetch(address + "healthz")[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_is_served_and_ends_by_ctrl_c_with_viewers_looking():
    with running("synthetic://64x48@60?color=green", "--serve", "0") as (child, address):
        assert re.match(r"http://127\.0\.0\.1:\d+/$", address)
        healthy(address)
        status, picture = fetch(address + "snapshot.jpg")
        assert status == 200 and picture.startswith(b"\xff\xd8")
        viewers = [socket.create_connection(("127.0.0.1", int(address.split(":")[2][:-1]))) for _ in range(2)]
        for viewer in viewers:
            viewer.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert viewer.recv(100).startswith(b"HTTP/1.1 200")
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
        assert time.monotonic() - start < 5 and child.returncode == 130
        assert "green in 100.0% of the frames" in out and "Traceback" not in err
        for viewer in viewers:
            viewer.close()


def test_it_goes_together_with_json_and_save(tmp_path):
    pytest.importorskip("cv2")
    arguments = ("synthetic://64x48@60?color=blue", "--serve", "0", "--json", "--save", tmp_path / "out.avi")
    with running(*arguments) as (child, address):
        healthy(address)
        assert fetch(address + "snapshot.jpg")[0] == 200
        assert b'variant="tiny' in fetch(address + "metrics")[1]
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    documents = [json.loads(line) for line in out.splitlines()]
    assert child.returncode == 130 and documents[-1]["type"] == "summary"
    assert documents[1]["predictions"][0]["label"] == "blue" and "out.avi: " in err
    assert os.listdir(str(tmp_path)) == ["out.avi"]


def test_other_machines_get_a_token_that_is_said_once():
    with running("synthetic://64x48@60", "--serve", "0.0.0.0:0") as (child, address):
        token, port = address.partition("?token=")[2], re.search(r":(\d+)/", address).group(1)
        assert len(token) >= 20
        local = "http://127.0.0.1:{}/".format(port)
        assert fetch(local + "snapshot.jpg")[0] == 401
        healthy_with = time.monotonic() + 20
        while fetch(local + "healthz?token=" + token)[0] != 200:
            assert time.monotonic() < healthy_with
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
        assert token not in out + err


def test_the_token_of_the_environment_is_not_printed():
    with running("synthetic://64x48@60", "--serve", "0", EDGENEXT_SERVE_TOKEN="from-the-environment") as (_, address):
        assert address.endswith("/?token=***") and fetch(address)[0] == 401
        assert fetch(address.replace("?token=***", "snapshot.jpg?token=from-the-environment"))[0] != 401


def test_a_port_in_use_is_one_line(capsys):
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        code, out, err = run_here(capsys, cli.command, "--engine", TINY, "synthetic://", "--serve", port)
    assert code == 2 and out == "" and len(err.splitlines()) == 2
    assert err.startswith("error: cannot serve on 127.0.0.1:{}: another program uses the port\n".format(port))


@pytest.mark.parametrize("arguments, message", [
    (["synthetic://", "--serve", "x"], "[HOST:]PORT expected"),
    (["x.jpg", "--serve", "8080"], "--serve is for streams"),
    (["synthetic://", "--serve", "1", "--serve-token", "short"], "8 to 200 characters"),
    (["synthetic://", "--serve-token", "long-enough-token"], "--serve-token is for the page")])
def test_usage_errors(capsys, arguments, message):
    code, out, err = run_here(capsys, cli.command, "--engine", TINY, *arguments)
    assert code == 2 and out == "" and message in err and "short" not in err.replace(message, "")


class Failing(FrameSource):
    """A camera that gives three frames, and can be opened again once it is plugged in."""

    name, live, fps = "camera", True, 30.0

    def __init__(self):
        self.plugged, self.lost, self._left = threading.Event(), threading.Event(), 3

    def open(self):
        if not self._left and not self.plugged.is_set():
            raise SourceLostError("it is not there")

    def read(self):
        time.sleep(0.02)
        if self._left or self.plugged.is_set():
            self._left = max(0, self._left - 1)
            return np.zeros((48, 64, 3), np.uint8)
        self.lost.set()
        raise SourceLostError("it is gone")

    def close(self):
        pass


def test_serve_from_python_shows_a_lost_camera_and_its_return():
    source, stop, addresses, results = Failing(), threading.Event(), [], []
    with Classifier(TINY) as network, Camera(source, backoff=Backoff(0.05, 0.05)) as camera:
        thread = threading.Thread(target=serve, args=(network, camera), kwargs={
            "address": 0, "announce": addresses.append, "on_result": results.append, "stop": stop.is_set})
        thread.start()
        try:
            end = time.monotonic() + 10
            while len(results) < 3 and time.monotonic() < end:
                time.sleep(0.02)
            (address,) = addresses
            assert source.lost.wait(10)
            assert b"edgenext_reconnects_total 0\n" in fetch(address + "metrics")[1]
            source.plugged.set()
            while len(results) < 6 and time.monotonic() < end:
                time.sleep(0.02)
            time.sleep(0.3)  # figures are made four times a second at most
            assert b"edgenext_reconnects_total 1\n" in fetch(address + "metrics")[1]
        finally:
            stop.set()
            thread.join(10)
        assert not thread.is_alive()
    with pytest.raises(urllib.error.URLError):
        fetch(address)


def test_serve_refuses_before_it_looks(capsys):
    with Classifier(TINY) as network:
        for address in ("nowhere", -1, 70000, "a b:1"):
            with pytest.raises(UsageError):
                serve(network, None, address=address)
        with pytest.raises(UsageError):
            serve(network, None, address=0, token="short")
    assert capsys.readouterr().err == ""


def test_bars_and_pictures_of_each_task():
    from PIL import Image

    class Network:
        random_weights, threshold = False, 0.5

    image = Image.new("RGB", (64, 48))
    predictions = [Prediction(1, "cat", 0.9), Prediction(0, "dog", 0.6), Prediction(2, "cow", 0.1)]
    view = ClassificationView(Network())
    assert [item.label for item in view.ranked(predictions)] == ["cat", "dog", "cow"]
    one, all_of_them = view.live_picture(image, predictions), view.picture(image, predictions)
    assert np.asarray(one).sum() < np.asarray(all_of_them).sum()  # one line of white letters, not three
    present = PresenceView(Network(), 1)
    assert [item.label for item in present.ranked(predictions)] == ["cat", "dog"]
    objects = [DetectedObject(0, "cat", 0.8, 1, 1, 20, 20), DetectedObject(0, "cat", 0.5, 30, 1, 40, 20)]
    assert [tuple(item) for item in DetectionView(Network()).ranked(objects)] == [(0, "cat", 0.8), (0, "cat", 0.5)]
    classes = np.array([[0, 0], [0, 1]], np.uint8)
    answer = Segmentation(classes, ("background", "cat"), 64, 48)
    assert SegmentationView(Network()).ranked(answer)[1][1:] == ("cat", 0.25)
    untrained = UntrainedView(view)
    assert untrained.ranked(predictions) == [] and (np.asarray(untrained.live_picture(image, predictions)) == 0).all()
