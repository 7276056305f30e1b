"""A server that answers RTSP requests with what a list says."""
import contextlib
import socket
import threading

SDP = ("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
       "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n")


def answer(status, *headers, body=""):
    """Return an answer's bytes."""
    lines = ["RTSP/1.0 {} x".format(status), "CSeq: 1", *headers, "Content-Length: {}".format(len(body)), "", ""]
    return ("\r\n".join(lines) + body).encode()


DESCRIBED = answer(200, "Content-Type: application/sdp", body=SDP)


@contextlib.contextmanager
def answering(*answers):
    """Yield (port, list of requests); the last answer is given again and again, None is silence."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(20)
    requests, connections, left = [], [], list(answers)

    def talk(connection):
        with contextlib.suppress(OSError):
            while True:
                request = connection.recv(65536)
                if not request:
                    return
                requests.append(request.decode())
                given = left.pop(0) if len(left) > 1 else left[0]
                if given is not None:
                    connection.sendall(given)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connections.append(server.accept()[0])
                threading.Thread(target=talk, args=(connections[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1], requests
    finally:
        for one in [server, *connections]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
