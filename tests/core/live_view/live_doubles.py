"""A live view without a network: results are made here, and viewers are raw sockets."""
import contextlib
import re
import socket
import time
import types

import numpy as np

from edgenext_deploy.camera.reader import Counters, Frame
from edgenext_deploy.live_view.address import ServeAddress
from edgenext_deploy.live_view.state import Presenter
from edgenext_deploy.live_view.view import LiveView
from edgenext_deploy.networks.stream import StreamResult, StreamTimings

HOSTILE = "<img src=x onerror=alert(1)>\"'\\\n\u202e"


def presenter(label="cat", drawn=None):
    def picture(image, answer):
        if drawn is not None:
            drawn.append(answer)
        return image

    return Presenter({"engine": label + ".onnx", "variant": "xxs", "task": "classification", "runtime": "none 1"},
                     picture, lambda answer: "{} {:.0%}".format(label, answer), lambda answer: [(label, answer)],
                     "probability")


def camera(**counters):
    counters = Counters(**dict({"captured": 7, "processed": 5, "dropped": 1, "waiting": 1, "reconnects": 2},
                               **counters))
    return types.SimpleNamespace(name="rtsp://camera/1", fps=30.0, color="bgr", counters=counters)


def result(number=0, latency_ms=20.0, shape=(48, 64, 3)):
    image = np.full(shape, number * 9 % 256, np.uint8)
    return StreamResult(Frame(image, number, float(number)), 0.75, StreamTimings(1.0, 2.0, 15.0, 2.0, latency_ms))


@contextlib.contextmanager
def opened(label="cat", host="127.0.0.1", drawn=None, **options):
    """Open a view on a free port, with a camera and one frame."""
    with LiveView(ServeAddress(host, 0), presenter(label, drawn), **options) as view:
        view.watch(camera())
        view.show(result())
        yield view


def connect(view, seconds=5.0, buffer=None):
    viewer = socket.socket()
    if buffer is not None:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    viewer.settimeout(seconds)
    viewer.connect(("127.0.0.1", view.port))
    return viewer


def send(viewer, target, headers=(), method="GET", host="localhost"):
    lines = ["{} {} HTTP/1.1".format(method, target)] + (["Host: " + host] if host is not None else [])
    viewer.sendall("\r\n".join([*lines, *headers, "", ""]).encode("latin-1"))


def read_until(viewer, wanted, seconds=5.0):
    """Return what comes until these bytes are in it."""
    data, end = b"", time.monotonic() + seconds
    while wanted not in data:
        assert time.monotonic() < end, data[-300:]
        more = viewer.recv(1 << 16)
        assert more, data[-300:]
        data += more
    return data


def ask(view, target, headers=(), method="GET", host="localhost"):
    """Return status, headers by their names, and body of an answer that ends."""
    with connect(view) as viewer:
        send(viewer, target, headers, method, host)
        return read_answer(viewer)


def read_answer(viewer):
    data = b""
    while True:
        more = viewer.recv(1 << 16)
        if not more:
            break
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/1\.1 ([0-9]{3}) ", lines[0])
    assert found, data[:200]
    return int(found.group(1)), dict(line.split(": ", 1) for line in lines[1:]), body


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
