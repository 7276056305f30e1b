"""What an RTSP server is asked before its stream is opened, and what is made of its answers."""
import hashlib
import re
import socket
import time

import pytest
from doubles.rtsp import DESCRIBED, SDP, answer, answering

from edgenext_deploy.camera.opencv.rtsp import describe, video_encoding
from edgenext_deploy.camera.source import SourceLostError, SourceRefusedError


def encoding(port, limit_s=5.0, user=""):
    described = describe("cam", "rtsp://{}127.0.0.1:{}/live?x=1".format(user, port), limit_s)
    described.connection.close()
    return described.encoding


@pytest.mark.parametrize("description, expected", [
    (SDP, "H264"), (SDP.replace("H264", "h265"), "H265"), ("m=video 0 RTP/AVP 26\r\n", "JPEG"),
    ("m=video 0 RTP/AVP 98\r\na=control:x\r\nm=audio 0 RTP/AVP 98\r\na=rtpmap:98 L16/8000\r\n", None)])
def test_the_encoding_of_the_video(description, expected):
    assert video_encoding("cam", description.replace("\r\n", "\n")) == expected
    with answering(answer(200, body=description)) as (port, requests):
        assert encoding(port) == expected
    assert requests[0].startswith("DESCRIBE rtsp://127.0.0.1:{}/live?x=1 RTSP/1.0\r\n".format(port))


def test_a_password_is_sent_as_the_server_wants_it_and_never_unasked():
    with answering(answer(401, 'WWW-Authenticate: Basic realm="x"'), DESCRIBED) as (port, requests):
        assert encoding(port, user="me:p%40ss@") == "H264"
    assert "Authorization" not in requests[0] and "me" not in requests[0].split("\r\n")[0]
    assert "\r\nAuthorization: Basic bWU6cEBzcw==\r\n" in requests[1]
    digest = 'WWW-Authenticate: Digest realm="cam", nonce="abc"'
    with answering(answer(401, digest, 'WWW-Authenticate: Basic realm="x"'), DESCRIBED) as (port, requests):
        assert encoding(port, user="me:p%40ss@") == "H264"
    url = "rtsp://127.0.0.1:{}/live?x=1".format(port)

    def md5(text):
        return hashlib.md5(text.encode()).hexdigest()

    expected = md5("{}:abc:{}".format(md5("me:cam:p@ss"), md5("DESCRIBE:" + url)))
    assert re.search('uri="(.*?)"', requests[1]).group(1) == url
    assert re.search('response="(.*?)"', requests[1]).group(1) == expected
    with answering(answer(401, "WWW-Authenticate: Odd x")) as (port, _):
        assert encoding(port, user="me:x@") is None


@pytest.mark.parametrize("status, kind, words", [
    (401, SourceRefusedError, "user and password"), (403, SourceRefusedError, "does not allow"),
    (404, SourceLostError, "no such stream"), (500, SourceLostError, "refuses with 500")])
def test_refusals_say_why(status, kind, words):
    with answering(answer(status, 'WWW-Authenticate: Basic realm="x"')) as (port, _), pytest.raises(kind) as caught:
        encoding(port, user="me:secret@")
    assert words in str(caught.value) and "secret" not in str(caught.value) and type(caught.value) is kind


def test_what_is_no_rtsp_server_is_told_so():
    for wrong in (b"HTTP/1.1 400 Bad\r\n\r\n", b"\x1b[2J\r\n\r\n", b"RTSP/1.0 200 OK\r\nContent-Length: x\r\n\r\n"):
        with answering(wrong) as (port, _), pytest.raises(SourceLostError, match="not answer as an RTSP") as caught:
            encoding(port)
        assert "\x1b" not in str(caught.value)
    with answering(answer(200, body="m=audio 0 RTP/AVP 0\r\n")) as (port, _), pytest.raises(SourceLostError,
                                                                                          match="no video"):
        encoding(port)
    with answering(answer(302, "Location: rtsp://elsewhere/")) as (port, _):
        assert encoding(port) is None


@pytest.mark.parametrize("given", [None, b"RTSP/1.0 200", b"RTSP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nx"])
def test_a_mute_server_is_given_up_in_time(given):
    start = time.perf_counter()
    with answering(given) as (port, _), pytest.raises(SourceLostError, match=r"not answer within 0\.3 s"):
        encoding(port, 0.3)
    assert 0.25 < time.perf_counter() - start < 3.0


def test_nothing_there():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    with pytest.raises(SourceLostError, match="nothing answers at 127.0.0.1:{}".format(port)):
        encoding(port)
    with pytest.raises(SourceLostError, match=r"nothing answers at \[::1\]:{}".format(port)):
        describe("cam", "rtsp://[::1]:{}/x".format(port), 1.0)
