"""The live page's server over raw sockets: what it answers, whom it refuses, and viewers that behave badly."""
import contextlib
import io
import json
import re
import socket
import struct
import threading
import time

import pytest
from live_doubles import (
    HOSTILE,
    ask,
    camera,
    connect,
    opened,
    presenter,
    read_answer,
    read_until,
    result,
    send,
    wait_until,
)
from PIL import Image

from edgenext_deploy.errors import UsageError
from edgenext_deploy.foreign_text import visible
from edgenext_deploy.live_view import handler, server, state
from edgenext_deploy.live_view.address import ServeAddress
from edgenext_deploy.live_view.guard import Guard
from edgenext_deploy.live_view.view import LiveView

TOKEN = "a-token-of-some-length"


@pytest.fixture
def view():
    with opened() as view:
        yield view


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("live page")]


def pictures_in(data):
    return re.findall(rb"Content-Type: image/jpeg\r\nContent-Length: (\d+)\r\n\r\n", data)


def test_the_page_asks_nobody_else(view):
    status, headers, body = ask(view, "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store" and headers["X-Frame-Options"] == "DENY"
    assert re.findall(rb"https?://(?!www\.w3\.org/2000/svg)", body) == []
    assert "Server" in headers and "Python" not in headers["Server"]


def test_a_snapshot_is_the_newest_frame(view):
    for number in (3, 9):
        view.show(result(number))
        time.sleep(0.12)  # pictures are made ten times a second at most
        status, headers, body = ask(view, "/snapshot.jpg")
        picture = Image.open(io.BytesIO(body))
        assert status == 200 and headers["Content-Type"] == "image/jpeg" and picture.size == (64, 48)
        assert abs(picture.getpixel((5, 5))[0] - number * 9) <= 2


def test_a_large_frame_is_made_smaller_and_a_head_alone_has_no_body(view):
    view.show(result(1, shape=(1080, 1920, 3)))
    time.sleep(0.12)
    assert Image.open(io.BytesIO(ask(view, "/snapshot.jpg")[2])).size == (1280, 720)
    for target in ("/", "/snapshot.jpg", "/metrics", "/healthz", "/stream.mjpg", "/events"):
        status, _, body = ask(view, target, method="HEAD")
        assert (status, body) == (200, b"")


@pytest.mark.parametrize("shape, color", [((72, 64), "nv12"), ((48, 64, 4), "bgr"), ((48, 64, 3), "bgr")])
def test_every_pixel_format_is_served(view, shape, color):
    source = camera()
    source.color = color
    view.watch(source)
    view.show(result(1, shape=shape))
    time.sleep(0.12)
    assert Image.open(io.BytesIO(ask(view, "/snapshot.jpg")[2])).size == (64, 48)


def test_before_the_first_frame(monkeypatch):
    monkeypatch.setattr(handler, "_FIRST_PICTURE_S", 0.1)
    with LiveView(ServeAddress("127.0.0.1", 0), presenter()) as view:
        assert ask(view, "/snapshot.jpg")[0] == 503
        assert ask(view, "/healthz")[0] == 503
        assert b"edgenext_frames_captured_total 0\n" in ask(view, "/metrics")[2]


def test_the_stream_is_pictures_each_once(view):
    drawn = []
    with opened(drawn=drawn) as view, connect(view) as viewer:
        send(viewer, "/stream.mjpg")
        data = read_until(viewer, b"--edgenext-frame\r\nContent-Type: image/jpeg")
        assert b"multipart/x-mixed-replace; boundary=edgenext-frame" in data
        read_until(viewer, b"\xff\xd9\r\n--edgenext-frame\r\n") if b"\xff\xd9\r\n--" not in data else None
        viewer.settimeout(0.3)
        with pytest.raises(socket.timeout):
            viewer.recv(100)  # the same frame is not sent again
        viewer.settimeout(5)
        view.show(result(1))
        assert len(pictures_in(read_until(viewer, b"\xff\xd9\r\n--edgenext-frame\r\n"))) == 1
        assert len(drawn) == 2


def test_a_picture_that_is_drawn_already_is_not_drawn_again():
    drawn = []
    with opened(drawn=drawn) as view:
        view.show(result(1), drawn=True)
        assert ask(view, "/snapshot.jpg")[0] == 200 and drawn == []


def test_nothing_is_encoded_while_nobody_looks_and_viewers_share():
    with opened() as view:
        for number in range(1, 20):
            view.show(result(number))
        assert view.pictures.made == 0
        viewers = [connect(view) for _ in range(3)]
        for viewer in viewers:
            send(viewer, "/stream.mjpg")
        start, number = time.monotonic(), 20
        while time.monotonic() - start < 1.0:  # 100 frames a second
            view.show(result(number))
            number += 1
            time.sleep(0.01)
        made, elapsed = view.pictures.made, time.monotonic() - start
        assert 4 <= made <= elapsed * 10 + 2
        for viewer in viewers:
            viewer.close()
        wait_until(lambda: not [thread for thread in threads() if "viewer" in thread.name] or view.show(
            result(int(time.monotonic() * 1000))))
        made = view.pictures.made
        for number in range(1000, 1020):
            view.show(result(number))
            time.sleep(0.01)
        assert view.pictures.made == made


def test_events_have_labels_and_figures(view):
    with connect(view) as viewer:
        send(viewer, "/events")
        data = read_until(viewer, b"}\n\n")
        assert b"Content-Type: text/event-stream" in data
        document = json.loads(re.search(rb"^data: (.*)$", data, flags=re.M).group(1).decode())
        assert document["bars"] == [["cat", 0.75]] and document["headline"] == "cat 75%"
        assert document["captured"] == 7 and document["dropped"] == 1 and document["reconnects"] == 2
        assert document["latency_ms"] == {"p50": 20.0, "p95": 20.0, "p99": 20.0, "max": 20.0}
        assert document["source"] == "rtsp://camera/1" and document["stale"] is False and "power_mode" in document
        read_until(viewer, b"}\n\n")


def test_hostile_labels_stay_text():
    with opened(label=HOSTILE) as view, connect(view) as viewer:
        send(viewer, "/events")
        data = read_until(viewer, b"}\n\n")
        lines = [line for line in data.split(b"\r\n\r\n", 1)[1].splitlines() if line]
        assert len(lines) == 2 and lines[0] == b"retry: 1000" and lines[1].startswith(b"data: {")
        (bar,) = json.loads(lines[1][6:].decode())["bars"]
        assert bar[0] == visible(HOSTILE) and "\n" not in bar[0] and "\u202e" not in bar[0]
        assert b"alert(1)" not in ask(view, "/")[2] and b"innerHTML" not in ask(view, "/")[2]


def test_health_follows_the_frames(view, monkeypatch):
    status, headers, body = ask(view, "/healthz")
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert json.loads(body.decode())["status"] == "ok"
    monkeypatch.setattr(handler, "STALE_S", 0.05)
    time.sleep(0.1)
    status, _, body = ask(view, "/healthz")
    assert status == 503 and json.loads(body.decode())["status"] == "no frame"
    view.show(result(1))
    monkeypatch.setattr(handler, "STALE_S", state.STALE_S)
    assert ask(view, "/healthz")[0] == 200


@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("localhost:9999", 200), ("127.0.0.1:80", 200), ("[::1]:8080", 200), ("127.0.0.2", 200),
    ("LOCALHOST", 200), ("evil.example", 421), ("localhost.evil.example", 421), ("192.168.1.5", 421), ("", 421),
    (None, 421), ("user@localhost", 421), ("localhost/x", 421), ("[::1", 421), ("a:b:c", 421)])
def test_names_that_are_asked_for(view, host, status):
    assert ask(view, "/snapshot.jpg", host=host)[0] == status


@pytest.mark.parametrize("origin, status", [
    ("http://localhost:9999", 200), ("HTTP://LOCALHOST:9999", 200), ("https://localhost:9999", 200),
    ("http://localhost", 403), ("http://localhost:1", 403), ("http://evil.example", 403), ("null", 403), ("", 403),
    ("file://localhost:9999", 403)])
def test_pages_of_others_get_nothing(view, origin, status):
    """The browser's port is 9999, forwarded to ours."""
    assert ask(view, "/events", ["Origin: " + origin], method="HEAD", host="localhost:9999")[0] == status


@pytest.mark.parametrize("target", ["/", "/stream.mjpg", "/snapshot.jpg", "/events", "/metrics", "/healthz", "/other"])
def test_without_the_token_there_is_nothing(target):
    with opened(token=TOKEN) as view:
        for wrong in ([], ["Authorization: Bearer " + TOKEN[:-1]], ["Authorization: " + TOKEN],
                      ["Authorization: Bearer"],
                      ["Cookie: edgenext_token_{}=nothing".format(view.port)], ["Cookie: =;;\x01=;"],
                      ["Cookie: edgenext_token_1=" + TOKEN]):
            status, _, body = ask(view, target, wrong)
            assert status == 401 and TOKEN.encode() not in body
        assert ask(view, target + "?token=" + TOKEN + "x")[0] == 401
        assert ask(view, target + "?token=%ff%00")[0] == 401


def test_a_cookie_full_of_quotes_is_read_at_once():
    """Undoing its quotes took http.cookies five seconds."""
    guard = Guard(ServeAddress("127.0.0.1", 8080), TOKEN)
    began = time.process_time()
    cookie = 'edgenext_token_8080="{}"'.format("\\0" * 30000)
    assert guard.refusal({"Host": "127.0.0.1", "Cookie": cookie}, None).status == 401
    assert time.process_time() - began < 0.5


def test_the_token_opens_and_leaves_the_address(capfd):
    with opened(token=TOKEN) as view:
        status, headers, _ = ask(view, "/?token=" + TOKEN)
        assert status == 303 and headers["Location"] == "/"
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "edgenext_token_{}=".format(view.port) in cookie
        assert ask(view, "/", ["Cookie: other=1; " + cookie.split(";")[0]])[0] == 200
        assert ask(view, "/metrics", ["Authorization: Bearer " + TOKEN])[0] == 200
        assert ask(view, "/snapshot.jpg?token=" + TOKEN)[0] == 200
        assert view.page_address == "http://127.0.0.1:{}/?token={}".format(view.port, TOKEN)
    assert TOKEN not in "".join(capfd.readouterr())


def test_other_machines_need_a_token(monkeypatch):
    monkeypatch.setattr("edgenext_deploy.live_view.address.socket.gethostname", lambda: "Nano.home")
    with opened(host="0.0.0.0") as view:
        token = view.page_address.partition("?token=")[2]
        assert len(token) >= 20 and "0.0.0.0" not in view.page_address
        assert ask(view, "/metrics", host="192.168.1.5")[0] == 401
        for host, status in (("192.168.1.5:80", 200), ("nano.home", 200), ("nano.local", 200), ("NANO", 200),
                             ("localhost", 200), ("evil.example", 421)):
            assert ask(view, "/metrics?token=" + token, host=host)[0] == status, host


LOCAL = b"Host: localhost\r\n"


@pytest.mark.parametrize("request_", [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"NONSENSE\x00\xff\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\n" + LOCAL + b"\r\n", b"GET //[ HTTP/1.1\r\n" + LOCAL + b"\r\n",
    b"GET / HTTP/1.1\r\n" + LOCAL + b"X: y\r\n" * 500 + b"\r\n", b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + LOCAL + b"Content-Length: 9\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\n" + LOCAL + b"\r\n", b"<script>alert(1)</script> / HTTP/1.1\r\n\r\n",
    b"GET /%3Cscript%3E HTTP/1.1\r\n" + LOCAL + b"\r\n",
    b"GET / HTTP/1.1\r\n" + LOCAL + b"Host: evil\r\n" + b"\xff\xfe: \x00\r\n\r\n"], ids=range(14))
def test_hostile_requests_cost_one_answer(view, request_, capfd):
    with connect(view) as viewer:
        viewer.sendall(request_)
        viewer.shutdown(socket.SHUT_WR)
        data = b""
        try:
            while True:
                more = viewer.recv(1 << 16)
                if not more:
                    break
                data += more
        except ConnectionResetError:  # what was sent too much lay unread
            pass
    assert data == b"" or re.match(rb"HTTP/1\.1 (200|400|404|405|414|421|431|501|505) ", data), data[:100]
    assert b"<script>" not in data.replace(b"<script>\n\"use strict\"", b"") and b"root:" not in data
    assert ask(view, "/healthz")[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_request_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(handler, "_HEAD_S", 0.5)
    with opened() as view, connect(view) as viewer:
        start = time.monotonic()
        with pytest.raises((ConnectionError, AssertionError)):
            while time.monotonic() - start < 4:
                viewer.sendall(b"G")
                time.sleep(0.1)
                viewer.setblocking(False)
                try:
                    assert viewer.recv(100) != b""
                except BlockingIOError:
                    pass
                finally:
                    viewer.settimeout(5)
        assert time.monotonic() - start < 3


def noisy(number):
    """Return a frame whose JPEG file is large."""
    import numpy as np

    made = result(number)
    image = np.random.RandomState(number).randint(0, 256, (720, 1280, 3)).astype(np.uint8)
    return made._replace(frame=made.frame._replace(image=image))


def test_a_viewer_who_takes_nothing_is_dropped_and_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(handler, "_SEND_S", 0.5)
    with opened() as view, connect(view, buffer=4096) as slow, connect(view) as quick:
        for viewer in (slow, quick):
            send(viewer, "/stream.mjpg")
        read_until(quick, b"\r\n--edgenext-frame\r\n")
        longest, end, number, taken = 0.0, time.monotonic() + 2.0, 0, 0
        quick.setblocking(False)
        frames = [noisy(number) for number in range(4)]
        while time.monotonic() < end:
            number += 1
            start = time.perf_counter()
            made = frames[number % 4]
            view.show(made._replace(frame=made.frame._replace(number=number)))
            longest = max(longest, time.perf_counter() - start)
            with contextlib.suppress(BlockingIOError):
                taken += len(quick.recv(1 << 20))
            time.sleep(0.01)
        assert longest < 0.1 and taken > 1000000
        wait_until(lambda: b"edgenext_viewers 1\n" in ask(view, "/metrics")[2])


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_a_viewer_who_vanishes_leaves_nothing(view, reset, monkeypatch):
    before = len(threads())
    viewers = [connect(view) for _ in range(4)]
    for viewer in viewers:
        send(viewer, "/stream.mjpg")
        read_until(viewer, b"image/jpeg")
        if reset:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        viewer.close()
    numbers = iter(range(1, 10000))
    wait_until(lambda: len(threads()) == before or view.show(result(next(numbers))))


def test_fifty_viewers_are_bounded_and_told_so(view):
    viewers, statuses = [connect(view) for _ in range(50)], []
    for viewer in viewers:
        with contextlib.suppress(ConnectionError):
            send(viewer, "/stream.mjpg")
    deadline = time.monotonic() + 10
    for viewer in viewers:
        viewer.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            statuses.append(viewer.recv(12))
        except ConnectionResetError:
            statuses.append(b"")
    assert statuses.count(b"HTTP/1.1 200") == handler.MOST_STREAMS
    assert statuses.count(b"HTTP/1.1 503") >= 50 - handler.MOST_STREAMS - 2
    assert len(threads()) <= server.MOST_CONNECTIONS + 1
    assert b"edgenext_viewers 16\n" in ask(view, "/metrics")[2]  # a place for figures is left
    for viewer in viewers:
        viewer.close()
    numbers = iter(range(1, 10000))
    wait_until(lambda: view.show(result(next(numbers))) or b"edgenext_viewers 0\n" in ask(view, "/metrics")[2])


def test_idle_connections_are_bounded(view):
    viewers = [connect(view) for _ in range(server.MOST_CONNECTIONS)]
    wait_until(lambda: len(threads()) == server.MOST_CONNECTIONS + 1)
    with connect(view) as late:
        send(late, "/healthz")
        status, headers, _ = read_answer(late)
    assert status == 503 and "Retry-After" in headers
    for viewer in viewers:
        viewer.close()
    wait_until(lambda: len(threads()) == 1)
    assert ask(view, "/healthz")[0] == 200


def test_closing_hangs_up_and_frees_the_port():
    with opened() as view:
        viewers = [connect(view) for _ in range(3)]
        for viewer, target in zip(viewers, ("/stream.mjpg", "/events", "/stream.mjpg")):
            send(viewer, target)
            read_until(viewer, b"200 OK")
        idle, port = connect(view), view.port
        start = time.monotonic()
        view.close()
        assert time.monotonic() - start < 1.5 and threads() == []
        view.close()
        for viewer in (*viewers, idle):
            with contextlib.suppress(ConnectionResetError):
                while viewer.recv(1 << 16):
                    pass
            viewer.close()
    again = LiveView(ServeAddress("127.0.0.1", port), presenter())
    again.close()


@pytest.mark.parametrize("address, words", [
    (ServeAddress("127.0.0.1", None), "another program uses the port"),
    (ServeAddress("192.0.2.1", 0), "cannot serve on 192.0.2.1:0"),
    (ServeAddress("no.such.host.invalid", 80), "no.such")])
def test_where_nobody_can_listen(address, words):
    with opened() as view:
        taken = address._replace(port=view.port) if address.port is None else address
        with pytest.raises(UsageError, match=words) as found:
            LiveView(taken, presenter())
        assert "\n" not in str(found.value) and "--serve" in found.value.fix
    assert threads() == []
